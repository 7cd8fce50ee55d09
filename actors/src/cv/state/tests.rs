use proptest::prelude::*;

use super::*;
use crate::outcome::Cause;
use crate::plan::FailedCells;
use crate::testing::{cv_plan, run_outcome, run_plan};

fn state(cells: u32, at_once: u32, leased_by: LeasedBy) -> State {
    let runs = (0..cells).map(|n| Arc::new(run_plan(&format!("c-run-f{n}s42")))).collect();
    let plan = CvPlan { failed_cells: FailedCells::Ignore, ..cv_plan("c", cells) };
    State::new(Arc::new(plan), runs, at_once, leased_by)
}

fn ended(index: usize, status: Status) -> Input {
    Input::RunEnded { index, outcome: Box::new(run_outcome(status, 0.5)) }
}

fn started(effects: &[Effect]) -> Vec<usize> {
    let started = effects.iter().filter_map(|effect| match effect {
        Effect::StartRun { index, .. } => Some(*index),
        _ => None,
    });
    started.collect()
}

fn written(effects: &[Effect]) -> &CvOutcome {
    let mut written = effects.iter().filter_map(|effect| match effect {
        Effect::WriteScore(outcome) => Some(outcome.as_ref()),
        _ => None,
    });
    written.next().expect("no score among the effects")
}

#[test]
fn cells_start_in_their_order_as_many_as_may_and_the_next_when_one_ends() {
    let mut state = state(4, 2, LeasedBy::Run);
    assert_eq!(started(&state.apply(Input::Begin)), [0, 1]);
    assert_eq!(started(&state.apply(ended(1, Status::Complete))), [2]);
    assert_eq!(started(&state.apply(ended(0, Status::Failed))), [3]);
}

#[test]
fn the_table_of_runs_is_written_once_at_a_time_and_again_when_it_is_stale() {
    let mut state = state(4, 4, LeasedBy::Run);
    let _ = state.apply(Input::Begin);
    assert!(
        matches!(&state.apply(ended(0, Status::Complete))[..], [Effect::WriteRuns(runs)] if runs.len() == 1)
    );
    assert_eq!(state.apply(ended(1, Status::Complete)), []);
    assert_eq!(state.apply(ended(2, Status::Complete)), []);
    let again = state.apply(Input::RunsWritten { failure: None });
    assert!(matches!(&again[..], [Effect::WriteRuns(runs)] if runs.len() == 3));
}

#[test]
fn the_outcome_waits_for_the_tables_and_names_those_not_written() {
    let mut state = state(2, 2, LeasedBy::Run);
    let _ = state.apply(Input::Begin);
    let _ = state.apply(ended(0, Status::Complete));
    assert_eq!(state.apply(ended(1, Status::Complete)), [], "a table is still being written");
    let effects = state.apply(Input::RunsWritten { failure: Some("disk full".into()) });
    assert_eq!(written(&effects).score, Some(0.5));
    let effects = state.apply(Input::ScoreWritten { failure: Some("disk full".into()) });
    let Some(Effect::Report(outcome)) = effects.last() else { panic!("not told: {effects:?}") };
    assert_eq!(outcome.unwritten, ["disk full"]);
}

#[test]
fn a_lost_actor_is_started_once_more_and_then_its_cell_has_failed() {
    let mut state = state(1, 1, LeasedBy::Run);
    let _ = state.apply(Input::Begin);
    let lost = |generation| Input::RunLost { index: 0, generation };
    assert_eq!(state.apply(lost(0)), [Effect::StartRun { index: 0, generation: 1 }]);
    assert_eq!(state.apply(lost(0)), [Effect::CountLate("run-lost")], "the same loss twice");
    let effects = state.apply(lost(1));
    let run = &written(&effects).runs[0];
    assert_eq!((run.status, run.failure.as_ref().map(|f| f.cause)), (Status::Failed, Some(Cause::Lost)));
}

#[test]
fn an_outcome_that_comes_twice_or_from_nobody_is_counted_and_changes_nothing() {
    let mut state = state(2, 1, LeasedBy::Run);
    let _ = state.apply(Input::Begin);
    let _ = state.apply(ended(0, Status::Complete));
    for index in [0, 9] {
        assert_eq!(state.apply(ended(index, Status::Failed)), [Effect::CountLate("run-ended")]);
    }
}

#[test]
fn a_cv_that_leases_gives_back_after_its_last_run() {
    let mut state = state(2, 1, LeasedBy::Cv);
    assert_eq!(state.apply(Input::Begin).last(), Some(&Effect::AcquireLease));
    assert_eq!(started(&state.apply(Input::LeaseGranted)), [0]);
    assert!(!state.apply(ended(0, Status::Complete)).contains(&Effect::ReturnLease));
    assert!(state.apply(ended(1, Status::Complete)).contains(&Effect::ReturnLease));
}

#[test]
fn without_a_device_every_cell_fails_and_the_cv_still_ends() {
    let mut state = state(2, 1, LeasedBy::Cv);
    let _ = state.apply(Input::Begin);
    let effects = state.apply(Input::LeaseRefused { reason: "no device left".into() });
    assert!(written(&effects).runs.iter().all(|run| run.status == Status::Failed));
    assert!(!effects.contains(&Effect::ReturnLease));
}

#[test]
fn a_stop_cancels_the_cells_that_did_not_start_and_is_passed_to_those_that_did() {
    for mode in [StopMode::Drain, StopMode::Cancel, StopMode::Kill] {
        let mut state = state(3, 1, LeasedBy::Run);
        let _ = state.apply(Input::Begin);
        assert_eq!(state.apply(Input::Stop(mode)), [Effect::StopRuns(mode)]);
        let effects = state.apply(ended(0, Status::Complete));
        let outcome = written(&effects);
        let ended: Vec<_> = outcome.runs.iter().map(|run| (run.status, run.attempts)).collect();
        assert_eq!(ended, [(Status::Complete, 1), (Status::Cancelled, 0), (Status::Cancelled, 0)]);
        assert_eq!((outcome.status, outcome.score), (Status::Cancelled, None));
    }
}

proptest! {
    #[test]
    fn cv_1_to_4_hold_over_any_order_of_events(
        cells in 0..6_u32, at_once in 1..4_u32, by_cv in any::<bool>(),
        choices in proptest::collection::vec((0..8_usize, 0..8_usize), 0..60),
    ) {
        let leased_by = if by_cv { LeasedBy::Cv } else { LeasedBy::Run };
        let mut state = state(cells, at_once, leased_by);
        let mut running: Vec<(usize, u32)> = vec![];
        let (mut writing, mut scoring, mut leases) = (false, false, 0);
        let mut reports: Vec<CvOutcome> = vec![];
        let mut inputs = vec![Input::Begin];
        let mut choices = choices.into_iter();
        for _ in 0..200 {
            for effect in inputs.drain(..).flat_map(|input| state.apply(input)).collect::<Vec<_>>() {
                match effect {
                    Effect::StartRun { index, generation } => running.push((index, generation)),
                    Effect::WriteRuns(_) => {
                        prop_assert!(!writing && !scoring);
                        writing = true;
                    }
                    Effect::WriteScore(_) => {
                        prop_assert!(!writing && !scoring && running.is_empty(), "CV-3");
                        scoring = true;
                    }
                    Effect::ReturnLease => {
                        prop_assert!(running.is_empty(), "CV-4: given back after the last run");
                        leases -= 1;
                        prop_assert!(leases >= 0, "CV-4: given back once");
                    }
                    Effect::Report(outcome) => reports.push(*outcome),
                    _ => {}
                }
            }
            prop_assert!(running.len() <= at_once as usize, "CV-2");
            if !reports.is_empty() {
                break;
            }
            let (what, which) = choices.next().unwrap_or((1, 0));
            inputs = match what {
                0 if writing => { writing = false; vec![Input::RunsWritten { failure: None }] }
                2 => vec![Input::Stop([StopMode::Drain, StopMode::Cancel, StopMode::Kill][which % 3])],
                3 if !running.is_empty() => {
                    let (index, generation) = running.swap_remove(which % running.len());
                    vec![Input::RunLost { index, generation }]
                }
                4 => vec![Input::RunLost { index: which, generation: 7 }],
                5 if state.phase == Phase::WaitingForLease => vec![Input::LeaseRefused { reason: "gone".into() }],
                _ if state.phase == Phase::WaitingForLease => { leases += 1; vec![Input::LeaseGranted] }
                _ if !running.is_empty() => vec![ended(running.swap_remove(which % running.len()).0, Status::Complete)],
                _ if writing => { writing = false; vec![Input::RunsWritten { failure: None }] }
                _ if scoring => vec![Input::ScoreWritten { failure: None }],
                _ => vec![],
            };
        }
        prop_assert_eq!(reports.len(), 1, "CV-3: told once");
        prop_assert_eq!(reports[0].runs.len(), cells as usize, "CV-1: every cell ends once");
        prop_assert_eq!(leases, 0, "CV-4");
    }
}

/// CV-7.
#[test]
fn after_max_failures_nothing_new_starts_and_what_runs_goes_on_to_its_end() {
    let plan = CvPlan { max_failures: Some(2), failed_cells: FailedCells::Ignore, ..cv_plan("c", 6) };
    let mut state = State { plan: Arc::new(plan), ..state(6, 2, LeasedBy::Run) };
    let _ = state.apply(Input::Begin);
    assert_eq!(started(&state.apply(ended(0, Status::Failed))), [2], "one failure is borne");
    assert_eq!(started(&state.apply(ended(1, Status::Complete))), [3]);
    let effects = state.apply(ended(2, Status::Failed));
    let Effect::Publish(Event::Warned { message }) = &effects[0] else { panic!("{effects:?}") };
    assert!(message.starts_with("`c` starts nothing new, for 2 runs have failed"), "{message}");
    assert!(
        effects.contains(&Effect::StopRuns(StopMode::Drain)) && started(&effects).is_empty(),
        "{effects:?}"
    );
    let _ = state.apply(Input::RunsWritten { failure: None });
    let _ = state.apply(ended(3, Status::Complete));
    let effects = state.apply(Input::RunsWritten { failure: None });
    let outcome = written(&effects);
    let statuses: Vec<_> = outcome.runs.iter().map(|run| run.status).collect();
    let [done, failed, cancelled] = [Status::Complete, Status::Failed, Status::Cancelled];
    assert_eq!(statuses, [failed, done, failed, done, cancelled, cancelled]);
    assert_eq!((outcome.status, outcome.score), (cancelled, None));
}

#[test]
fn the_last_failure_of_a_cv_that_has_ended_stops_nothing() {
    let plan = CvPlan { max_failures: Some(1), failed_cells: FailedCells::Ignore, ..cv_plan("c", 2) };
    let mut state = State { plan: Arc::new(plan), ..state(2, 2, LeasedBy::Run) };
    let _ = state.apply(Input::Begin);
    let _ = state.apply(ended(0, Status::Complete));
    assert_eq!(state.apply(ended(1, Status::Failed)), []);
    let effects = state.apply(Input::RunsWritten { failure: None });
    assert_eq!((written(&effects).status, written(&effects).score), (Status::Complete, Some(0.5)));
}
