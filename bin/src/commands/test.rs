//! `engine test`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use comfy_table::{Table, presets};
use engine::config::{Command as Level, EngineConfig, Sources, option};
use engine::segmentation::jobs::{self, PlanError};
use engine::segmentation::{Trained, TrainedError};
use serde_json::json;

use super::train::{joined, report_run};
use crate::args;
use crate::display::Style;
use crate::exit::{Code, Failure};
use crate::interrupt;
use crate::job::{Call, follow};
use crate::print::{errln, outln};

pub fn run(given: &ArgMatches, style: Style) -> Result<Code, Failure> {
    interrupt::outlive_terminal()?;
    let Some(from) = given.get_one::<PathBuf>("from") else {
        return Ok(test(&super::configured(given, Level::Test)?, style)?.0);
    };
    let Trained { checkpoints, notes, .. } = Trained::find(from).map_err(plan)?;
    for note in notes {
        errln!("warning: {note}");
    }
    // All of them, so that the last one does not refuse what the others were tested for.
    let configs: Vec<EngineConfig> =
        checkpoints.iter().map(|checkpoint| configured(given, checkpoint)).collect::<Result<_, _>>()?;
    let several = configs.len() > 1;
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (number, mut config) in configs.into_iter().enumerate() {
        if several {
            config.name = config.name.map(|name| format!("{name}-{number}"));
        }
        let (code, metrics) = test(&config, style)?;
        if code != Code::Done {
            return Ok(code);
        }
        for (name, value) in metrics.into_iter().filter(|(name, _)| name.starts_with("test/")) {
            values.entry(name).or_default().push(value);
        }
    }
    if several {
        tell_all(&values, style);
    }
    Ok(Code::Done)
}

type Metrics = Vec<(String, f64)>;

/// Tests one checkpoint.
fn test(config: &EngineConfig, style: Style) -> Result<(Code, Metrics), Failure> {
    let Some(builder) = joined(config)? else { return Ok((Code::Done, Metrics::new())) };
    let request = jobs::test(config)?;
    let call = Call { style, detached: None, warnings: jobs::notes(config, Level::Test) };
    let ended = follow(builder.build()?, call, config, |engine| engine.train(request))?;
    let metrics = ended.outcome.metrics.iter().map(|(name, value)| (name.clone(), *value)).collect();
    Ok((report_run(ended), metrics))
}

/// The command's options, where nothing is given those of the checkpoint's own run: they go before those of a config file.
fn configured(given: &ArgMatches, checkpoint: &Path) -> Result<EngineConfig, Failure> {
    let mut sources = Sources::new().with_environment(super::environment());
    let given = args::given(given);
    let is_given = |key: &str| {
        let variable = option(key).map(|spec| spec.environment());
        given.iter().any(|(other, _)| other == key)
            || variable.is_some_and(|name| std::env::var_os(name).is_some())
    };
    // A split is one thing in two options.
    let splits = is_given("data-split-method") || is_given("data-split-by");
    for (key, values) in jobs::options_of_run(checkpoint)? {
        let is_split = key.starts_with("data-split-");
        if !(is_given(key) || is_split && splits) {
            sources = sources.with_option(key, values)?;
        }
    }
    for (key, values) in given {
        sources = sources.with_option(&key, values)?;
    }
    Ok(EngineConfig::new(&sources.resolve()?, Level::Test)?)
}

fn plan(error: TrainedError) -> Failure {
    PlanError::from(error).into()
}

/// Mean and spread of every metric over all tests.
fn tell_all(values: &BTreeMap<String, Vec<f64>>, style: Style) {
    let summaries: BTreeMap<&str, Summary> =
        values.iter().map(|(name, values)| (name.as_str(), Summary::of(values))).collect();
    if style == Style::Json {
        let figures: BTreeMap<&str, serde_json::Value> = summaries
            .iter()
            .map(|(name, Summary { mean, spread, tests })| {
                (*name, json!({ "mean": mean, "spread": spread, "tests": tests }))
            })
            .collect();
        outln!("{}", json!({ "event": "tests", "metrics": figures }));
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["metric", "mean", "spread", "tests"]);
    for (name, Summary { mean, spread, tests }) in summaries {
        table.add_row([name.to_owned(), format!("{mean:.4}"), format!("{spread:.4}"), tests.to_string()]);
    }
    outln!("{table}");
}

/// Mean and standard deviation over the tests, each test one of all there are.
#[derive(Debug, PartialEq)]
struct Summary {
    mean: f64,
    spread: f64,
    tests: usize,
}

impl Summary {
    fn of(values: &[f64]) -> Self {
        let tests = values.len();
        let mean = values.iter().sum::<f64>() / tests as f64;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        Self { mean, spread: (squares / tests as f64).sqrt(), tests }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_the_tests_there_are() {
        assert_eq!(Summary::of(&[1.0, 3.0]), Summary { mean: 2.0, spread: 1.0, tests: 2 });
        assert_eq!(Summary::of(&[0.5]), Summary { mean: 0.5, spread: 0.0, tests: 1 });
    }
}
