//! Scores against the golden values of `scores.json`: every case, every strategy.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says so by panicking")]

use engine_actors::score::{Scoring, Strategy};
use engine_tracking::Metrics;
use serde_json::Value;

/// Far above what summing in another order can change, far below what another formula would.
const RELATIVE_TOLERANCE: f64 = 1e-12;

/// Reads JSON in which `NaN`, `Infinity` and `-Infinity` stand bare, as Python writes them: here as strings.
fn read_pythons_json(text: &str) -> Value {
    let mut quoted = text.to_owned();
    for word in ["NaN", "-Infinity", "Infinity"] {
        quoted = quoted
            .replace(&format!(": {word}"), &format!(":\"{word}\""))
            .replace(&format!(":{word}"), &format!(":\"{word}\""));
    }
    serde_json::from_str(&quoted).unwrap()
}

fn number(value: &Value) -> f64 {
    match value.as_str() {
        None => value.as_f64().unwrap(),
        Some("NaN") => f64::NAN,
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        Some(other) => panic!("no number: {other}"),
    }
}

fn metrics(run: &Value) -> Metrics {
    run.as_object().unwrap().iter().map(|(name, value)| (name.clone(), number(value))).collect()
}

#[test]
fn scores_are_the_references() {
    let text = std::fs::read_to_string(engine_tests::fixture("scores.json")).unwrap();
    let golden = read_pythons_json(&text);
    let cases = golden["cases"].as_array().unwrap();
    let mut compared = 0;
    for (index, case) in cases.iter().enumerate() {
        let runs: Vec<Metrics> = case["runs"].as_array().unwrap().iter().map(metrics).collect();
        let names: Vec<&str> =
            case["metrics"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        for strategy in Strategy::ALL {
            let place = format!("case {index}, {strategy}");
            let scoring = Scoring::parse(&names, strategy.name()).unwrap();
            let unstable: Vec<Value> = runs.iter().map(|run| scoring.run_is_unstable(run).into()).collect();
            assert_eq!(&Value::Array(unstable), &case["is_unstable"], "{place}");

            let score = scoring.score(&runs);
            assert_eq!(case["score_is_unstable"], score.is_unstable, "{place}");
            match &case["score"][strategy.name()] {
                Value::String(text) if text == "not finite" => {
                    assert!(!score.value.is_finite(), "{place}: {score:?}");
                }
                expected => {
                    let expected = number(expected);
                    let off = (score.value - expected).abs() / expected.abs();
                    assert!(off <= RELATIVE_TOLERANCE, "{place}: {} is not {expected}", score.value);
                }
            }
            compared += 1;
        }
    }
    assert!(compared >= 4, "the fixture holds no case");
}
