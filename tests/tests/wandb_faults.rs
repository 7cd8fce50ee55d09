//! Tracking by the engine's program against the repository's own fake W&B server with its faults.

use engine_tests::wandb::scenarios;
use engine_tests::wandb::server::Server;

macro_rules! against_our_server {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            scenarios::$name::<Server>();
        })+
    };
}

against_our_server! {
    a_plain_tune,
    down_at_the_start_then_up,
    down_all_the_time_then_synced,
    the_first_three_fail,
    rate_limited_twice,
    a_quota,
    answers_lost,
    slow_answers,
    killed_then_synced,
    stop_pressed,
    two_runs_at_once,
    key_refused,
    full_disk,
}

#[test]
fn a_run_the_server_forgets_in_mid_stream() {
    scenarios::refused_in_mid_stream::<Server>(404);
}

#[test]
fn a_conflict_in_mid_stream() {
    scenarios::refused_in_mid_stream::<Server>(409);
}
