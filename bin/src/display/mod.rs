//! What the terminal shows while a job runs: the event stream, and nothing else, turned into lines or bars.

mod bars;
mod board;
mod lines;

pub use self::board::SHOWN_METRIC;
pub use self::lines::reason;

use std::io::IsTerminal;

use engine::Event;

use self::bars::Bars;
use self::board::Board;

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Nothing but the end result.
    Quiet,
    /// One JSON object a line, on standard output.
    Json,
    /// One plain line for every event worth telling, on standard error.
    Lines,
    /// Live bars and lines, on standard error.
    Bars,
}

impl Style {
    /// The style asked for; bars only where standard error is a terminal.
    pub fn choose(quiet: bool, json: bool) -> Self {
        match (json, quiet) {
            (true, _) => Self::Json,
            (false, true) => Self::Quiet,
            (false, false) if std::io::stderr().is_terminal() => Self::Bars,
            (false, false) => Self::Lines,
        }
    }
}

/// Shows events in one style.
pub struct Display {
    style: Style,
    board: Board,
    bars: Option<Bars>,
}

impl Display {
    /// A display that has seen nothing yet.
    pub fn new(style: Style) -> Self {
        let bars = (style == Style::Bars).then(Bars::new);
        Self { style, board: Board::default(), bars }
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Event) {
        self.board.note(event);
        match self.style {
            Style::Quiet => {
                if let Event::Warned { message } = event {
                    eprintln!("warning: {message}");
                }
            }
            Style::Json => match serde_json::to_string(event) {
                Ok(line) => println!("{line}"),
                Err(error) => eprintln!("warning: an event could not be written as JSON: {error}"),
            },
            Style::Lines => {
                if let Some(line) = lines::line(event, &self.board) {
                    eprintln!("{line}");
                }
            }
            Style::Bars => {
                if let Some(bars) = &mut self.bars {
                    bars.show(event, &self.board);
                }
            }
        }
    }

    /// Takes the bars away.
    pub fn close(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.clear();
        }
    }
}
