//! A thread with back ends on it, as the tracking of a run asks it.

use std::io;
use std::sync::Arc;

use engine_devices::threads;
use tokio::sync::{mpsc, oneshot};

use super::Record;
use super::back_ends::BackEnds;
use crate::plan::RunPlan;
use crate::ports::{RunLine, Tracker};

/// Calls that wait for a seat's thread: the next one comes after the answer to the last.
const CALLS: usize = 1;

/// What back ends are asked for.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    Open,
    Keep(Arc<Record>),
    Settle,
    Close,
}

/// Whether any of a seat's back ends still works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Some,
    None,
}

struct Call {
    deed: Deed,
    answer: oneshot::Sender<Left>,
}

/// Back ends on a thread of their own, so that one that does not come back holds up nobody for good.
///
/// Dropped, the thread closes them; but back ends that have not answered are not called again.
#[derive(Debug)]
pub(super) struct Seat {
    name: String,
    calls: mpsc::Sender<Call>,
}

impl Seat {
    /// A thread with these back ends.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(super) fn take(all: Vec<Box<dyn Tracker>>, plan: Arc<RunPlan>, line: RunLine) -> io::Result<Self> {
        let names: Vec<&str> = all.iter().map(|tracker| tracker.name()).collect();
        let name = names.join(", ");
        let (calls, asked) = mpsc::channel(CALLS);
        let thread = format!("track-{}", plan.run_id);
        threads::spawn(&thread, move || serve(BackEnds::new(plan, all, line), asked))?;
        Ok(Self { name, calls })
    }

    /// The names of its back ends.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Has the thread do this. The answer is lost if the thread is.
    pub(super) fn ask(&self, deed: Deed) -> oneshot::Receiver<Left> {
        let (answer, answered) = oneshot::channel();
        if let Err(refused) = self.calls.try_send(Call { deed, answer }) {
            tracing::debug!(seat = self.name, %refused, "back ends that are gone were asked");
        }
        answered
    }
}

fn serve(mut back_ends: BackEnds, mut asked: mpsc::Receiver<Call>) {
    while let Some(Call { deed, answer }) = asked.blocking_recv() {
        let is_last = matches!(deed, Deed::Close);
        match deed {
            Deed::Open => back_ends.open(),
            Deed::Keep(record) => back_ends.record(&record),
            Deed::Settle => back_ends.settle(),
            Deed::Close => back_ends.close(),
        }
        // Who asked may have given up waiting, and goes on without these.
        let is_given_up = answer.send(back_ends.left()).is_err();
        if is_last || is_given_up {
            return;
        }
    }
    back_ends.close();
}
