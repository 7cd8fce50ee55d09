//! Back ends of tracking in the whole tree, with real thread workers: what they stop, what stops them, what they leave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends at the first thing that is not as it should be"
)]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "tree/support.rs"]
mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine_actors::events::Event;
use engine_actors::limits::Timers;
use engine_actors::outcome::Status;
use engine_actors::plan::{FailedCells, RunPlan};
use engine_actors::ports::{RunLine, Tracker, TrackerError, TrackerFactory};
use engine_actors::protocol::{FromWorker, RunSummary, ToWorker};
use engine_devices::Strategy;
use engine_tracking::run_info::read_run_infos;
use engine_tracking::{MetricPoint, RunPlace};
use support::{Act, Custom, Stage, Talk, complete};

/// What a back end does when it is told of such a thing.
type At<T> = Box<dyn FnMut(&T, &RunLine) + Send>;

/// A back end out of closures.
struct Fake {
    line: Option<RunLine>,
    at_open: At<RunPlan>,
    at_points: At<[MetricPoint]>,
    at_event: At<Event>,
    at_printed: At<[String]>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            line: None,
            at_open: Box::new(|_, _| {}),
            at_points: Box::new(|_, _| {}),
            at_event: Box::new(|_, _| {}),
            at_printed: Box::new(|_, _| {}),
        }
    }
}

impl Tracker for Fake {
    fn name(&self) -> &str {
        "fake"
    }
    fn open(&mut self, plan: &RunPlan, line: &RunLine) -> Result<(), TrackerError> {
        self.line = Some(line.clone());
        (self.at_open)(plan, line);
        Ok(())
    }
    fn points(&mut self, points: &[MetricPoint]) -> Result<(), TrackerError> {
        (self.at_points)(points, self.line.as_ref().unwrap());
        Ok(())
    }
    fn event(&mut self, event: &Event) -> Result<(), TrackerError> {
        (self.at_event)(event, self.line.as_ref().unwrap());
        Ok(())
    }
    fn printed(&mut self, lines: &[String]) -> Result<(), TrackerError> {
        (self.at_printed)(lines, self.line.as_ref().unwrap());
        Ok(())
    }
    fn close(&mut self) -> Result<(), TrackerError> {
        Ok(())
    }
}

/// A system whose runs have this back end besides their files.
fn tracked(make: impl Fn(&RunPlan) -> Fake + Send + Sync + 'static) -> Custom {
    let trackers: Arc<TrackerFactory> = Arc::new(move |plan| vec![Box::new(make(plan)) as Box<dyn Tracker>]);
    Custom { trackers, ..Custom::default() }
}

/// The last word of a run that was asked to stop.
fn stopped() -> Act {
    Act::Say(FromWorker::Finished(RunSummary { stopped: true, ..RunSummary::default() }))
}

/// Stops the run of fold 1 at its first points, twice.
fn stops_fold_one() -> Custom {
    tracked(|plan| {
        let is_unlucky = plan.cell.fold == 1;
        Fake {
            at_points: Box::new(move |_, line| {
                if is_unlucky {
                    line.stop();
                    line.stop();
                }
            }),
            ..Fake::default()
        }
    })
}

#[test]
fn a_stop_from_a_back_end_ends_its_run_alone_and_the_cv_deals_with_it_as_with_a_failed_cell() {
    for (policy, status, score) in
        [(FailedCells::FailCv, Status::Failed, None), (FailedCells::Ignore, Status::Complete, Some(0.5))]
    {
        let stage = Stage::custom(Strategy::CvParallel, 2, stops_fold_one(), |order, port| {
            port.log(0, 1, 0.5);
            if order.plan.cell.fold == 1 {
                assert_eq!(port.hear(), Some(ToWorker::Stop), "it finishes its step and is not killed");
                return stopped();
            }
            complete(0.5)
        });
        let outcome = stage.system.cv(stage.cv_plan("c", 4, policy)).unwrap().wait().unwrap();
        let ended: Vec<_> = outcome.runs.iter().map(|run| run.status).collect();
        let (done, cut) = (Status::Complete, Status::Cancelled);
        assert_eq!(ended, [done, cut, done, done]);
        assert_eq!((outcome.status, outcome.score), (status, score));
        let rows = read_run_infos(&outcome.cv_dir.join("run_infos.parquet")).unwrap();
        let told: Vec<_> = rows.iter().map(|row| row.run.status.as_str()).collect();
        assert_eq!(told, ["complete", "cancelled", "complete", "complete"]);
        stage.end_with_every_lease_returned(4);
    }
}

#[test]
fn a_stop_from_a_back_end_ends_a_run_that_waits_to_be_tried_again() {
    let custom = tracked(|_| Fake {
        at_event: Box::new(|event, line| {
            if matches!(event, Event::RunRetried { .. }) {
                line.stop();
            }
        }),
        ..Fake::default()
    });
    // Never within this test, unless the stop is not heard.
    let timers = Timers { backoff: Duration::from_secs(3600), ..Timers::default() };
    let stage = Stage::custom(Strategy::Auto, 1, Custom { timers, ..custom }, |_, _| Act::Leave);
    let outcome = stage.system.run(stage.run_plan("r")).unwrap().wait().unwrap();
    assert_eq!((outcome.status, outcome.attempts), (Status::Cancelled, 1));
    stage.end_with_every_lease_returned(1);
}

#[test]
fn a_stop_that_comes_after_the_end_does_nothing() {
    let lines: Arc<Mutex<Vec<RunLine>>> = Arc::default();
    let kept = Arc::clone(&lines);
    let custom = tracked(move |_| {
        let kept = Arc::clone(&kept);
        Fake { at_open: Box::new(move |_, line| kept.lock().unwrap().push(line.clone())), ..Fake::default() }
    });
    let stage = Stage::custom(Strategy::Auto, 1, custom, |_, _| complete(0.5));
    for name in ["first", "second"] {
        let outcome = stage.system.run(stage.run_plan(name)).unwrap().wait().unwrap();
        assert_eq!(outcome.status, Status::Complete);
        let lines = lines.lock().unwrap();
        lines.iter().for_each(RunLine::stop);
        lines.iter().for_each(|line| line.publish(Event::Warned { message: "too late".into() }));
    }
    assert_eq!(lines.lock().unwrap().len(), 2);
    stage.end_with_every_lease_returned(2);
}

#[test]
fn what_a_back_end_publishes_and_that_the_worker_answers_stand_in_the_runs_own_log() {
    let custom = tracked(|_| Fake {
        at_open: Box::new(|plan, line| {
            let (run_id, url) = (plan.run_id.clone(), "https://example.org/r".to_owned());
            line.publish(Event::RunTracked { run_id, tracker: "wandb".into(), url });
        }),
        ..Fake::default()
    });
    let stage = Stage::custom(Strategy::Auto, 1, custom, |_, _| complete(0.5));
    let mut events = stage.system.subscribe();
    let outcome = stage.system.run(stage.run_plan("r")).unwrap().wait().unwrap();
    let log = std::fs::read_to_string(outcome.run_dir.join("events.jsonl")).unwrap();
    let own = std::process::id();
    assert_eq!(log.matches("\"event\":\"run-tracked\"").count(), 1, "{log}");
    assert_eq!(log.matches("\"event\":\"worker-ready\"").count(), 1, "{log}");
    assert!(log.contains(&format!("\"pid\":{own}")), "{log}");
    assert!(log.lines().last().unwrap().contains("run-finished"), "{log}");
    let mut published = 0;
    while let Some(event) = events.try_next() {
        published += u32::from(matches!(event, Event::RunTracked { .. } | Event::WorkerReady { .. }));
    }
    assert_eq!(published, 2);
    stage.end_with_every_lease_returned(1);
}

/// A back end that does not come back from its first points until the gate's other end is dropped.
fn blocks(gate: Receiver<()>) -> Custom {
    let gate = Mutex::new(Some(gate));
    tracked(move |_| {
        let mut gate = gate.lock().unwrap().take();
        Fake {
            at_points: Box::new(move |_, _| {
                if let Some(gate) = gate.take() {
                    assert!(gate.recv().is_err());
                }
            }),
            ..Fake::default()
        }
    })
}

/// More than all queues between worker and back ends hold.
const MANY: u64 = 600;

#[test]
fn a_back_end_that_blocks_is_given_up_and_the_run_goes_on_with_every_row_in_its_files() {
    let (open, gate) = sync_channel(0);
    let timers = Timers { back_end: Duration::from_secs(2), ..Timers::default() };
    let custom = Custom { timers, ..blocks(gate) };
    let stage = Stage::custom(Strategy::Auto, 1, custom, |_, port| {
        (1..=MANY).for_each(|step| port.log(0, step, 0.5));
        complete(0.5)
    });
    let mut events = stage.system.subscribe();
    let outcome = stage.system.run(stage.run_plan("r")).unwrap().wait().unwrap();
    assert_eq!((outcome.status, outcome.attempts), (Status::Complete, 1));
    let mut warnings = vec![];
    while let Some(event) = events.try_next() {
        if let Event::Warned { message } = event {
            warnings.push(message);
        }
    }
    assert_eq!(warnings, ["fake of `r` is turned off: no answer within 2 s"]);
    let rows = std::fs::read_to_string(outcome.run_dir.join("metrics.csv")).unwrap();
    assert_eq!(rows.lines().count() as u64, 1 + MANY);
    stage.end_with_every_lease_returned(1);
    drop(open);
}

#[test]
fn track_4_a_full_queue_slows_the_worker_and_never_has_it_killed() {
    let (open, gate) = sync_channel::<()>(0);
    // Silence of this length would end the run, were it the worker's own.
    let progress = Duration::from_secs(2);
    let stage = Stage::custom(
        Strategy::Auto,
        1,
        Custom { timers: Timers { progress, ..Timers::default() }, ..blocks(gate) },
        |_, port| {
            (1..=MANY).for_each(|step| port.log(0, step, 0.5));
            complete(0.5)
        },
    );
    let job = stage.system.run(stage.run_plan("r")).unwrap();
    let opener = std::thread::spawn(move || {
        std::thread::sleep(progress + Duration::from_secs(1));
        drop(open);
    });
    let outcome = job.wait().unwrap();
    opener.join().unwrap();
    assert_eq!((outcome.status, outcome.attempts), (Status::Complete, 1), "{:?}", outcome.failure);
    let rows = std::fs::read_to_string(outcome.run_dir.join("metrics.csv")).unwrap();
    assert_eq!(rows.lines().count() as u64, 1 + MANY);
    stage.end_with_every_lease_returned(1);
}

#[test]
fn what_a_worker_prints_reaches_the_back_ends_up_to_its_end_and_no_file() {
    let all: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&all);
    let custom = tracked(move |_| {
        let kept = Arc::clone(&kept);
        let at_printed =
            Box::new(move |lines: &[String], _: &RunLine| kept.lock().unwrap().extend_from_slice(lines));
        Fake { at_printed, ..Fake::default() }
    });
    let prints = vec!["loading weights".to_owned(), "ready".to_owned()];
    let custom = Custom { prints: prints.clone(), ..custom };
    let stage = Stage::custom(Strategy::Auto, 1, custom, |_, port| {
        port.log(0, 1, 0.5);
        complete(0.5)
    });
    let outcome = stage.system.run(stage.run_plan("r")).unwrap().wait().unwrap();
    assert_eq!((outcome.status, outcome.attempts), (Status::Complete, 1));
    // Before hello, prepared, the points, the last word and the end.
    assert_eq!(*all.lock().unwrap(), vec![prints; 5].concat());
    for file in std::fs::read_dir(&outcome.run_dir).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("loading weights"), "{text}");
    }
    stage.end_with_every_lease_returned(1);
}

#[test]
fn track_5_a_worker_that_settles_goes_on_when_every_back_end_has_kept_what_it_said() {
    let kept = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&kept);
    let custom = tracked(move |_| {
        let told = Arc::clone(&told);
        let at_points = Box::new(move |points: &[MetricPoint], _: &RunLine| {
            // Far longer than an answer takes that does not wait for it.
            std::thread::sleep(Duration::from_millis(100));
            told.fetch_add(points.len() as u64, Ordering::Relaxed);
        });
        Fake { at_points, ..Fake::default() }
    });
    let stage = Stage::custom(Strategy::Auto, 1, custom, move |order, port| {
        for step in 1..=3 {
            port.log(0, step, 0.5);
            port.0.send(FromWorker::Settle).unwrap();
            assert_eq!(port.hear(), Some(ToWorker::Settled));
            assert_eq!(kept.load(Ordering::Relaxed), step);
            let rows = std::fs::read_to_string(order.plan.run_dir.join("metrics.csv")).unwrap();
            assert_eq!(rows.lines().count() as u64, 1 + step);
        }
        complete(0.5)
    });
    let outcome = stage.system.run(stage.run_plan("r")).unwrap().wait().unwrap();
    assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.failure);
    stage.end_with_every_lease_returned(1);
}

#[test]
fn a_worker_that_settles_is_answered_though_a_back_end_is_given_up() {
    let (open, gate) = sync_channel(0);
    let timers = Timers { back_end: Duration::from_millis(200), ..Timers::default() };
    let stage = Stage::custom(Strategy::Auto, 1, Custom { timers, ..blocks(gate) }, |_, port| {
        port.log(0, 1, 0.5);
        port.0.send(FromWorker::Settle).unwrap();
        assert_eq!(port.hear(), Some(ToWorker::Settled));
        complete(0.5)
    });
    let outcome = stage.system.run(stage.run_plan("r")).unwrap().wait().unwrap();
    assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.failure);
    stage.end_with_every_lease_returned(1);
    drop(open);
}

/// The first worker is lost behind its checkpoint, the second goes on from there, the third begins anew.
#[test]
fn rows_that_come_anew_take_the_place_of_those_of_the_worker_that_was_lost() {
    let stage = Stage::new(Strategy::Auto, 1, |order, port| {
        let prepared = |from, iou: f64| FromWorker::Prepared {
            train_samples: 8,
            val_samples: 2,
            parameters: 1,
            device: "cpu:0".into(),
            from,
            metrics: [("val/iou".to_owned(), iou)].into(),
        };
        match order.attempt {
            1 => (1..=4).for_each(|step| port.log(0, step, 0.1)),
            2 => {
                port.0.send(prepared(Some(RunPlace { epoch: 0, step: 3 }), 0.1)).unwrap();
                port.log(0, 3, 0.3);
            }
            _ => port.log(1, 1, 0.5),
        }
        let rows = |port: &mut Talk| {
            port.0.send(FromWorker::Settle).unwrap();
            assert_eq!(port.hear(), Some(ToWorker::Settled));
            std::fs::read_to_string(order.plan.run_dir.join("metrics.csv")).unwrap()
        };
        let expected = match order.attempt {
            1 => "epoch,step,val/iou\n0,1,0.1\n0,2,0.1\n0,3,0.1\n0,4,0.1\n",
            // Every worker of the stage says first that it begins anew.
            2 => "epoch,step,val/iou\n0,3,0.3\n",
            _ => "epoch,step,val/iou\n1,1,0.5\n",
        };
        assert_eq!(rows(port), expected);
        if order.attempt < 3 { Act::Leave } else { complete(0.5) }
    });
    let outcome = stage.system.run(stage.run_plan("r")).unwrap().wait().unwrap();
    assert_eq!((outcome.status, outcome.attempts), (Status::Complete, 3), "{:?}", outcome.failure);
    stage.end_with_every_lease_returned(3);
}
