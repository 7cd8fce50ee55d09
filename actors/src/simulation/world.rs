//! One process that works on a job: its actors, and the words between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use engine_devices::{
    DeviceInfo, DeviceKind, LeaseBook, LeaseEvent, LeaseId, Placement, RunsPerDevice, Ticket,
};

use super::disk::Disk;
use super::fate::{Names, Scenario, Search};
use super::rng::Rng;
use super::worker::{Order, Worker};
use crate::journal::{Opened, Past, PastRun, Record};
use crate::outcome::{CvOutcome, RunOutcome, TuneOutcome};
use crate::plan::{CvPlan, RunPlan};
use crate::ports::{Ids, SharedIds};
use crate::stop::StopMode;
use crate::{cv, run, tune};

/// An actor: the tune, the cv of a configuration, a run by its number in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Tune,
    Cv(usize),
    Run(u64),
}

/// A channel that keeps an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Edge {
    Begin(Who),
    Told(Who),
    Stop(Who),
    ToJournal(Who),
    FromJournal(Who),
    ToTables(usize),
    FromTables(usize),
    ToDevices(Who),
    FromDevices(Who),
    Claim(LeaseId),
    Returned(LeaseId),
    Launch(u64),
    ToWorker(u64),
    FromWorker(u64),
    Files(u64),
}

/// What an actor hears.
#[derive(Debug, Clone)]
pub(super) enum Input {
    Tune(tune::Input),
    Cv(cv::Input),
    Run(run::Input),
}

/// What is on its way.
#[derive(Debug, Clone)]
pub(super) enum Word {
    Input(Who, Input),
    /// A worker, its run, and what it says.
    Worker(u64, u64, run::Input),
    /// Records for the journal, and what comes of it once they are there.
    Keep(Who, Vec<Record>, Kept),
    Kept(Who, Result<(), String>, Kept),
    RunTold(u64, Box<RunOutcome>),
    CvTold(usize, Box<CvOutcome>),
    WriteRuns(usize, Vec<RunOutcome>),
    WriteScore(usize, Box<CvOutcome>),
    Devices(LeaseEvent),
    Granted(Who, Ticket, LeaseId, String),
    Launch(u64, u32, LeaseId),
    Order(u64, Order),
}

/// What waits for a record.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    /// Facts on an actor's desk.
    Facts(Vec<Input>),
    /// A child that begins.
    Begin(Who),
    /// The outcome of the job.
    End(Box<TuneOutcome>),
    Nothing,
}

/// How a process works on the job.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) placement: Placement,
    pub(super) devices: u32,
    /// Whether devices are claimed from other processes first.
    pub(super) is_claimed: bool,
    pub(super) packing: RunsPerDevice,
    /// In percent: words that come twice.
    pub(super) doubles: u64,
    /// Whether its result is to be that of an undisturbed one.
    pub(super) is_exact: bool,
    /// A user who stops it, each time at a step.
    pub(super) stops: Vec<(usize, StopMode)>,
    /// What goes wrong with the engine itself, at a step.
    pub(super) mishaps: Vec<(usize, Mishap)>,
}

/// What no result can be independent of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    DeviceGone,
    RunActorLost,
    CvActorLost,
    JournalBreaks,
    TablesBreak,
}

impl Mishap {
    pub(super) const ALL: [Self; 5] =
        [Self::DeviceGone, Self::RunActorLost, Self::CvActorLost, Self::JournalBreaks, Self::TablesBreak];
}

#[derive(Default)]
pub(super) struct Desk {
    pub(super) waiting: Vec<(Record, Input)>,
    pub(super) is_writing: bool,
}

impl Desk {
    pub(super) fn is_clear(&self) -> bool {
        self.waiting.is_empty() && !self.is_writing
    }
}

pub(super) struct Tune {
    pub(super) state: tune::State,
    pub(super) sampler: Search,
    pub(super) children: BTreeSet<Who>,
    pub(super) desk: Desk,
    pub(super) asked: Option<u32>,
    pub(super) told: BTreeSet<u32>,
}

pub(super) struct Cv {
    pub(super) state: cv::State,
    pub(super) plan: Arc<CvPlan>,
    pub(super) runs: Vec<Arc<RunPlan>>,
    pub(super) past: Vec<Option<PastRun>>,
    pub(super) lease: Option<LeaseId>,
    pub(super) request: Option<Ticket>,
    pub(super) children: BTreeMap<usize, u64>,
    pub(super) desk: Desk,
    pub(super) has_begun: bool,
}

pub(super) enum Parent {
    Tune,
    Cv { cv: usize, index: usize, generation: u32 },
}

pub(super) struct Run {
    pub(super) state: run::State,
    pub(super) plan: Arc<RunPlan>,
    pub(super) parent: Parent,
    pub(super) lease: Option<LeaseId>,
    pub(super) request: Option<Ticket>,
    pub(super) worker: Option<u64>,
    pub(super) attempt: u32,
    pub(super) goes_on: bool,
    pub(super) timers: BTreeSet<u8>,
    pub(super) ended: Option<Box<RunOutcome>>,
    pub(super) files: Files,
    pub(super) has_begun: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    NotOpened,
    Open,
    Closing,
    Closed,
}

/// See the module.
pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) setup: Setup,
    pub(super) rng: Rng,
    pub(super) disk: Disk,
    pub(super) past: Past,
    pub(super) ids: SharedIds,
    pub(super) tune: Option<Tune>,
    pub(super) cvs: BTreeMap<usize, Cv>,
    pub(super) runs: BTreeMap<u64, Run>,
    pub(super) workers: BTreeMap<u64, Worker>,
    pub(super) edges: BTreeMap<Edge, VecDeque<Word>>,
    pub(super) book: LeaseBook,
    pub(super) tickets: BTreeMap<Ticket, Who>,
    pub(super) abandoned: BTreeSet<Ticket>,
    /// Leases that are out, and how many hold each.
    pub(super) out: BTreeMap<LeaseId, u32>,
    pub(super) revoked: BTreeSet<LeaseId>,
    pub(super) next: u64,
    pub(super) steps: usize,
    pub(super) search: tune::Search,
    pub(super) journal_breaks: bool,
    pub(super) tables_break: bool,
    pub(super) counts: BTreeMap<String, u64>,
    /// The disk after each append, where every one is a moment to crash at.
    pub(super) moments: Option<Vec<Disk>>,
    pub(super) outcome: Option<Box<TuneOutcome>>,
    pub(super) is_loud: bool,
}

impl World {
    /// A process that takes the job up from what is on the disk.
    pub(super) fn new(scenario: &Scenario, setup: Setup, mut disk: Disk, process: u32) -> Self {
        let past = disk.past();
        let ids: SharedIds = Arc::new(Mutex::new(Box::new(Names { process, given: 0 }) as Box<dyn Ids>));
        let mut sampler = Search::new(scenario);
        let mut state = tune::State::new(Arc::clone(&scenario.plan), setup.placement.cvs_at_once);
        let search = tune::recall(&mut state, &scenario.plan, &mut sampler, &past, &ids);
        disk.append(vec![Record::Opened(Opened { pid: process, host: "here".into(), at_unix_secs: 0 })]);
        let mut devices = Vec::new();
        for index in 0..setup.devices {
            let mut device = DeviceInfo::bare(DeviceKind::Cpu, index, Vec::new(), 1);
            device.uuid = setup.is_claimed.then(|| format!("uuid-{index}"));
            device.memory_bytes = Some(1 << 30);
            devices.push(device);
        }
        let children = BTreeSet::new();
        let tune =
            Tune { state, sampler, children, desk: Desk::default(), asked: None, told: BTreeSet::new() };
        let mut world = Self {
            scenario: scenario.clone(),
            rng: Rng::new(setup.seed),
            book: LeaseBook::new(devices, setup.packing),
            setup,
            disk,
            past,
            ids,
            tune: Some(tune),
            cvs: BTreeMap::new(),
            runs: BTreeMap::new(),
            workers: BTreeMap::new(),
            edges: BTreeMap::new(),
            tickets: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            out: BTreeMap::new(),
            revoked: BTreeSet::new(),
            next: 0,
            steps: 0,
            search,
            journal_breaks: false,
            tables_break: false,
            counts: BTreeMap::new(),
            moments: None,
            outcome: None,
            is_loud: std::env::var_os("TEST_SEED").is_some(),
        };
        world.send(Edge::Begin(Who::Tune), Word::Input(Who::Tune, Input::Tune(tune::Input::Begin)));
        world
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn send(&mut self, edge: Edge, word: Word) {
        self.edges.entry(edge).or_default().push_back(word);
    }

    /// A stop line holds the strongest mode alone.
    pub(super) fn raise(&mut self, who: Who, mode: StopMode) {
        let input = match who {
            Who::Tune => Input::Tune(tune::Input::Stop(mode)),
            Who::Cv(_) => Input::Cv(cv::Input::Stop(mode)),
            Who::Run(_) => Input::Run(run::Input::Stop(mode)),
        };
        self.edges.insert(Edge::Stop(who), VecDeque::from([Word::Input(who, input)]));
    }

    pub(super) fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.is_loud {
            println!("{:5} {}", self.steps, what());
        }
    }
}
