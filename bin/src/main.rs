//! The engine's command line: arguments in, jobs run, results and exit code out.

mod args;
mod commands;
mod detach;
mod display;
mod exit;
mod fresh_start;
mod interrupt;
mod job;
mod print;
#[cfg(test)]
mod reference;
mod tables;

use std::process::ExitCode;

use engine::command::BundledWorkload;

use crate::print::errln;

fn main() -> ExitCode {
    if let Some(code) = engine::worker::run_if_worker(BundledWorkload) {
        return code;
    }
    let matches = args::command().get_matches();
    log_to_stderr(matches.get_flag("verbose"));
    match commands::run(&matches) {
        Ok(code) => code.into(),
        Err(error) => {
            errln!("error: {}", exit::chain(&error));
            error.code().into()
        }
    }
}

/// Warnings by default, everything of ours with `--verbose`, and what `ENGINE_LOG` says if it is set.
fn log_to_stderr(verbose: bool) {
    let default = if verbose {
        "warn,engine=debug,engine_actors=debug,engine_devices=debug,engine_tracking=debug"
    } else {
        "warn"
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("ENGINE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| print::Log).init();
}
