use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use engine_devices::usage::HostMeter;
use engine_tracking::{Figure, MetricPoint, Metrics};
use proptest::prelude::*;

use super::super::meter::{Rhythm, Subject};
use super::*;
use crate::bus::{EventBus, EventStream};
use crate::limits::RUN_LINE_QUEUE;
use crate::ports::{Tracker, TrackerError};
use crate::stop::StopLine;
use crate::testing::run_plan;

/// Longer than any sound back end takes on a busy machine.
const PATIENT: Duration = Duration::from_secs(60);

/// Calls of all back ends in the order they came: which back end, and what.
type Calls = Arc<Mutex<Vec<(&'static str, String)>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Never,
    WithError(usize),
    WithPanic(usize),
}

/// Writes down what it is asked for; may break at its n-th call, or wait at its first points.
struct Fake {
    name: &'static str,
    calls: Calls,
    breaks: Breaks,
    count: usize,
    gate: Option<Receiver<()>>,
    publishes: bool,
    line: Option<RunLine>,
}

impl Fake {
    fn new(name: &'static str, calls: &Calls) -> Self {
        let (calls, breaks) = (Arc::clone(calls), Breaks::Never);
        Self { name, calls, breaks, count: 0, gate: None, publishes: false, line: None }
    }

    fn hear(&mut self, what: String) -> Result<(), TrackerError> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push((self.name, what));
        let at = self.count;
        self.count += 1;
        match self.breaks {
            Breaks::WithError(n) if n == at => Err("no space left on device".into()),
            Breaks::WithPanic(n) if n == at => panic!("disk on fire"),
            _ => Ok(()),
        }
    }
}

impl Tracker for Fake {
    fn name(&self) -> &str {
        self.name
    }
    fn open(&mut self, _: &RunPlan, line: &RunLine) -> Result<(), TrackerError> {
        self.line = Some(line.clone());
        self.hear("open".into())
    }
    fn points(&mut self, points: &[MetricPoint]) -> Result<(), TrackerError> {
        if let Some(gate) = self.gate.take() {
            // Closed by the test when it is over.
            assert!(gate.recv().is_err());
        }
        self.hear(format!("points {}", points[0].step))
    }
    fn event(&mut self, event: &Event) -> Result<(), TrackerError> {
        if self.publishes {
            self.line.as_ref().unwrap().publish(warned("published"));
        }
        let Event::Warned { message } = event else { panic!("{event:?}") };
        self.hear(format!("event {message}"))
    }
    fn figures(&mut self, figures: &[Figure]) -> Result<(), TrackerError> {
        self.hear(format!("figures {}", figures.len()))
    }
    fn printed(&mut self, lines: &[String]) -> Result<(), TrackerError> {
        self.hear(format!("printed {}", lines.join("|")))
    }
    fn system(&mut self, sample: &Metrics) -> Result<(), TrackerError> {
        let worker = sample.contains_key("proc.memory.rssMB");
        self.hear(format!("system {} {worker}", sample.contains_key("memory_percent")))
    }
    fn close(&mut self) -> Result<(), TrackerError> {
        self.hear("close".into())
    }
}

fn warned(message: &str) -> Event {
    Event::Warned { message: message.into() }
}

fn points(step: u64) -> Record {
    Record::Points(vec![MetricPoint { epoch: 0, step, values: Metrics::new() }])
}

/// The tracking of one run under way on this thread's runtime.
struct Stage {
    bus: EventBus,
    warnings: EventStream,
    plan: Arc<RunPlan>,
    patience: Duration,
}

impl Stage {
    fn new(patience: Duration) -> Self {
        let bus = EventBus::new();
        Self { warnings: bus.subscribe(), bus, plan: Arc::new(run_plan("r")), patience }
    }

    /// Tracks these records by further back ends and one in the place of the files, and returns the warnings.
    fn track(mut self, factory: Arc<TrackerFactory>, files: Fake, records: Vec<Record>) -> Vec<String> {
        let (queue, orders) = mpsc::channel(4);
        let (log, published) = mpsc::channel(RUN_LINE_QUEUE);
        let (stop, _run) = StopLine::new();
        let line = RunLine::new(self.bus.clone(), log, stop);
        let files = Seat::take(vec![Box::new(files)], Arc::clone(&self.plan), line.clone()).unwrap();
        let tracking = Tracking::new(Arc::clone(&self.plan), Some(files), line, self.patience);
        let order = async move {
            for record in records {
                queue.send(Order::Keep(record)).await.unwrap();
            }
            let (closed, done) = oneshot::channel();
            queue.send(Order::Close(closed)).await.unwrap();
            done.await.unwrap();
        };
        let both = async { tokio::join!(tracking.drive(factory, orders, published, || None), order) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(both);
        let mut warnings = Vec::new();
        while let Some(event) = self.warnings.try_next() {
            let Event::Warned { message } = event else { panic!("{event:?}") };
            warnings.push(message);
        }
        warnings
    }
}

/// A factory that gives these once.
fn once(all: Vec<Fake>) -> Arc<TrackerFactory> {
    let all = Mutex::new(Some(all));
    Arc::new(move |_| {
        let all = all.lock().unwrap().take().unwrap();
        all.into_iter().map(|fake| Box::new(fake) as Box<dyn Tracker>).collect()
    })
}

fn heard(calls: &Calls, name: &str) -> Vec<String> {
    let calls = calls.lock().unwrap();
    calls.iter().filter(|(by, _)| *by == name).map(|(_, what)| what.clone()).collect()
}

#[test]
fn the_files_get_each_record_after_the_other_back_ends() {
    let calls = Calls::default();
    let further = once(vec![Fake::new("wandb", &calls), Fake::new("tensorboard", &calls)]);
    let records = vec![points(1), Record::Printed(vec!["a".into(), "b".into()]), points(2)];
    let warnings = Stage::new(PATIENT).track(further, Fake::new("files", &calls), records);
    assert_eq!(warnings, Vec::<String>::new());
    let all = ["open", "points 1", "printed a|b", "points 2", "close"];
    for name in ["wandb", "tensorboard", "files"] {
        assert_eq!(heard(&calls, name), all);
    }
    for (round, what) in calls.lock().unwrap().chunks(3).zip(all) {
        assert_eq!(round[2], ("files", what.to_owned()), "the files are last");
    }
}

#[test]
fn track_2_a_back_end_that_does_not_answer_is_given_up_once_and_the_others_go_on() {
    let calls = Calls::default();
    let (open, gate): (SyncSender<()>, _) = sync_channel(0);
    let mut stuck = Fake::new("stuck", &calls);
    stuck.gate = Some(gate);
    let further = once(vec![stuck, Fake::new("sound", &calls)]);
    let records = (1..=40).map(points).collect();
    // The sound ones answer within this even on a busy machine.
    let stage = Stage::new(Duration::from_secs(3));
    let warnings = stage.track(further, Fake::new("files", &calls), records);
    assert_eq!(warnings, ["stuck of `r` is turned off: no answer within 3 s"]);
    let all: Vec<String> = std::iter::once("open".to_owned())
        .chain((1..=40).map(|step| format!("points {step}")))
        .chain(["close".to_owned()])
        .collect();
    assert_eq!(heard(&calls, "sound"), all);
    // The files hear of the one that is given up besides.
    let files: Vec<String> =
        heard(&calls, "files").into_iter().filter(|what| !what.starts_with("event ")).collect();
    assert_eq!(files, all);
    assert_eq!(heard(&calls, "stuck"), ["open"]);
    drop(open);
}

#[test]
fn trackers_that_can_not_be_made_leave_a_run_its_files() {
    let calls = Calls::default();
    let broken: Arc<TrackerFactory> = Arc::new(|_| panic!("a bad setting"));
    let warnings = Stage::new(PATIENT).track(broken, Fake::new("files", &calls), vec![points(1)]);
    assert_eq!(warnings, ["the further tracking of `r` is turned off: making them panicked"]);
    let files: Vec<String> =
        heard(&calls, "files").into_iter().filter(|what| !what.starts_with("event ")).collect();
    assert_eq!(files, ["open", "points 1", "close"]);
}

#[test]
fn what_a_back_end_publishes_stands_in_the_files_and_goes_round_no_further() {
    let calls = Calls::default();
    let mut chatty = Fake::new("chatty", &calls);
    chatty.publishes = true;
    let happened = Record::Happened(Box::new(warned("w")));
    let warnings = Stage::new(PATIENT).track(once(vec![chatty]), Fake::new("files", &calls), vec![happened]);
    assert_eq!(warnings, ["published"]);
    assert_eq!(heard(&calls, "chatty"), ["open", "event w", "close"]);
    assert_eq!(heard(&calls, "files"), ["open", "event w", "event published", "close"]);
}

#[test]
fn back_ends_that_are_left_without_a_word_are_closed() {
    let calls = Calls::default();
    let (plan, line) = {
        let (stop, _run) = StopLine::new();
        let (log, _logged) = mpsc::channel(1);
        (Arc::new(run_plan("r")), RunLine::new(EventBus::new(), log, stop))
    };
    let (open, gate): (SyncSender<()>, _) = sync_channel(0);
    let mut fake = Fake::new("files", &calls);
    fake.gate = Some(gate);
    let seat = Seat::take(vec![Box::new(fake)], plan, line).unwrap();
    let answered = seat.ask(Deed::Open).blocking_recv();
    assert_eq!(answered, Ok(Left::Some));
    // At work when its tracking goes, but with somebody who waits: it is closed when it comes back.
    let asked = seat.ask(Deed::Keep(Arc::new(points(1))));
    drop(seat);
    drop(open);
    assert_eq!(asked.blocking_recv(), Ok(Left::Some));
    let until = std::time::Instant::now() + PATIENT;
    while heard(&calls, "files").len() < 3 {
        assert!(std::time::Instant::now() < until, "{:?}", heard(&calls, "files"));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(heard(&calls, "files"), ["open", "points 1", "close"]);
}

#[test]
fn machine_and_worker_are_measured_until_the_run_is_over_and_a_full_queue_loses_samples_only() {
    let (queue, mut orders) = mpsc::channel(1);
    let rhythm = Rhythm { first: Duration::ZERO, period: Duration::from_millis(1) };
    let subject = Subject::default();
    subject.is_process(std::process::id());
    let host = Arc::new(HostMeter::new());
    let folder = std::env::temp_dir();
    let weak = queue.downgrade();
    let metering = Metering::start("meter".into(), rhythm, (host, &folder), subject, weak).unwrap();
    let Some(Order::Keep(Record::Measured(sample))) = orders.blocking_recv() else { panic!() };
    assert_eq!(sample.contains_key("proc.memory.rssMB"), cfg!(target_os = "linux"), "{sample:?}");
    assert!(sample.values().all(|value| value.is_finite()));
    drop(metering);
    drop(queue);
    // The thread holds no sender of its own: the queue ends with its last one.
    while orders.blocking_recv().is_some() {}
}

#[derive(Debug, Clone)]
enum Kind {
    Points,
    Figures,
    Printed,
    Happened,
    Measured,
}

fn record(kind: &Kind, number: usize) -> (Record, String) {
    match kind {
        Kind::Points => (points(number as u64), format!("points {number}")),
        Kind::Figures => (Record::Figures(vec![]), "figures 0".into()),
        Kind::Printed => (Record::Printed(vec![number.to_string()]), format!("printed {number}")),
        Kind::Happened => {
            (Record::Happened(Box::new(warned(&number.to_string()))), format!("event {number}"))
        }
        Kind::Measured => (Record::Measured(Metrics::new()), "system false false".into()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn track_1_2_and_4_hold_for_any_records_and_any_failure(
        kinds in proptest::collection::vec(
            prop_oneof![Just(Kind::Points), Just(Kind::Figures), Just(Kind::Printed), Just(Kind::Happened), Just(Kind::Measured)],
            0..30,
        ),
        at in 0..34_usize,
        panics in any::<bool>(),
        broken_is_files in any::<bool>(),
    ) {
        let calls = Calls::default();
        let (records, words): (Vec<Record>, Vec<String>) =
            kinds.iter().enumerate().map(|(number, kind)| record(kind, number)).unzip();
        let all: Vec<String> =
            std::iter::once("open".to_owned()).chain(words).chain(["close".to_owned()]).collect();
        let breaks = if panics { Breaks::WithPanic(at) } else { Breaks::WithError(at) };
        let broken = Fake { breaks, ..Fake::new("broken", &calls) };
        let sound = Fake::new("sound", &calls);
        let (further, files) = if broken_is_files { (sound, broken) } else { (broken, sound) };
        let warnings = Stage::new(PATIENT).track(once(vec![further]), files, records);
        // Whoever is in the files' place hears the warning too, which is no record.
        let without_warning = |name| -> Vec<String> {
            heard(&calls, name).into_iter().filter(|what| !what.contains("turned off")).collect()
        };
        let heard_by_broken = without_warning("broken");
        prop_assert_eq!(without_warning("sound"), all.clone(), "TRACK-1 and TRACK-4");
        prop_assert_eq!(&heard_by_broken[..], &all[..heard_by_broken.len()], "TRACK-1");
        prop_assert_eq!(heard_by_broken.len(), all.len().min(at + 1), "TRACK-2: never called again");
        prop_assert_eq!(warnings.len(), usize::from(at < all.len()), "TRACK-2: warned of once");
    }
}
