//! The back end `tensorboard`: event files in the run's folder.

use std::sync::Arc;
use std::time::SystemTime;

use engine_actors::events::Event;
use engine_actors::outcome::Status;
use engine_actors::plan::{Hyperparameters, RunPlan};
use engine_actors::ports::{RunLine, Tracker, TrackerError};
use engine_tracking::tensorboard::{EventFile, EventFileError};
use engine_tracking::{Figure, MetricPoint, Metrics};

use super::job_book::JobFacts;
use super::left_out;

/// Folder of the event files, in the run's.
const FOLDER: &str = "tensorboard";
/// The back end, in warnings.
const NAME: &str = "tensorboard";

/// The event file of one run.
pub(super) struct TensorBoard {
    facts: Option<Arc<JobFacts>>,
    open: Option<Open>,
    step: u64,
    status: Status,
}

struct Open {
    file: EventFile,
    hyperparameters: Hyperparameters,
    /// Metrics the run is judged by.
    judges: Vec<String>,
    run_name: String,
    line: RunLine,
}

impl TensorBoard {
    /// A back end that judges runs by the score metrics of their job, if it has any.
    pub(super) fn new(facts: Option<Arc<JobFacts>>) -> Self {
        // A run that is closed without its end was cut off.
        Self { facts, open: None, step: 0, status: Status::Cancelled }
    }

    fn write<E: Into<TrackerError>>(
        &mut self,
        call: impl FnOnce(&mut EventFile) -> Result<(), E>,
    ) -> Result<(), TrackerError> {
        self.open.as_mut().map_or(Ok(()), |open| call(&mut open.file).map_err(Into::into))
    }
}

impl Tracker for TensorBoard {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&mut self, plan: &RunPlan, line: &RunLine) -> Result<(), TrackerError> {
        let now = SystemTime::now();
        let mut file = EventFile::create(&plan.run_dir.join(FOLDER), now)?;
        let judges: Vec<String> = match &self.facts {
            Some(facts) => facts.score_metrics().map(str::to_owned).collect(),
            None => Vec::new(),
        };
        file.hyperparameters(&plan.hyperparameters, &judges, now)?;
        self.open = Some(Open {
            file,
            hyperparameters: plan.hyperparameters.clone(),
            judges,
            run_name: plan.run_name.clone(),
            line: line.clone(),
        });
        Ok(())
    }

    fn points(&mut self, points: &[MetricPoint]) -> Result<(), TrackerError> {
        self.step = points.iter().map(|point| point.step).fold(self.step, u64::max);
        self.write(|file| file.points(points, SystemTime::now()))
    }

    fn event(&mut self, event: &Event) -> Result<(), TrackerError> {
        match (event, &mut self.open) {
            (Event::RunFinished { status, .. }, _) => self.status = *status,
            (Event::RunPrepared { from, .. }, Some(open)) => {
                let now = SystemTime::now();
                if open.file.go_on_from(*from, now)? {
                    open.file.hyperparameters(&open.hyperparameters, &open.judges, now)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn figures(&mut self, figures: &[Figure]) -> Result<(), TrackerError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        for figure in figures {
            match open.file.figures(std::slice::from_ref(figure), SystemTime::now()) {
                Ok(()) => {}
                Err(error @ (EventFileError::Read { .. } | EventFileError::NotPng { .. })) => {
                    open.line.publish(left_out(NAME, &open.run_name, figure, &error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn system(&mut self, sample: &Metrics) -> Result<(), TrackerError> {
        let step = self.step;
        self.write(|file| file.system(sample, step, SystemTime::now()))
    }

    fn close(&mut self) -> Result<(), TrackerError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        Ok(open.file.close(self.status.name(), SystemTime::now())?)
    }
}
