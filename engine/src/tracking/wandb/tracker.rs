//! The back end `wandb`: one run, written to its journal.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use engine_actors::events::Event;
use engine_actors::outcome::{Failure, Status};
use engine_actors::plan::RunPlan;
use engine_actors::ports::{RunLine, Tracker, TrackerError};
use engine_tracking::wandb::run::{RunJournal, Severity, Stream};
use engine_tracking::{Figure, MetricPoint, Metrics};
use serde_json::{Map, Value, json};

use super::artifacts::{Known, model};
use super::{Link, NAME, Open};
use crate::tracking::{LogModel, left_out};

/// Name of the checkpoint that is written anew every time.
const LAST: &str = "last";

/// The back end of one run.
pub(in crate::tracking) struct WandbTracker {
    link: Arc<Link>,
    run: Option<OpenRun>,
}

struct OpenRun {
    journal: RunJournal,
    log_model: LogModel,
    run_id: String,
    run_name: String,
    line: RunLine,
    /// Names the configuration has already.
    configured: Map<String, Value>,
    /// Checkpoints heard of, to say more of the best one.
    known: Vec<Known>,
    exit_code: i32,
    _open: Open,
}

impl WandbTracker {
    pub(in crate::tracking) fn new(link: Arc<Link>) -> Self {
        Self { link, run: None }
    }
}

/// Exit code by which W&B tells runs that ended well from others.
pub(in crate::tracking) fn exit_code(status: Status) -> i32 {
    match status {
        Status::Complete | Status::Unstable | Status::Pruned => 0,
        _ => 1,
    }
}

impl Tracker for WandbTracker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&mut self, plan: &RunPlan, line: &RunLine) -> Result<(), TrackerError> {
        let header = self.link.filing().run(plan, SystemTime::now());
        let journal = RunJournal::open(&self.link.parent(&plan.run_dir), &header, self.link.mode())?;
        let open = self.link.follow_run(&plan.run_id, &plan.run_name, line, &journal);
        self.run = Some(OpenRun {
            journal,
            log_model: self.link.log_model,
            run_id: plan.run_id.clone(),
            run_name: plan.run_name.clone(),
            line: line.clone(),
            configured: header.config,
            known: Vec::new(),
            // Closed without an end, it was cut off.
            exit_code: 1,
            _open: open,
        });
        Ok(())
    }

    fn points(&mut self, points: &[MetricPoint]) -> Result<(), TrackerError> {
        let Some(run) = &mut self.run else { return Ok(()) };
        Ok(run.journal.rows(points, SystemTime::now())?)
    }

    fn event(&mut self, event: &Event) -> Result<(), TrackerError> {
        self.run.as_mut().map_or(Ok(()), |run| run.hear(event))
    }

    fn figures(&mut self, figures: &[Figure]) -> Result<(), TrackerError> {
        let Some(run) = &mut self.run else { return Ok(()) };
        for figure in figures {
            if let Err(error) = run.journal.figures(std::slice::from_ref(figure), SystemTime::now()) {
                // Without its journal there is nothing to go on with; without a picture there is.
                if run.journal.is_closed() {
                    return Err(error.into());
                }
                run.line.publish(left_out(NAME, &run.run_name, figure, &error));
            }
        }
        Ok(())
    }

    fn printed(&mut self, lines: &[String]) -> Result<(), TrackerError> {
        let Some(run) = &mut self.run else { return Ok(()) };
        Ok(run.journal.printed(Stream::Err, lines, SystemTime::now())?)
    }

    fn system(&mut self, sample: &Metrics) -> Result<(), TrackerError> {
        let Some(run) = &mut self.run else { return Ok(()) };
        Ok(run.journal.system(sample, SystemTime::now())?)
    }

    fn close(&mut self) -> Result<(), TrackerError> {
        let Some(OpenRun { journal, exit_code, _open, .. }) = self.run.take() else { return Ok(()) };
        Ok(journal.finish(exit_code, SystemTime::now())?)
    }
}

impl OpenRun {
    fn hear(&mut self, event: &Event) -> Result<(), TrackerError> {
        match event {
            Event::RunPrepared { train_samples, val_samples, parameters, device, from, .. } => {
                self.journal.go_on_from(*from)?;
                self.configure(&[
                    ("train_samples", json!(train_samples)),
                    ("val_samples", json!(val_samples)),
                    ("parameters", json!(parameters)),
                    ("device", json!(device)),
                ])?;
            }
            Event::CheckpointWritten { path, epoch, monitored, .. } => {
                self.known.retain(|known| known.path != *path);
                self.known.push(Known { path: path.clone(), epoch: *epoch, monitored: *monitored });
                if self.log_model == LogModel::All && !is_last(path) {
                    self.keep(path, &["latest"]);
                }
            }
            Event::RunRetried { attempt, failure, .. } => {
                let title = format!("{}: attempt {attempt} failed, it is tried again", self.run_name);
                self.journal.alert(&title, &text(failure), Severity::Warn)?;
            }
            Event::RunFinished { status, failure, attempts, duration_secs, checkpoint, .. } => {
                self.exit_code = exit_code(*status);
                if let Some(failure) = failure.as_ref().filter(|_| *status == Status::Failed) {
                    let title = format!("{} failed", self.run_name);
                    self.journal.alert(&title, &text(failure), Severity::Error)?;
                }
                self.keep_at_end(checkpoint.as_deref());
                let end = [
                    ("status", json!(status.name())),
                    ("attempts", json!(attempts)),
                    ("duration_secs", json!(duration_secs)),
                    ("failure", json!(failure.as_ref().map(text))),
                ];
                let known = end.into_iter().filter(|(_, value)| !value.is_null());
                self.journal.summary(&known.map(|(name, value)| (name.to_owned(), value)).collect())?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds what is known by now to the configuration, under names that nothing else has.
    fn configure(&mut self, values: &[(&str, Value)]) -> Result<(), TrackerError> {
        let new = values.iter().filter(|(name, _)| !self.configured.contains_key(*name));
        let new: Map<String, Value> = new.map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Ok(self.journal.config(&new)?)
    }

    fn keep_at_end(&mut self, best: Option<&Path>) {
        if self.log_model == LogModel::None {
            return;
        }
        let last = self.known.iter().rev().find(|known| is_last(&known.path)).map(|known| known.path.clone());
        if let Some(last) =
            last.filter(|last| self.log_model == LogModel::All && Some(last.as_path()) != best)
        {
            self.keep(&last, &[LAST, "latest"]);
        }
        if let Some(best) = best {
            self.keep(best, &["best", "latest"]);
        }
    }

    /// Keeps a checkpoint. One that can not be read, being evicted meanwhile perhaps, is told of and is nobody's end.
    fn keep(&mut self, path: &Path, aliases: &[&str]) {
        let known = self.known.iter().rev().find(|known| known.path == path);
        let kept: Result<(), TrackerError> = model(&self.run_id, path, known, aliases)
            .map_err(Into::into)
            .and_then(|files| Ok(self.journal.artifact(&files)?));
        if let Err(error) = kept {
            let message =
                format!("a checkpoint of {} is not kept on W&B: {error}: {}", self.run_name, path.display());
            self.line.publish(Event::Warned { message });
        }
    }
}

fn is_last(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == LAST)
}

/// Cause, message and the worker's last words.
fn text(failure: &Failure) -> String {
    let mut text = format!("{}: {}", failure.cause.name(), failure.message);
    for line in &failure.stderr_tail {
        text.push('\n');
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use engine_actors::outcome::Cause;

    use super::*;

    #[test]
    fn what_ended_well_exits_with_0() {
        let codes = [
            (Status::Complete, 0),
            (Status::Unstable, 0),
            (Status::Pruned, 0),
            (Status::Failed, 1),
            (Status::Cancelled, 1),
        ];
        for (status, code) in codes {
            assert_eq!(exit_code(status), code, "{status:?}");
        }
    }

    #[test]
    fn an_alert_says_why_and_ends_with_the_last_words() {
        let failure = Failure {
            cause: Cause::Panic,
            message: "index out of range".into(),
            stderr_tail: vec!["at 5".into()],
        };
        assert_eq!(text(&failure), "panic: index out of range\nat 5");
    }
}
