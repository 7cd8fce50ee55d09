//! What is asked of an engine. Names that are not given are generated.

use engine_actors::plan::{AfterTune, Cell, FailedCells, Hyperparameters, RunTask};
use engine_actors::score::Scoring;
use serde_json::Value;

use crate::resume::Keeping;
use crate::seeds;

/// One run.
#[derive(Debug, Clone, PartialEq)]
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
#[derive(Debug, Clone, PartialEq)]
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
    /// A run of these hyperparameters on a cell, trained and validated, under a generated name.
    #[must_use]
    pub fn new(cell: Cell, hyperparameters: Hyperparameters) -> Self {
        let (task, settings, keeping) = (RunTask::Fit, Value::Null, Keeping::default());
        Self { name: None, cell, task, hyperparameters, settings, keeping }
    }
}

impl CvRequest {
    /// A cv of these hyperparameters over the cells, under a generated name; one that does not complete fails it.
    #[must_use]
    pub fn new(
        cells: impl IntoIterator<Item = Cell>,
        hyperparameters: Hyperparameters,
        scoring: Scoring,
    ) -> Self {
        Self {
            name: None,
            cells: cells.into_iter().collect(),
            hyperparameters,
            scoring,
            failed_cells: FailedCells::default(),
            max_failures: None,
            settings: Value::Null,
            keeping: Keeping::default(),
        }
    }
}

impl TuneRequest {
    /// A tune of so many configurations at the most, each over the cells, under a generated name; nothing follows it.
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
}
