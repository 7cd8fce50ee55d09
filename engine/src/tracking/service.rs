//! Everything an engine tracks with, made when it is built and ended when it is closed.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use engine_actors::plan::RunPlan;
use engine_actors::ports::{Tracker, TrackerFactory};
use engine_actors::system::ActorSystem;
use engine_tracking::upload::{Progress, Unfinished};

use super::job_book::{JobBook, JobFacts};
#[cfg(feature = "tensorboard")]
use super::tensorboard::TensorBoard;
#[cfg(feature = "wandb")]
use super::wandb::{Online, Wandb};

/// Makes a further back end of a run.
type FurtherTracker = dyn Fn(&RunPlan) -> Box<dyn Tracker> + Send + Sync;

/// What is asked for.
#[derive(Default)]
pub(crate) struct TrackingPlan {
    #[cfg(feature = "wandb")]
    pub(crate) wandb: Option<Wandb>,
    #[cfg(feature = "tensorboard")]
    pub(crate) tensorboard: bool,
    pub(crate) further: Vec<Arc<FurtherTracker>>,
}

/// What an engine tracks with.
pub(crate) struct Tracking {
    plan: Arc<TrackingPlan>,
    #[cfg(feature = "wandb")]
    online: Online,
    jobs: JobBook,
}

impl fmt::Debug for Tracking {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tracking").field("note", &self.note()).finish_non_exhaustive()
    }
}

/// Without W&B there is nothing to begin beforehand, to say or to wait for.
#[cfg_attr(not(feature = "wandb"), expect(clippy::unused_self, reason = "what W&B alone does"))]
impl Tracking {
    /// Gets everything ready; nothing is written. `lookup` reads an environment variable.
    #[cfg_attr(not(feature = "wandb"), expect(unused_mut, unused_variables, reason = "what W&B alone takes"))]
    pub(crate) fn start(
        mut plan: TrackingPlan,
        artifact_dir: &Path,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            #[cfg(feature = "wandb")]
            online: Online::start(plan.wandb.take(), artifact_dir, lookup),
            plan: Arc::new(plan),
            jobs: JobBook::default(),
        }
    }

    /// Makes the back ends of a run that it has besides its files.
    pub(crate) fn factory(&self) -> Arc<TrackerFactory> {
        let plan = Arc::clone(&self.plan);
        #[cfg(feature = "wandb")]
        let online = self.online.maker();
        #[cfg(feature = "tensorboard")]
        let jobs = self.jobs.clone();
        Arc::new(move |run: &RunPlan| {
            let mut all: Vec<Box<dyn Tracker>> = Vec::new();
            #[cfg(feature = "wandb")]
            all.extend(online());
            #[cfg(feature = "tensorboard")]
            if plan.tensorboard {
                all.push(Box::new(TensorBoard::new(jobs.of_run(run))));
            }
            all.extend(plan.further.iter().map(|make| make(run)));
            all
        })
    }

    /// Listens to the actors, before their first job.
    #[cfg_attr(not(feature = "wandb"), expect(unused_variables, reason = "what W&B alone takes"))]
    pub(crate) fn listen(&mut self, system: &ActorSystem) {
        #[cfg(feature = "wandb")]
        self.online.listen(system, &self.jobs);
    }

    /// What the user should know beforehand.
    pub(crate) fn note(&self) -> Option<String> {
        #[cfg(feature = "wandb")]
        return self.online.note();
        #[cfg(not(feature = "wandb"))]
        None
    }

    /// Remembers what a cv or tune is to do, before it starts.
    pub(crate) fn begin_job(&self, name: &str, facts: JobFacts) {
        self.jobs.note(name, facts);
    }

    /// Ends everything; the actors must be down. A second call gives nothing.
    #[cfg_attr(not(feature = "wandb"), expect(unused_variables, reason = "what W&B alone takes"))]
    pub(crate) fn close(&self, tell: &mut dyn FnMut(&[Progress]) -> ControlFlow<()>) -> Vec<Unfinished> {
        #[cfg(feature = "wandb")]
        return self.online.close(tell);
        #[cfg(not(feature = "wandb"))]
        Vec::new()
    }
}
