//! What an engine holds of W&B: the link to the uploader, and the writer of entries of cvs and tunes.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use engine_actors::ports::Tracker;
use engine_actors::system::ActorSystem;
use engine_tracking::upload::{Progress, Unfinished};

use super::{Link, Wandb, WandbTracker};
use crate::tracking::entries::EntryWriter;
use crate::tracking::job_book::JobBook;

/// What an engine holds of W&B; nothing where it was not asked for.
pub(in crate::tracking) struct Online {
    link: Option<Arc<Link>>,
    entries: Mutex<Option<EntryWriter>>,
    note: Option<String>,
}

impl Online {
    pub(in crate::tracking) fn start(
        wandb: Option<Wandb>,
        artifact_dir: &Path,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let (link, note) = match wandb {
            Some(wandb) => Link::start(wandb, artifact_dir, lookup),
            None => (None, None),
        };
        Self { link, entries: Mutex::new(None), note }
    }

    /// Makes the back end of a run, where there is one.
    pub(in crate::tracking) fn maker(&self) -> impl Fn() -> Option<Box<dyn Tracker>> + Send + Sync + use<> {
        let link = self.link.clone();
        move || {
            let tracker = WandbTracker::new(Arc::clone(link.as_ref()?));
            Some(Box::new(tracker))
        }
    }

    pub(in crate::tracking) fn listen(&mut self, system: &ActorSystem, jobs: &JobBook) {
        let Some(link) = &self.link else { return };
        link.publish_on(system.bus());
        match EntryWriter::start(Arc::clone(link), jobs.clone(), system.subscribe()) {
            Ok(writer) => self.entries = Mutex::new(Some(writer)),
            Err(error) => {
                let told =
                    format!("cvs and tunes get no entry of their own on W&B: no thread for it ({error})");
                self.note = Some(match self.note.take() {
                    Some(note) => format!("{note}; {told}"),
                    None => told,
                });
            }
        }
    }

    pub(in crate::tracking) fn note(&self) -> Option<String> {
        self.note.clone()
    }

    /// Ends everything; the actors must be down. A second call gives nothing.
    pub(in crate::tracking) fn close(
        &self,
        tell: &mut dyn FnMut(&[Progress]) -> ControlFlow<()>,
    ) -> Vec<Unfinished> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner).take();
        if entries.is_some_and(|writer| !writer.end()) {
            tracing::error!("the thread that writes the entries of cvs and tunes panicked");
        }
        self.link.as_ref().map_or_else(Vec::new, |link| link.close(tell))
    }
}
