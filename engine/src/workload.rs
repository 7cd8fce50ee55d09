//! What a run does: the trait a workload implements, and the context it speaks through.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine_actors::outcome::Failure;
use engine_actors::protocol::{FromWorker, Progress};
pub use engine_actors::protocol::{RunOrder, RunSummary};
pub use engine_tracking::{Figure, MetricPoint, Metrics, RunPlace};

/// Points are sent at the latest after this long, so that a display lags by no more.
const FLUSH_AFTER: Duration = Duration::from_millis(250);
/// Points are sent at the latest when so many wait.
const FLUSH_AT: usize = 64;

/// What one run does, given its order and a context to report through.
///
/// Runs on a worker's own thread or process, never on an arbiter: it may block as long as it likes,
/// but asks [`RunContext::stop_requested`] at every step. One process may do several runs of one configuration, one after
/// another: what a run does must follow from its order alone.
pub trait Workload: Send + Sync + 'static {
    /// Does the run.
    ///
    /// # Errors
    /// A [`Failure`] with its cause; the cause decides whether the run is tried again.
    fn run(&self, order: &RunOrder, context: &RunContext) -> Result<RunSummary, Failure>;
}

/// What a workload says while it runs. Cheap to call; nothing here waits for a disk or a network.
pub struct RunContext {
    send: Say,
    stop: Arc<AtomicBool>,
    checkpoint: Arc<AtomicBool>,
    pending: Mutex<Pending>,
    /// Where the engine's answers come in; none where nobody answers.
    answers: Option<Arc<Answers>>,
}

/// Where what a run says goes.
type Say = Arc<dyn Fn(FromWorker) + Send + Sync>;

/// Whether what a run said is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is.
    Yes,
    /// There is nobody to keep it.
    No,
}

/// The engine's answers to [`RunContext::settle`].
#[derive(Debug, Default)]
pub(crate) struct Answers {
    count: Mutex<Count>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Count {
    asked: u64,
    answered: u64,
    is_over: bool,
}

impl Answers {
    fn ask(&self) -> u64 {
        let mut count = self.count();
        count.asked += 1;
        count.asked
    }

    fn wait(&self, asked: u64) -> Kept {
        let open = |count: &mut Count| count.answered < asked && !count.is_over;
        let count = self.changed.wait_while(self.count(), open).unwrap_or_else(PoisonError::into_inner);
        if count.answered >= asked { Kept::Yes } else { Kept::No }
    }

    /// An answer has come.
    pub(crate) fn answer(&self) {
        let mut count = self.count();
        // One more than was asked is nobody's.
        count.answered = (count.answered + 1).min(count.asked);
        self.changed.notify_all();
    }

    fn is_over(&self) -> bool {
        self.count().is_over
    }

    /// None comes any more.
    pub(crate) fn end(&self) {
        self.count().is_over = true;
        self.changed.notify_all();
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question to the engine that is under way: see [`RunContext::ask_to_settle`].
#[derive(Debug)]
#[must_use = "what is asked has to be waited for"]
pub struct Settling {
    asked: Option<(Arc<Answers>, u64)>,
}

impl Settling {
    /// Waits until all that was said before the question is kept.
    #[must_use = "a checkpoint ahead of the records leaves a gap in them"]
    pub fn wait(self) -> Kept {
        self.asked.map_or(Kept::Yes, |(answers, asked)| answers.wait(asked))
    }
}

/// Tells of checkpoints from a thread beside the run's.
///
/// It hands on no points that wait: which of them make a row is the run's to say, not the clock's. So it may tell only of a
/// checkpoint for which the run was asked to settle.
#[derive(Clone)]
pub struct CheckpointTeller {
    send: Say,
}

impl CheckpointTeller {
    /// A checkpoint is on disk, whole.
    pub fn written(&self, path: PathBuf, epoch: u32, step: u64, monitored: Option<f64>) {
        (self.send)(FromWorker::CheckpointWritten { path, epoch, step, monitored });
    }
}

/// Asks what [`RunContext::settle`] waits for, from a thread beside the run's.
pub struct Settler {
    send: Say,
    answers: Option<Arc<Answers>>,
}

impl Settler {
    /// Asks, without the points that the run has logged since: those are the run's to hand on.
    pub fn ask(self) -> Settling {
        let Some(answers) = self.answers else { return Settling { asked: None } };
        let asked = answers.ask();
        (self.send)(FromWorker::Settle);
        Settling { asked: Some((answers, asked)) }
    }
}

/// Tells of figures that a thread beside the run's draws.
///
/// It hands on no points that wait, as [`CheckpointTeller`] does not.
#[derive(Clone)]
pub struct FigureTeller {
    send: Say,
}

impl FigureTeller {
    /// Figures for the trackers, as [`RunContext::draw`] takes them.
    pub fn draw(&self, figures: Vec<Figure>) {
        (self.send)(FromWorker::Drawn(figures));
    }

    /// As [`RunContext::warn`].
    pub fn warn(&self, message: impl Into<String>) {
        (self.send)(FromWorker::Warned { message: message.into() });
    }
}

struct Pending {
    points: Vec<MetricPoint>,
    points_since: Instant,
    progress_at: Option<Instant>,
}

impl RunContext {
    /// A context that hands messages to `send` and reads `stop`.
    pub fn new(send: impl Fn(FromWorker) + Send + Sync + 'static, stop: Arc<AtomicBool>) -> Self {
        let pending = Pending { points: Vec::new(), points_since: Instant::now(), progress_at: None };
        Self {
            send: Arc::new(send),
            stop,
            checkpoint: Arc::default(),
            pending: Mutex::new(pending),
            answers: None,
        }
    }

    /// The same, that takes requests for checkpoints from `asked`.
    #[must_use]
    pub fn with_checkpoints(self, asked: Arc<AtomicBool>) -> Self {
        Self { checkpoint: asked, ..self }
    }

    /// A context whose [`RunContext::settle`] is answered.
    pub(crate) fn answered(mut self, answers: Arc<Answers>) -> Self {
        self.answers = Some(answers);
        self
    }

    /// Whether the run should finish its step, write its `last` checkpoint and return.
    pub fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether nobody hears the run any more: its engine is gone, or has given it up. What it does now is for nobody.
    pub fn is_abandoned(&self) -> bool {
        self.answers.as_ref().is_some_and(|answers| answers.is_over())
    }

    /// Whether the run should write its `last` checkpoint before its next step and go on. Each request is told once.
    pub fn checkpoint_requested(&self) -> bool {
        self.checkpoint.swap(false, Ordering::Relaxed)
    }

    /// A context that hears the same and says nothing: for the ranks of a data-parallel run that are not the first.
    #[must_use]
    pub fn muted(&self) -> Self {
        Self::new(|_| {}, Arc::clone(&self.stop)).with_checkpoints(Arc::clone(&self.checkpoint))
    }

    /// Data and model stand, and the run begins anew: what an attempt before it logged is of no account.
    pub fn prepared(&self, train_samples: u64, val_samples: u64, parameters: u64, device: String) {
        let (from, metrics) = (None, Metrics::new());
        self.tell(FromWorker::Prepared { train_samples, val_samples, parameters, device, from, metrics });
    }

    /// As [`RunContext::prepared`], for a run that goes on: `from` is the first place it logs anew, and `metrics` are those last
    /// logged before it. In `metrics.csv` the rows at that place, behind it, and from the first that steps back, give way; so log
    /// in the order of places, and afterwards what belongs to the whole, as a test of the best weights.
    pub fn goes_on(
        &self,
        (from, metrics): (RunPlace, Metrics),
        train_samples: u64,
        val_samples: u64,
        parameters: u64,
        device: String,
    ) {
        let from = Some(from);
        self.tell(FromWorker::Prepared { train_samples, val_samples, parameters, device, from, metrics });
    }

    /// Waits until all that was said is kept. Call it before a checkpoint is written: one that is on disk then holds nothing
    /// that the run's records lack, whenever the engine is killed.
    ///
    /// [`Kept::No`] if the engine is gone. The checkpoint must not be written then: the attempt that follows goes on from the one
    /// before it.
    #[must_use = "a checkpoint ahead of the records leaves a gap in them"]
    pub fn settle(&self) -> Kept {
        self.ask_to_settle().wait()
    }

    /// Asks what [`RunContext::settle`] waits for, and leaves the waiting to whoever writes the checkpoint. Ask for one at a
    /// time.
    pub fn ask_to_settle(&self) -> Settling {
        self.settler().ask()
    }

    /// Hands on the points that wait, and leaves the asking to another thread, which may have something to tell first.
    pub fn settler(&self) -> Settler {
        self.flush();
        Settler { send: Arc::clone(&self.send), answers: self.answers.clone() }
    }

    /// Hands on the points that wait, and tells of figures that another thread draws.
    pub fn figure_teller(&self) -> FigureTeller {
        self.flush();
        FigureTeller { send: Arc::clone(&self.send) }
    }

    /// Tells of checkpoints that another thread writes.
    pub fn checkpoint_teller(&self) -> CheckpointTeller {
        CheckpointTeller { send: Arc::clone(&self.send) }
    }

    /// Where the run is. Call it every batch: at most four a second are sent.
    pub fn progress(&self, progress: Progress) {
        let now = Instant::now();
        let due = {
            let mut pending = self.lock();
            let due = pending.progress_at.is_none_or(|at| now - at >= FLUSH_AFTER);
            if due {
                pending.progress_at = Some(now);
            }
            due
        };
        if due {
            self.flush_whole();
            (self.send)(FromWorker::Progress(progress));
        }
    }

    /// Values to log. Sent in batches, in order. Those of one (epoch, step) that are logged one after another are one row,
    /// however long the pause between them.
    pub fn log(&self, point: MetricPoint) {
        let full = {
            let mut pending = self.lock();
            if pending.points.is_empty() {
                pending.points_since = Instant::now();
            }
            pending.points.push(point);
            pending.points.len() >= FLUSH_AT || pending.points_since.elapsed() >= FLUSH_AFTER
        };
        if full {
            self.flush_whole();
        }
    }

    /// One validation pass is over. Its values are logged with [`RunContext::log`] besides.
    pub fn validated(&self, epoch: u32, step: u64, metrics: Metrics) {
        self.tell(FromWorker::Validated { epoch, step, metrics });
    }

    /// A checkpoint is on disk, whole.
    pub fn checkpoint_written(&self, path: PathBuf, epoch: u32, step: u64, monitored: Option<f64>) {
        self.tell(FromWorker::CheckpointWritten { path, epoch, step, monitored });
    }

    /// Figures for the trackers. Files they name are whole on disk, and stay as they are.
    pub fn draw(&self, figures: Vec<Figure>) {
        self.tell(FromWorker::Drawn(figures));
    }

    /// Something the user should know that keeps the run from nothing, as a fragment: it becomes an event.
    pub fn warn(&self, message: impl Into<String>) {
        self.tell(FromWorker::Warned { message: message.into() });
    }

    /// Sends the points that wait.
    pub fn flush(&self) {
        let points = std::mem::take(&mut self.lock().points);
        if !points.is_empty() {
            (self.send)(FromWorker::Logged(points));
        }
    }

    /// Sends the points that wait, but those of the newest place, which may get more: what is a row must not hang on the clock.
    fn flush_whole(&self) {
        let mut pending = self.lock();
        let newest = pending.points.last().map(|point| (point.epoch, point.step));
        let open = pending.points.iter().rev().take_while(|point| newest == Some((point.epoch, point.step)));
        // A place that gets more and more is sent in parts: what waits is bounded.
        let open = Some(open.count()).filter(|open| *open < FLUSH_AT).unwrap_or(0);
        let whole = pending.points.len() - open;
        let rest = pending.points.split_off(whole);
        let points = std::mem::replace(&mut pending.points, rest);
        pending.points_since = Instant::now();
        drop(pending);
        if !points.is_empty() {
            (self.send)(FromWorker::Logged(points));
        }
    }

    /// Points always travel before what refers to them.
    fn tell(&self, message: FromWorker) {
        self.flush();
        (self.send)(message);
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use engine_actors::protocol::Phase;

    use super::*;

    #[test]
    fn what_is_logged_at_one_place_travels_together_whatever_the_clock_says() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&said);
        let context = RunContext::new(
            move |message| {
                if let FromWorker::Logged(points) = message {
                    hears.lock().unwrap().push(points.iter().map(|point| point.step).collect::<Vec<_>>());
                }
            },
            Arc::default(),
        );
        let log = |step| {
            // The time for a batch is over with every point.
            context.lock().points_since = Instant::now() - 2 * FLUSH_AFTER;
            context.log(MetricPoint { epoch: 0, step, values: [("loss".to_owned(), 0.5)].into() });
        };
        [1, 2, 2].into_iter().for_each(log);
        let batch = Progress { epoch: 0, max_epochs: 1, batch: 1, batches: 1, phase: Phase::Train };
        context.progress(batch);
        [2, 3].into_iter().for_each(log);
        context.validated(0, 3, Metrics::new());
        assert_eq!(*said.lock().unwrap(), [vec![1], vec![2, 2, 2], vec![3]]);
    }

    #[test]
    fn what_is_told_of_a_checkpoint_from_another_thread_takes_no_points_along() {
        let (said, hears) = crossbeam::channel::bounded(8);
        let context = RunContext::new(move |message| said.send(message).unwrap(), Arc::default());
        let teller = context.checkpoint_teller();
        let log = |step| {
            context.log(MetricPoint { epoch: 0, step, values: [("loss".to_owned(), 0.5)].into() });
        };
        log(1);
        assert_eq!(context.ask_to_settle().wait(), Kept::Yes, "where nobody answers");
        assert!(matches!(hears.recv().unwrap(), FromWorker::Logged(points) if points[0].step == 1));
        log(2);
        std::thread::spawn(move || teller.written("last".into(), 0, 1, None)).join().unwrap();
        assert!(matches!(hears.recv().unwrap(), FromWorker::CheckpointWritten { step: 1, .. }));
        context.flush();
        assert!(matches!(hears.recv().unwrap(), FromWorker::Logged(points) if points[0].step == 2));
    }

    #[test]
    fn settling_waits_for_the_answer_and_not_for_an_engine_that_is_gone() {
        let (said, hears) = crossbeam::channel::bounded(8);
        let answers = Arc::<Answers>::default();
        let send = move |message| said.send(message).unwrap();
        let context = RunContext::new(send, Arc::default()).answered(Arc::clone(&answers));
        // One that nobody asked for is no answer to what is asked later.
        answers.answer();
        context.log(MetricPoint { epoch: 0, step: 1, values: [("loss".to_owned(), 0.5)].into() });
        std::thread::scope(|scope| {
            let settling = scope.spawn(|| context.settle());
            assert!(matches!(hears.recv().unwrap(), FromWorker::Logged(points) if points.len() == 1));
            assert_eq!(hears.recv().unwrap(), FromWorker::Settle);
            assert!(!settling.is_finished());
            answers.answer();
            assert_eq!(settling.join().unwrap(), Kept::Yes);
            let settling = scope.spawn(|| context.settle());
            assert_eq!(hears.recv().unwrap(), FromWorker::Settle);
            assert!(!context.is_abandoned());
            answers.end();
            assert_eq!(settling.join().unwrap(), Kept::No);
            assert!(context.is_abandoned());
        });
        assert_eq!(RunContext::new(|_| {}, Arc::default()).settle(), Kept::Yes, "where nobody answers");
    }
}
