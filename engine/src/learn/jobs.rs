//! What is asked of an engine that is built with a learner.

use engine_actors::plan::{Cell, Hyperparameters};
use engine_actors::ports::Sampler;
use serde::Serialize;
use serde_json::Value;

use super::error::LearnError;
use super::hyperparameters::read;
use super::learner::Learner;
use super::learning::Learning;
use super::settings::LearningSettings;
use crate::engine::{CvRequest, RunRequest, TuneRequest};
use crate::resume::Keeping;
use crate::seeds::{cells, seeds};
use crate::space::{DEFAULT_SEED, Search, SearchSpace, Trials};

/// The seed of a single run, the first of those of a cv.
fn first_seed() -> u64 {
    seeds(1)[0]
}

/// Requests, with hyperparameters that the learner can read. What is not asked for here is a field of what comes back: a name,
/// further seeds, whether a job is gone on with.
impl<L: Learner> Learning<L> {
    /// One run, on fold 0.
    ///
    /// # Errors
    /// [`LearnError`] for settings no run can be made of, and for hyperparameters that are not the learner's.
    pub fn train(
        &self,
        settings: &LearningSettings,
        hyperparameters: impl Serialize,
    ) -> Result<RunRequest, LearnError> {
        let cell = Cell { fold: 0, seed: first_seed() };
        let request = RunRequest::new(cell).with_hyperparameters(checked::<L>(hyperparameters)?);
        Ok(request.with_settings(written(settings)?).with_keeping(keeping(None)))
    }

    /// One configuration over every fold, scored by what is monitored.
    ///
    /// # Errors
    /// As [`Learning::train`].
    pub fn cv(
        &self,
        settings: &LearningSettings,
        hyperparameters: impl Serialize,
    ) -> Result<CvRequest, LearnError> {
        let request = CvRequest::new(cells(settings.total_folds, 1), settings.monitor.scoring());
        let request = request.with_hyperparameters(checked::<L>(hyperparameters)?);
        Ok(request.with_settings(written(settings)?).with_keeping(keeping(None)))
    }

    /// Configurations of a search space over every fold, and where they come from.
    ///
    /// # Errors
    /// As [`Learning::train`], of any configuration at the space's ends, and for a space that can not be searched so.
    pub fn tune(
        &self,
        settings: &LearningSettings,
        space: SearchSpace,
        trials: Trials,
    ) -> Result<(TuneRequest, Box<dyn Sampler>), LearnError> {
        for corner in space.corners() {
            read::<L::Hyperparameters>(&corner)?;
        }
        let Search { n_trials, described, sampler, .. } = Search::new(space, trials, DEFAULT_SEED)?;
        let (cells, scoring) = (cells(settings.total_folds, 1), settings.monitor.scoring());
        let request = TuneRequest::new(n_trials, cells, scoring).with_settings(written(settings)?);
        Ok((request.with_keeping(keeping(Some(described))), sampler))
    }
}

/// Hyperparameters as the plan has them, if the learner can read them.
fn checked<L: Learner>(hyperparameters: impl Serialize) -> Result<Hyperparameters, LearnError> {
    let unwritable = |reason: String| LearnError::Hyperparameters { reason };
    match serde_json::to_value(hyperparameters).map_err(|error| unwritable(error.to_string()))? {
        Value::Object(given) => {
            read::<L::Hyperparameters>(&given)?;
            Ok(given)
        }
        Value::Null => {
            read::<L::Hyperparameters>(&Hyperparameters::new())?;
            Ok(Hyperparameters::new())
        }
        other => Err(unwritable(format!("they are names with values, not {other}"))),
    }
}

fn written(settings: &LearningSettings) -> Result<Value, LearnError> {
    settings.check()?;
    serde_json::to_value(settings).map_err(|error| LearnError::Settings { reason: error.to_string() })
}

fn keeping(search: Option<Value>) -> Keeping {
    Keeping {
        facts: search.into_iter().map(|search| ("search".to_owned(), search)).collect(),
        may_grow: vec!["max_epochs".to_owned()],
        may_change: vec!["checkpoint_every_n_steps".to_owned()],
        ..Keeping::default()
    }
}
