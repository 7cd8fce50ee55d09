//! Tunes of runs that do nothing, through tune, cvs, runs, devices and sink, with the journal on.

use std::time::{Duration, Instant};

use engine::TuneRequest;
use engine::space::{DEFAULT_SEED, RandomSampler};
use engine_benches::counting::{Taken, counted};
use engine_benches::{NoOp, cpu};

use crate::session::{PAIRS, Session};
use crate::stage::folder;
use crate::{files, samples, search};

/// Runs side by side: as many as a machine of eight devices has. Each is a thread that does nothing.
const SLOTS: usize = 8;

/// What a tune took.
struct Tuned {
    wall: Duration,
    cpu: Option<Duration>,
    taken: Taken,
}

pub fn of_noop_runs(id: &'static str, session: &mut Session) {
    let runs: u32 = id.trim_start_matches("tune/").trim_end_matches("-runs").parse().unwrap();
    let cvs = runs / samples::CELLS;
    // Long ones once: they are their own repetition.
    let times = if runs > 1000 { 1 } else { PAIRS };
    let folder = folder();
    let floor = files::fdatasync(folder.path()).as_secs_f64() * 1e3;
    let of = |took: Duration| took.as_secs_f64() * 1e3 / f64::from(runs);
    let tuned: Vec<Tuned> = (0..times).map(|_| tune(cvs)).collect();
    let per_run = session.middle(id, "ms_per_run", tuned.iter().map(|tuned| of(tuned.wall)).collect());
    let cpu = |tuned: &Tuned| tuned.cpu.map_or(f64::NAN, of);
    session.middle(id, "cpu_ms_per_run", tuned.iter().map(cpu).collect());
    session.note(id, "fdatasync_ms", floor);
    if let Some(tuned) = tuned.last() {
        session.taken(id, tuned.taken, runs as usize);
    }
    let shortest = *session.per_run.get_or_insert(per_run);
    session.note(id, "times_first_tune", per_run / shortest);
}

fn tune(cvs: u32) -> Tuned {
    let folder = folder();
    let engine = engine_benches::engine(NoOp, SLOTS, folder.path()).unwrap();
    let request = TuneRequest::new(cvs, samples::cells(), samples::scoring());
    let sampler = RandomSampler::new(search::space(), DEFAULT_SEED);
    let before = cpu::of_process();
    let begun = Instant::now();
    let (outcome, taken) = counted(|| engine.tune(request, Box::new(sampler)).unwrap().wait().unwrap());
    let wall = begun.elapsed();
    let cpu = cpu::of_process().zip(before).map(|(now, then)| now - then);
    assert_eq!(outcome.cvs.len(), cvs as usize);
    assert!(outcome.cvs.iter().all(|cv| cv.score == Some(0.5)), "a run of a tune that does nothing failed");
    Tuned { wall, cpu, taken }
}
