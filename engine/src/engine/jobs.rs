//! Starting jobs: names and folders are settled here, then the actors take over.

use std::sync::Arc;

use engine_actors::journal::{JobPlan, Ledger};
use engine_actors::outcome::{CvOutcome, RunOutcome, TuneOutcome};
use engine_actors::plan::{CvPlan, RunPlan, RunTask, TunePlan};
use engine_actors::ports::Sampler;

use super::builder::Engine;
use super::error::EngineError;
use super::handle::{JobHandle, Label};
use super::request::{CvRequest, RunRequest, TuneRequest};
use crate::artifacts::Level;
use crate::tracking::JobFacts;

impl Engine {
    /// Starts one run, or goes on with it. A test of a checkpoint is not kept: it is started anew.
    ///
    /// # Errors
    /// [`EngineError`] for a name that can not be used or is taken, a folder that can not be written, and a run that is not to
    /// be resumed as it is asked for.
    pub fn train(&self, request: RunRequest) -> Result<JobHandle<RunOutcome>, EngineError> {
        let RunRequest { name, cell, task, hyperparameters, settings, keeping } = request;
        let bus = self.inner.open_job()?;
        let seat = self.seat(Level::Run, name, &keeping, &bus.bus)?;
        let run_name = seat.name.clone();
        let run_id = seat.run_id().map_or_else(|| self.inner.names().run_id(), str::to_owned);
        let plan = RunPlan {
            run_dir: self.inner.layout.run_dir(&run_name, &run_id),
            run_name,
            run_id,
            cv_name: None,
            tune_name: None,
            cell,
            task,
            hyperparameters,
            settings: Arc::new(settings),
        };
        let ledger = match plan.task {
            RunTask::Test { .. } => Ledger::none(),
            RunTask::Fit | RunTask::FitAndTest => self.ledger(seat, JobPlan::Run(plan.clone()), &keeping)?,
        };
        let label = Label { level: Level::Run, name: plan.run_name.clone(), folder: plan.run_dir.clone() };
        let job = self.inner.ask(|system| system.run_kept(plan, ledger, bus.bus.clone()))??;
        Ok(JobHandle::new(job, label, bus, Arc::clone(&self.inner)))
    }

    /// Starts one configuration over its cells, or goes on with it.
    ///
    /// # Errors
    /// As [`Engine::train`], and [`EngineError::NoCells`].
    pub fn cv(&self, request: CvRequest) -> Result<JobHandle<CvOutcome>, EngineError> {
        if request.cells.is_empty() {
            return Err(EngineError::NoCells);
        }
        let bus = self.inner.open_job()?;
        let seat = self.seat(Level::Cv, request.name, &request.keeping, &bus.bus)?;
        let cv_name = seat.name.clone();
        let plan = CvPlan {
            cv_dir: self.inner.layout.cv_dir(&cv_name),
            cv_name,
            tune_name: None,
            hp_index: 0,
            hyperparameters: request.hyperparameters,
            cells: request.cells,
            scoring: request.scoring,
            failed_cells: request.failed_cells,
            max_failures: request.max_failures,
            settings: Arc::new(request.settings),
        };
        let ledger = self.ledger(seat, JobPlan::Cv(plan.clone()), &request.keeping)?;
        let facts = JobFacts { scoring: plan.scoring.clone(), settings: Arc::clone(&plan.settings) };
        self.inner.tracking.begin_job(&plan.cv_name, facts);
        let label = Label { level: Level::Cv, name: plan.cv_name.clone(), folder: plan.cv_dir.clone() };
        let job = self.inner.ask(|system| system.cv_kept(plan, ledger, bus.bus.clone()))??;
        Ok(JobHandle::new(job, label, bus, Arc::clone(&self.inner)))
    }

    /// Starts many configurations, each over its cells, or goes on with them.
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
        let bus = self.inner.open_job()?;
        let seat = self.seat(Level::Tune, request.name, &request.keeping, &bus.bus)?;
        let tune_name = seat.name.clone();
        let plan = TunePlan {
            tune_dir: self.inner.layout.tune_dir(&tune_name),
            tune_name,
            n_trials: request.n_trials,
            cells: request.cells,
            scoring: request.scoring,
            failed_cells: request.failed_cells,
            max_failures: request.max_failures,
            after: request.after,
            retrain_seed: request.retrain_seed,
            settings: Arc::new(request.settings),
        };
        let ledger = self.ledger(seat, JobPlan::Tune(plan.clone()), &request.keeping)?;
        let facts = JobFacts { scoring: plan.scoring.clone(), settings: Arc::clone(&plan.settings) };
        self.inner.tracking.begin_job(&plan.tune_name, facts);
        let label = Label { level: Level::Tune, name: plan.tune_name.clone(), folder: plan.tune_dir.clone() };
        let job = self.inner.ask(|system| system.tune_kept(plan, sampler, ledger, bus.bus.clone()))??;
        Ok(JobHandle::new(job, label, bus, Arc::clone(&self.inner)))
    }
}
