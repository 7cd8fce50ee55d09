//! Running one job to its end: events to the display, signals to the job.

use engine::{Engine, EngineError, JobHandle};
use serde_json::json;

use crate::display::{Display, Style};
use crate::exit::Failure;
use crate::interrupt::Interrupts;

/// How a job ended.
pub struct Ended<O> {
    /// What it says of itself.
    pub outcome: O,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// Starts a job on `engine`, shows its events until it ends, and takes the engine down.
pub fn follow<O>(
    engine: Engine,
    style: Style,
    warnings: &[String],
    start: impl FnOnce(&Engine) -> Result<JobHandle<O>, EngineError>,
) -> Result<Ended<O>, Failure> {
    let mut events = engine.events();
    let mut display = Display::new(style);
    for warning in warnings.iter().cloned().chain(engine.device_note()) {
        display.show(&engine::Event::Warned { message: warning });
    }
    let handle = start(&engine)?;
    let interrupts = Interrupts::listen(handle.stopper())?;
    let shown = std::thread::Builder::new().name("engine-display".into()).spawn(move || {
        while let Some(event) = events.next_blocking() {
            display.show(&event);
        }
        display.close();
    })?;
    let outcome = handle.wait();
    let interrupted = interrupts.heard();
    // With the engine its events end, and with them the display.
    drop(engine);
    if shown.join().is_err() {
        eprintln!("warning: the display ended early, see above; the job was not touched by it");
    }
    Ok(Ended { outcome: outcome?, interrupted })
}

/// The result as the last line of `--json`, or as text.
pub fn print_result<O: serde::Serialize>(style: Style, outcome: &O, text: impl FnOnce() -> String) {
    match style {
        Style::Json => println!("{}", json!({ "event": "result", "outcome": outcome })),
        _ => println!("{}", text()),
    }
}
