//! One function a command.

mod build;
mod config;
mod data;
mod devices;
mod export;
mod jobs;
mod journal;
mod models;
mod predict;
mod shell;
mod sync;
mod test;
mod train;

pub use self::jobs::on_job;
pub use self::shell::PagesError;

use clap::ArgMatches;
use engine::config::{Command as Level, EngineConfig, Resolved, Sources};

use crate::args;
use crate::display::Style;
use crate::exit::{Code, Failure};

/// Does what the command line says.
pub fn run(matches: &ArgMatches) -> Result<Code, Failure> {
    let style = Style::choose(matches.get_flag("quiet"), matches.get_flag("json"));
    match matches.subcommand() {
        Some(("train", given)) => train::job(&configured(given, Level::Train)?, style, train::train),
        Some(("cv", given)) => train::job(&configured(given, Level::Cv)?, style, train::cv),
        Some(("tune", given)) => train::job(&configured(given, Level::Tune)?, style, train::tune),
        Some(("status", given)) => jobs::status(given, style),
        Some(("attach", given)) => jobs::attach(given, style),
        Some(("cancel", given)) => jobs::cancel(given, style),
        Some(("test", given)) => test::run(given, style),
        Some(("predict", given)) => predict::run(given, style),
        Some(("export", given)) => export::run(given, style),
        Some(("devices", given)) => devices::run(given, style),
        Some(("models", given)) => models::run(given, style),
        Some(("sync", given)) => sync::run(given, style),
        Some(("journal", given)) => journal::run(given, style),
        Some(("data", given)) => data::run(given, style),
        Some(("config", given)) => config::run(given, style),
        Some(("completions", given)) => shell::completions(given),
        Some(("man", given)) => shell::man(given),
        // clap asks for a command and knows no others.
        _ => Ok(Code::Usage),
    }
}

/// Every option's value, from the command line, the environment, the file and the defaults.
fn resolved(given: &ArgMatches) -> Result<Resolved, Failure> {
    let mut sources = Sources::new().with_environment(environment());
    for (key, values) in args::given(given) {
        sources = sources.with_option(&key, values)?;
    }
    Ok(sources.resolve()?)
}

/// Environment variables that are text; others can not be ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn configured(given: &ArgMatches, level: Level) -> Result<EngineConfig, Failure> {
    Ok(EngineConfig::new(&resolved(given)?, level)?)
}

/// Numbers of an argument, none where it is not given.
fn numbers(given: &ArgMatches, name: &str) -> Vec<f32> {
    given.get_many(name).into_iter().flatten().copied().collect()
}
