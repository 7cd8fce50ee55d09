//! The back ends every run has: the files in its own folder.

use std::path::PathBuf;

use engine_tracking::csv::MetricsCsv;
use engine_tracking::events::EventLog;
use engine_tracking::{MetricPoint, hparams};

use crate::events::{Event, EventLine};
use crate::plan::RunPlan;
use crate::ports::{RunLine, Tracker, TrackerError};

/// `hparams.yaml`, `metrics.csv` and `events.jsonl` in the run's folder. A further attempt goes on with them: rows of
/// `metrics.csv` that come anew give way first.
///
/// Those of a run that logged something are on the disk when they are closed. One that logged nothing has nothing to lose that its
/// job's journal does not hold, and does not wait: a power cut within the half minute that follows may take its files.
#[must_use]
pub fn file_trackers(_plan: &RunPlan) -> Vec<Box<dyn Tracker>> {
    vec![Box::<HparamsFile>::default(), Box::new(MetricsFile(None)), Box::<EventsFile>::default()]
}

/// Written at the start, whole, unless it says the same already.
#[derive(Default)]
struct HparamsFile {
    path: PathBuf,
    disk: Disk,
}

/// Open from [`Tracker::open`] to [`Tracker::close`].
struct MetricsFile(Option<MetricsCsv>);

/// Open from [`Tracker::open`] to [`Tracker::close`].
#[derive(Default)]
struct EventsFile {
    log: Option<EventLog>,
    disk: Disk,
}

/// Whether a file is to be waited for until it is on the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Disk {
    /// The run has logged nothing.
    #[default]
    CanWait,
    /// It has.
    IsOwed,
    /// The file is there, as it stays.
    Has,
}

impl Disk {
    fn logged(&mut self, points: &[MetricPoint]) {
        if *self == Self::CanWait && !points.is_empty() {
            *self = Self::IsOwed;
        }
    }
}

impl HparamsFile {
    fn keep(&mut self) -> Result<(), TrackerError> {
        if self.disk == Disk::IsOwed {
            hparams::sync(&self.path)?;
            self.disk = Disk::Has;
        }
        Ok(())
    }
}

impl Tracker for HparamsFile {
    fn name(&self) -> &'static str {
        "hparams.yaml"
    }

    fn open(&mut self, plan: &RunPlan, _line: &RunLine) -> Result<(), TrackerError> {
        std::fs::create_dir_all(&plan.run_dir)?;
        self.path = plan.run_dir.join(self.name());
        Ok(hparams::write(&self.path, &plan.hyperparameters, plan.settings.as_ref())?)
    }

    fn points(&mut self, points: &[MetricPoint]) -> Result<(), TrackerError> {
        self.disk.logged(points);
        Ok(())
    }

    fn event(&mut self, _event: &Event) -> Result<(), TrackerError> {
        Ok(())
    }

    fn settle(&mut self) -> Result<(), TrackerError> {
        self.keep()
    }

    fn close(&mut self) -> Result<(), TrackerError> {
        self.keep()
    }
}

impl Tracker for MetricsFile {
    fn name(&self) -> &'static str {
        "metrics.csv"
    }

    fn open(&mut self, plan: &RunPlan, _line: &RunLine) -> Result<(), TrackerError> {
        std::fs::create_dir_all(&plan.run_dir)?;
        self.0 = Some(MetricsCsv::create(&plan.run_dir.join(self.name()))?);
        Ok(())
    }

    fn points(&mut self, points: &[MetricPoint]) -> Result<(), TrackerError> {
        if let Some(file) = &mut self.0 {
            file.append(points)?;
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<(), TrackerError> {
        if let (Event::RunPrepared { from, .. }, Some(file)) = (event, &mut self.0) {
            file.go_on_from(*from)?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), TrackerError> {
        Ok(self.0.as_mut().map_or(Ok(()), MetricsCsv::sync)?)
    }

    fn close(&mut self) -> Result<(), TrackerError> {
        Ok(self.0.take().map_or(Ok(()), MetricsCsv::close)?)
    }
}

impl Tracker for EventsFile {
    fn name(&self) -> &'static str {
        "events.jsonl"
    }

    fn open(&mut self, plan: &RunPlan, _line: &RunLine) -> Result<(), TrackerError> {
        std::fs::create_dir_all(&plan.run_dir)?;
        self.log = Some(EventLog::open(&plan.run_dir.join(self.name()))?);
        Ok(())
    }

    fn points(&mut self, points: &[MetricPoint]) -> Result<(), TrackerError> {
        self.disk.logged(points);
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<(), TrackerError> {
        if let Some(log) = &mut self.log {
            log.append(&EventLine::of(event))?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), TrackerError> {
        let log = self.log.take().filter(|_| self.disk == Disk::IsOwed);
        Ok(log.map_or(Ok(()), EventLog::close)?)
    }
}
