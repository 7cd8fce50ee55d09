//! Drawing beside the training.

use std::thread::{Builder, JoinHandle};

use crossbeam::channel::{Receiver, bounded};

use crate::workload::FigureTeller;

/// Name of the thread that draws.
const THREAD: &str = "engine-artist";

/// Draws on a thread of its own, one thing at a time: who has the next one waits for the one before, so that no more than
/// one is held in memory.
///
/// What goes wrong is a warning. One that is dropped waits for what is being drawn: no figure is lost at the end of a run.
pub(crate) struct Artist {
    teller: FigureTeller,
    under_way: Option<(Drawing, JoinHandle<()>)>,
}

/// Something that is being drawn.
#[derive(Debug, Clone)]
pub(crate) struct Drawing {
    /// Closed once it is over.
    over: Receiver<()>,
}

impl Drawing {
    /// Waits until it is drawn and told of.
    pub(crate) fn wait(&self) {
        // Nothing is ever sent.
        let _closed = self.over.recv();
    }
}

impl Artist {
    pub(crate) fn new(teller: FigureTeller) -> Self {
        Self { teller, under_way: None }
    }

    /// Waits for the one before, then draws beside the caller.
    pub(crate) fn begin(&mut self, draw: impl FnOnce(&FigureTeller) + Send + 'static) {
        self.finish();
        let teller = self.teller.clone();
        let (held, over) = bounded::<()>(0);
        let thread = Builder::new().name(THREAD.into()).spawn(move || {
            let _held = held;
            draw(&teller);
        });
        match thread {
            Ok(thread) => self.under_way = Some((Drawing { over }, thread)),
            Err(error) => {
                self.teller.warn(format!("figures are not drawn: there is no thread for it: {error}"));
            }
        }
    }

    /// What is being drawn, or was last.
    pub(crate) fn under_way(&self) -> Option<Drawing> {
        self.under_way.as_ref().map(|(drawing, _)| drawing.clone())
    }

    /// Waits until nothing is being drawn.
    pub(crate) fn finish(&mut self) {
        let ended = self.under_way.take().map(|(_, thread)| thread.join());
        if let Some(Err(_)) = ended {
            self.teller.warn("figures are not drawn: the thread that draws them panicked, and has said why");
        }
    }
}

impl Drop for Artist {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use engine_actors::protocol::FromWorker;

    use super::*;
    use crate::workload::RunContext;

    fn artist() -> (Artist, Arc<Mutex<Vec<String>>>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&said);
        let hear = move |word| {
            if let FromWorker::Warned { message } = word {
                hears.lock().unwrap().push(message);
            }
        };
        (Artist::new(RunContext::new(hear, Arc::default()).figure_teller()), said)
    }

    #[test]
    fn one_thing_is_drawn_at_a_time_beside_the_caller_and_all_of_them_in_the_end() {
        let (mut artist, said) = artist();
        let (go_on, waits) = bounded::<()>(0);
        artist.begin(move |teller| {
            waits.recv().unwrap();
            teller.warn("first");
        });
        let first = artist.under_way().unwrap();
        assert!(said.lock().unwrap().is_empty(), "the caller goes on while it is drawn");
        go_on.send(()).unwrap();
        first.wait();
        assert_eq!(*said.lock().unwrap(), ["first"]);
        artist.begin(|teller| teller.warn("second"));
        drop(artist);
        assert_eq!(*said.lock().unwrap(), ["first", "second"]);
    }

    #[test]
    fn a_panic_is_a_warning_and_nobody_waits_for_ever() {
        let (mut artist, said) = artist();
        artist.begin(|_| panic!("the ink is out"));
        artist.under_way().unwrap().wait();
        artist.finish();
        artist.finish();
        assert_eq!(said.lock().unwrap().len(), 1, "{said:?}");
    }
}
