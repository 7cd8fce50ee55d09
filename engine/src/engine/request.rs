//! What is asked of an engine. Names that are not given are generated.

use engine_actors::plan::{AfterTune, Cell, FailedCells, Hyperparameters, RunTask};
use engine_actors::score::Scoring;
use serde_json::Value;

use crate::resume::{Keeping, Resume};
use crate::seeds;

/// One run.
///
/// ```
/// use engine::{Cell, RunRequest, RunTask};
///
/// let request = RunRequest::new(Cell { fold: 0, seed: 42 }).with_name("first");
/// assert_eq!(request.task, RunTask::Fit);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunRequest {
    /// Name of the run.
    pub name: Option<String>,
    /// Fold and seed.
    pub cell: Cell,
    /// What to do.
    pub task: RunTask,
    /// Hyperparameters, handed to the workload.
    pub hyperparameters: Hyperparameters,
    /// Anything else the workload needs.
    pub settings: Value,
    /// How the job is kept and resumed.
    pub keeping: Keeping,
}

/// One configuration over every cell.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CvRequest {
    /// Name of the cv.
    pub name: Option<String>,
    /// The cells, in the order they are started.
    pub cells: Vec<Cell>,
    /// Hyperparameters, handed to the workload.
    pub hyperparameters: Hyperparameters,
    /// How the score is made.
    pub scoring: Scoring,
    /// What a cell that did not complete does to the score.
    pub failed_cells: FailedCells,
    /// Failed runs after which nothing new starts; `None` bears all.
    pub max_failures: Option<u32>,
    /// Anything else the workload needs.
    pub settings: Value,
    /// How the job is kept and resumed.
    pub keeping: Keeping,
}

/// Many configurations; they come from a sampler.
///
/// ```
/// use engine::{AfterTune, Scoring, TuneRequest};
///
/// let scoring = Scoring::parse(&["val/accuracy"], "harmonic")?;
/// let request = TuneRequest::new(20, engine::seeds::cells(3, 2), scoring)
///     .with_name("digits")
///     .with_after(AfterTune::RetrainAndTest);
/// assert_eq!((request.cells.len(), request.retrain_seed), (6, 42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TuneRequest {
    /// Name of the tune.
    pub name: Option<String>,
    /// Configurations at the most.
    pub n_trials: u32,
    /// The cells of every cv, in the order they are started.
    pub cells: Vec<Cell>,
    /// How scores are made.
    pub scoring: Scoring,
    /// What a cell that did not complete does to the score of its cv.
    pub failed_cells: FailedCells,
    /// Failed runs after which nothing new starts; `None` bears all.
    pub max_failures: Option<u32>,
    /// What follows the last cv.
    pub after: AfterTune,
    /// Seed of the retrained model.
    pub retrain_seed: u64,
    /// Anything else the workload needs.
    pub settings: Value,
    /// How the job is kept and resumed.
    pub keeping: Keeping,
}

impl RunRequest {
    /// A run that trains on this fold with this seed, without hyperparameters or settings.
    #[must_use]
    pub fn new(cell: Cell) -> Self {
        Self {
            name: None,
            cell,
            task: RunTask::Fit,
            hyperparameters: Hyperparameters::new(),
            settings: Value::Null,
            keeping: Keeping::default(),
        }
    }

    /// Does something else than train on the fold.
    #[must_use]
    pub fn with_task(self, task: RunTask) -> Self {
        Self { task, ..self }
    }
}

impl CvRequest {
    /// A cv over these cells, as [`seeds::cells`](crate::seeds::cells) gives them, without hyperparameters or settings.
    #[must_use]
    pub fn new(cells: impl IntoIterator<Item = Cell>, scoring: Scoring) -> Self {
        Self {
            name: None,
            cells: cells.into_iter().collect(),
            hyperparameters: Hyperparameters::new(),
            scoring,
            failed_cells: FailedCells::default(),
            max_failures: None,
            settings: Value::Null,
            keeping: Keeping::default(),
        }
    }
}

impl TuneRequest {
    /// At most `n_trials` cvs over these cells, as [`seeds::cells`](crate::seeds::cells) gives them, without settings;
    /// nothing follows the last.
    #[must_use]
    pub fn new(n_trials: u32, cells: impl IntoIterator<Item = Cell>, scoring: Scoring) -> Self {
        Self {
            name: None,
            n_trials,
            cells: cells.into_iter().collect(),
            scoring,
            failed_cells: FailedCells::default(),
            max_failures: None,
            after: AfterTune::default(),
            retrain_seed: seeds::FIRST[0],
            settings: Value::Null,
            keeping: Keeping::default(),
        }
    }

    /// What follows the last cv.
    #[must_use]
    pub fn with_after(self, after: AfterTune) -> Self {
        Self { after, ..self }
    }

    /// Another seed of the retrained model than 42.
    #[must_use]
    pub fn with_retrain_seed(self, retrain_seed: u64) -> Self {
        Self { retrain_seed, ..self }
    }
}

/// What every request can be given.
macro_rules! of_all {
    ($($request:ident),+) => {
        $(impl $request {
            /// The name; one is generated otherwise.
            #[must_use]
            pub fn with_name(self, name: impl Into<String>) -> Self {
                Self { name: Some(name.into()), ..self }
            }

            /// What the workload needs besides hyperparameters.
            #[must_use]
            pub fn with_settings(self, settings: Value) -> Self {
                Self { settings, ..self }
            }

            /// Whether a job of this name that is there already is gone on with.
            #[must_use]
            pub fn with_resume(mut self, resume: Resume) -> Self {
                self.keeping.resume = resume;
                self
            }

            /// How the job is kept, and what it hangs on.
            #[must_use]
            pub fn with_keeping(self, keeping: Keeping) -> Self {
                Self { keeping, ..self }
            }
        })+
    };
}

/// What requests of one configuration can be given.
macro_rules! of_one_configuration {
    ($($request:ident),+) => {
        $(impl $request {
            /// Hyperparameters, handed to the workload.
            #[must_use]
            pub fn with_hyperparameters(self, hyperparameters: Hyperparameters) -> Self {
                Self { hyperparameters, ..self }
            }
        })+
    };
}

/// What requests of several runs can be given.
macro_rules! of_several_runs {
    ($($request:ident),+) => {
        $(impl $request {
            /// What a cell that did not complete does to the score.
            #[must_use]
            pub fn with_failed_cells(self, failed_cells: FailedCells) -> Self {
                Self { failed_cells, ..self }
            }

            /// Failed runs after which nothing new starts.
            #[must_use]
            pub fn with_max_failures(self, max_failures: u32) -> Self {
                Self { max_failures: Some(max_failures), ..self }
            }
        })+
    };
}

of_all!(RunRequest, CvRequest, TuneRequest);
of_one_configuration!(RunRequest, CvRequest);
of_several_runs!(CvRequest, TuneRequest);
