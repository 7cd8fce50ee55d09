//! Rank 0's side of a job on several machines: what its groups order is written for the others to read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::SessionError;
use super::members::{News, Told, Word, try_tell};
use super::session::{Alive, BEAT, Ended, Folder, LOOK, Name, Nonce, Order};
use crate::allocation::{Allocation, reachable};
use crate::frame;
use crate::rank::Rank;
use crate::worker::error::{LaunchError, SendError};
use crate::worker::{Exit, ExitReport, INBOX_BOUND, Worker};

/// How long the others may take to see that all is over, and to have started at all where it is over at once.
const FAREWELL: Duration = Duration::from_secs(10);

/// The process of rank 0 among those that `srun` or `torchrun` started on several machines.
///
/// While it is there, it gives a sign of life in the folder, and the workers of a
/// [`GroupLauncher`](super::GroupLauncher) that leads by it have the ranks of the other processes. Dropped, it tells
/// them to leave, waits for that for ten seconds at the most, and removes the folder.
#[derive(Debug)]
pub struct Lead {
    allocation: Allocation,
    shared: Arc<Shared>,
    orders: AtomicU64,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    folder: Folder,
    nonce: Nonce,
    /// The worker that is under way: one at a time.
    watch: Mutex<Option<Box<dyn Watch>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Lead {
    /// Leads from now on, in a folder of this job's own in `ranks_dir`, which all machines share.
    ///
    /// # Errors
    /// [`SessionError`] if the folder can not be made, or a thread is refused.
    pub fn open(ranks_dir: &Path, mut allocation: Allocation) -> Result<Self, SessionError> {
        allocation.master_addr = reachable(allocation.master_addr);
        let folder = Folder::new(ranks_dir.join(&allocation.session));
        folder.make()?;
        let shared = Arc::new(Shared { folder, nonce: Nonce::now(), watch: Mutex::new(None) });
        let mut pulse = Pulse::new(allocation.rank, shared.nonce.clone());
        pulse.beat(&shared.folder)?;
        let (stop, stopped) = bounded(0);
        let others = (0..allocation.world_size).filter(|rank| *rank != allocation.rank).collect();
        let thread = Leading { shared: Arc::clone(&shared), others, pulse };
        let thread = thread::Builder::new()
            .name("ranks".to_owned())
            .spawn(move || thread.run(&stopped))
            .map_err(SessionError::Thread)?;
        Ok(Self { allocation, shared, orders: AtomicU64::new(0), stop: Some(stop), thread: Some(thread) })
    }

    /// Which rank this is, and of how many.
    #[must_use]
    pub fn allocation(&self) -> &Allocation {
        &self.allocation
    }

    /// Tells the others to start their ranks of a worker. Their words go to `tell`, as of members from `first` on in
    /// the order of their ranks.
    pub(super) fn order<In, Out>(
        &self,
        name: &str,
        own: &Rank,
        first: usize,
        tell: Sender<News<Out>>,
    ) -> Result<Box<dyn Worker<In>>, LaunchError>
    where
        In: Serialize + Send + 'static,
        Out: DeserializeOwned + Send + 'static,
    {
        let Shared { folder, nonce, watch } = &*self.shared;
        let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.orders.fetch_add(1, Ordering::AcqRel) + 1;
        let order = Order {
            nonce: nonce.clone(),
            name: name.to_owned(),
            master_addr: own.master_addr.clone(),
            master_port: own.master_port,
        };
        let publish = || {
            for old in folder.list()?.unwrap_or_default() {
                if old.order().is_some_and(|order| order < number) {
                    folder.delete(old)?;
                }
            }
            folder.write(Name::Order(number), &order)
        };
        publish().map_err(|source| LaunchError::Order { name: name.to_owned(), source })?;
        let (say, messages) = bounded(INBOX_BOUND);
        let killed = Arc::new(AtomicBool::new(false));
        let members = (first..).zip((0..own.world_size).filter(|rank| *rank != own.rank));
        *watch = Some(Box::new(Watching {
            order: number,
            nonce: nonce.clone(),
            members: members.map(|(member, rank)| (rank, member)).collect(),
            tell,
            messages,
            unwritten: None,
            written: 0,
            killed: Arc::clone(&killed),
            kill_written: false,
            ended: BTreeSet::new(),
            beats: BTreeMap::new(),
            unheard: VecDeque::new(),
        }));
        Ok(Box::new(Elsewhere { say, killed }))
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that led the other ranks panicked");
        }
        if let Err(error) = self.shared.folder.remove() {
            tracing::warn!(%error, "the ranks' folder is left behind");
        }
    }
}

/// The handle on the ranks of the other processes.
struct Elsewhere {
    say: Sender<Vec<u8>>,
    killed: Arc<AtomicBool>,
}

impl<In: Serialize + Send> Worker<In> for Elsewhere {
    fn send(&self, message: In) -> Result<(), SendError> {
        let mut framed = Vec::new();
        if let Err(error) = frame::write(&mut framed, &message) {
            // As for a process of this machine: what can not be framed is not sent, and the engine's log says so.
            tracing::error!(%error, "a message to the other ranks was not sent");
            return Ok(());
        }
        self.say.try_send(framed).map_err(|error| match error {
            TrySendError::Full(_) => SendError::Full,
            TrySendError::Disconnected(_) => SendError::Gone,
        })
    }

    fn kill(&self) {
        self.killed.store(true, Ordering::Release);
    }

    fn pid(&self) -> Option<u32> {
        None
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.killed.store(true, Ordering::Release);
    }
}

/// A process's own sign of life.
pub(super) struct Pulse {
    rank: u32,
    alive: Alive,
    next: Option<Instant>,
}

impl Pulse {
    pub(super) fn new(rank: u32, nonce: Nonce) -> Self {
        Self { rank, alive: Alive { nonce, beat: 0 }, next: None }
    }

    /// Gives a sign of life if it is time for one.
    pub(super) fn beat(&mut self, folder: &Folder) -> Result<(), SessionError> {
        let now = Instant::now();
        if self.next.is_none_or(|next| now >= next) {
            self.next = Some(now + BEAT);
            self.alive.beat += 1;
            folder.write(Name::Alive(self.rank), &self.alive)?;
        }
        Ok(())
    }
}

/// The leading thread's own.
struct Leading {
    shared: Arc<Shared>,
    others: BTreeSet<u32>,
    pulse: Pulse,
}

impl Leading {
    fn run(mut self, stopped: &Receiver<()>) {
        let mut warned = Warned::default();
        while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            warned.on(self.pulse.beat(&self.shared.folder));
            let mut watch = self.shared.watch.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(watching) = &mut *watch {
                match watching.look(&self.shared.folder) {
                    Ok(Watched::UnderWay) => {}
                    Ok(Watched::Over) => *watch = None,
                    Err(error) => warned.on(Err(error)),
                }
            }
        }
        *self.shared.watch.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.farewell(&mut warned);
    }

    /// Says that nothing more will come, until all the others have heard it.
    fn farewell(&mut self, warned: &mut Warned) {
        let Shared { folder, nonce, .. } = &*self.shared;
        warned.on(folder.write(Name::End, nonce));
        let until = Instant::now() + FAREWELL;
        let mut came: BTreeSet<u32> = BTreeSet::new();
        while Instant::now() < until {
            let there: BTreeSet<u32> = match folder.list() {
                Ok(names) => names.unwrap_or_default().into_iter().filter_map(Name::of_alive).collect(),
                Err(error) => {
                    warned.on(Err(error));
                    BTreeSet::new()
                }
            };
            came.extend(there.iter().filter(|rank| self.others.contains(rank)));
            if came == self.others && there.is_disjoint(&self.others) {
                return;
            }
            warned.on(self.pulse.beat(folder));
            thread::sleep(LOOK);
        }
        tracing::warn!(
            came = came.len(),
            others = self.others.len(),
            "not every rank has said that it leaves"
        );
    }
}

impl Name {
    fn of_alive(self) -> Option<u32> {
        match self {
            Self::Alive(rank) => Some(rank),
            _ => None,
        }
    }
}

/// Says once that the folder can not be used, and again when it could be in between.
#[derive(Default)]
pub(super) struct Warned {
    failing: bool,
}

impl Warned {
    pub(super) fn on(&mut self, result: Result<(), SessionError>) {
        match result {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::warn!(%error, "the ranks' folder can not be used; trying again");
            }
            Err(_) => {}
        }
    }
}

/// Looks after one order, whatever its messages are.
trait Watch: Send {
    fn look(&mut self, folder: &Folder) -> Result<Watched, SessionError>;
}

enum Watched {
    UnderWay,
    /// The group is over.
    Over,
}

struct Watching<Out> {
    order: u64,
    nonce: Nonce,
    /// By rank, its number among the group's members.
    members: BTreeMap<u32, usize>,
    tell: Sender<News<Out>>,
    messages: Receiver<Vec<u8>>,
    /// A message that could not be written yet.
    unwritten: Option<Vec<u8>>,
    written: u32,
    killed: Arc<AtomicBool>,
    kill_written: bool,
    ended: BTreeSet<u32>,
    beats: BTreeMap<u32, Alive>,
    /// What the group was too busy to hear; two words for each rank at the most.
    unheard: VecDeque<News<Out>>,
}

impl<Out: DeserializeOwned + Send> Watch for Watching<Out> {
    fn look(&mut self, folder: &Folder) -> Result<Watched, SessionError> {
        self.write_orders(folder)?;
        if let Watched::Over = self.tell_again() {
            return Ok(Watched::Over);
        }
        let names: BTreeSet<Name> = folder.list()?.unwrap_or_default().into_iter().collect();
        let open: Vec<(u32, usize)> = self
            .members
            .iter()
            .map(|(rank, member)| (*rank, *member))
            .filter(|(rank, _)| !self.ended.contains(rank))
            .collect();
        for (rank, member) in open {
            if names.contains(&Name::Ended(self.order, rank)) {
                self.read_end(folder, rank, member)?;
            } else if names.contains(&Name::Alive(rank)) {
                self.read_beat(folder, rank, member)?;
            }
        }
        Ok(self.tell_again())
    }
}

impl<Out: DeserializeOwned> Watching<Out> {
    fn write_orders(&mut self, folder: &Folder) -> Result<(), SessionError> {
        if self.killed.load(Ordering::Acquire) {
            if !self.kill_written {
                folder.write(Name::Kill(self.order), &self.nonce)?;
                self.kill_written = true;
            }
            return Ok(());
        }
        while let Some(message) = self.unwritten.take().or_else(|| self.messages.try_recv().ok()) {
            let name = Name::Message(self.order, self.written);
            if let Err(error) = folder.write_framed(name, &message) {
                self.unwritten = Some(message);
                return Err(error);
            }
            self.written += 1;
        }
        Ok(())
    }

    fn read_end(&mut self, folder: &Folder, rank: u32, member: usize) -> Result<(), SessionError> {
        let ended = match folder.read::<Ended<Out>>(Name::Ended(self.order, rank)) {
            Ok(Some(ended)) if ended.nonce == self.nonce => ended,
            Ok(_) => return Ok(()),
            Err(error @ SessionError::Damaged { .. }) => {
                let exit = Exit::Protocol(error.to_string());
                Ended { nonce: self.nonce.clone(), report: ExitReport::bare(exit), last_word: None }
            }
            Err(error) => return Err(error),
        };
        self.ended.insert(rank);
        self.unheard.extend(ended.last_word.map(|word| (member, Word::Said(word))));
        self.unheard.push_back((member, Word::Exited(ended.report)));
        Ok(())
    }

    fn read_beat(&mut self, folder: &Folder, rank: u32, member: usize) -> Result<(), SessionError> {
        let Some(alive) = folder.read::<Alive>(Name::Alive(rank))? else { return Ok(()) };
        if alive.nonce == self.nonce && self.beats.get(&rank) != Some(&alive) {
            self.beats.insert(rank, alive);
            // A beat that finds the group busy is made good by the next.
            let _: Told<Out> = try_tell(&self.tell, (member, Word::Beat));
        }
        Ok(())
    }

    fn tell_again(&mut self) -> Watched {
        while let Some((member, word)) = self.unheard.pop_front() {
            match try_tell(&self.tell, (member, word)) {
                Told::Heard => {}
                Told::Later(word) => {
                    self.unheard.push_front((member, word));
                    break;
                }
                Told::Gone => return Watched::Over,
            }
        }
        Watched::UnderWay
    }
}
