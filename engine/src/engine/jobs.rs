//! Starting jobs: names and folders are settled here, then the actors take over.

use std::sync::Arc;

use engine_actors::outcome::{CvOutcome, RunOutcome, TuneOutcome};
use engine_actors::plan::{CvPlan, RunPlan, TunePlan};
use engine_actors::ports::Sampler;
use engine_actors::system::JobHandle;

use super::builder::Engine;
use super::error::EngineError;
use super::request::{CvRequest, RunRequest, TuneRequest};
use crate::artifacts::Level;
use crate::names::check_name;
use crate::tracking::JobFacts;

impl Engine {
    /// Starts one run.
    ///
    /// # Errors
    /// [`EngineError`] for a name that can not be used or is taken, and a folder that can not be written.
    pub fn train(&self, request: RunRequest) -> Result<JobHandle<RunOutcome>, EngineError> {
        let run_name = self.settle(Level::Run, request.name)?;
        let run_id = self.inner.names().run_id();
        let plan = RunPlan {
            run_dir: self.inner.layout.run_dir(&run_name, &run_id),
            run_name,
            run_id,
            cv_name: None,
            tune_name: None,
            cell: request.cell,
            task: request.task,
            hyperparameters: request.hyperparameters,
            settings: Arc::new(request.settings),
        };
        Ok(self.inner.ask(|system| system.run(plan))??)
    }

    /// Starts one configuration over its cells.
    ///
    /// # Errors
    /// As [`Engine::train`], and [`EngineError::NoCells`].
    pub fn cv(&self, request: CvRequest) -> Result<JobHandle<CvOutcome>, EngineError> {
        if request.cells.is_empty() {
            return Err(EngineError::NoCells);
        }
        let cv_name = self.settle(Level::Cv, request.name)?;
        let plan = CvPlan {
            cv_dir: self.inner.layout.cv_dir(&cv_name),
            cv_name,
            tune_name: None,
            hp_index: 0,
            hyperparameters: request.hyperparameters,
            cells: request.cells,
            scoring: request.scoring,
            failed_cells: request.failed_cells,
            settings: Arc::new(request.settings),
        };
        let facts = JobFacts { scoring: plan.scoring.clone(), settings: Arc::clone(&plan.settings) };
        self.inner.tracking.begin_job(&plan.cv_name, facts);
        Ok(self.inner.ask(|system| system.cv(plan))??)
    }

    /// Starts many configurations, each over its cells.
    ///
    /// # Errors
    /// As [`Engine::cv`], and [`EngineError::NoTrials`].
    pub fn tune(
        &self,
        request: TuneRequest,
        sampler: Box<dyn Sampler>,
    ) -> Result<JobHandle<TuneOutcome>, EngineError> {
        if request.cells.is_empty() {
            return Err(EngineError::NoCells);
        }
        if request.n_trials == 0 {
            return Err(EngineError::NoTrials);
        }
        let tune_name = self.settle(Level::Tune, request.name)?;
        let plan = TunePlan {
            tune_dir: self.inner.layout.tune_dir(&tune_name),
            tune_name,
            n_trials: request.n_trials,
            cells: request.cells,
            scoring: request.scoring,
            failed_cells: request.failed_cells,
            after: request.after,
            retrain_seed: request.retrain_seed,
            settings: Arc::new(request.settings),
        };
        let facts = JobFacts { scoring: plan.scoring.clone(), settings: Arc::clone(&plan.settings) };
        self.inner.tracking.begin_job(&plan.tune_name, facts);
        Ok(self.inner.ask(|system| system.tune(plan, sampler))??)
    }

    /// A name that is free at its level, in a folder that can be written.
    fn settle(&self, level: Level, given: Option<String>) -> Result<String, EngineError> {
        let layout = &self.inner.layout;
        if let Some(name) = &given {
            check_name(name).map_err(|source| EngineError::Name { name: name.clone(), source })?;
        }
        // What is taken is found out before anything is written for a try.
        if let Some(name) = &given {
            layout.ensure_absent(level, name)?;
        }
        layout.ensure_writable()?;
        match given {
            Some(name) => Ok(name),
            None => Ok(self.inner.names().generate(level)?),
        }
    }
}
