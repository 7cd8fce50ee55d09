use proptest::prelude::*;

use super::*;
use crate::outcome::Status;
use crate::testing::{cv_outcome, run_outcome, tune_plan};

fn state(n_trials: u32, at_once: u32, after: AfterTune) -> State {
    State::new(Arc::new(TunePlan { after, ..tune_plan("t", n_trials, 1) }), at_once)
}

fn proposed(n: u32) -> Input {
    let hyperparameters = [("learning_rate".to_string(), serde_json::json!(n))].into_iter().collect();
    Input::Proposed { hyperparameters: Some(hyperparameters) }
}

fn ended(index: u32, status: Status, score: Option<f64>) -> Input {
    Input::CvEnded { index: index as usize, outcome: Box::new(cv_outcome(index, status, score)) }
}

fn report(effects: &[Effect]) -> &TuneOutcome {
    match effects.last() {
        Some(Effect::Report(outcome)) => outcome,
        other => panic!("not told: {other:?}"),
    }
}

fn script(state: &mut State, inputs: impl IntoIterator<Item = Input>) -> Vec<Effect> {
    inputs.into_iter().map(|input| state.apply(input)).last().unwrap_or_default()
}

#[test]
fn as_many_cvs_start_as_may_and_the_sampler_is_told_before_it_is_asked_again() {
    let mut state = state(3, 2, AfterTune::Nothing);
    assert_eq!(state.apply(Input::Begin).last(), Some(&Effect::AskSampler { trial: 0 }));
    assert_eq!(state.apply(proposed(0)).last(), Some(&Effect::AskSampler { trial: 1 }));
    assert!(matches!(&state.apply(proposed(1))[..], [Effect::StartCv { index: 1, .. }]));
    assert_eq!(
        state.apply(ended(1, Status::Complete, Some(0.5))),
        [Effect::TellSampler { trial: 1, score: Some(0.5) }, Effect::AskSampler { trial: 2 }]
    );
}

#[test]
fn an_exhausted_search_space_is_warned_of_and_what_there_is_is_told() {
    let mut state = state(5, 1, AfterTune::Nothing);
    script(&mut state, [Input::Begin, proposed(0), ended(0, Status::Complete, Some(0.5))]);
    let effects = state.apply(Input::Proposed { hyperparameters: None });
    let Effect::Publish(Event::Warned { message }) = &effects[0] else { panic!("{effects:?}") };
    assert!(message.starts_with("1 configurations instead of 5"), "{message}");
    assert_eq!((report(&effects).best, report(&effects).cancelled), (Some(0), false));
}

#[test]
fn tune_3_unstable_and_failed_configurations_never_become_the_best_nor_reach_the_sampler_as_scores() {
    let mut state = state(3, 1, AfterTune::Nothing);
    script(&mut state, [Input::Begin, proposed(0)]);
    let told = state.apply(ended(0, Status::Unstable, Some(0.9)));
    assert_eq!(told[0], Effect::TellSampler { trial: 0, score: None });
    script(&mut state, [proposed(1), ended(1, Status::Complete, Some(0.1)), proposed(2)]);
    let effects = state.apply(ended(2, Status::Failed, None));
    assert_eq!(report(&effects).best, Some(1));
}

#[test]
fn of_equal_scores_the_configuration_proposed_first_is_best_whichever_ended_first() {
    let mut state = state(2, 2, AfterTune::Nothing);
    script(&mut state, [Input::Begin, proposed(0), proposed(1), ended(1, Status::Complete, Some(0.5))]);
    assert_eq!(report(&state.apply(ended(0, Status::Complete, Some(0.5)))).best, Some(0));
}

#[test]
fn the_best_is_retrained_and_its_run_is_part_of_the_outcome() {
    let mut state = state(2, 1, AfterTune::RetrainAndTest);
    script(&mut state, [Input::Begin, proposed(0), ended(0, Status::Complete, Some(0.2)), proposed(1)]);
    let effects = state.apply(ended(1, Status::Complete, Some(0.7)));
    let Some(Effect::StartRetrain { hyperparameters, .. }) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(hyperparameters["learning_rate"], 1);
    let outcome = Box::new(run_outcome(Status::Complete, 0.6));
    let effects = state.apply(Input::RetrainEnded { outcome });
    assert!(report(&effects).retrain.is_some());
}

#[test]
fn without_a_stable_configuration_nothing_is_retrained_and_that_is_said() {
    let mut state = state(1, 1, AfterTune::RetrainAndTest);
    script(&mut state, [Input::Begin, proposed(0)]);
    let effects = state.apply(ended(0, Status::Failed, None));
    assert!(effects.iter().any(|e| matches!(e, Effect::Publish(Event::Warned { .. }))));
    assert_eq!((report(&effects).best, &report(&effects).retrain), (None, &None));
}

#[test]
fn a_stop_goes_to_the_cvs_at_work_and_asks_for_no_more() {
    let mut state = state(3, 1, AfterTune::RetrainAndTest);
    script(&mut state, [Input::Begin, proposed(0)]);
    assert_eq!(state.apply(Input::Stop(StopMode::Drain)), [Effect::StopChildren(StopMode::Drain)]);
    let effects = state.apply(ended(0, Status::Complete, Some(0.5)));
    assert!(report(&effects).cancelled && report(&effects).retrain.is_none());
}

#[test]
fn a_drain_that_comes_when_everything_has_started_cuts_nothing_short() {
    let mut state = state(1, 1, AfterTune::Nothing);
    script(&mut state, [Input::Begin, proposed(0), Input::Stop(StopMode::Drain)]);
    assert!(!report(&state.apply(ended(0, Status::Complete, Some(0.5)))).cancelled);
}

proptest! {
    #[test]
    fn tune_1_to_4_hold_over_any_order_of_events(
        n_trials in 0..6_u32, at_once in 1..4_u32, holds in 0..8_u32, retrain in any::<bool>(),
        choices in proptest::collection::vec((0..10_usize, 0..8_usize, 0..4_u32), 0..60),
    ) {
        let after = if retrain { AfterTune::RetrainAndTest } else { AfterTune::Nothing };
        let mut state = state(n_trials, at_once, after);
        let mut running: Vec<u32> = vec![];
        let (mut asked, mut retraining, mut started, mut told) = (None, false, 0, vec![]);
        let mut reports: Vec<TuneOutcome> = vec![];
        let mut input = Some(Input::Begin);
        let mut choices = choices.into_iter();
        for _ in 0..200 {
            for effect in input.take().map(|input| state.apply(input)).unwrap_or_default() {
                match effect {
                    Effect::AskSampler { trial } => asked = Some(trial),
                    Effect::TellSampler { trial, .. } => told.push(trial),
                    Effect::StartCv { index, .. } => {
                        running.push(u32::try_from(index).unwrap());
                        started += 1;
                    }
                    Effect::StartRetrain { .. } => retraining = true,
                    Effect::Report(outcome) => {
                        prop_assert!(running.is_empty() && !retraining, "TUNE-4");
                        reports.push(*outcome);
                    }
                    _ => {}
                }
            }
            prop_assert!(running.len() <= at_once as usize && started <= n_trials, "TUNE-1");
            if !reports.is_empty() {
                break;
            }
            let (what, which, score) = choices.next().unwrap_or((5, 0, 1));
            input = if let Some(trial) = asked.filter(|_| what != 0) {
                asked = None;
                Some(if trial < holds { proposed(trial) } else { Input::Proposed { hyperparameters: None } })
            } else if what == 1 {
                Some(Input::Stop([StopMode::Drain, StopMode::Cancel, StopMode::Kill][which % 3]))
            } else if !running.is_empty() {
                let index = running.swap_remove(which % running.len());
                Some(match score {
                    0 => ended(index, Status::Failed, None),
                    1 => ended(index, Status::Unstable, Some(9.0)),
                    score => ended(index, Status::Complete, Some(f64::from(score))),
                })
            } else if retraining {
                retraining = false;
                Some(Input::RetrainLost)
            } else {
                None
            };
        }
        prop_assert_eq!(reports.len(), 1, "TUNE-4: told once");
        let outcome = &reports[0];
        prop_assert_eq!(outcome.cvs.len(), started as usize, "TUNE-2");
        told.sort_unstable();
        prop_assert_eq!(told, (0..started).collect::<Vec<_>>(), "TUNE-2");
        let stable: Vec<f64> = outcome.cvs.iter().filter_map(stable_score).collect();
        let best = outcome.best.and_then(|index| stable_score(&outcome.cvs[index]));
        prop_assert_eq!(best, stable.iter().copied().reduce(f64::max), "TUNE-3");
    }
}

/// A cv that ended with so many failed runs and one complete one.
fn ended_failing(index: u32, failed: usize) -> Input {
    let mut outcome = cv_outcome(index, Status::Complete, Some(0.5));
    outcome.runs = vec![run_outcome(Status::Failed, 0.0); failed];
    outcome.runs.push(run_outcome(Status::Complete, 0.5));
    Input::CvEnded { index: index as usize, outcome: Box::new(outcome) }
}

/// TUNE-6.
#[test]
fn after_max_failures_of_all_cvs_together_nothing_new_starts_and_nothing_is_retrained() {
    let plan = TunePlan { after: AfterTune::RetrainAndTest, max_failures: Some(3), ..tune_plan("t", 9, 1) };
    let mut state = State::new(Arc::new(plan), 2);
    script(&mut state, [Input::Begin, proposed(0), proposed(1)]);
    assert_eq!(state.failures_left(), Some(3));
    let effects = state.apply(ended_failing(0, 2));
    assert!(matches!(effects.last(), Some(Effect::AskSampler { trial: 2 })), "two are borne: {effects:?}");
    assert_eq!(state.failures_left(), Some(1), "what the next cv may lose");
    let _ = state.apply(proposed(2));
    let effects = state.apply(ended_failing(2, 1));
    let Effect::Publish(Event::Warned { message }) = &effects[1] else { panic!("{effects:?}") };
    assert!(message.starts_with("`t` starts nothing new, for 3 runs have failed"), "{message}");
    assert_eq!(effects[2..], [Effect::StopChildren(StopMode::Drain)]);
    let effects = state.apply(ended(1, Status::Complete, Some(0.7)));
    let outcome = report(&effects);
    assert_eq!((outcome.cancelled, outcome.best, outcome.cvs.len()), (true, Some(1), 3));
    assert!(outcome.retrain.is_none());
}

#[test]
fn a_tune_whose_last_run_was_the_last_failure_it_bears_is_not_cut_short() {
    let plan = TunePlan { max_failures: Some(1), ..tune_plan("t", 1, 1) };
    let mut state = State::new(Arc::new(plan), 1);
    script(&mut state, [Input::Begin, proposed(0)]);
    let effects = state.apply(ended_failing(0, 1));
    assert!(!report(&effects).cancelled, "{effects:?}");
}
