//! The engine's share of a training step of 10 ms.

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::workload::{Kept, RunContext, Workload};
use engine::{Cell, Failure, RunRequest};
use engine_actors::protocol::{RunOrder, RunSummary};
use engine_benches::counting::Taken;
use engine_benches::{cpu, ended};

use crate::samples;
use crate::session::{PAIRS, Session};
use crate::stage::folder;

/// Arithmetic of one step.
const STEP: Duration = Duration::from_millis(10);
/// Steps of a run: ten epochs, beside which its start and end count for little; they have benches of their own.
const STEPS: u32 = 1000;
const EPOCH: u32 = 100;
/// Steps between two rows of metrics, as a run has them unless told otherwise.
const LOG_EVERY: u32 = 10;
/// Steps without arithmetic, to count what they take from the heap.
const BARE_STEPS: u32 = 100_000;

/// What a run measured of itself.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    /// Time within the engine's functions, waiting included.
    in_engine: Duration,
    /// Time of the loop.
    all: Duration,
    /// CPU time of the training thread.
    thread: Duration,
    taken: Taken,
}

/// A run that spins where a network would train, and says to the engine what a training run says.
#[derive(Clone)]
struct Training {
    step: Duration,
    steps: u32,
    measured: Arc<Mutex<Measured>>,
}

impl Workload for Training {
    fn run(&self, _order: &RunOrder, context: &RunContext) -> Result<RunSummary, Failure> {
        let (measured, taken) = engine_benches::counting::counted(|| self.train(context));
        *self.measured.lock().unwrap() = Measured { taken, ..measured };
        Ok(ended())
    }
}

impl Training {
    fn train(&self, context: &RunContext) -> Measured {
        let (begun, mut in_engine) = (Instant::now(), Duration::ZERO);
        let thread = cpu::of_thread();
        for step in 0..self.steps {
            spin(self.step);
            let called = Instant::now();
            say(context, step);
            in_engine += called.elapsed();
        }
        let thread = cpu::of_thread().zip(thread).map_or(Duration::ZERO, |(now, then)| now - then);
        Measured { in_engine, all: begun.elapsed(), thread, taken: Taken::default() }
    }
}

/// What a training run says at a step: where it is, every so often a row, at the end of an epoch its validation.
fn say(context: &RunContext, step: u32) {
    assert!(!context.stop_requested() && !context.checkpoint_requested());
    context.progress(engine::Progress { epoch: step / EPOCH, ..samples::progress(step % EPOCH) });
    if step.is_multiple_of(LOG_EVERY) {
        context.log(samples::point(u64::from(step)));
    }
    if step % EPOCH == EPOCH - 1 {
        context.validated(step / EPOCH, u64::from(step), samples::metrics());
        assert_eq!(context.settle(), Kept::Yes);
        context.checkpoint_written("checkpoints/last".into(), step / EPOCH, u64::from(step), Some(0.5));
    }
}

fn spin(time: Duration) {
    let begun = Instant::now();
    let mut sum = 0_u64;
    while begun.elapsed() < time {
        sum = (0..1000).fold(sum, |sum, next| black_box(sum ^ next));
    }
}

/// Trains, and gives what the run measured and the CPU time of all other threads meanwhile.
fn train(step: Duration, steps: u32) -> (Measured, Option<Duration>) {
    let folder = folder();
    let measured = Arc::default();
    let training = Training { step, steps, measured: Arc::clone(&measured) };
    let engine = engine_benches::engine(training, 1, folder.path()).unwrap();
    let before = cpu::of_process();
    let request =
        RunRequest::new(Cell { fold: 0, seed: 42 }).with_hyperparameters(samples::hyperparameters());
    engine.train(request).unwrap().wait().unwrap();
    let process = cpu::of_process().zip(before).map(|(now, then)| now - then);
    let measured = *measured.lock().unwrap();
    (measured, process.map(|process| process.saturating_sub(measured.thread)))
}

/// What the engine takes of a step: time in its functions on the training thread, and the CPU of every other thread, from the
/// start of the run to its end.
pub fn share(id: &'static str, session: &mut Session) {
    let percent = |part: Duration| 100.0 * part.as_secs_f64() / (STEP * STEPS).as_secs_f64();
    let runs: Vec<_> = (0..PAIRS).map(|_| train(STEP, STEPS)).collect();
    session.middle(id, "percent_on_its_thread", runs.iter().map(|(run, _)| percent(run.in_engine)).collect());
    // Where the kernel tells no CPU time the share is no number, which is beyond any budget.
    let others = |run: &(Measured, Option<Duration>)| run.1.map_or(f64::NAN, percent);
    session.middle(id, "percent_of_others", runs.iter().map(others).collect());
    session.middle(id, "percent", runs.iter().map(|run| percent(run.0.in_engine) + others(run)).collect());
    let stretch =
        |(run, _): &(Measured, Option<Duration>)| run.all.as_secs_f64() / (STEP * STEPS).as_secs_f64();
    session.middle(id, "times_the_loop_alone", runs.iter().map(stretch).collect());
    let (bare, _) = train(Duration::ZERO, BARE_STEPS);
    // A row every so many steps is what is said; without it nothing is taken.
    session.taken(id, bare.taken, BARE_STEPS as usize);
}
