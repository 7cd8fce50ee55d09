//! A process of a job on several machines that does what rank 0's says.

use std::path::Path;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::FollowError;
use super::launcher::rank_name;
use super::lead::{Pulse, Warned};
use super::members::Assembly;
use super::session::{Alive, Ended, Folder, LOOK, Name, Nonce, Order};
use super::state::{Judge, Patience};
use crate::allocation::Allocation;
use crate::lease::Place;
use crate::worker::{Exit, ExitReport, ProcessLauncher, SendError, Worker, WorkerEvent};

/// The rank that is followed.
const LEADER: u32 = 0;

/// How long rank 0's process may come later than this one. `srun` starts all tasks within seconds; `torchrun` waits
/// for every node; what remains is that rank 0 checks the data first.
const LEAD_START: Duration = Duration::from_secs(300);

/// Words of a worker that may wait here: one, its last, besides its end.
const EVENTS: usize = 4;

/// A rank other than 0: no actors, no tables, no display. It starts its own worker when rank 0's process starts one,
/// supervises it, and says how it ended.
#[derive(Debug, Clone)]
pub struct Follower {
    allocation: Allocation,
    place: Place,
    folder: Folder,
    patience: Patience,
    lead_start: Duration,
}

impl Follower {
    /// Follows rank 0 of `allocation` on `place`, by the folder that [`Lead::open`](super::Lead::open) makes in
    /// `ranks_dir`.
    #[must_use]
    pub fn new(ranks_dir: &Path, allocation: Allocation, place: Place) -> Self {
        let folder = Folder::new(ranks_dir.join(&allocation.session));
        // Its own worker is a process of this machine.
        let patience = Patience { start: Patience::NODES.start, ..Patience::LOCAL };
        Self { allocation, place, folder, patience, lead_start: LEAD_START }
    }

    /// The rank it is.
    #[must_use]
    pub fn rank(&self) -> u32 {
        self.allocation.rank
    }

    /// Other durations: those of a group for the worker, and how long rank 0 may take to come.
    #[must_use]
    pub fn patience(mut self, patience: Patience, lead_start: Duration) -> Self {
        self.patience = patience;
        self.lead_start = lead_start;
        self
    }

    /// Follows until rank 0's process has said that nothing more will come. No worker is left on return.
    ///
    /// # Errors
    /// [`FollowError`] if rank 0 has not come or is gone.
    pub fn follow<In, Out>(&self, processes: &ProcessLauncher, judge: Judge<Out>) -> Result<(), FollowError>
    where
        In: Serialize + DeserializeOwned + Clone + Send + 'static,
        Out: Serialize + DeserializeOwned + Send + 'static,
    {
        let following = Following::<In, Out> {
            follower: self,
            processes,
            judge,
            leader: Leader::new(),
            pulse: None,
            done: 0,
            worker: None,
            warned: Warned::default(),
        };
        following.run()
    }
}

/// What is known of rank 0's process.
struct Leader {
    seen: Option<Alive>,
    looks: u64,
    changed: Instant,
    /// The session that is followed: rank 0 was seen to live in it.
    session: Option<Nonce>,
}

impl Leader {
    fn new() -> Self {
        Self { seen: None, looks: 0, changed: Instant::now(), session: None }
    }

    /// Whether rank 0 leads another session than before.
    fn look(&mut self, alive: Option<Alive>) -> Switched {
        let first = self.looks == 0;
        self.looks += 1;
        if alive.is_none() || alive == self.seen {
            return Switched::No;
        }
        self.changed = Instant::now();
        self.seen.clone_from(&alive);
        // What is there at first may have been left by a process that is no more: only a change shows life.
        let nonce = alive.map(|alive| alive.nonce).filter(|_| !first);
        if nonce.is_some() && nonce != self.session {
            self.session = nonce;
            return Switched::Yes;
        }
        Switched::No
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Switched {
    Yes,
    No,
}

/// The worker under way.
struct Running<In, Out> {
    order: u64,
    worker: Box<dyn Worker<In>>,
    events: Receiver<WorkerEvent<Out>>,
    messages: u32,
    last_word: Option<Out>,
    report: Option<ExitReport>,
}

/// Whether to look again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Look,
    Leave,
}

struct Following<'a, In, Out> {
    follower: &'a Follower,
    processes: &'a ProcessLauncher,
    judge: Judge<Out>,
    leader: Leader,
    pulse: Option<Pulse>,
    /// The last order that was taken up.
    done: u64,
    worker: Option<Running<In, Out>>,
    warned: Warned,
}

impl<In, Out> Following<'_, In, Out>
where
    In: Serialize + DeserializeOwned + Clone + Send + 'static,
    Out: Serialize + DeserializeOwned + Send + 'static,
{
    fn run(mut self) -> Result<(), FollowError> {
        let ended = loop {
            match self.look() {
                Ok(Next::Look) => self.warned.on(Ok(())),
                Ok(Next::Leave) => break Ok(()),
                Err(FollowError::Session(error)) => self.warned.on(Err(error)),
                Err(error) => break Err(error),
            }
            if let Err(gone) = self.is_led() {
                break Err(gone);
            }
            self.wait();
        };
        self.end_worker();
        if self.pulse.is_some() {
            self.warned.on(self.follower.folder.delete(Name::Alive(self.follower.allocation.rank)));
        }
        ended
    }

    fn look(&mut self) -> Result<Next, FollowError> {
        let folder = &self.follower.folder;
        let names = folder.list()?;
        let alive = folder.read(Name::Alive(LEADER))?;
        if names.is_none() && self.leader.session.is_some() {
            // Rank 0 removes the folder when it has waited for this rank long enough.
            return Ok(Next::Leave);
        }
        if self.leader.look(alive) == Switched::Yes {
            self.end_worker();
            (self.worker, self.done) = (None, 0);
            let rank = self.follower.allocation.rank;
            self.pulse = self.leader.session.clone().map(|nonce| Pulse::new(rank, nonce));
        }
        let (Some(nonce), Some(pulse)) = (self.leader.session.clone(), &mut self.pulse) else {
            return Ok(Next::Look);
        };
        let names = names.unwrap_or_default();
        if names.contains(&Name::End) && folder.read(Name::End)?.as_ref() == Some(&nonce) {
            return Ok(Next::Leave);
        }
        pulse.beat(folder)?;
        let newest = names
            .iter()
            .filter_map(|name| if let Name::Order(order) = name { Some(*order) } else { None })
            .max();
        if let Some(order) = newest.filter(|order| *order > self.done)
            && let Some(told) = folder.read::<Order>(Name::Order(order))?.filter(|told| told.nonce == nonce)
        {
            self.end_worker();
            self.done = order;
            self.launch(order, &told);
        }
        self.relay(&names)?;
        self.answer(&nonce)?;
        Ok(Next::Look)
    }

    fn is_led(&self) -> Result<(), FollowError> {
        let (silent, rank) = (self.leader.changed.elapsed(), self.follower.allocation.rank);
        if self.leader.session.is_none() {
            let (waited, path) = (self.follower.lead_start, self.follower.folder.path().to_owned());
            // A file that never changes is no sign of life.
            return if silent < waited { Ok(()) } else { Err(FollowError::NeverLed { rank, waited, path }) };
        }
        if silent < self.follower.patience.node_silence {
            Ok(())
        } else {
            Err(FollowError::LeadGone { rank, silent })
        }
    }

    fn launch(&mut self, order: u64, told: &Order) {
        let Follower { allocation, place, patience, .. } = self.follower;
        let mut rank = allocation.rank_at(told.master_port);
        rank.master_addr.clone_from(&told.master_addr);
        let name = rank_name(rank.rank, &told.name);
        let (tell, events) = bounded(EVENTS);
        let mut assembly = Assembly::new();
        let launched = assembly
            .add_here(rank.rank, |sink| self.processes.start(&name, place, &rank.environment(), sink))
            .and_then(|()| {
                let sink = Box::new(move |event| tell.send(event).is_ok());
                assembly.run(&name, (self.judge, *patience), (), sink)
            });
        let (worker, report): (Box<dyn Worker<In>>, _) = match launched {
            Ok(worker) => (worker, None),
            Err(error) => {
                tracing::error!(%error, "this rank's worker could not be started");
                let exit = Exit::Protocol(format!("it could not be started: {error}"));
                (Box::new(Nobody), Some(ExitReport::bare(exit)))
            }
        };
        self.worker = Some(Running { order, worker, events, messages: 0, last_word: None, report });
    }

    /// Hands on what rank 0 has written for the worker.
    fn relay(&mut self, names: &[Name]) -> Result<(), FollowError> {
        let Some(running) = &mut self.worker else { return Ok(()) };
        if names.contains(&Name::Kill(running.order)) {
            running.worker.kill();
            return Ok(());
        }
        while names.contains(&Name::Message(running.order, running.messages)) {
            let Some(message) = self.follower.folder.read(Name::Message(running.order, running.messages))?
            else {
                return Ok(());
            };
            match running.worker.send(message) {
                // Heard at the next look.
                Err(SendError::Full) => return Ok(()),
                Ok(()) | Err(SendError::Gone) => running.messages += 1,
            }
        }
        Ok(())
    }

    /// Waits for the worker's next word, or for the time of the next look.
    fn wait(&mut self) {
        let until = Instant::now() + LOOK;
        match &mut self.worker {
            Some(running) if running.report.is_none() => running.hear_until(until),
            _ => std::thread::sleep(LOOK),
        }
    }

    /// Says how the worker ended, once it has.
    fn answer(&mut self, nonce: &Nonce) -> Result<(), FollowError> {
        let Some(running) = self.worker.take_if(|running| running.report.is_some()) else { return Ok(()) };
        let Running { order, worker, events, messages, mut last_word, report } = running;
        let Some(report) = report else { return Ok(()) };
        let name = Name::Ended(order, self.follower.allocation.rank);
        let ended = Ended { nonce: nonce.clone(), report, last_word: last_word.take() };
        if let Err(error) = self.follower.folder.write(name, &ended) {
            // To be said again.
            let Ended { report, last_word, .. } = ended;
            self.worker = Some(Running { order, worker, events, messages, last_word, report: Some(report) });
            return Err(error.into());
        }
        Ok(())
    }

    fn end_worker(&mut self) {
        if let Some(running) = &mut self.worker {
            running.worker.kill();
            while running.report.is_none() {
                running.hear_until(Instant::now() + LOOK);
            }
        }
    }
}

impl<In, Out> Running<In, Out> {
    fn hear_until(&mut self, until: Instant) {
        match self.events.recv_deadline(until) {
            Ok(WorkerEvent::Message(word)) => self.last_word = Some(word),
            // The folder that the machines share carries words and ends only.
            Ok(WorkerEvent::Printed(lines)) => {
                tracing::debug!(lines = lines.len(), "lines of a rank of this machine are not passed on");
            }
            Ok(WorkerEvent::Exited(report)) => self.report = Some(report),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let text = "the thread that looked after it is gone";
                self.report = Some(ExitReport::bare(Exit::Protocol(text.to_owned())));
            }
        }
    }
}

/// In place of a worker that could not be started.
struct Nobody;

impl<In: Send> Worker<In> for Nobody {
    fn send(&self, _: In) -> Result<(), SendError> {
        Err(SendError::Gone)
    }

    fn kill(&self) {}

    fn pid(&self) -> Option<u32> {
        None
    }
}
