//! What a journal must know to write its next record. No clock, no I/O.

use std::collections::{BTreeMap, BTreeSet};

use super::records::{CHARTS_PATH, RUNTIME, TIMESTAMP};
use crate::wandb::record::{Artifact, History, Items, Kind, Record, Timestamp};

/// What the records of a journal leave behind. Grows with the names logged, not with the rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    /// Number of the last record.
    pub(super) records: i64,
    /// `_step` of the next row.
    pub(super) rows: i64,
    /// Id of the run, once it is written.
    pub(super) run_id: Option<String>,
    /// How long it has run, as the last row tells.
    pub(super) ran_secs: f64,
    /// When the last record with a time was written, in seconds since 1970.
    pub(super) last_secs: f64,
    /// Metrics that are defined.
    pub(super) metrics: BTreeSet<String>,
    /// Panels of charts, as JSON.
    pub(super) charts: BTreeMap<String, String>,
    /// Id of all versions of an artifact, by its name.
    pub(super) sequences: BTreeMap<String, String>,
}

impl State {
    /// Takes one record in, written or read.
    pub(super) fn apply(&mut self, record: &Record) {
        self.records = self.records.max(record.num);
        match &record.kind {
            Some(Kind::Run(run)) => self.run_id = Some(run.run_id.clone()),
            Some(Kind::Metric(metric)) => {
                self.metrics.insert(metric.name.clone());
            }
            Some(Kind::History(row)) => self.row_written(row),
            Some(Kind::Config(config)) => self.configured(config),
            Some(Kind::Artifact(artifact)) => self.artifact_written(artifact),
            Some(Kind::Stats(stats)) => self.seen_at(stats.timestamp),
            Some(Kind::OutputRaw(output)) => self.seen_at(output.timestamp),
            _ => {}
        }
    }

    fn row_written(&mut self, row: &History) {
        self.rows = row.step.as_ref().map_or(self.rows, |step| step.num).saturating_add(1);
        let number = |name| {
            let item = row.item.iter().rev().find(|item| item.key == name)?;
            item.value_json.parse::<f64>().ok().filter(|value| value.is_finite())
        };
        if let Some(ran) = number(RUNTIME) {
            self.ran_secs = self.ran_secs.max(ran);
        }
        if let Some(at) = number(TIMESTAMP) {
            self.last_secs = self.last_secs.max(at);
        }
    }

    fn configured(&mut self, config: &Items) {
        for item in &config.update {
            if let [first, second, chart] = item.nested_key.as_slice()
                && [first, second] == CHARTS_PATH
            {
                self.charts.insert(chart.clone(), item.value_json.clone());
            }
        }
    }

    fn artifact_written(&mut self, artifact: &Artifact) {
        self.sequences.insert(artifact.name.clone(), artifact.sequence_client_id.clone());
    }

    fn seen_at(&mut self, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.last_secs = self.last_secs.max(at.seconds as f64 + f64::from(at.nanos) * 1e-9);
        }
    }
}
