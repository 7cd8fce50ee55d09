//! Tracking by the engine's program against the larger fake W&B server of the shared folder, where it is at hand.

use engine_tests::wandb::python_server::{PythonServer, program};
use engine_tests::wandb::scenarios;

macro_rules! against_the_shared_server {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            if program().is_some() {
                scenarios::$name::<PythonServer>();
            }
        })+
    };
}

against_the_shared_server! {
    a_plain_tune,
    down_at_the_start_then_up,
    the_first_three_fail,
    rate_limited_twice,
    a_quota,
    answers_lost,
    slow_answers,
    killed_then_synced,
    stop_pressed,
    two_runs_at_once,
    key_refused,
}

#[test]
fn a_run_the_server_forgets_in_mid_stream() {
    if program().is_some() {
        scenarios::refused_in_mid_stream::<PythonServer>(404);
    }
}

#[test]
fn a_conflict_in_mid_stream() {
    if program().is_some() {
        scenarios::refused_in_mid_stream::<PythonServer>(409);
    }
}
