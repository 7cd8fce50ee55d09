//! Records as people and other programs read them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::record::{JobPlan, JobRecord, Record};
use crate::plan::{Cell, Hyperparameters};

impl Record {
    /// The word for its kind: `run-ended`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Job(_) => "job",
            Self::Opened(_) => "opened",
            Self::Changed { .. } => "changed",
            Self::Proposed { .. } => "proposed",
            Self::CvPlanned { .. } => "cv-planned",
            Self::RetrainPlanned { .. } => "retrain-planned",
            Self::RunRetried { .. } => "run-retried",
            Self::RunEnded(_) => "run-ended",
            Self::CvEnded { .. } => "cv-ended",
            Self::Ended { .. } => "ended",
        }
    }

    /// When it was written, in seconds since 1970, where it says so.
    #[must_use]
    pub fn at_unix_secs(&self) -> Option<u64> {
        match self {
            Self::Opened(opened) => Some(opened.at_unix_secs),
            _ => None,
        }
    }
}

/// The essentials on one line, without the kind.
impl fmt::Display for Record {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(job) => job.fmt(out),
            Self::Opened(opened) => write!(out, "by process {} on {}", opened.pid, opened.host),
            Self::Changed { job, reopened } => {
                write!(out, "now {job}")?;
                match (reopened.ended, reopened.failed) {
                    (false, false) => Ok(()),
                    (true, false) => write!(out, "; runs that ended are taken up again"),
                    (false, true) => write!(out, "; runs that failed are taken up again"),
                    (true, true) => write!(out, "; runs that ended or failed are taken up again"),
                }
            }
            Self::Proposed { trial, hyperparameters } => {
                write!(out, "trial {trial}: {}", values(hyperparameters))
            }
            Self::CvPlanned { hp_index, runs } => {
                write!(out, "cv {hp_index}:")?;
                runs.iter().try_for_each(|run| write!(out, " {}={}", short(run.cell), run.run_id))
            }
            Self::RetrainPlanned { hp_index, run_id } => write!(out, "configuration {hp_index}: {run_id}"),
            Self::RunRetried { run_id, failure } => {
                write!(out, "{run_id}: {}: {}", failure.cause.name(), failure.message)
            }
            Self::RunEnded(run) => {
                write!(out, "{} {}: {}", run.run_id, run.run_name, run.status.name())?;
                if let Some(failure) = &run.failure {
                    write!(out, " ({}: {})", failure.cause.name(), failure.message)?;
                }
                let plural = if run.attempts == 1 { "" } else { "s" };
                write!(out, ", {} attempt{plural}, {:.1} s", run.attempts, run.duration_secs)
            }
            Self::CvEnded { hp_index, status, score } => {
                write!(out, "cv {hp_index}: {}", status.name())?;
                score.map_or(Ok(()), |score| write!(out, ", score {score}"))
            }
            Self::Ended { cancelled: true } => write!(out, "stopped, there is more to do"),
            Self::Ended { cancelled: false } => write!(out, "nothing is left to do"),
        }
    }
}

impl fmt::Display for JobRecord {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.plan {
            JobPlan::Tune(tune) => {
                let (trials, cells) = (tune.n_trials, tune.cells.len());
                write!(out, "tune {}: at most {trials} configurations of {cells} runs", tune.tune_name)
            }
            JobPlan::Cv(cv) => {
                write!(out, "cv {}: {} runs of {}", cv.cv_name, cv.cells.len(), values(&cv.hyperparameters))
            }
            JobPlan::Run(run) => {
                let cell = short(run.cell);
                write!(out, "run {} {}: {cell} of {}", run.run_name, run.run_id, values(&run.hyperparameters))
            }
        }
    }
}

fn short(cell: Cell) -> String {
    format!("f{}s{}", cell.fold, cell.seed)
}

fn values(hyperparameters: &Hyperparameters) -> String {
    let named: Vec<String> = hyperparameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    named.join(" ")
}

/// A record's bytes as JSON, as they are, whatever this build knows of them. Floats that are not finite are the texts `NaN`, `inf`
/// and `-inf`.
///
/// # Errors
/// If the bytes are no record.
pub fn as_json(content: &[u8]) -> Result<Value, String> {
    rmp_serde::from_slice::<Shown>(content).map(|shown| shown.0).map_err(|error| error.to_string())
}

struct Shown(Value);

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AsShown).map(Self)
    }
}

struct AsShown;

impl<'de> Visitor<'de> for AsShown {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a part of a record")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Shown(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some((name, Shown(value))) = entries.next_entry::<String, Shown>()? {
            all.insert(name, value);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::journal::{Opened, encode};
    use crate::outcome::{Cause, Failure, RunOutcome, Status};

    fn ended(metrics: &[(&str, f64)]) -> Record {
        Record::RunEnded(Box::new(RunOutcome {
            run_name: "t-cv0-run-f1s42".into(),
            run_id: "abcd1234".into(),
            run_dir: "out/t".into(),
            cell: Cell { fold: 1, seed: 42 },
            status: Status::Failed,
            failure: Some(Failure {
                cause: Cause::Diverged,
                message: "the loss is NaN".into(),
                stderr_tail: Vec::new(),
            }),
            attempts: 1,
            device: None,
            peak_memory_bytes: None,
            peak_device_memory_bytes: Some(7),
            duration_secs: 1.25,
            metrics: metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            checkpoint: None,
        }))
    }

    #[test]
    fn floats_that_are_not_finite_stay_what_they_are() {
        let record = ended(&[("a", f64::NAN), ("b", f64::INFINITY), ("c", f64::NEG_INFINITY), ("d", 0.5)]);
        let shown = as_json(&encode(&record).unwrap()).unwrap();
        let run = &shown["run-ended"];
        assert_eq!(run["metrics"], json!({"a": "NaN", "b": "inf", "c": "-inf", "d": 0.5}));
        assert_eq!(run["cell"], json!({"fold": 1, "seed": 42}));
        assert_eq!((&run["device"], &run["peak_device_memory_bytes"]), (&Value::Null, &json!(7)));
        assert!(as_json(&[0xc1]).is_err());
    }

    #[test]
    fn the_kind_is_the_word_in_the_file() {
        let opened = Record::Opened(Opened { pid: 1, host: "h".into(), at_unix_secs: 2 });
        for record in [ended(&[]), opened, Record::Ended { cancelled: true }] {
            let shown = as_json(&encode(&record).unwrap()).unwrap();
            assert_eq!(shown.as_object().unwrap().keys().collect::<Vec<_>>(), [record.kind()]);
        }
    }

    #[test]
    fn the_essentials_stand_on_one_line() {
        assert_eq!(
            ended(&[]).to_string(),
            "abcd1234 t-cv0-run-f1s42: failed (diverged: the loss is NaN), 1 attempt, 1.2 s"
        );
        let cv = Record::CvEnded { hp_index: 3, status: Status::Complete, score: Some(0.5) };
        assert_eq!(cv.to_string(), "cv 3: complete, score 0.5");
    }
}
