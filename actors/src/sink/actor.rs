//! The actor between CvActors and the thread that writes tables.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use actix::{Actor, AtomicResponse, Context, Handler, WrapFuture};
use tokio::sync::{mpsc, oneshot};

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
    pub(crate) fn new() -> Self {
        let (queue, orders) = mpsc::channel(SINK_QUEUE);
        if let Err(error) = thread::Builder::new().name(THREAD.into()).spawn(move || drive(orders)) {
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

fn drive(mut orders: mpsc::Receiver<Order>) {
    let mut tables = Tables::default();
    while let Some(Order { table, written }) = orders.blocking_recv() {
        let write = AssertUnwindSafe(|| match &table {
            Table::Runs(ready) => tables.write_runs(&ready.cv_dir, &ready.runs),
            Table::Close(closed) => tables.close(&closed.outcome, &closed.tune_table, closed.resumed),
            Table::Score(scored) => tables.write_score(&scored.outcome, scored.tune_table.as_deref()),
        });
        let Ok(answer) = catch_unwind(write) else {
            // The panic is in the log; what the tables hold in memory is in doubt, so they are read anew.
            tables = Tables::default();
            continue;
        };
        // An asker that is gone needs no answer.
        drop(written.send(answer));
    }
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
