//! Decides when a group ends and which rank is to blame. No clock, no I/O.

use std::time::Duration;

use crate::worker::{Exit, ExitReport};

/// What a message of a rank is to its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Of use to whoever launched the worker.
    Pass,
    /// A sign of life, and nothing more.
    Drop,
    /// The rank's last word: it can not go on.
    Failure(Whose),
}

/// Whose doing a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The rank's own.
    Own,
    /// Another's: the rank lost its peers.
    Peers,
}

/// Reads a message of a rank. What it makes of rank 0's messages decides what is passed on; messages of other ranks
/// are never passed, whatever it says, unless they are the failure that ends the group.
pub type Judge<Out> = fn(rank: u32, message: &Out) -> Heard;

/// How long a group waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From the start to a rank's first word. A program with its libraries may come from a slow network disk.
    pub start: Duration,
    /// A rank of this machine that has its orders and says nothing for so long, not even a beat, has stopped.
    pub silence: Duration,
    /// A machine whose process gives no sign for so long is gone.
    pub node_silence: Duration,
    /// From the first failure to the verdict: the rank that is to blame may be heard after its victims, and one that
    /// failed has so long to exit by itself.
    pub settle: Duration,
    /// From the end of rank 0, or a kill, to the end of ranks that have not ended themselves.
    pub leave: Duration,
}

impl Patience {
    /// For ranks that are all processes of this machine. Workers beat every 2 s, so that [`Patience::silence`] is
    /// five beats. Their news travel by pipe and are in within milliseconds; the second and a half of
    /// [`Patience::settle`] lets a rank that fails with a core dump or a long list of last words get there.
    pub const LOCAL: Self = Self {
        start: Duration::from_secs(60),
        silence: Duration::from_secs(10),
        node_silence: Duration::from_secs(60),
        settle: Duration::from_millis(1500),
        leave: Duration::from_secs(10),
    };

    /// For ranks on several machines, whose news travel by files that a network file system may show seconds late.
    pub const NODES: Self = Self {
        start: Duration::from_secs(180),
        settle: Duration::from_secs(5),
        // Less than the ten seconds after which a run takes a worker that it killed for one that can not be ended.
        leave: Duration::from_secs(8),
        ..Self::LOCAL
    };
}

/// Where a rank runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    /// A process of this machine: it is always seen to end.
    Here,
    /// Another machine: its end is known if that machine still tells.
    Elsewhere,
}

/// What happens to a group. Ranks are named by their place among its members.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event<Out> {
    /// A member said something.
    Said { member: usize, heard: Heard, message: Out },
    /// A member, or the machine it is on, gave a sign of life.
    Beat { member: usize },
    /// A member is gone.
    Exited { member: usize, report: ExitReport },
    /// The members were given an order: from now on they have to beat.
    Ordered,
    /// Nobody listens any more, or the launcher wants the end.
    KillAsked,
    /// Time has passed.
    Tick,
}

/// What a group does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect<Out> {
    /// Pass this on.
    Pass(Out),
    /// End every rank now.
    KillAll,
    /// Tell the end; nothing follows.
    Report(ExitReport),
    /// The event came after the end.
    CountLate(&'static str),
}

/// The rank whose messages are passed on.
const LEAD: u32 = 0;

/// The longest time between two events that counts in full: a group looks at the clock more often than this, and when
/// it did not, it was itself kept from listening.
const LONGEST_LOOK: Duration = Duration::from_millis(500);

/// What is wrong with a rank; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Died,
    FailedItself,
    Silent,
    LostPeers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Trouble {
    kind: Kind,
    /// Troubles seen before it.
    order: usize,
}

#[derive(Debug, Clone)]
struct Member<Out> {
    rank: u32,
    seat: Seat,
    /// When it last gave a sign of life, on the group's clock.
    heard: Option<Duration>,
    trouble: Option<Trouble>,
    /// How long it had been silent when that was too long.
    silent: Option<Duration>,
    last_word: Option<Out>,
    report: Option<ExitReport>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// All is well.
    Running,
    /// Rank 0 has ended well; the others have until then.
    Leaving { until: Duration },
    /// Something is wrong; until then it is found out what.
    Settling { until: Duration },
    /// Every rank has been told to end; other machines have until then to say that theirs did.
    Ending { until: Duration },
    /// Told.
    Over,
}

/// The state of one group.
#[derive(Debug, Clone)]
pub(super) struct Group<Out> {
    members: Vec<Member<Out>>,
    patience: Patience,
    phase: Phase,
    /// Time the group has listened, and when it last looked at the clock.
    listened: Duration,
    looked: Duration,
    ordered: Option<Duration>,
    killed: bool,
    troubles: usize,
}

impl<Out> Group<Out> {
    /// A group of these ranks. The first one speaks for it: rank 0, or the only rank.
    pub(super) fn new(members: impl IntoIterator<Item = (u32, Seat)>, patience: Patience) -> Self {
        let member = |(rank, seat)| Member {
            rank,
            seat,
            heard: None,
            trouble: None,
            silent: None,
            last_word: None,
            report: None,
        };
        Self {
            members: members.into_iter().map(member).collect(),
            patience,
            phase: Phase::Running,
            listened: Duration::ZERO,
            looked: Duration::ZERO,
            ordered: None,
            killed: false,
            troubles: 0,
        }
    }

    /// Takes one event to the effects it causes. `now` is the time since the group's start.
    #[must_use = "an effect left unperformed is a lost message"]
    pub(super) fn apply(&mut self, now: Duration, event: Event<Out>) -> Vec<Effect<Out>> {
        self.listened += now.saturating_sub(self.looked).min(LONGEST_LOOK);
        self.looked = self.looked.max(now);
        if self.phase == Phase::Over {
            return vec![Effect::CountLate(event.name())];
        }
        let mut effects = Vec::new();
        match event {
            Event::Said { member, heard, message } => effects.extend(self.said(member, heard, message)),
            Event::Beat { member } => self.sign_of_life(member),
            Event::Exited { member, report } => effects.extend(self.exited(member, report)),
            Event::Ordered => self.ordered = Some(self.listened),
            Event::KillAsked => self.killed = true,
            Event::Tick => {}
        }
        effects.extend(self.advance());
        effects
    }

    fn sign_of_life(&mut self, member: usize) {
        let now = self.listened;
        if let Some(member) = self.members.get_mut(member) {
            member.heard = Some(now);
        }
    }

    fn said(&mut self, index: usize, heard: Heard, message: Out) -> Option<Effect<Out>> {
        self.sign_of_life(index);
        let whose = match heard {
            Heard::Pass if self.members.get(index).is_some_and(|member| member.rank == LEAD) => {
                return Some(Effect::Pass(message));
            }
            Heard::Pass | Heard::Drop => return None,
            Heard::Failure(whose) => whose,
        };
        let member = self.members.get_mut(index).filter(|member| member.last_word.is_none())?;
        member.last_word = Some(message);
        self.blame(index, if whose == Whose::Own { Kind::FailedItself } else { Kind::LostPeers });
        None
    }

    fn exited(&mut self, index: usize, report: ExitReport) -> Option<Effect<Out>> {
        let member = self.members.get_mut(index)?;
        if member.report.is_some() {
            return Some(Effect::CountLate("exited"));
        }
        let kind = match &report.exit {
            // As another machine says of its own rank.
            Exit::Silent(silent) => {
                member.silent = Some(*silent);
                Some(Kind::Silent)
            }
            exit => (!is_clean(exit)).then_some(Kind::Died),
        };
        member.report = Some(report);
        if let Some(kind) = kind {
            self.blame(index, kind);
        }
        None
    }

    /// Notes what is wrong with a rank, and answers whether that is new: nothing is noted of one that is in trouble
    /// already, nor while all are being ended from here.
    fn blame(&mut self, index: usize, kind: Kind) -> bool {
        if matches!(self.phase, Phase::Ending { .. }) || self.killed {
            return false;
        }
        let order = self.troubles;
        match self.members.get_mut(index).filter(|member| member.trouble.is_none()) {
            Some(member) => {
                member.trouble = Some(Trouble { kind, order });
                self.troubles += 1;
                true
            }
            None => false,
        }
    }

    /// Goes on to the next phase where what is known allows it.
    fn advance(&mut self) -> Vec<Effect<Out>> {
        self.notice_silence();
        let now = self.listened;
        if self.members.iter().all(|member| member.report.is_some()) {
            return self.finish();
        }
        let troubled = self.members.iter().any(|member| member.trouble.is_some());
        let Patience { settle, leave, .. } = self.patience;
        match self.phase {
            Phase::Ending { until } => {
                let gone = |member: &Member<Out>| member.report.is_some() || member.seat == Seat::Elsewhere;
                if now >= until && self.members.iter().all(gone) { self.finish() } else { vec![] }
            }
            _ if self.killed => self.end(),
            _ if self.is_broken() => self.end(),
            Phase::Settling { until } if now >= until => self.end(),
            Phase::Running | Phase::Leaving { .. } if troubled => {
                self.phase = Phase::Settling { until: now + settle };
                vec![]
            }
            Phase::Running if self.members.first().is_some_and(|first| first.report.is_some()) => {
                self.phase = Phase::Leaving { until: now + leave };
                vec![]
            }
            Phase::Leaving { until } if now >= until => self.end(),
            _ => vec![],
        }
    }

    /// Whether a rank will never be heard again: whoever else failed, there is nothing to wait for.
    fn is_broken(&self) -> bool {
        let mut troubles = self.members.iter().filter_map(|member| member.trouble);
        troubles.any(|trouble| matches!(trouble.kind, Kind::Died | Kind::Silent))
    }

    fn notice_silence(&mut self) {
        for index in 0..self.members.len() {
            if let Some((silent, patience)) = self.silence(index)
                && silent >= patience
                && self.blame(index, Kind::Silent)
            {
                self.members[index].silent = Some(silent);
            }
        }
    }

    /// How long a rank that should be heard has been silent, and how long it may be. None for one that has said its
    /// last word or is gone, and for one that waits for its orders.
    fn silence(&self, index: usize) -> Option<(Duration, Duration)> {
        let member = &self.members[index];
        if member.report.is_some() || member.last_word.is_some() {
            return None;
        }
        let (since, patience) = match (member.heard, member.seat) {
            (None, _) => (Duration::ZERO, self.patience.start),
            (Some(heard), Seat::Elsewhere) => (heard, self.patience.node_silence),
            (Some(heard), Seat::Here) => (heard.max(self.ordered?), self.patience.silence),
        };
        Some((self.listened.saturating_sub(since), patience))
    }

    fn end(&mut self) -> Vec<Effect<Out>> {
        self.phase = Phase::Ending { until: self.listened + self.patience.leave };
        vec![Effect::KillAll]
    }

    fn finish(&mut self) -> Vec<Effect<Out>> {
        self.phase = Phase::Over;
        let host = self.members.iter().filter_map(|member| member.report.as_ref()?.peak_memory_bytes);
        let peak_memory_bytes = host.reduce(u64::saturating_add);
        let devices =
            self.members.iter().filter_map(|member| member.report.as_ref()?.peak_device_memory_bytes);
        let peak_device_memory_bytes = devices.max();
        let blamed =
            self.members.iter().enumerate().filter_map(|(index, member)| Some((member.trouble?, index)));
        let culprit = blamed.min().map(|(_, index)| index);
        // With nobody to blame, rank 0's end is the group's.
        let Some(member) = self.members.get_mut(culprit.unwrap_or(0)) else { return vec![] };
        let silent = member.silent.map(Exit::Silent);
        let told = member.report.take();
        let (exit, stderr_tail) = told.map_or((Exit::Detached, vec![]), |told| (told.exit, told.stderr_tail));
        let report = ExitReport {
            exit: silent.unwrap_or(exit),
            stderr_tail,
            peak_memory_bytes,
            peak_device_memory_bytes,
            rank: culprit.map(|_| member.rank),
        };
        let last_word = culprit.and_then(|_| member.last_word.take()).map(Effect::Pass);
        last_word.into_iter().chain([Effect::Report(report)]).collect()
    }
}

fn is_clean(exit: &Exit) -> bool {
    matches!(exit, Exit::Code(0) | Exit::Returned)
}

impl<Out> Event<Out> {
    fn name(&self) -> &'static str {
        match self {
            Self::Said { .. } => "said",
            Self::Beat { .. } => "beat",
            Self::Exited { .. } => "exited",
            Self::Ordered => "ordered",
            Self::KillAsked => "kill-asked",
            Self::Tick => "tick",
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
