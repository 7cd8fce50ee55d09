//! Performs what the state of a group decides: the handle, the ranks' ends, and the thread that listens to them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::state::{Effect, Event, Group, Judge, Patience, Seat};
use crate::worker::error::{LaunchError, SendError};
use crate::worker::listener::Listener;
use crate::worker::{EventSink, Exit, ExitReport, Worker, WorkerEvent};

/// Words of all ranks that wait for the group; beyond them a rank's supervising thread waits, and then the rank.
const NEWS_BOUND: usize = 64;

/// A group looks at the clock at least this often.
const LOOK: Duration = Duration::from_millis(200);

/// What reaches a group: which member, and what of it.
pub(super) type News<Out> = (usize, Word<Out>);

/// One member's word.
pub(super) enum Word<Out> {
    Said(Out),
    Beat,
    Printed(Vec<String>),
    Exited(ExitReport),
}

/// The workers of a group, which both its handle and its thread may end.
pub(super) struct Members<In> {
    workers: Mutex<Vec<Box<dyn Worker<In>>>>,
    ordered: AtomicBool,
    killed: AtomicBool,
}

impl<In> Members<In> {
    fn kill_all(&self) {
        for worker in &*self.workers.lock().unwrap_or_else(PoisonError::into_inner) {
            worker.kill();
        }
    }

    /// On behalf of the handle: what ends the ranks is then known not to be their own doing.
    fn kill_asked(&self) {
        self.killed.store(true, Ordering::Release);
        self.kill_all();
    }
}

/// The handle on a group.
struct GroupWorker<In> {
    members: Arc<Members<In>>,
    pid: Option<u32>,
}

impl<In: Clone + Send> Worker<In> for GroupWorker<In> {
    /// Every rank gets it. A rank that is gone is no error while another is there: the group tells of it.
    fn send(&self, message: In) -> Result<(), SendError> {
        let workers = self.members.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let sent: Vec<_> = workers.iter().map(|worker| worker.send(message.clone())).collect();
        self.members.ordered.store(true, Ordering::Release);
        if sent.contains(&Err(SendError::Full)) {
            return Err(SendError::Full);
        }
        if sent.iter().any(Result::is_ok) { Ok(()) } else { Err(SendError::Gone) }
    }

    fn kill(&self) {
        self.members.kill_asked();
    }

    fn pid(&self) -> Option<u32> {
        self.pid
    }
}

impl<In> Drop for GroupWorker<In> {
    fn drop(&mut self) {
        self.members.kill_asked();
    }
}

/// A group that is being put together. Dropped, it ends what it has.
pub(super) struct Assembly<In, Out> {
    ranks: Vec<(u32, Seat)>,
    workers: Vec<Box<dyn Worker<In>>>,
    tell: Sender<News<Out>>,
    news: Receiver<News<Out>>,
}

impl<In, Out> Assembly<In, Out>
where
    In: Clone + Send + 'static,
    Out: Send + 'static,
{
    pub(super) fn new() -> Self {
        let (tell, news) = bounded(NEWS_BOUND);
        Self { ranks: Vec::new(), workers: Vec::new(), tell, news }
    }

    /// Adds a process of this machine, which `start` starts with the sink it is given.
    pub(super) fn add_here(
        &mut self,
        rank: u32,
        start: impl FnOnce(EventSink<Out>) -> Result<Box<dyn Worker<In>>, LaunchError>,
    ) -> Result<(), LaunchError> {
        let (member, tell) = (self.ranks.len(), self.tell.clone());
        let sink: EventSink<Out> = Box::new(move |event| {
            let word = match event {
                WorkerEvent::Message(message) => Word::Said(message),
                WorkerEvent::Printed(lines) => Word::Printed(lines),
                WorkerEvent::Exited(report) => Word::Exited(report),
            };
            tell.send((member, word)).is_ok()
        });
        self.workers.push(start(sink)?);
        self.ranks.push((rank, Seat::Here));
        Ok(())
    }

    /// Adds ranks of other machines behind one handle, and says where their words go and what number the first has.
    pub(super) fn add_elsewhere(
        &mut self,
        ranks: impl IntoIterator<Item = u32>,
        start: impl FnOnce(usize, Sender<News<Out>>) -> Result<Box<dyn Worker<In>>, LaunchError>,
    ) -> Result<(), LaunchError> {
        self.workers.push(start(self.ranks.len(), self.tell.clone())?);
        self.ranks.extend(ranks.into_iter().map(|rank| (rank, Seat::Elsewhere)));
        Ok(())
    }

    /// Listens to the ranks from now on. `kept` is let go when they are all gone.
    pub(super) fn run(
        self,
        name: &str,
        (judge, patience): (Judge<Out>, Patience),
        kept: impl Send + 'static,
        sink: EventSink<Out>,
    ) -> Result<Box<dyn Worker<In>>, LaunchError> {
        let pid = self.workers.first().and_then(|worker| worker.pid());
        let members = Arc::new(Members {
            workers: Mutex::new(self.workers),
            ordered: AtomicBool::new(false),
            killed: AtomicBool::new(false),
        });
        let handle = GroupWorker { members: Arc::clone(&members), pid };
        let ranks: Vec<u32> = self.ranks.iter().map(|(rank, _)| *rank).collect();
        let group = Group::new(self.ranks, patience);
        let listening = Listening { group, ranks, judge, members, news: self.news, begun: Instant::now() };
        // The thread holds no sender of its own: with the last rank's the news end.
        drop(self.tell);
        thread::Builder::new()
            .name(format!("group {name}"))
            .spawn(move || {
                listening.listen(Listener::new(sink));
                drop(kept);
            })
            .map_err(|source| LaunchError::Thread { name: name.to_owned(), source })?;
        Ok(Box::new(handle))
    }
}

/// The group's thread's own.
struct Listening<In, Out> {
    group: Group<Out>,
    ranks: Vec<u32>,
    judge: Judge<Out>,
    members: Arc<Members<In>>,
    news: Receiver<News<Out>>,
    begun: Instant,
}

/// Whether the end has been told.
enum Step<Out> {
    On(Listener<Out>),
    Over,
}

impl<In, Out> Listening<In, Out> {
    fn listen(mut self, mut listener: Listener<Out>) {
        loop {
            let news = self.news.recv_timeout(LOOK);
            let mut events: Vec<Event<Out>> = Vec::new();
            if self.members.ordered.swap(false, Ordering::AcqRel) {
                events.push(Event::Ordered);
            }
            if self.members.killed.load(Ordering::Acquire) {
                events.push(Event::KillAsked);
            }
            match news {
                Ok((member, Word::Printed(lines))) => listener.printed(self.named(member, lines)),
                Ok((member, word)) => events.extend(self.read(member, word)),
                Err(RecvTimeoutError::Timeout) => events.push(Event::Tick),
                Err(RecvTimeoutError::Disconnected) => events.extend(self.lost()),
            }
            for event in events {
                match self.take(event, listener) {
                    Step::On(still) => listener = still,
                    Step::Over => return,
                }
            }
        }
    }

    fn read(&self, member: usize, word: Word<Out>) -> Option<Event<Out>> {
        Some(match word {
            Word::Said(message) => {
                Event::Said { member, heard: (self.judge)(self.rank(member), &message), message }
            }
            Word::Beat => Event::Beat { member },
            // Decides nothing.
            Word::Printed(_) => return None,
            Word::Exited(report) => Event::Exited { member, report },
        })
    }

    fn rank(&self, member: usize) -> u32 {
        self.ranks.get(member).copied().unwrap_or_default()
    }

    /// Lines with the rank that printed them.
    fn named(&self, member: usize, lines: Vec<String>) -> Vec<String> {
        let rank = self.rank(member);
        lines.into_iter().map(|line| format!("[rank {rank}] {line}")).collect()
    }

    /// Nobody is left to tell of the ranks, and not all are known to have ended.
    fn lost(&self) -> impl Iterator<Item = Event<Out>> + use<In, Out> {
        let text = "the thread that looked after this rank is gone";
        (0..self.ranks.len()).map(move |member| {
            let report = ExitReport::bare(Exit::Protocol(text.to_owned()));
            Event::Exited { member, report }
        })
    }

    fn take(&mut self, event: Event<Out>, mut listener: Listener<Out>) -> Step<Out> {
        for effect in self.group.apply(self.begun.elapsed(), event) {
            match effect {
                Effect::Pass(message) => {
                    if !listener.hears(message) {
                        self.members.kill_asked();
                    }
                }
                Effect::KillAll => self.members.kill_all(),
                Effect::Report(report) => {
                    // The handle may live on; what it holds of the ranks is needed no more.
                    self.members.kill_all();
                    listener.exited(report);
                    return Step::Over;
                }
                Effect::CountLate(what) => tracing::debug!(what, "a rank was heard after its end"),
            }
        }
        Step::On(listener)
    }
}

/// Tells a group without waiting, from a thread that has others to look after.
pub(super) fn try_tell<Out>(tell: &Sender<News<Out>>, news: News<Out>) -> Told<Out> {
    match tell.try_send(news) {
        Ok(()) => Told::Heard,
        Err(TrySendError::Full((_, word))) => Told::Later(word),
        Err(TrySendError::Disconnected(_)) => Told::Gone,
    }
}

/// What became of a word.
pub(super) enum Told<Out> {
    Heard,
    /// The group is behind; to be said again.
    Later(Word<Out>),
    /// The group is over.
    Gone,
}
