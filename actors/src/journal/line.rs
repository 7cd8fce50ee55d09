//! The way of a job's actors to the thread that appends to its journal.

use std::sync::Arc;
use std::thread;

use engine_tracking::journal::{Durability, JournalWriter};
use tokio::sync::{mpsc, oneshot};

use super::past::Past;
use super::record::{Record, encode};
use crate::limits::JOURNAL_QUEUE;

/// Name of the thread that appends.
const THREAD: &str = "journal";

/// Why records do not stand in the journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unwritten {
    /// What the system says.
    pub reason: String,
}

/// A way to a job's journal; clones lead to the same. The journal is let go when the last one is dropped.
#[derive(Debug, Clone, Default)]
pub struct JournalLine {
    queue: Option<mpsc::Sender<Order>>,
}

#[derive(Debug)]
struct Order {
    records: Vec<Record>,
    written: oneshot::Sender<Result<(), Unwritten>>,
}

impl JournalLine {
    /// A line that keeps nothing: for a job that nobody resumes.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Starts the thread that appends.
    ///
    /// # Errors
    /// What the system says if there is no thread to be had.
    pub fn start(writer: JournalWriter) -> std::io::Result<Self> {
        let (queue, orders) = mpsc::channel(JOURNAL_QUEUE);
        thread::Builder::new().name(THREAD.into()).spawn(move || drive(writer, orders))?;
        Ok(Self { queue: Some(queue) })
    }

    /// Whether anything is kept.
    pub(crate) fn keeps(&self) -> bool {
        self.queue.is_some()
    }

    /// Appends records in order, and returns when they are as safe as they need to be.
    ///
    /// # Errors
    /// [`Unwritten`]; then none that is asked for later stands there either.
    ///
    /// # Cancel safety
    /// Dropped, the records may or may not stand in the journal.
    pub async fn append(&self, records: Vec<Record>) -> Result<(), Unwritten> {
        let Some(queue) = &self.queue else { return Ok(()) };
        let gone = || Unwritten { reason: "the thread of the journal is gone: see the log".into() };
        let (written, answer) = oneshot::channel();
        queue.send(Order { records, written }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// Appends until nobody is left to ask for it. After a failure nothing more is taken: what follows would not follow from what
/// is there.
fn drive(mut writer: JournalWriter, mut orders: mpsc::Receiver<Order>) {
    let mut failed = None;
    while let Some(first) = orders.blocking_recv() {
        let mut taken = vec![first];
        // Whoever waits by now shares one write and one trip to the disk.
        while let Ok(order) = orders.try_recv() {
            taken.push(order);
        }
        let written = match &failed {
            None => append(&mut writer, &taken),
            Some(why) => Err(Unwritten::clone(why)),
        };
        failed = written.clone().err();
        for order in taken {
            // An asker that is gone needs no answer.
            drop(order.written.send(written.clone()));
        }
    }
}

fn append(writer: &mut JournalWriter, orders: &[Order]) -> Result<(), Unwritten> {
    let records = || orders.iter().flat_map(|order| &order.records);
    let durability = records().map(durability).max().unwrap_or(Durability::Process);
    let encoded: Result<Vec<Vec<u8>>, String> = records().map(encode).collect();
    let encoded = encoded.map_err(|reason| Unwritten { reason })?;
    writer
        .append(encoded.iter().map(Vec::as_slice), durability)
        .map_err(|error| Unwritten { reason: error_text(&error) })
}

/// Ends and changes are on the disk before anybody hears of them, for tables and users remember them too; ids of runs before their
/// folders are made, or a power cut could leave folders that no run comes back to.
pub(crate) fn durability(record: &Record) -> Durability {
    match record {
        Record::Job(_)
        | Record::Changed { .. }
        | Record::CvPlanned { .. }
        | Record::RetrainPlanned { .. }
        | Record::RunEnded(_)
        | Record::Ended { .. } => Durability::Power,
        Record::Opened(_) | Record::Proposed { .. } | Record::RunRetried { .. } | Record::CvEnded { .. } => {
            Durability::Process
        }
    }
}

impl Record {
    /// Whether whoever keeps the fact waits until it outlives a power cut.
    #[must_use]
    pub fn outlives_power(&self) -> bool {
        durability(self) == Durability::Power
    }
}

fn error_text(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    }
}

/// What a job is kept by: the way to its journal, and what stands there already.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The way to the journal.
    pub line: JournalLine,
    /// What stands there; nothing for a new job.
    pub past: Option<Arc<Past>>,
}

impl Ledger {
    /// Of a job that nobody resumes.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }
}
