//! Sends one run: reads behind its journal, a request at a time.
//!
//! The journal is the queue. Only what goes into the next request is read, when it is due; the rows, the files beside them
//! and the artifacts each have their own place in the journal, and the [`Cursor`] holds these places. So memory stays flat,
//! and a crash at any point is made up for by sending again from the last acknowledged place.

mod ending;
mod opening;
mod rows;
mod tasks;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::api::{Api, ApiError};
use super::board::Place as Entry;
use super::connect::{self, ConnectError, There};
use super::cursor::Cursor;
use super::folder::RunFolder;
use super::gather::{Gatherer, Portion};
use super::lanes::Lanes;
use super::log::Position;
use super::run::Growth;
use super::settings::{Pace, Resume};
use super::side::Step;
use super::uploader::Hearer;

/// Time between two tries with a key that is refused: nothing changes by itself.
const KEY_WAIT: Duration = Duration::from_secs(300);
/// Shortest time between two looks at a run.
const SHORTEST_REST: Duration = Duration::from_millis(20);
/// Refusals after which a configuration is not sent.
const MOST_REFUSALS: u32 = 4;
/// Time in which the end of a journal is noticed while its rows wait for their turn.
const END_NOTICED: Duration = Duration::from_millis(200);

/// What a follower needs.
pub(super) struct Work {
    /// With troubles of this run only.
    pub(super) api: Api,
    /// Where the run lies.
    pub(super) folder: RunFolder,
    /// Where to.
    pub(super) target: Target,
    /// Hears of it.
    pub(super) hearer: Hearer,
    /// Shows how far it is.
    pub(super) entry: Entry,
    /// Who may hold a request in memory.
    pub(super) gates: Gates,
    /// What tells of further records; `None` if there will be none.
    pub(super) growth: Option<Growth>,
    /// What is made of a journal without an end.
    pub(super) without_end: WithoutEnd,
}

/// Where runs go to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Address of the server.
    pub(super) base_url: String,
    /// Owner of the project, where a journal names none.
    pub(super) entity: Option<String>,
    /// The project, where a journal names none.
    pub(super) project: String,
    /// What a run that is known does.
    pub(super) resume: Resume,
    /// How often the server is spoken to.
    pub(super) pace: Pace,
}

/// Permits to hold a request in memory, for runs that grow and for runs that have ended.
#[derive(Debug, Clone)]
pub(super) struct Gates {
    /// Of runs that grow.
    pub(super) live: Arc<Semaphore>,
    /// Of runs that have ended.
    pub(super) ended: Arc<Semaphore>,
}

/// What is made of a journal without an end whose writer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WithoutEnd {
    /// It may go on one day: it is left open.
    LeftOpen,
    /// It crashed: exit code 1.
    Crashed,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All is sent, the end too.
    Sent,
    /// Nothing more is to be sent for now, and why.
    Left(String),
    /// The key is refused; only where a journal does not grow, else it is tried again.
    KeyRefused(String),
    /// The journal can not be read; only where it does not grow.
    Unreadable(String),
}

/// Sends a run until nothing more is to be sent.
///
/// # Cancel safety
/// Dropped at any time, the cursor holds what was acknowledged.
pub(super) async fn follow(work: Work) -> Outcome {
    let cursor = Cursor::load(&work.folder.cursor());
    let now = Instant::now();
    let mut follower = Follower {
        cursor: Cursor::default(),
        lanes: Lanes::new(&Cursor::default(), now),
        tasks: JoinSet::new(),
        portion: Portion::default(),
        failures: 0,
        last_sent: None,
        config: Config::Sent,
        extras: Extras::Open(now),
        told: Told::default(),
        read: 0,
        config_refusals: 0,
        is_removed: false,
        refused: None,
        work,
    };
    match cursor {
        Ok(cursor) => follower.cursor = cursor.unwrap_or_default(),
        Err(error) => follower.warn(format!("{error}; all is sent again")),
    }
    follower.lanes = Lanes::new(&follower.cursor, now);
    loop {
        match follower.part().await {
            Part::Over(outcome) => return outcome,
            Part::Again => {}
        }
    }
}

/// What is told only once.
#[derive(Debug, Default)]
struct Told {
    url: bool,
    stop: bool,
    key: bool,
    disk: bool,
}

/// The configuration at the server.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Config {
    /// As far as is known, it is the one the journal comes to.
    Sent,
    /// The journal comes to another one, to be sent at this time.
    Due(Instant),
    /// It is on its way, and is another one again or not.
    UnderWay { is_due_again: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extras {
    Open(Instant),
    UnderWay,
    Done,
}

/// What a task beside the rows came to.
enum Task {
    Step(Step),
    Config(String, Result<connect::Told, ConnectError>),
    Extras(Vec<String>, Vec<String>),
    ExtrasFailed(ApiError),
}

/// How reading a journal once from its place ended.
enum Part {
    Over(Outcome),
    /// It is to be opened anew.
    Again,
}

struct Follower {
    work: Work,
    cursor: Cursor,
    lanes: Lanes,
    tasks: JoinSet<Task>,
    portion: Portion,
    /// Failures in a row.
    failures: u32,
    last_sent: Option<Instant>,
    config: Config,
    extras: Extras,
    told: Told,
    /// The journal was read up to here.
    read: Position,
    config_refusals: u32,
    /// Whether the run is known to have been removed at the server.
    is_removed: bool,
    /// Why the key is refused beside the rows.
    refused: Option<String>,
}

/// A journal that is open, and the run on the server.
struct Open {
    there: There,
    gatherer: Gatherer,
    /// Whether there may be more to read.
    has_more: bool,
    /// Whether the writer was gone before it was read to its end.
    is_all: bool,
    has_summary: bool,
    is_preempting: bool,
}

impl Follower {
    /// Opens the journal, makes the run known and sends, until something calls for opening it anew.
    async fn part(&mut self) -> Part {
        let mut open = match self.open().await {
            Ok(open) => open,
            Err(part) => return part,
        };
        loop {
            if let (Some(text), None) = (&self.refused, &self.work.growth) {
                return Part::Over(Outcome::KeyRefused(text.clone()));
            }
            if self.is_removed {
                return Part::Again;
            }
            self.start_tasks(&open);
            if self.is_due(&open) {
                if let Err(part) = self.send(&mut open).await {
                    return part;
                }
                continue;
            }
            if open.is_all && !open.gatherer.has_carried() {
                match self.end(&mut open).await {
                    Ok(Some(outcome)) => return Part::Over(outcome),
                    Ok(None) => {}
                    Err(part) => return part,
                }
            }
            self.wait(&mut open).await;
        }
    }

    /// Waits until something may be due.
    async fn wait(&mut self, open: &mut Open) {
        let now = Instant::now();
        let mut until = self.due_at(open).unwrap_or(now);
        if open.has_more {
            until = until.min(now + END_NOTICED);
        }
        if let Config::Due(at) = self.config {
            until = until.min(at);
        }
        if let Extras::Open(at) = self.extras
            && open.is_all
        {
            until = until.min(at);
        }
        // Something that is due and waits for something else is looked at again after a while.
        until = self.lanes.next_try().map_or(until, |at| until.min(at)).max(now + SHORTEST_REST);
        let growth =
            self.work.growth.as_mut().filter(|growth| !open.has_more && growth.has_changed().is_ok());
        tokio::select! {
            () = sleep_until(until) => {}
            Some(task) = self.tasks.join_next() => {
                if let Ok(task) = task {
                    self.take(task);
                }
            }
            _ = async { match growth { Some(growth) => growth.changed().await.is_ok(), None => std::future::pending().await } } => {
                open.has_more = true;
            }
        }
    }
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
