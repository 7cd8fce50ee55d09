//! The tests: what every seed has to go through.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use engine_devices::{RunsPerDevice, placement::Strategy};

use super::check::TuneResult;
use super::disk::Disk;
use super::fate::{Scenario, Trouble};
use super::rng::{Rng, mix};
use super::world::{Mishap, Setup, World};
use crate::journal::{Record, encode};
use crate::outcome::TuneOutcome;
use crate::stop::StopMode;
use crate::tune::Search;

/// Seeds played by default: enough for every kind of trouble to come, few enough to wait for.
const SEEDS: u64 = 400;
/// Of so many seeds one is crashed at every record of its journal.
const EVERY_RECORD: u64 = 6;
/// Of so many seeds one meets what no result can be independent of.
const MISHAPS: u64 = 4;

type Counts = BTreeMap<String, u64>;

/// What one process left.
struct Played {
    outcome: Option<Box<TuneOutcome>>,
    result: Option<TuneResult>,
    disk: Disk,
    moments: Vec<Disk>,
}

fn setup(rng: &mut Rng, is_sequential: bool) -> Setup {
    let strategies = [Strategy::Auto, Strategy::CvParallel, Strategy::Ddp, Strategy::TuneParallel];
    let strategy = strategies[rng.below(if is_sequential { 3 } else { 4 })];
    let packing = match rng.below(3) {
        _ if strategy.is_data_parallel() => RunsPerDevice::ONE,
        0 => RunsPerDevice::ByMemory,
        1 => RunsPerDevice::Fixed(2),
        _ => RunsPerDevice::ONE,
    };
    let devices = 1 + rng.below(3) as u32;
    Setup {
        seed: mix(rng.below(usize::MAX) as u64),
        placement: strategy.placement(devices as usize, packing).unwrap(),
        devices,
        is_claimed: rng.chance(30),
        packing,
        doubles: [0, 10, 40][rng.below(3)],
        is_exact: true,
        stops: Vec::new(),
        mishaps: Vec::new(),
    }
}

/// Lets one process work until it has told its outcome, or is killed at a step.
fn play(
    scenario: &Scenario,
    setup: Setup,
    disk: Disk,
    process: u32,
    until: usize,
    counts: &mut Counts,
) -> Played {
    let is_exact = setup.is_exact;
    let mut world = World::new(scenario, setup, disk, process);
    assert!(
        !is_exact || world.search == Search::Agrees,
        "TUNE-5: the search proposes otherwise when it is recalled"
    );
    world.moments = Some(Vec::new());
    while world.steps < until && world.step() {}
    *counts.entry("steps".into()).or_default() += world.steps as u64;
    let outcome = world.outcome.take();
    let mut result = None;
    if let Some(outcome) = &outcome {
        world.check_end(outcome);
        if is_exact && !outcome.cancelled {
            result = Some(world.result(outcome));
        }
    } else {
        *counts.entry("crashes".into()).or_default() += 1;
    }
    for (what, times) in std::mem::take(&mut world.counts) {
        *counts.entry(what).or_default() += times;
    }
    let moments = world.moments.take().unwrap_or_default();
    Played { outcome, result, disk: world.disk, moments }
}

/// What a crash leaves of the journal: all that was appended, or at least all that was synced.
fn crash(rng: &mut Rng, disk: &mut Disk, counts: &mut Counts) {
    if rng.chance(50) {
        return;
    }
    let open = disk.records.len() - disk.durable;
    let kept = disk.durable + rng.below(open + 1);
    *counts.entry("records lost with the power".into()).or_default() += (disk.records.len() - kept) as u64;
    disk.cut(kept);
}

/// Ids by configuration and cell, as the journal has them.
fn ids(disk: &Disk) -> BTreeMap<(u32, u32, u64), String> {
    let mut ids = BTreeMap::new();
    for record in &disk.records {
        if let Record::CvPlanned { hp_index, runs } = record {
            ids.extend(
                runs.iter().map(|run| ((*hp_index, run.cell.fold, run.cell.seed), run.run_id.clone())),
            );
        }
    }
    ids
}

/// What stood in the journal still does; by its bytes, for what is no number equals nothing.
fn stays(before: &Disk, after: &Disk) {
    let bytes = |disk: &Disk| disk.records.iter().map(|record| encode(record).unwrap()).collect::<Vec<_>>();
    assert!(bytes(after).starts_with(&bytes(before)), "what stands in the journal stays");
}

/// What stood in the journal still does, and the tables say nothing else than the outcome.
fn keeps(before: &Disk, after: &Played, outcome: &TuneOutcome) {
    let now = ids(&after.disk);
    for (cell, id) in ids(before) {
        assert_eq!(now.get(&cell), Some(&id), "a cell gets another id");
    }
    stays(before, &after.disk);
    for cv in &outcome.cvs {
        for run in &cv.runs {
            let cell = (cv.hp_index, run.cell.fold, run.cell.seed);
            assert_eq!(now.get(&cell), Some(&run.run_id), "a run without its id");
        }
    }
}

/// Goes on until the tune is over, without anything in the way, and compares.
fn resume(
    scenario: &Scenario,
    disk: Disk,
    process: u32,
    rng: &mut Rng,
    expected: Option<&TuneResult>,
    counts: &mut Counts,
) -> Played {
    let setup = setup(rng, scenario.learns && expected.is_some());
    let before = disk.clone();
    let played = play(scenario, setup, disk, process, usize::MAX, counts);
    let outcome = played.outcome.as_deref().expect("an outcome");
    assert!(!outcome.cancelled, "nobody stopped it");
    keeps(&before, &played, outcome);
    if let Some(expected) = expected {
        assert_eq!(played.result.as_ref(), Some(expected), "the outcome of a resumed tune is another");
    }
    played
}

struct Seed {
    scenario: Scenario,
    rng: Rng,
    counts: Counts,
}

impl Seed {
    fn new(seed: u64) -> Self {
        Self { scenario: Scenario::of(seed), rng: Rng::new(mix(seed)), counts: Counts::new() }
    }

    /// One process, nothing in its way: what all others are compared with.
    fn undisturbed(&mut self) -> Played {
        let setup = setup(&mut self.rng, self.scenario.learns);
        let disk = Disk::new(&self.scenario.plan);
        let played = play(&self.scenario, setup, disk, 0, usize::MAX, &mut self.counts);
        let outcome = played.outcome.as_deref().expect("an outcome");
        check_fates(&self.scenario, outcome);
        self.finished_is_left_alone(&played);
        played
    }

    /// Resuming what is finished starts nothing and tells the same.
    fn finished_is_left_alone(&mut self, played: &Played) {
        let mut counts = Counts::new();
        let expected = played.result.as_ref();
        let again = resume(&self.scenario, played.disk.clone(), 900, &mut self.rng, expected, &mut counts);
        assert!(!counts.contains_key("launches"), "a finished tune starts a worker");
        assert_eq!(again.disk.records.len(), played.disk.records.len() + 2, "opened and ended, nothing else");
    }

    /// Several processes, each crashed or stopped at some step, until one comes to the end.
    fn interrupted(&mut self, expected: &TuneResult) {
        let mut disk = Disk::new(&self.scenario.plan);
        for process in 1..=1 + self.rng.below(5) as u32 {
            let mut setup = setup(&mut self.rng, self.scenario.learns);
            let modes = [StopMode::Drain, StopMode::Cancel, StopMode::Kill];
            if self.rng.chance(50) {
                for _ in 0..1 + self.rng.below(3) {
                    setup.stops.push((self.rng.below(200), modes[self.rng.below(3)]));
                }
                setup.stops.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
            }
            let until = if self.rng.chance(70) { self.rng.below(250) } else { usize::MAX };
            let before = disk.clone();
            let played = play(&self.scenario, setup, disk, process, until, &mut self.counts);
            stays(&before, &played.disk);
            disk = played.disk;
            crash(&mut self.rng, &mut disk, &mut self.counts);
        }
        resume(&self.scenario, disk, 10, &mut self.rng, Some(expected), &mut self.counts);
    }

    /// A process killed, or without power, at every record of the journal; the next one too, once.
    fn crashed_at_every_record(&mut self, moments: Vec<Disk>, expected: &TuneResult) {
        for moment in moments {
            let mut cuts = vec![moment.records.len(), moment.durable];
            if moment.records.len() > moment.durable + 1 {
                cuts.push(moment.durable + 1 + self.rng.below(moment.records.len() - moment.durable - 1));
            }
            cuts.dedup();
            for cut in cuts {
                let mut disk = moment.clone();
                disk.cut(cut);
                *self.counts.entry("crashes at a record".into()).or_default() += 1;
                let played = resume(&self.scenario, disk, 1, &mut self.rng, Some(expected), &mut self.counts);
                let at = self.rng.below(played.moments.len());
                let again = played.moments[at].clone();
                resume(&self.scenario, again, 2, &mut self.rng, Some(expected), &mut self.counts);
            }
        }
    }

    /// Crashes of a search that learns while several cvs are at work: another order of ends is another search, but what was
    /// proposed stays, and every run ends as its fate says.
    fn learning_side_by_side(&mut self) {
        let mut disk = Disk::new(&self.scenario.plan);
        for process in 1..=3 {
            let setup = setup(&mut self.rng, false);
            let until = self.rng.below(250);
            disk = play(&self.scenario, setup, disk, process, until, &mut self.counts).disk;
            crash(&mut self.rng, &mut disk, &mut self.counts);
        }
        let played = resume(&self.scenario, disk, 4, &mut self.rng, None, &mut self.counts);
        check_fates(&self.scenario, played.outcome.as_deref().expect("an outcome"));
    }

    /// The engine itself in trouble: the invariants hold, and the tune still comes to an end that a later process can finish.
    fn in_trouble(&mut self) {
        let mut disk = Disk::new(&self.scenario.plan);
        for process in 1..=2 {
            let mut setup = Setup { is_exact: false, ..setup(&mut self.rng, false) };
            for _ in 0..=self.rng.below(3) {
                let mishap = Mishap::ALL[self.rng.below(Mishap::ALL.len())];
                setup.mishaps.push((1 + self.rng.below(150), mishap));
            }
            setup.mishaps.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
            let until = if self.rng.chance(30) { self.rng.below(250) } else { usize::MAX };
            disk = play(&self.scenario, setup, disk, process, until, &mut self.counts).disk;
            crash(&mut self.rng, &mut disk, &mut self.counts);
        }
        // Its search may differ from what it was: an engine that lost an actor told its search so.
        let setup = Setup { is_exact: false, ..setup(&mut self.rng, false) };
        let played = play(&self.scenario, setup, disk, 3, usize::MAX, &mut self.counts);
        let outcome = played.outcome.expect("an outcome");
        assert!(!outcome.cancelled, "nobody stopped it");
    }

    fn play(&mut self) {
        let seed = self.scenario.seed;
        let undisturbed = self.undisturbed();
        let expected = undisturbed.result.expect("a result");
        self.interrupted(&expected);
        if self.scenario.learns {
            self.learning_side_by_side();
        }
        if seed.is_multiple_of(EVERY_RECORD) {
            self.crashed_at_every_record(undisturbed.moments, &expected);
        }
        if seed % MISHAPS == 1 {
            self.in_trouble();
        }
    }
}

fn check_fates(scenario: &Scenario, outcome: &TuneOutcome) {
    for cv in &outcome.cvs {
        for run in &cv.runs {
            scenario.check_fate(&cv.hyperparameters, run, true);
        }
    }
    let best = outcome.best.map(|best| &outcome.cvs[best].hyperparameters);
    if let (Some(run), Some(best)) = (&outcome.retrain, best) {
        scenario.check_fate(best, run, false);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number: {value}")))
}

fn seeds() -> Vec<u64> {
    match number("TEST_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("TEST_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

#[test]
fn every_invariant_holds_and_every_interruption_comes_to_the_undisturbed_outcome() {
    let mut counts = Counts::new();
    for number in seeds() {
        let mut seed = Seed::new(number);
        let held = catch_unwind(AssertUnwindSafe(|| seed.play()));
        assert!(held.is_ok(), "seed {number} fails: TEST_SEED={number} replays it and prints its schedule");
        for (what, times) in seed.counts {
            *counts.entry(what).or_default() += times;
        }
    }
    if number("TEST_SEEDS").is_some() {
        println!("{counts:#?}");
    }
    if number("TEST_SEED").is_none() {
        every_kind_of_trouble_came(&counts);
    }
}

fn every_kind_of_trouble_came(counts: &Counts) {
    let mut kinds: Vec<String> = Trouble::ALL.iter().map(|trouble| format!("trouble {trouble:?}")).collect();
    kinds.extend(Mishap::ALL.iter().map(|mishap| format!("mishap {mishap:?}")));
    kinds.extend([StopMode::Drain, StopMode::Cancel, StopMode::Kill].map(|mode| format!("stops {mode:?}")));
    kinds.extend(crate::run::Timer::ALL.map(|timer| format!("timer {timer:?}")));
    kinds.extend(
        [
            "steps",
            "crashes",
            "crashes at a record",
            "records lost with the power",
            "launches",
            "doubled words",
            "claims",
            "claims of busy devices",
            "leases returned",
            "leases granted too late",
            "leases revoked",
            "leases refused",
            "lost run actors",
            "lost cv actors",
            "appends that failed",
            "words of workers that were given up",
            "last epochs trained again, for want of their checkpoint",
            "retried lost",
            "retried killed",
            "retried out-of-memory-host",
            "retried out-of-memory-device",
            "late run-ended",
            "late run-lost",
            "late cv-ended",
            "late lease-granted",
            "late time-up",
            "late tracker-closed",
            "late exited",
        ]
        .map(str::to_owned),
    );
    let missing: Vec<&String> = kinds.iter().filter(|kind| !counts.contains_key(*kind)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}
