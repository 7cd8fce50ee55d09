//! How jobs end, and what is left of them.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use engine::{
    Cause, CvOutcome, EngineError, Event, EventStream, JobError, JobHandle, Sampler, Status, StopMode,
    TuneRequest,
};
use serde_json::json;

use crate::deeds::{cells, cv, deed, endless_cv, engine_on, scoring, short_cv};
use crate::harness::Test;
use crate::left::{Left, leaving_nothing, wait_until};

pub const TESTS: &[Test] = &[
    ("jobs_of_one_engine_share_its_devices_and_each_hears_of_itself", jobs_share_devices),
    ("a_cancelled_tune_gives_its_outcome_and_ends_its_events", cancelled_tune),
    ("a_dropped_handle_lets_its_job_go_on", dropped_handle_goes_on),
    ("a_handle_that_is_to_stop_its_job_stops_it_when_dropped", dropped_handle_stops),
    ("a_handle_keeps_the_engine_and_the_last_one_ends_it", last_handle),
    ("a_workload_that_panics_fails_its_run_alone", panicking_workload),
    ("a_deaf_workload_on_a_thread_is_given_up_and_its_thread_stays_until_it_returns", deaf_thread),
    ("a_deaf_workload_in_a_process_is_killed_in_time", deaf_process),
    ("a_reader_that_does_not_read_slows_nothing_and_has_every_fact", stalled_reader),
    ("a_drain_waits_and_a_kill_hurries_it", drain_and_kill),
    ("what_is_wrong_with_an_engine_is_named_by_its_field", fields),
];

/// Reads events until one is so.
fn until(events: &mut EventStream, is_it: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = events.next_blocking().expect("the stream ended before");
        if is_it(&event) {
            return event;
        }
    }
}

fn until_training(events: &mut EventStream) {
    until(events, |event| matches!(event, Event::RunProgressed { .. }));
}

fn rest(mut events: EventStream) -> Vec<Event> {
    std::iter::from_fn(|| events.next_blocking()).collect()
}

fn statuses(cv: &CvOutcome) -> Vec<Status> {
    cv.runs.iter().map(|run| run.status).collect()
}

fn jobs_share_devices() {
    let folder = tempfile::tempdir().unwrap();
    leaving_nothing(|_| {
        let engine = engine_on(folder.path(), 2).build().unwrap();
        let all = engine.events();
        let start = |name: &'static str| {
            let engine = engine.clone();
            thread::spawn(move || {
                let request = short_cv(6).with_name(name);
                let mut job = engine.cv(request).unwrap();
                assert_eq!((job.name(), job.folder().file_name().unwrap().to_str()), (name, Some(name)));
                let events = job.events();
                (job.wait().unwrap(), rest(events))
            })
        };
        let jobs = [("one", start("one")), ("other", start("other"))];
        for (name, job) in jobs {
            let (outcome, events) = job.join().unwrap();
            assert_eq!(statuses(&outcome), [Status::Complete; 6]);
            let count = |is_it: fn(&Event) -> bool| events.iter().filter(|event| is_it(event)).count();
            assert_eq!(count(|event| matches!(event, Event::RunFinished { .. })), 6);
            assert_eq!(count(|event| matches!(event, Event::LeaseGranted { .. })), 6);
            assert!(matches!(events.last(), Some(Event::CvFinished { .. } | Event::LeaseReturned { .. })));
            for event in &events {
                let (Event::CvStarted { cv_name, .. }
                | Event::CvFinished { cv_name, .. }
                | Event::RunQueued { cv_name: Some(cv_name), .. }
                | Event::RunFinished { cv_name: Some(cv_name), .. }) = event
                else {
                    continue;
                };
                assert_eq!(cv_name, name, "nothing of the other job: {event:?}");
            }
        }
        assert!(engine.shut_down_blocking(StopMode::Drain).is_empty());
        assert_leases(&rest(all), 12);
    });
}

/// DM-1, as a reader of the events sees it.
fn assert_leases(events: &[Event], count: usize) {
    let mut out: BTreeMap<u64, &str> = BTreeMap::new();
    let mut granted = 0;
    for event in events {
        match event {
            Event::LeaseGranted { lease, device, .. } => {
                assert!(!out.values().any(|held| held == device), "{device} is leased twice");
                out.insert(*lease, device);
                granted += 1;
            }
            Event::LeaseReturned { lease, .. } => assert!(out.remove(lease).is_some()),
            _ => {}
        }
    }
    assert_eq!((granted, out.len()), (count, 0));
}

/// Proposes the same again and again.
struct Same(engine::Hyperparameters);

impl Sampler for Same {
    fn propose(&mut self, _trial: u32) -> Option<engine::Hyperparameters> {
        Some(self.0.clone())
    }

    fn tell(&mut self, _trial: u32, _score: Option<f64>) {}
}

fn cancelled_tune() {
    let folder = tempfile::tempdir().unwrap();
    leaving_nothing(|_| {
        let engine = engine_on(folder.path(), 2).build().unwrap();
        let sampler = Same(deed(&json!({"deed": "forever"})));
        let mut tune = engine.tune(TuneRequest::new(3, cells(2), scoring()), Box::new(sampler)).unwrap();
        let mut events = tune.events();
        until_training(&mut events);
        assert!(!tune.is_over());
        tune.cancel();
        let outcome = tune.wait().unwrap();
        assert!(outcome.cancelled);
        assert!(outcome.cvs.iter().all(|cv| cv.status == Status::Cancelled), "{:?}", outcome.cvs);
        let last = rest(events);
        assert!(last.iter().any(|event| matches!(event, Event::TuneFinished { cancelled: true, .. })));
        // The devices are free again: another job takes them.
        assert_eq!(statuses(&engine.cv(short_cv(2)).unwrap().wait().unwrap()), [Status::Complete; 2]);
    });
}

fn dropped_handle_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    leaving_nothing(|_| {
        let engine = engine_on(folder.path(), 1).build().unwrap();
        let mut events = engine.events();
        drop(engine.cv(short_cv(3)).unwrap());
        let end = until(&mut events, |event| matches!(event, Event::CvFinished { .. }));
        assert!(matches!(end, Event::CvFinished { status: Status::Complete, .. }), "{end:?}");
    });
}

fn dropped_handle_stops() {
    let folder = tempfile::tempdir().unwrap();
    leaving_nothing(|_| {
        let engine = engine_on(folder.path(), 1).build().unwrap();
        let mut events = engine.events();
        let job = engine.cv(endless_cv()).unwrap().stop_on_drop(StopMode::Cancel);
        until_training(&mut events);
        drop(job);
        let end = until(&mut events, |event| matches!(event, Event::CvFinished { .. }));
        assert!(matches!(end, Event::CvFinished { status: Status::Cancelled, .. }), "{end:?}");
    });
}

fn last_handle() {
    for processes in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        leaving_nothing(|before| {
            let builder = engine_on(folder.path(), 1);
            let builder = if processes { builder.process_workers() } else { builder };
            let engine = builder.build().unwrap();
            let mut job = engine.cv(endless_cv()).unwrap();
            let mut events = job.events();
            until_training(&mut events);
            drop(engine);
            until_training(&mut events);
            assert_eq!(Left::now().children() > before.children(), processes);
            drop(job);
            // Dropping it waited for the end: what follows is what was published before.
            rest(events);
            assert_eq!(Left::now().children(), before.children());
        });
    }
}

fn panicking_workload() {
    for processes in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        leaving_nothing(|_| {
            let builder = engine_on(folder.path(), 1);
            let builder = if processes { builder.process_workers() } else { builder };
            let engine = builder.build().unwrap();
            let outcome = engine.cv(cv(3, &json!({"deed": "panic"}))).unwrap().wait().unwrap();
            assert_eq!(statuses(&outcome), [Status::Failed, Status::Complete, Status::Complete]);
            let failure = outcome.runs[0].failure.as_ref().unwrap();
            assert_eq!(failure.cause, Cause::Panic);
            assert!(failure.message.contains("this fold panics"), "{}", failure.message);
            assert_eq!(statuses(&engine.cv(short_cv(1)).unwrap().wait().unwrap()), [Status::Complete]);
        });
    }
}

/// A cv of one run that looks at nothing but this file, begun and told to stop.
fn deaf_and_cancelled(engine: &engine::Engine, file: &std::path::Path) -> JobHandle<CvOutcome> {
    let mut job = engine.cv(cv(1, &json!({"deed": "deaf", "file": file.to_str().unwrap()}))).unwrap();
    let mut events = job.events();
    until_training(&mut events);
    job.cancel();
    job
}

fn deaf_thread() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("go");
    leaving_nothing(|before| {
        let builder = engine_on(&folder.path().join("artifacts"), 1);
        let engine = builder.stop_within(Duration::from_millis(100)).build().unwrap();
        let outcome = deaf_and_cancelled(&engine, &file).wait().unwrap();
        assert_eq!(statuses(&outcome), [Status::Cancelled]);
        // Its device is given to others, beside whom it works on unheard.
        assert_eq!(statuses(&engine.cv(short_cv(1)).unwrap().wait().unwrap()), [Status::Complete]);
        assert!(engine.shut_down_blocking(StopMode::Kill).is_empty());
        wait_until("its thread alone is left", || Left::now().threads_more_than(before) <= 2);
        thread::sleep(Duration::from_secs(3));
        assert!(Left::now().threads_more_than(before) >= 1, "nothing ends a thread but its own return");
        std::fs::write(&file, "").unwrap();
    });
}

fn deaf_process() {
    let folder = tempfile::tempdir().unwrap();
    let never = folder.path().join("never");
    leaving_nothing(|before| {
        let stop_within = Duration::from_millis(100);
        let builder = engine_on(&folder.path().join("artifacts"), 1).process_workers();
        let engine = builder.stop_within(stop_within).build().unwrap();
        let job = deaf_and_cancelled(&engine, &never);
        let asked = Instant::now();
        let outcome = job.wait().unwrap();
        // A thread that is not heard is given five seconds to return. A process is not.
        assert!(
            asked.elapsed() >= stop_within && asked.elapsed() < Duration::from_secs(5),
            "{:?}",
            asked.elapsed()
        );
        assert_eq!(statuses(&outcome), [Status::Cancelled]);
        assert_eq!(Left::now().children(), before.children(), "killed, and its end was waited for");
    });
}

fn stalled_reader() {
    const FACTS: u32 = 1500;
    let folder = tempfile::tempdir().unwrap();
    leaving_nothing(|_| {
        let engine = engine_on(folder.path(), 1).build().unwrap();
        let stalled = engine.events();
        let mut job = engine.cv(cv(1, &json!({"deed": "chatter", "steps": FACTS}))).unwrap();
        let mut events = job.events();
        let reading = thread::spawn(move || {
            let mut progress = 0;
            while let Some(event) = events.next_blocking() {
                if let Event::RunProgressed { skipped, .. } = event {
                    progress += 1 + skipped;
                }
            }
            progress
        });
        assert_eq!(statuses(&job.wait().unwrap()), [Status::Complete]);
        let published = reading.join().unwrap();
        drop(engine);
        let skipped = stalled.skipped();
        let told = rest(stalled);
        let epochs: Vec<u32> = told
            .iter()
            .filter_map(|event| match event {
                Event::RunValidated { epoch, .. } => Some(*epoch),
                _ => None,
            })
            .collect();
        assert_eq!(epochs, (0..FACTS).collect::<Vec<_>>(), "every fact, in order");
        let progress: Vec<u64> = told
            .iter()
            .filter_map(|event| match event {
                Event::RunProgressed { skipped, .. } => Some(*skipped),
                _ => None,
            })
            .collect();
        assert!(published > 2, "{published}");
        assert_eq!(
            (progress, skipped),
            (vec![published - 1], published - 1),
            "the newest, and how many went before"
        );
    });
}

fn drain_and_kill() {
    let folder = tempfile::tempdir().unwrap();
    leaving_nothing(|_| {
        let engine = engine_on(folder.path(), 1).build().unwrap();
        let mut job = engine.cv(endless_cv()).unwrap();
        let mut events = job.events();
        until_training(&mut events);
        let draining = {
            let engine = engine.clone();
            thread::spawn(move || engine.shut_down_blocking(StopMode::Drain))
        };
        wait_until("no job is taken any more", || {
            matches!(engine.cv(short_cv(1)), Err(EngineError::Job(JobError::ShutDown)))
        });
        until_training(&mut events);
        assert!(!draining.is_finished() && !job.is_over(), "a drain lets the run go on");
        assert!(engine.shut_down_blocking(StopMode::Kill).is_empty());
        assert!(draining.join().unwrap().is_empty());
        assert_eq!(statuses(&job.wait().unwrap()), [Status::Cancelled]);
    });
}

fn fields() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let good = || engine_on(folder.path(), 1);
    let wrong = [
        ("artifact_dir", good().artifact_dir("")),
        ("artifact_dir", good().artifact_dir(&file)),
        ("artifact_dir", good().artifact_dir(file.join("below"))),
        ("devices", good().devices(["x"])),
        ("devices", good().devices(["0", "0"])),
        ("runs_per_device", good().runs_per_device(engine_devices::RunsPerDevice::Fixed(0))),
        ("progress_timeout", good().progress_timeout(Duration::ZERO)),
        ("num_nodes", good().num_nodes(2)),
        ("process_workers", good().devices(["0", "1"]).strategy(engine::Strategy::Ddp)),
    ];
    for (field, builder) in wrong {
        let error = builder.build().unwrap_err();
        assert_eq!(error.field(), Some(field), "{error}");
    }
    leaving_nothing(|_| {
        let engine = good().build().unwrap();
        let refused = |error: EngineError| (error.field(), error.to_string());
        let named = |name: &str| short_cv(1).with_name(name);
        assert_eq!(refused(engine.cv(short_cv(0)).unwrap_err()).0, Some("cells"));
        assert_eq!(refused(engine.cv(named("../up")).unwrap_err()).0, Some("name"));
        let none = TuneRequest::new(0, cells(1), scoring());
        assert_eq!(
            refused(engine.tune(none, Box::new(Same(deed(&json!({}))))).unwrap_err()).0,
            Some("n_trials")
        );
        drop(engine.cv(named("taken")).unwrap().wait().unwrap());
        assert_eq!(refused(engine.cv(named("taken")).unwrap_err()).0, Some("name"));
    });
}
