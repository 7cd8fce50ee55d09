//! What is to be done, as plain data: one type per level, each naming everything the level below needs.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::score::Scoring;

/// Hyperparameter values by name, in the order of the search space.
pub type Hyperparameters = serde_json::Map<String, serde_json::Value>;

/// One (fold, seed) cell of a cross-validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// Index of the fold, from 0.
    pub fold: u32,
    /// Seed of weights, order and augmentation.
    pub seed: u64,
}

/// What a worker does with a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunTask {
    /// Train on the train part of the fold, validate on its validation part.
    Fit,
    /// Train on the whole train split without folds, then test the best weights on the held-out split.
    FitAndTest,
    /// Test the weights of a checkpoint on the held-out split.
    Test {
        /// Checkpoint folder.
        checkpoint: PathBuf,
    },
}

/// One model, trained and validated once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// Name of the run; see design: `{cv_name}-run-f{fold}s{seed}` under a cv.
    pub run_name: String,
    /// Eight characters of `[a-z0-9]`.
    pub run_id: String,
    /// Folder of the run, made by the RunActor before the worker starts.
    pub run_dir: PathBuf,
    /// The cv the run belongs to.
    pub cv_name: Option<String>,
    /// The tune the run belongs to.
    pub tune_name: Option<String>,
    /// Fold and seed. A retrain uses fold 0 and the configured seed, and ignores the fold.
    pub cell: Cell,
    /// What to do.
    pub task: RunTask,
    /// Hyperparameters of the run.
    pub hyperparameters: Hyperparameters,
    /// Everything else the workload needs; opaque to the actors.
    #[serde(with = "shared")]
    pub settings: Arc<serde_json::Value>,
}

/// What becomes of a cv when a cell did not complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailedCells {
    /// The cv has no score and can not become the best.
    #[default]
    FailCv,
    /// The cell enters the score as the worst value there is (0, unstable).
    Worst,
    /// The cell is left out of the mean, and the tables say so.
    Ignore,
}

/// One configuration over every cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CvPlan {
    /// `{tune_name}-cv{hp_index}` under a tune.
    pub cv_name: String,
    /// Folder of the cv.
    pub cv_dir: PathBuf,
    /// The tune the cv belongs to.
    pub tune_name: Option<String>,
    /// Index of the configuration within its tune, from 0; 0 for a cv alone.
    pub hp_index: u32,
    /// The configuration.
    pub hyperparameters: Hyperparameters,
    /// The cells, in the order they are started.
    pub cells: Vec<Cell>,
    /// How the score is made.
    pub scoring: Scoring,
    /// What a cell that did not complete does to the score.
    pub failed_cells: FailedCells,
    /// Failed runs after which nothing new starts: of a cv alone its own, under a tune those that are left to the tune when the
    /// cv starts. `None` bears all.
    #[serde(default)]
    pub max_failures: Option<u32>,
    /// Opaque to the actors; handed to every run.
    #[serde(with = "shared")]
    pub settings: Arc<serde_json::Value>,
}

/// What follows the last cv of a tune.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AfterTune {
    /// Nothing.
    #[default]
    Nothing,
    /// Train the best configuration on the whole train split and test it on the held-out one.
    RetrainAndTest,
}

/// Many configurations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TunePlan {
    /// Name of the tune.
    pub tune_name: String,
    /// Folder of the tune.
    pub tune_dir: PathBuf,
    /// Configurations to try at the most; the sampler may hold fewer.
    pub n_trials: u32,
    /// The cells of every cv.
    pub cells: Vec<Cell>,
    /// How scores are made.
    pub scoring: Scoring,
    /// What a cell that did not complete does to its cv.
    pub failed_cells: FailedCells,
    /// Failed runs, of all cvs together, after which nothing new starts. `None` bears all.
    #[serde(default)]
    pub max_failures: Option<u32>,
    /// What follows the last cv.
    pub after: AfterTune,
    /// Seed of the retrained model.
    pub retrain_seed: u64,
    /// Opaque to the actors; handed to every run.
    #[serde(with = "shared")]
    pub settings: Arc<serde_json::Value>,
}

/// A value that many plans share is written and read as the value itself.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    pub(super) fn serialize<S: Serializer>(value: &Arc<Value>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Value>, D::Error> {
        Value::deserialize(deserializer).map(Arc::new)
    }
}
