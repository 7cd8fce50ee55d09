//! Everything an engine tracks with, made when it is built and ended when it is closed.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use engine_actors::plan::RunPlan;
use engine_actors::ports::{Tracker, TrackerFactory};
use engine_actors::system::ActorSystem;
use engine_tracking::wandb::uploader::{Progress, Unfinished};

use super::entries::EntryWriter;
use super::job_book::{JobBook, JobFacts};
use super::tensorboard::TensorBoard;
use super::wandb::{Link, Wandb, WandbTracker};

/// Makes a further back end of a run.
type FurtherTracker = dyn Fn(&RunPlan) -> Box<dyn Tracker> + Send + Sync;

/// What is asked for.
#[derive(Default)]
pub(crate) struct TrackingPlan {
    pub(crate) wandb: Option<Wandb>,
    pub(crate) tensorboard: bool,
    pub(crate) further: Vec<Arc<FurtherTracker>>,
}

/// What an engine tracks with.
pub(crate) struct Tracking {
    plan: Arc<TrackingPlan>,
    link: Option<Arc<Link>>,
    jobs: JobBook,
    entries: Mutex<Option<EntryWriter>>,
    note: Option<String>,
}

impl fmt::Debug for Tracking {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tracking").field("note", &self.note).finish_non_exhaustive()
    }
}

impl Tracking {
    /// Gets everything ready; nothing is written. `lookup` reads an environment variable.
    pub(crate) fn start(
        mut plan: TrackingPlan,
        artifact_dir: &Path,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let (link, note) = match plan.wandb.take() {
            Some(wandb) => Link::start(wandb, artifact_dir, lookup),
            None => (None, None),
        };
        Self { plan: Arc::new(plan), link, jobs: JobBook::default(), entries: Mutex::new(None), note }
    }

    /// Makes the back ends of a run that it has besides its files.
    pub(crate) fn factory(&self) -> Arc<TrackerFactory> {
        let (plan, link, jobs) = (Arc::clone(&self.plan), self.link.clone(), self.jobs.clone());
        Arc::new(move |run: &RunPlan| {
            let mut all: Vec<Box<dyn Tracker>> = Vec::new();
            if let Some(link) = &link {
                all.push(Box::new(WandbTracker::new(Arc::clone(link))));
            }
            if plan.tensorboard {
                all.push(Box::new(TensorBoard::new(jobs.of_run(run))));
            }
            all.extend(plan.further.iter().map(|make| make(run)));
            all
        })
    }

    /// Listens to the actors, before their first job.
    pub(crate) fn listen(&mut self, system: &ActorSystem) {
        let Some(link) = &self.link else { return };
        link.publish_on(system.bus());
        match EntryWriter::start(Arc::clone(link), self.jobs.clone(), system.subscribe()) {
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

    /// What the user should know beforehand.
    pub(crate) fn note(&self) -> Option<String> {
        self.note.clone()
    }

    /// Remembers what a cv or tune is to do, before it starts.
    pub(crate) fn begin_job(&self, name: &str, facts: JobFacts) {
        self.jobs.note(name, facts);
    }

    /// Ends everything; the actors must be down. A second call gives nothing.
    pub(crate) fn close(&self, tell: &mut dyn FnMut(&[Progress]) -> ControlFlow<()>) -> Vec<Unfinished> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner).take();
        if entries.is_some_and(|writer| !writer.end()) {
            tracing::error!("the thread that writes the entries of cvs and tunes panicked");
        }
        self.link.as_ref().map_or_else(Vec::new, |link| link.close(tell))
    }
}
