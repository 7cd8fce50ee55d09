//! Distributions against golden quantiles: each case is written as a search space, read, and asked.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers end the test by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write;

use engine::space::{DEFAULT_SEED, Distribution, RandomSampler, SearchSpace};
use serde_json::Value;

/// Relative error that is left to the logarithms of different libraries.
const TOLERANCE: f64 = 1e-12;

fn cases() -> Vec<Value> {
    let path = engine_tests::fixture("distributions.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: Value = serde_json::from_str(&text).unwrap();
    let cases = file["cases"].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "{} holds no case", path.display());
    cases
}

/// The case as a user writes it, in TOML and in YAML.
fn spaces(case: &Value) -> [SearchSpace; 2] {
    let mut table = format!("distribution = {}", case["distribution"]);
    for key in ["low", "high", "n"] {
        if let Some(value) = case.get(key) {
            write!(table, ", {key} = {value}").unwrap();
        }
    }
    let toml = format!("[hyperparameters]\nx = {{{table}}}\n");
    let yaml = format!("hyperparameters:\n  x: {{{}}}\n", table.replace(" =", ":"));
    let folder = tempfile::tempdir().unwrap();
    [("space.toml", toml), ("space.yaml", yaml)].map(|(name, text)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        SearchSpace::load(&path).unwrap_or_else(|error| panic!("{case}: {error}"))
    })
}

fn numbers(case: &Value, key: &str) -> Vec<f64> {
    case[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn check_quantiles(case: &Value, distribution: &Distribution) {
    let (at, expected) = (numbers(case, "q"), numbers(case, "x"));
    assert_eq!(at.len(), expected.len(), "{case}");
    let scale = expected.iter().fold(0.0_f64, |scale, x| scale.max(x.abs()));
    for (q, x) in at.into_iter().zip(expected) {
        let quantile = distribution.quantile(q).as_f64().unwrap();
        assert!((quantile - x).abs() <= TOLERANCE * scale.max(x.abs()), "{case} at {q}: {quantile}, not {x}");
    }
    assert_eq!(distribution.cardinality(), None, "{case}");
}

fn check_values(case: &Value, distribution: &Distribution) {
    let expected: BTreeSet<i64> =
        case["values"].as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect();
    let quantiles =
        (0..=10_000).map(|step| distribution.quantile(f64::from(step) / 10_000.0).as_i64().unwrap());
    assert_eq!(quantiles.collect::<BTreeSet<_>>(), expected, "{case}");
    assert_eq!(distribution.cardinality(), Some(expected.len() as u128), "{case}");
}

#[test]
fn every_case_has_its_quantiles_or_values() {
    for case in cases() {
        for space in spaces(&case) {
            let distribution = &space.parameters()[0].distribution;
            match (case.get("x"), case.get("values")) {
                (Some(_), None) => check_quantiles(&case, distribution),
                (None, Some(_)) => check_values(&case, distribution),
                _ => panic!("{case} has neither quantiles nor values"),
            }
        }
    }
}

/// Kolmogorov and Smirnov's distance of 2000 draws from the golden quantiles stays below its 0.1 % point.
#[test]
fn random_search_draws_from_every_case() {
    const DRAWS: u32 = 2000;
    for case in cases() {
        let [space, _] = spaces(&case);
        let mut sampler = RandomSampler::new(space, DEFAULT_SEED);
        let drawn: Vec<Value> =
            (0..DRAWS).map_while(|trial| sampler.propose(trial)).map(|hp| hp["x"].clone()).collect();
        if case.get("values").is_some() {
            let drawn: BTreeSet<i64> = drawn.iter().map(|value| value.as_i64().unwrap()).collect();
            let expected =
                case["values"].as_array().unwrap().iter().map(|value| value.as_i64().unwrap()).collect();
            assert_eq!(drawn, expected, "{case}");
            continue;
        }
        assert_eq!(drawn.len(), DRAWS as usize, "{case}");
        for (q, x) in numbers(&case, "q").into_iter().zip(numbers(&case, "x")) {
            let below = drawn.iter().filter(|value| value.as_f64().unwrap() <= x).count() as f64;
            let distance = (below / f64::from(DRAWS) - q).abs();
            assert!(distance < 1.95 / f64::from(DRAWS).sqrt(), "{case}: {distance} at {q}");
        }
    }
}
