//! SIGKILL at random moments of a job, each time resumed, until it is done; then what must hold.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant};

use engine_actors::journal::{JOURNAL, history};
use rustix::process::Signal;

use super::compare::assert_same_outcome;
use super::{Job, Random, Told};
use crate::cli::{Ended, Running};
use crate::same::assert_same;

/// Environment variable: how often a job is killed.
const KILLS: &str = "TEST_KILLS";
/// Kills between a job's begin and its end, at the most; then it is let be, and the next begins.
const KILLS_A_ROUND: usize = 5;
/// Facts whose neighbourhood is worth a kill: what was told may not be kept yet, what is kept may not be in a table yet.
const FACTS: [&str; 8] = [
    "tune-started",
    "cv-started",
    "run-started",
    "run-validated",
    "checkpoint-written",
    "run-finished",
    "cv-finished",
    "lease-returned",
];
/// So long after a fact at the most.
const SOON: Duration = Duration::from_millis(30);
/// Whatever is waited for has happened by then.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often to kill: what `TEST_KILLS` says, or else `by_default`.
///
/// # Panics
/// If it says no number.
pub fn kills(by_default: usize) -> usize {
    std::env::var(KILLS).map_or(by_default, |kills| kills.parse().unwrap())
}

/// When a process is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after its start.
    After(Duration),
    /// So long after it told a fact for the n-th time.
    At(&'static str, usize, Duration),
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// Engine and workers at once.
    All,
    /// The engine; its workers find out, while it is resumed already.
    Engine,
}

/// Figures of many kills.
#[derive(Debug, Default)]
pub struct Figures {
    kills: usize,
    at_facts: usize,
    engine_alone: usize,
    rounds: usize,
    epochs: usize,
    redone: usize,
    told_twice: usize,
    slowest_secs: f64,
}

/// Does a job once undisturbed; then again and again, killed so often in all, and compares each.
///
/// # Panics
/// If one comes to another result, trains a run twice or misses one, or leaves a process behind.
pub fn kill_and_compare(job: &Job, folder: &str, kills: usize, random: &mut Random) -> Figures {
    let begun = Instant::now();
    let undisturbed = job.run("undisturbed", &[]);
    let wall = begun.elapsed();
    // A tune of so little may find no stable configuration, and says so by its code.
    assert!(matches!(undisturbed.code, Some(0 | 6)), "{:?}: {}", undisturbed.code, undisturbed.stderr);
    let expected = job.path("undisturbed").join(folder);
    let mut figures = Figures::default();
    while figures.kills < kills {
        let round = figures.rounds;
        assert!(round < 4 * kills + 4, "the job is over before it can be killed: {figures:?}");
        let out = format!("out{round}");
        let (told, ended) = killed_round(job, &out, wall, kills, random, &mut figures);
        assert_eq!(ended.code, undisturbed.code, "{}", ended.stderr);
        assert_same_outcome(&undisturbed.outcome(), &ended.outcome());
        let found = job.path(&out).join(folder);
        assert_same(&expected, &found);
        let runs = assert_history(&found);
        let (epochs, redone) = told.assert_trained_once();
        figures.told_twice += told.count("run-finished").saturating_sub(runs);
        figures.epochs += epochs;
        figures.redone += redone;
        figures.rounds += 1;
        std::fs::remove_dir_all(job.path(&out)).unwrap();
    }
    job.place.assert_left_by_all();
    crate::note(&format!("undisturbed {:.1} s; {figures:?}", wall.as_secs_f64()));
    figures
}

/// A job from its begin to its end, killed some times in between.
fn killed_round(
    job: &Job,
    out: &str,
    wall: Duration,
    kills: usize,
    random: &mut Random,
    figures: &mut Figures,
) -> (Told, Ended) {
    let mut told = Told::default();
    let planned = (kills - figures.kills).min(KILLS_A_ROUND);
    // Over all processes of the round, uniform over the time of an undisturbed one.
    let mut places: Vec<Duration> = (0..planned).map(|_| random.within(wall)).collect();
    places.sort();
    let mut before = Duration::ZERO;
    for (number, place) in places.into_iter().enumerate() {
        let moment = match random.below(2) {
            0 => Moment::After(place - before),
            _ => Moment::At(FACTS[random.below(FACTS.len())], 1 + random.below(2), random.within(SOON)),
        };
        before = place;
        let blow = *random.of(&[Blow::All, Blow::Engine]);
        let mut running = start(job, out, number > 0);
        let is_killed = strike(job, &mut running, moment, blow);
        let ended = running.end();
        told.hear(&ended);
        if !is_killed {
            return (told, ended);
        }
        assert_eq!(ended.code, None, "{moment:?} {blow:?}: {}", ended.stderr);
        figures.kills += 1;
        figures.at_facts += usize::from(matches!(moment, Moment::At(..)));
        figures.engine_alone += usize::from(blow == Blow::Engine);
    }
    let begun = Instant::now();
    let ended = start(job, out, true).end();
    figures.slowest_secs = figures.slowest_secs.max(begun.elapsed().as_secs_f64());
    told.hear(&ended);
    (told, ended)
}

fn start(job: &Job, out: &str, is_resumed: bool) -> Running {
    let more: &[&str] = if is_resumed { &["--resume"] } else { &[] };
    let mut command = job.command(out, more);
    // A group of its own, as a shell gives each of its jobs.
    command.process_group(0);
    job.place.start_command(command)
}

/// Kills a process at its moment; `false` if it came to its end before.
fn strike(job: &Job, running: &mut Running, moment: Moment, blow: Blow) -> bool {
    let comes = match moment {
        Moment::After(delay) => comes_to(running, Instant::now() + delay),
        Moment::At(fact, nth, delay) => {
            let told = (0..nth).all(|_| is_told(running, fact));
            told && comes_to(running, Instant::now() + delay)
        }
    };
    if !comes {
        return false;
    }
    let workers: Vec<i32> = job.place.processes().into_iter().map(|(id, _)| id).collect();
    running.signal(Signal::KILL);
    if blow == Blow::All {
        // One that is gone already needs no killing.
        workers.into_iter().filter(|id| *id != running.id()).for_each(|id| {
            if let Some(id) = rustix::process::Pid::from_raw(id) {
                let _ = rustix::process::kill_process(id, Signal::KILL);
            }
        });
    }
    true
}

/// Lets a process go on until then; `false` if it ends before.
fn comes_to(running: &mut Running, deadline: Instant) -> bool {
    while running.line_until(deadline).is_some() {}
    Instant::now() >= deadline
}

/// Waits for a fact; `false` if the process ends without it.
fn is_told(running: &mut Running, fact: &str) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let fact = format!("\"event\":\"{fact}\"");
    while let Some(line) = running.line_until(deadline) {
        if line.contains(&fact) {
            return true;
        }
    }
    assert!(Instant::now() < deadline, "the engine hangs before {fact}");
    false
}

/// That the journal of a job that is done is whole and has every run's end. Gives the number of its runs.
fn assert_history(folder: &Path) -> usize {
    let path = folder.join(JOURNAL);
    let contents = engine_tracking::journal::read(&path).unwrap();
    let past = history(&path, &contents).unwrap();
    assert_eq!((contents.torn, past.ended()), (None, Some(false)), "{}", path.display());
    assert!(past.runs().all(|run| run.outcome.is_some()), "a run without an end: {past:?}");
    past.runs().count()
}
