use crate::protocol::{FromWorker, PROTOCOL_VERSION};
use proptest::prelude::*;

use super::*;
use crate::testing::{run_plan, scoring};

fn state(leased_from: LeasedFrom) -> State {
    State::new(Arc::new(run_plan("r")), Some(Arc::new(scoring())), leased_from)
}

fn granted() -> Input {
    Input::LeaseGranted { device: "cpu:0".into() }
}

fn said(word: FromWorker) -> Input {
    Input::Said(Box::new(word))
}

fn hello() -> Input {
    said(FromWorker::Hello { protocol: PROTOCOL_VERSION, pid: 1 })
}

fn finished(iou: f64, stopped: bool) -> Input {
    let metrics = [("val/iou".to_string(), iou)].into();
    said(FromWorker::Finished(RunSummary { metrics, stopped, ..RunSummary::default() }))
}

fn exited(exit: Exit) -> Input {
    Input::Exited(ExitReport { stderr_tail: vec!["last line".into()], ..ExitReport::bare(exit) })
}

/// Applies all, and returns the effects of the last one.
fn script(state: &mut State, inputs: impl IntoIterator<Item = Input>) -> Vec<Effect> {
    inputs.into_iter().map(|input| state.apply(input)).last().unwrap_or_default()
}

fn training(leased_from: LeasedFrom) -> State {
    let mut state = state(leased_from);
    script(&mut state, [Input::Begin, granted(), Input::Launched, hello()]);
    assert_eq!(state.phase, Phase::Training);
    state
}

fn outcome(effects: &[Effect]) -> &RunOutcome {
    let mut told = effects.iter().filter_map(|effect| match effect {
        Effect::CloseTracker(outcome) => Some(outcome.as_ref()),
        _ => None,
    });
    told.next().expect("no outcome among the effects")
}

#[test]
fn a_run_asks_for_a_device_then_launches_then_starts_on_hello() {
    let mut state = state(LeasedFrom::Manager);
    assert_eq!(state.apply(Input::Begin).last(), Some(&Effect::AcquireLease(Room::Usual)));
    let effects = state.apply(granted());
    assert_eq!(effects.first(), Some(&Effect::OpenTracker));
    assert_eq!(effects.last(), Some(&Effect::Launch { attempt: 1 }));
    script(&mut state, [Input::Launched]);
    assert_eq!(state.apply(hello()).first(), Some(&Effect::SendStart { attempt: 1 }));
}

#[test]
fn a_run_ends_only_after_its_worker_is_gone_and_gives_the_lease_back_before_it_closes_its_files() {
    let mut state = training(LeasedFrom::Manager);
    let effects = state.apply(finished(0.5, false));
    assert!(effects.contains(&Effect::Arm(Timer::Stop)) && !effects.contains(&Effect::ReturnLease));
    let effects = state.apply(exited(Exit::Code(0)));
    let lease = effects.iter().position(|e| *e == Effect::ReturnLease).unwrap();
    let close = effects.iter().position(|e| matches!(e, Effect::CloseTracker(_))).unwrap();
    assert!(lease < close);
    assert_eq!(outcome(&effects).status, Status::Complete);
    assert_eq!(state.apply(Input::TrackerClosed), [Effect::Report]);
}

#[test]
fn a_score_metric_that_is_zero_or_missing_makes_the_run_unstable_but_only_under_a_scoring() {
    for (scored, expected) in [(true, Status::Unstable), (false, Status::Complete)] {
        let mut state = training(LeasedFrom::Manager);
        if !scored {
            state.scoring = None;
        }
        let effects = script(&mut state, [finished(0.0, false), exited(Exit::Code(0))]);
        assert_eq!(outcome(&effects).status, expected);
    }
}

/// What a run has logged is that of its course: of an attempt before what stands before its checkpoint, or nothing.
#[test]
fn a_run_that_begins_anew_forgets_what_was_logged_and_one_that_goes_on_knows_it() {
    let logged = |name: &str, value: f64| {
        let values = [(name.to_owned(), value)].into();
        said(FromWorker::Logged(vec![engine_tracking::MetricPoint { epoch: 0, step: 1, values }]))
    };
    let prepared = |from, metrics| {
        let device = "cpu:0".to_owned();
        said(FromWorker::Prepared { train_samples: 8, val_samples: 2, parameters: 1, device, from, metrics })
    };
    let place = Some(engine_tracking::RunPlace { epoch: 0, step: 2 });
    for (from, known, expected) in [
        (None, Metrics::new(), vec!["train/loss", "val/iou"]),
        (place, [("val/auc".to_owned(), 0.5)].into(), vec!["train/loss", "val/auc", "val/iou"]),
    ] {
        let mut state = training(LeasedFrom::Manager);
        script(&mut state, [logged("test/iou", 0.1), exited(Exit::Signal(9))]);
        script(&mut state, [Input::TimeUp(Timer::Backoff), granted(), Input::Launched, hello()]);
        let effects = state.apply(prepared(from, known));
        assert!(
            matches!(&effects[0], Effect::Publish(Event::RunPrepared { from: told, .. }) if *told == from)
        );
        assert_eq!(state.apply(said(FromWorker::Settle)).first(), Some(&Effect::Settle));
        let effects =
            script(&mut state, [logged("train/loss", 0.2), finished(0.5, false), exited(Exit::Code(0))]);
        assert_eq!(outcome(&effects).metrics.keys().collect::<Vec<_>>(), expected);
    }
}

/// One attempt that ends so.
fn attempt(state: &mut State, exit: Exit) -> Vec<Effect> {
    script(state, [granted(), Input::Launched, hello(), exited(exit)])
}

#[test]
fn a_lost_or_killed_worker_is_replaced_twice_and_an_out_of_memory_one_once_alone() {
    for (exit, retries, room) in [
        (Exit::Signal(9), RETRIES_LOST, Room::Usual),
        (Exit::Code(3), RETRIES_LOST, Room::Usual),
        (Exit::OutOfMemory, RETRIES_OUT_OF_MEMORY, Room::Alone),
        (Exit::Panicked("CUDA out of memory".into()), RETRIES_OUT_OF_MEMORY, Room::Alone),
        (Exit::Panicked("boom".into()), 0, Room::Usual),
        (Exit::Silent(std::time::Duration::from_secs(9)), 0, Room::Usual),
    ] {
        let mut state = state(LeasedFrom::Manager);
        script(&mut state, [Input::Begin]);
        for number in 1..=retries {
            let effects = attempt(&mut state, exit.clone());
            let back = effects.iter().position(|effect| *effect == Effect::ReturnLease).unwrap();
            let told = effects[..back].iter().any(|effect| matches!(effect, Effect::TellOutOfMemory(_)));
            assert_eq!(told, room == Room::Alone, "{effects:?}");
            assert_eq!(effects.last(), Some(&Effect::Arm(Timer::Backoff)));
            assert_eq!(state.attempts, number);
            assert_eq!(state.apply(Input::TimeUp(Timer::Backoff)), [Effect::AcquireLease(room)]);
        }
        let effects = attempt(&mut state, exit);
        let told = outcome(&effects);
        assert_eq!((told.status, told.attempts), (Status::Failed, retries + 1));
        assert_eq!(told.failure.as_ref().unwrap().stderr_tail, ["last line"]);
    }
}

#[test]
fn losses_and_kills_are_counted_together_and_apart_from_want_of_memory() {
    let mut state = state(LeasedFrom::Manager);
    script(&mut state, [Input::Begin]);
    for exit in [Exit::Signal(9), Exit::OutOfMemory, Exit::Code(3)] {
        let effects = attempt(&mut state, exit);
        assert_eq!(effects.last(), Some(&Effect::Arm(Timer::Backoff)));
        script(&mut state, [Input::TimeUp(Timer::Backoff)]);
    }
    let effects = attempt(&mut state, Exit::Signal(11));
    assert_eq!((outcome(&effects).attempts, outcome(&effects).status), (4, Status::Failed));
}

#[test]
fn the_largest_peak_of_all_attempts_is_told() {
    let mut state = state(LeasedFrom::Manager);
    script(&mut state, [Input::Begin, granted(), Input::Launched, hello()]);
    let report = |exit, host, device| {
        let (peak_memory_bytes, peak_device_memory_bytes) = (Some(host), device);
        Input::Exited(ExitReport { peak_memory_bytes, peak_device_memory_bytes, ..ExitReport::bare(exit) })
    };
    script(&mut state, [report(Exit::Signal(9), 7, Some(5)), Input::TimeUp(Timer::Backoff)]);
    script(&mut state, [granted(), Input::Launched, hello(), finished(0.5, false)]);
    let effects = state.apply(report(Exit::Code(0), 3, None));
    let told = outcome(&effects);
    assert_eq!((told.peak_memory_bytes, told.peak_device_memory_bytes), (Some(7), Some(5)));
}

#[test]
fn a_warning_of_the_worker_reaches_the_world_with_the_runs_name() {
    let mut state = training(LeasedFrom::Manager);
    let effects = state.apply(said(FromWorker::Warned { message: "half a checkpoint".into() }));
    let warned = Event::Warned { message: "run `r`: half a checkpoint".into() };
    assert!(effects.contains(&Effect::Publish(warned)), "{effects:?}");
}

#[test]
fn a_lease_given_by_the_cv_is_kept_over_attempts_and_let_go_once() {
    let mut state = training(LeasedFrom::Cv);
    let effects = state.apply(exited(Exit::Signal(9)));
    assert!(!effects.contains(&Effect::ReturnLease));
    let effects = state.apply(Input::TimeUp(Timer::Backoff));
    assert_eq!(effects.last(), Some(&Effect::Launch { attempt: 2 }));
    let effects = script(&mut state, [Input::Launched, hello(), finished(0.5, false), exited(Exit::Code(0))]);
    assert_eq!(effects.iter().filter(|e| **e == Effect::ReturnLease).count(), 1);
}

#[test]
fn only_words_other_than_beats_are_progress() {
    let mut state = training(LeasedFrom::Manager);
    let beat = state.apply(said(FromWorker::Beat));
    assert_eq!(beat, [Effect::Arm(Timer::Beat)]);
    let logged = state.apply(said(FromWorker::Logged(vec![])));
    assert!(logged.contains(&Effect::Arm(Timer::Progress)) && logged.contains(&Effect::Arm(Timer::Beat)));
}

#[test]
fn a_run_without_progress_is_killed_fails_as_a_hang_and_is_not_repeated() {
    for timer in [Timer::Progress, Timer::Beat] {
        let mut state = training(LeasedFrom::Manager);
        let effects = state.apply(Input::TimeUp(timer));
        assert!(effects.contains(&Effect::Kill) && !effects.contains(&Effect::ReturnLease));
        let effects = state.apply(exited(Exit::Signal(9)));
        let told = outcome(&effects);
        assert_eq!(told.failure.as_ref().map(|why| why.cause), Some(Cause::Hang));
    }
}

#[test]
fn a_worker_that_ignores_a_kill_is_left_behind_with_a_warning() {
    let mut state = training(LeasedFrom::Manager);
    let effects = script(&mut state, [Input::TimeUp(Timer::Progress), Input::TimeUp(Timer::Kill)]);
    assert!(effects.iter().any(|e| matches!(e, Effect::Publish(Event::Warned { .. }))));
    assert_eq!(outcome(&effects).failure.as_ref().map(|why| why.cause), Some(Cause::Hang));
}

#[test]
fn another_protocol_is_refused_with_a_remedy_and_no_retry() {
    let mut state = state(LeasedFrom::Manager);
    script(&mut state, [Input::Begin, granted(), Input::Launched]);
    let other = said(FromWorker::Hello { protocol: PROTOCOL_VERSION + 1, pid: 1 });
    assert!(state.apply(other).contains(&Effect::Kill));
    let effects = state.apply(exited(Exit::Signal(9)));
    let why = outcome(&effects).failure.clone().unwrap();
    assert_eq!(why.cause, Cause::Configuration);
    assert!(why.message.contains("one build"), "{}", why.message);
}

#[test]
fn cancel_asks_the_worker_and_kills_it_after_the_deadline() {
    let mut state = training(LeasedFrom::Manager);
    let effects = state.apply(Input::Stop(StopMode::Cancel));
    assert!(effects.contains(&Effect::SendStop) && effects.contains(&Effect::Arm(Timer::Stop)));
    let mut asked = state.clone();
    let effects = script(&mut asked, [finished(0.5, true), exited(Exit::Code(0))]);
    assert_eq!(outcome(&effects).status, Status::Cancelled);
    assert!(state.apply(Input::TimeUp(Timer::Stop)).contains(&Effect::Kill));
    let effects = state.apply(exited(Exit::Signal(9)));
    assert_eq!((outcome(&effects).status, &outcome(&effects).failure), (Status::Cancelled, &None));
}

#[test]
fn cancelling_a_run_that_waits_to_be_tried_again_ends_it() {
    for leased_from in [LeasedFrom::Manager, LeasedFrom::Cv] {
        let mut state = training(leased_from);
        assert_eq!(state.apply(exited(Exit::Signal(9))).last(), Some(&Effect::Arm(Timer::Backoff)));
        let effects = state.apply(Input::Stop(StopMode::Cancel));
        assert_eq!(effects[0], Effect::Disarm(Timer::Backoff));
        let told = outcome(&effects);
        assert_eq!((told.status, told.attempts), (Status::Cancelled, 1));
        assert_eq!(told.failure.as_ref().map(|why| why.cause), Some(Cause::Killed));
        assert_eq!(
            state.apply(Input::Stop(StopMode::Cancel)),
            [],
            "twice is once, and after the end nothing"
        );
    }
}

#[test]
fn a_worker_that_answers_is_told_of_with_its_process_once_for_each_attempt() {
    let mut state = state(LeasedFrom::Manager);
    script(&mut state, [Input::Begin, granted(), Input::Launched]);
    let ready = Effect::Publish(Event::WorkerReady { run_id: "abcd1234".into(), pid: 1 });
    assert!(state.apply(hello()).contains(&ready));
    assert!(!state.apply(hello()).contains(&ready));
    script(&mut state, [exited(Exit::Signal(9)), Input::TimeUp(Timer::Backoff), granted(), Input::Launched]);
    assert!(state.apply(hello()).contains(&ready));
}

#[test]
fn what_a_worker_prints_is_tracked_from_its_start_to_its_end_and_is_no_sign_of_life() {
    let printed = || Input::Printed(vec!["a line".into()]);
    let tracked = [Effect::TrackPrinted(vec!["a line".into()])];
    let mut state = state(LeasedFrom::Manager);
    script(&mut state, [Input::Begin, granted(), Input::Launched]);
    assert_eq!(state.apply(printed()), tracked);
    script(&mut state, [hello()]);
    assert_eq!(state.apply(printed()), tracked);
    script(&mut state, [finished(0.5, false)]);
    assert_eq!(state.apply(printed()), tracked);
    script(&mut state, [exited(Exit::Code(0))]);
    assert_eq!(state.apply(printed()), [Effect::CountLate("printed")]);
}

#[test]
fn drain_lets_a_run_finish_but_starts_none() {
    let mut state = training(LeasedFrom::Manager);
    assert_eq!(state.apply(Input::Stop(StopMode::Drain)), []);
    let effects = script(&mut state, [finished(0.5, false), exited(Exit::Code(0))]);
    assert_eq!(outcome(&effects).status, Status::Complete);
    let mut waiting = self::state(LeasedFrom::Manager);
    let effects = script(&mut waiting, [Input::Begin, Input::Stop(StopMode::Drain)]);
    assert_eq!(effects[0], Effect::WithdrawRequest);
    assert_eq!((outcome(&effects).status, outcome(&effects).attempts), (Status::Cancelled, 0));
}

#[test]
fn a_run_that_would_be_tried_again_is_cut_short_by_a_drain_and_has_not_failed() {
    let drained = |exit| {
        let mut state = training(LeasedFrom::Manager);
        let _ = state.apply(Input::Stop(StopMode::Drain));
        outcome(&state.apply(exited(exit))).clone()
    };
    let lost = drained(Exit::Signal(9));
    assert_eq!((lost.status, lost.failure.map(|why| why.cause)), (Status::Cancelled, Some(Cause::Killed)));
    assert_eq!(drained(Exit::OutOfMemory).status, Status::Cancelled);
    assert_eq!(drained(Exit::Code(101)).status, Status::Failed, "a panic comes again");
}

#[test]
fn a_stop_while_the_worker_is_being_launched_kills_it_as_soon_as_it_stands() {
    let mut state = state(LeasedFrom::Manager);
    assert_eq!(script(&mut state, [Input::Begin, granted(), Input::Stop(StopMode::Cancel)]), []);
    assert!(state.apply(Input::Launched).contains(&Effect::Kill));
}

#[test]
fn a_grant_that_comes_too_late_is_given_back() {
    let mut state = state(LeasedFrom::Manager);
    script(&mut state, [Input::Begin, Input::Stop(StopMode::Kill)]);
    assert_eq!(state.apply(granted())[0], Effect::ReturnLease);
}

/// A world that answers a run as actors, devices and workers may, in an order the numbers choose.
struct World {
    state: State,
    asked: bool,
    leases_out: u32,
    is_launching: bool,
    worker_alive: bool,
    armed: Vec<Timer>,
    closing: bool,
    reports: u32,
    launches: u32,
}

impl World {
    fn new(leased_from: LeasedFrom) -> Self {
        Self {
            state: state(leased_from),
            asked: false,
            leases_out: 0,
            is_launching: false,
            worker_alive: false,
            armed: vec![],
            closing: false,
            reports: 0,
            launches: 0,
        }
    }

    fn feed(&mut self, input: Input) {
        assert_eq!(self.reports, 0, "RUN-1: nothing may be needed after the report");
        if matches!(input, Input::Exited(_) | Input::TimeUp(Timer::Kill)) {
            self.worker_alive = false;
        }
        for effect in self.state.apply(input) {
            self.perform(&effect);
        }
    }

    fn perform(&mut self, effect: &Effect) {
        match effect {
            Effect::AcquireLease(_) => self.asked = true,
            Effect::WithdrawRequest => self.asked = false,
            Effect::ReturnLease => {
                assert!(!self.worker_alive && !self.is_launching, "RUN-2: given back under a live worker");
                assert_eq!(self.leases_out, 1, "RUN-2: given back once");
                self.leases_out = 0;
            }
            Effect::Launch { .. } => {
                assert!(!self.worker_alive && !self.is_launching, "RUN-3: one worker at a time");
                assert_eq!(self.leases_out, 1, "a worker runs on a lease");
                self.is_launching = true;
                self.launches += 1;
            }
            Effect::Arm(timer) => {
                self.armed.retain(|armed| armed != timer);
                self.armed.push(*timer);
            }
            Effect::Disarm(timer) => self.armed.retain(|armed| armed != timer),
            Effect::CloseTracker(_) => {
                assert!(!self.closing, "RUN-1: one outcome");
                self.closing = true;
            }
            Effect::Report => {
                assert_eq!(self.leases_out, 0, "RUN-2: no lease is kept");
                self.reports += 1;
            }
            _ => {}
        }
    }

    /// What may happen now; never empty before the report.
    fn choices(&self) -> Vec<Input> {
        let mut may = vec![];
        if self.state.phase == Phase::Idle {
            return vec![Input::Begin];
        }
        if self.closing {
            return vec![Input::TrackerClosed];
        }
        if self.asked {
            may.extend([granted(), granted(), Input::LeaseRefused { reason: "gone".into() }]);
        }
        if self.is_launching {
            may.extend([Input::Launched, Input::Launched]);
            may.push(Input::LaunchFailed(failure(Cause::Lost, "no process".into())));
        }
        if self.worker_alive {
            let oom = Exit::Panicked("CUDA out of memory".into());
            may.extend([Exit::Code(0), Exit::Signal(9), Exit::Code(101), oom].map(exited));
            may.extend([hello(), hello(), said(FromWorker::Beat), finished(0.5, false), finished(0.0, true)]);
            may.push(said(FromWorker::Failed(failure(Cause::Data, "no sample".into()))));
            may.push(Input::Unreachable { reason: "full".into() });
            may.push(Input::Printed(vec!["a line".into()]));
        }
        may.extend(self.armed.iter().map(|timer| Input::TimeUp(*timer)));
        may.extend([StopMode::Drain, StopMode::Cancel, StopMode::Kill].map(Input::Stop));
        may.push(Input::CheckpointAsked);
        may
    }

    fn step(&mut self, choice: usize) {
        let mut may = self.choices();
        let input = may.swap_remove(choice % may.len());
        match &input {
            Input::LeaseGranted { .. } => (self.asked, self.leases_out) = (false, 1),
            Input::LeaseRefused { .. } => self.asked = false,
            Input::Launched => (self.is_launching, self.worker_alive) = (false, true),
            Input::LaunchFailed(_) => self.is_launching = false,
            Input::TimeUp(timer) => self.armed.retain(|armed| armed != timer),
            _ => {}
        }
        self.feed(input);
    }
}

#[test]
fn a_checkpoint_is_asked_of_a_worker_that_trains_and_of_no_other() {
    let mut state = state(LeasedFrom::Manager);
    for before in [Input::CheckpointAsked, Input::Begin, granted(), Input::Launched] {
        script(&mut state, [before]);
        assert_eq!(state.apply(Input::CheckpointAsked), []);
    }
    script(&mut state, [hello()]);
    for _ in 0..2 {
        assert_eq!(state.apply(Input::CheckpointAsked), [Effect::SendCheckpoint]);
    }
    script(&mut state, [Input::Stop(StopMode::Cancel)]);
    assert_eq!(state.apply(Input::CheckpointAsked), [], "it writes its last one");
}

proptest! {
    #[test]
    fn run_1_to_5_hold_over_any_order_of_events(choices in proptest::collection::vec(0..1000_usize, 400), cvs in any::<bool>()) {
        let mut world = World::new(if cvs { LeasedFrom::Cv } else { LeasedFrom::Manager });
        for choice in choices {
            if world.reports > 0 {
                break;
            }
            world.step(choice);
        }
        // Left alone, a run comes to its end: workers exit, timers run out, files close.
        for _ in 0..100 {
            if world.reports > 0 {
                break;
            }
            if world.worker_alive {
                world.feed(exited(Exit::Code(0)));
            } else {
                world.step(0);
            }
        }
        prop_assert_eq!(world.reports, 1, "RUN-1");
        prop_assert!(world.launches <= 1 + RETRIES_LOST + RETRIES_OUT_OF_MEMORY, "RUN-5");
    }
}

#[test]
fn a_run_that_ran_out_of_memory_twice_says_what_was_measured_and_that_it_was_alone() {
    let mut state = state(LeasedFrom::Manager);
    script(&mut state, [Input::Begin, granted(), Input::Launched, hello()]);
    let report = |peak| {
        Input::Exited(ExitReport { peak_memory_bytes: Some(peak), ..ExitReport::bare(Exit::OutOfMemory) })
    };
    let effects = state.apply(report(3 << 30));
    let retried = effects.iter().find_map(|effect| match effect {
        Effect::Publish(Event::RunRetried { failure, .. }) => Some(failure.message.clone()),
        _ => None,
    });
    assert!(retried.unwrap().ends_with("the worker was seen with 3.0 GiB of the machine's memory"));
    script(&mut state, [Input::TimeUp(Timer::Backoff), granted(), Input::Launched, hello()]);
    let effects = state.apply(report(5 << 30));
    let failure = outcome(&effects).failure.as_ref().unwrap();
    assert_eq!(failure.cause, Cause::HostOutOfMemory);
    let end = "the worker was seen with 5.0 GiB of the machine's memory, nothing else of this engine was on the device";
    assert!(failure.message.ends_with(end), "{}", failure.message);
}
