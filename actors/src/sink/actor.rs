//! The actor between CvActors and the thread that writes tables.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Instant;

use actix::{Actor, AtomicResponse, Context, Handler, WrapFuture};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use super::tables::Tables;
use super::{CvScored, RunInfoReady, SinkError, TuneClosed};
use crate::limits::{SINK_MAILBOX, SINK_QUEUE};

/// Name of the thread that writes tables.
const THREAD: &str = "tables";

/// The actor of all tables; see the module.
#[derive(Debug)]
pub struct ParquetSink {
    queue: mpsc::Sender<Order>,
}

#[derive(Debug)]
struct Order {
    table: Table,
    written: oneshot::Sender<Result<(), SinkError>>,
}

#[derive(Debug)]
enum Table {
    Runs(RunInfoReady),
    Score(CvScored),
    Close(TuneClosed),
}

impl ParquetSink {
    /// An actor with its thread under way. Without a thread every request is answered with [`SinkError::Gone`].
    #[must_use]
    pub fn new() -> Self {
        let (queue, orders) = mpsc::channel(SINK_QUEUE);
        let start = || {
            let clock = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            thread::Builder::new().name(THREAD.into()).spawn(move || drive(&clock, orders))
        };
        if let Err(error) = start() {
            tracing::error!(%error, "no thread for the tables");
        }
        Self { queue }
    }

    fn write(&self, table: Table) -> AtomicResponse<Self, Result<(), SinkError>> {
        let queue = self.queue.clone();
        let write = async move {
            let (written, done) = oneshot::channel();
            if queue.send(Order { table, written }).await.is_err() {
                return Err(SinkError::Gone);
            }
            done.await.unwrap_or(Err(SinkError::Gone))
        };
        AtomicResponse::new(Box::pin(write.into_actor(self)))
    }
}

impl Default for ParquetSink {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes tables until nobody is left to ask for any. The clock is that of the tables that wait.
fn drive(clock: &Runtime, mut orders: mpsc::Receiver<Order>) {
    let mut tables = Tables::default();
    loop {
        let next = match tables.due_at() {
            None => Ok(clock.block_on(orders.recv())),
            Some(due) => clock.block_on(async { timeout_at(due.into(), orders.recv()).await }),
        };
        match next {
            Ok(Some(order)) => write(&mut tables, order),
            Ok(None) => break,
            Err(_) => {
                survive(&mut tables, |tables| tables.write_due(Some(Instant::now()))).unwrap_or_default();
            }
        }
    }
    survive(&mut tables, |tables| tables.write_due(None)).unwrap_or_default();
}

fn write(tables: &mut Tables, Order { table, written }: Order) {
    let answer = survive(tables, |tables| match table {
        Table::Runs(ready) => tables.write_runs(ready.cv_dir, ready.runs),
        Table::Close(closed) => tables.close(&closed.outcome, &closed.tune_table, closed.resumed),
        Table::Score(scored) => tables.write_score(scored.outcome, scored.tune_table.as_deref()),
    });
    if let Some(answer) = answer {
        // An asker that is gone needs no answer.
        drop(written.send(answer));
    }
}

/// After a panic, which is in the log, what the tables hold in memory is in doubt: they are read anew, and what waited is written
/// when the tune is closed.
fn survive<T>(tables: &mut Tables, work: impl FnOnce(&mut Tables) -> T) -> Option<T> {
    let worked = catch_unwind(AssertUnwindSafe(|| work(tables)));
    worked.inspect_err(|_| *tables = Tables::default()).ok()
}

impl Actor for ParquetSink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(SINK_MAILBOX);
    }
}

impl Handler<RunInfoReady> for ParquetSink {
    type Result = AtomicResponse<Self, Result<(), SinkError>>;

    fn handle(&mut self, ready: RunInfoReady, _ctx: &mut Self::Context) -> Self::Result {
        self.write(Table::Runs(ready))
    }
}

impl Handler<CvScored> for ParquetSink {
    type Result = AtomicResponse<Self, Result<(), SinkError>>;

    fn handle(&mut self, scored: CvScored, _ctx: &mut Self::Context) -> Self::Result {
        self.write(Table::Score(scored))
    }
}

impl Handler<TuneClosed> for ParquetSink {
    type Result = AtomicResponse<Self, Result<(), SinkError>>;

    fn handle(&mut self, closed: TuneClosed, _ctx: &mut Self::Context) -> Self::Result {
        self.write(Table::Close(closed))
    }
}
