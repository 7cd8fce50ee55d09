use super::super::error::PortError;
use super::super::{Exit, ExitReport, Launch, WorkerEvent};
use super::*;
use crate::inventory::{DeviceInfo, DeviceKind};
use crate::lease::Grant;

/// Beyond this a test hangs and fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn grant() -> Grant {
    let place = DeviceInfo::bare(DeviceKind::Cpu, 0, vec![0], 1).place();
    place.into()
}

fn to_launch<'a>(name: &'a str, grant: &'a Grant) -> Launch<'a> {
    Launch { name, family: None, grant }
}

fn launch(launcher: &ThreadLauncher<u32, u32>) -> (Box<dyn Worker<u32>>, Receiver<WorkerEvent<u32>>) {
    let (tell, events) = bounded(1024);
    let worker = launcher
        .launch(&to_launch("tested", &grant()), Box::new(move |event| tell.send(event).is_ok()))
        .unwrap();
    (worker, events)
}

fn next(events: &Receiver<WorkerEvent<u32>>) -> WorkerEvent<u32> {
    events.recv_timeout(PATIENCE).unwrap()
}

fn exited(exit: Exit) -> WorkerEvent<u32> {
    WorkerEvent::Exited(ExitReport::bare(exit))
}

fn launcher(body: impl Fn(WorkerPort<u32, u32>) + Send + Sync + 'static) -> ThreadLauncher<u32, u32> {
    ThreadLauncher::new(Arc::new(body))
}

fn doubler() -> ThreadLauncher<u32, u32> {
    launcher(|mut port: WorkerPort<u32, u32>| {
        while let Some(number) = port.recv() {
            port.send(number * 2).unwrap();
        }
    })
}

#[test]
fn a_thread_answers_and_ends_when_its_handle_is_dropped() {
    let (worker, events) = launch(&doubler());
    for number in 0..100 {
        worker.send(number).unwrap();
        assert_eq!(next(&events), WorkerEvent::Message(number * 2));
    }
    assert_eq!(worker.pid(), None);
    drop(worker);
    assert_eq!(next(&events), exited(Exit::Returned));
    assert!(
        events.recv_timeout(PATIENCE).is_err_and(|error| error.is_disconnected()),
        "Exited is the last event"
    );
}

#[test]
fn everything_said_before_the_return_is_heard() {
    let launcher = launcher(|port: WorkerPort<u32, u32>| {
        for number in 0..1000 {
            port.send(number).unwrap();
        }
    });
    let (worker, events) = launch(&launcher);
    for number in 0..1000 {
        assert_eq!(next(&events), WorkerEvent::Message(number));
    }
    assert_eq!(next(&events), exited(Exit::Returned));
    assert_eq!(worker.send(1), Err(SendError::Gone));
}

#[test]
fn a_panic_is_reported_with_its_message() {
    let launcher = launcher(|mut port: WorkerPort<u32, u32>| {
        let number = port.recv();
        panic!("no use for {number:?}");
    });
    let (worker, events) = launch(&launcher);
    worker.send(3).unwrap();
    assert_eq!(next(&events), exited(Exit::Panicked("no use for Some(3)".into())));
}

#[test]
fn a_thread_that_is_ahead_of_its_watcher_waits() {
    let (finished, finish) = bounded(1);
    let launcher = launcher(move |port: WorkerPort<u32, u32>| {
        let more_than_fits = u32::try_from(OUTBOX_BOUND).unwrap() + 2;
        for number in 0..more_than_fits {
            port.send(number).unwrap();
        }
        finished.send(()).unwrap();
    });
    // The watcher holds the first message until it is let go.
    let (gate, go) = bounded::<()>(0);
    let (tell, events) = bounded(1024);
    let sink = move |event: WorkerEvent<u32>| {
        if event == WorkerEvent::Message(0) {
            tell.send(event).unwrap();
            return go.recv().is_ok();
        }
        tell.send(event).is_ok()
    };
    let _worker = launcher.launch(&to_launch("ahead", &grant()), Box::new(sink)).unwrap();
    assert_eq!(next(&events), WorkerEvent::Message(0));
    assert!(
        finish.try_recv().is_err(),
        "it can not have sent all: one is held and the outbox takes the bound"
    );
    gate.send(()).unwrap();
    finish.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_thread_that_does_not_read_never_blocks_its_watcher() {
    let (gate, go) = bounded::<()>(0);
    let launcher = launcher(move |_port: WorkerPort<u32, u32>| {
        let _: Result<(), _> = go.recv();
    });
    let (worker, events) = launch(&launcher);
    let answers: Vec<_> = (0..=INBOX_BOUND).map(|_| worker.send(0)).collect();
    assert!(answers[..INBOX_BOUND].iter().all(Result::is_ok));
    assert_eq!(answers[INBOX_BOUND], Err(SendError::Full));
    drop(gate);
    assert_eq!(next(&events), exited(Exit::Returned));
}

#[test]
fn a_killed_thread_hears_nothing_more_can_say_nothing_and_knows_it() {
    let (report, seen) = bounded(1);
    let (gate, go) = bounded::<()>(0);
    let launcher = launcher(move |mut port: WorkerPort<u32, u32>| {
        let _: Result<(), _> = go.recv();
        let heard = port.recv();
        // More than fits: the last ones would wait for a watcher that is gone.
        let said = (0..200).map(|number| port.send(number)).find(Result::is_err);
        let _: Result<(), _> =
            report.send((heard, matches!(said, Some(Err(PortError::Closed))), port.killed()));
    });
    let (worker, events) = launch(&launcher);
    worker.send(5).unwrap();
    worker.kill();
    worker.kill();
    assert_eq!(worker.send(6), Err(SendError::Gone));
    drop(gate);
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), (None, true, true));
    assert_eq!(next(&events), exited(Exit::Returned));
}

#[test]
fn a_killed_thread_that_never_looks_is_detached() {
    let (gate, go) = bounded::<()>(0);
    let (gone, ended) = bounded(1);
    let mut launcher = launcher(move |_port: WorkerPort<u32, u32>| {
        let _: Result<(), _> = go.recv();
        gone.send(()).unwrap();
    });
    launcher.grace = Duration::ZERO;
    let (worker, events) = launch(&launcher);
    worker.kill();
    assert_eq!(next(&events), exited(Exit::Detached));
    drop(gate);
    ended.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_watcher_that_turns_away_ends_its_worker() {
    let (tell, events) = bounded(8);
    let sink = Box::new(move |event: WorkerEvent<u32>| {
        tell.send(event).unwrap();
        false
    });
    let worker = doubler().launch(&to_launch("unheard", &grant()), sink).unwrap();
    worker.send(1).unwrap();
    assert_eq!(next(&events), WorkerEvent::Message(2));
    assert_eq!(next(&events), exited(Exit::Returned));
    assert_eq!(worker.send(2), Err(SendError::Gone));
}

#[test]
fn a_watcher_that_panics_ends_its_worker_and_still_hears_its_end() {
    let (tell, events) = bounded(8);
    let sink = Box::new(move |event: WorkerEvent<u32>| {
        let is_message = matches!(event, WorkerEvent::Message(_));
        tell.send(event).unwrap();
        assert!(!is_message, "the watcher's own mistake");
        true
    });
    let worker = doubler().launch(&to_launch("unlucky", &grant()), sink).unwrap();
    worker.send(1).unwrap();
    assert_eq!(next(&events), WorkerEvent::Message(2));
    assert_eq!(next(&events), exited(Exit::Returned));
}
