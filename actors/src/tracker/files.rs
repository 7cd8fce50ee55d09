//! The back ends every run has: the files in its own folder.

use engine_tracking::csv::MetricsCsv;
use engine_tracking::events::EventLog;
use engine_tracking::{MetricPoint, hparams};

use crate::events::Event;
use crate::plan::RunPlan;
use crate::ports::{RunLine, Tracker, TrackerError};

/// `hparams.yaml`, `metrics.csv` and `events.jsonl` in the run's folder. A further attempt goes on with them: rows of
/// `metrics.csv` that come anew give way first.
#[must_use]
pub fn file_trackers(_plan: &RunPlan) -> Vec<Box<dyn Tracker>> {
    vec![Box::new(HparamsFile), Box::new(MetricsFile(None)), Box::new(EventsFile(None))]
}

/// Written at the start, whole, unless it says the same already.
struct HparamsFile;

/// Open from [`Tracker::open`] to [`Tracker::close`].
struct MetricsFile(Option<MetricsCsv>);

/// Open from [`Tracker::open`] to [`Tracker::close`].
struct EventsFile(Option<EventLog>);

impl Tracker for HparamsFile {
    fn name(&self) -> &'static str {
        "hparams.yaml"
    }

    fn open(&mut self, plan: &RunPlan, _line: &RunLine) -> Result<(), TrackerError> {
        std::fs::create_dir_all(&plan.run_dir)?;
        let path = plan.run_dir.join(self.name());
        Ok(hparams::write(&path, &plan.hyperparameters, plan.settings.as_ref())?)
    }

    fn points(&mut self, _points: &[MetricPoint]) -> Result<(), TrackerError> {
        Ok(())
    }

    fn event(&mut self, _event: &Event) -> Result<(), TrackerError> {
        Ok(())
    }

    fn close(&mut self) -> Result<(), TrackerError> {
        Ok(())
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
        self.0 = Some(EventLog::open(&plan.run_dir.join(self.name()))?);
        Ok(())
    }

    fn points(&mut self, _points: &[MetricPoint]) -> Result<(), TrackerError> {
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<(), TrackerError> {
        if let Some(log) = &mut self.0 {
            log.append(event)?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), TrackerError> {
        Ok(self.0.take().map_or(Ok(()), EventLog::close)?)
    }
}
