//! What outlives a process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine_tracking::journal::Durability;

use crate::journal::{JobPlan, JobRecord, Past, Record, decode, durability, encode};
use crate::outcome::RunOutcome;
use crate::plan::TunePlan;

/// Files.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    /// The journal, record by record.
    pub(super) records: Vec<Record>,
    /// Records of it that outlive a power cut.
    pub(super) durable: usize,
    /// By run: epochs done and the weights after them.
    pub(super) checkpoints: BTreeMap<String, (u32, u64)>,
    /// By cv: its rows.
    pub(super) cv_tables: BTreeMap<String, Vec<RunOutcome>>,
    /// By cv: its rows in the tune's table, and its score.
    pub(super) tune_table: BTreeMap<String, (Vec<RunOutcome>, Option<f64>)>,
    /// Runs whose last epoch was trained.
    pub(super) trained: BTreeSet<String>,
}

impl Disk {
    pub(super) fn new(plan: &Arc<TunePlan>) -> Self {
        let plan = JobPlan::Tune(TunePlan::clone(plan));
        let job = JobRecord { plan, identity: serde_json::Map::new() };
        Self {
            records: vec![Record::Job(Box::new(job))],
            durable: 1,
            checkpoints: BTreeMap::new(),
            cv_tables: BTreeMap::new(),
            tune_table: BTreeMap::new(),
            trained: BTreeSet::new(),
        }
    }

    /// Appends in one write, as the thread of the journal does.
    pub(super) fn append(&mut self, records: Vec<Record>) {
        let is_synced = records.iter().any(|record| durability(record) == Durability::Power);
        self.records.extend(records);
        if is_synced {
            self.durable = self.records.len();
        }
    }

    /// What a power cut leaves: at least what was synced.
    pub(super) fn cut(&mut self, records: usize) {
        assert!(records >= self.durable, "the journal keeps what was synced");
        self.records.truncate(records);
        self.durable = self.records.len();
    }

    /// The fold over the journal, through the bytes that a file holds.
    pub(super) fn past(&self) -> Past {
        let read = |record: &Record| decode(&encode(record).unwrap()).unwrap();
        let mut records = self.records.iter().map(read);
        let Some(Record::Job(job)) = records.next() else { panic!("the first record says what the job is") };
        let mut past = Past::new(*job);
        for record in records {
            past.hear(record.clone()).unwrap_or_else(|why| panic!("{why}: {record:?}"));
        }
        past
    }

    /// The end of a run, if it stands in the journal.
    pub(super) fn ended(&self, run_id: &str) -> Option<&RunOutcome> {
        self.records.iter().rev().find_map(|record| match record {
            Record::RunEnded(outcome) if outcome.run_id == run_id => Some(&**outcome),
            _ => None,
        })
    }

    /// Whether a run has its id from the journal.
    pub(super) fn is_planned(&self, id: &str) -> bool {
        self.records.iter().any(|record| match record {
            Record::CvPlanned { runs, .. } => runs.iter().any(|run| run.run_id == id),
            Record::RetrainPlanned { run_id, .. } => run_id == id,
            _ => false,
        })
    }
}
