//! A file's table `hyperparameters` into a search space.

use std::path::Path;

use super::distribution::Distribution;
use super::error::{DistributionError, SpaceError};
use super::{Parameter, SearchSpace, error};
use crate::config::document::{Document, Node, Table, snake};
use crate::config::hint;

const TABLE: &str = "hyperparameters";
const NAMES: [&str; 7] =
    ["uniform", "loguniform", "reversed-loguniform", "intuniform", "choice", "constant", "value"];

pub(super) fn load(path: &Path) -> Result<SearchSpace, SpaceError> {
    let document = Document::load(path)?;
    let Some(entry) = document.root.entries.iter().find(|entry| entry.key == TABLE) else {
        return Err(SpaceError::NoTable { path: path.to_owned() });
    };
    let place = |line| error::place(Some(path), line);
    let Node::Table(table) = &entry.node else {
        return Err(SpaceError::NotATable { kind: entry.node.kind(), place: place(entry.line) });
    };
    if table.entries.is_empty() {
        return Err(SpaceError::Empty { place: Some(place(entry.line)) });
    }
    let parameters = table.entries.iter().map(|entry| {
        let name = snake(&entry.key);
        match distribution(&entry.node) {
            Ok(distribution) => Ok(Parameter { name, distribution, line: entry.line }),
            Err(source) => {
                let (source, place) = (Box::new(source), place(entry.line));
                Err(SpaceError::Parameter { parameter: name, source, place })
            }
        }
    });
    SearchSpace::checked(parameters.collect::<Result<_, _>>()?, Some(path.to_owned()))
}

fn distribution(node: &Node) -> Result<Distribution, DistributionError> {
    match node {
        Node::Table(table) => match table.get("distribution") {
            Some(entry) => explicit(&entry.node, table),
            None => implicit(table),
        },
        Node::List(items) => choice(items),
        value => constant(value),
    }
}

/// Bounds alone: their type decides.
fn implicit(table: &Table) -> Result<Distribution, DistributionError> {
    let (Some(_), Some(_)) = (table.get("low"), table.get("high")) else {
        return Err(DistributionError::Undecided);
    };
    match bounds("low and high", table)? {
        Bounds::Ints(low, high) => {
            only(table, "intuniform", &["low", "high"])?;
            Ok(Distribution::IntUniform { low, high })
        }
        Bounds::Floats(low, high) => {
            only(table, "uniform", &["low", "high"])?;
            Ok(Distribution::Uniform { low, high })
        }
    }
}

fn explicit(name: &Node, table: &Table) -> Result<Distribution, DistributionError> {
    let known = || NAMES.join(", ");
    let Node::Text(name) = name else {
        return Err(DistributionError::NotAName { kind: name.kind(), known: known() });
    };
    let Some(name) = NAMES.into_iter().find(|known| *known == name.replace('_', "-")) else {
        let hint = hint(name, NAMES);
        return Err(DistributionError::UnknownDistribution { name: name.clone(), hint, known: known() });
    };
    match name {
        "choice" => {
            only(table, name, &["choices"])?;
            match needed(table, name, "choices")? {
                Node::List(items) => choice(items),
                other => Err(DistributionError::NotAList { kind: other.kind() }),
            }
        }
        "constant" | "value" => {
            only(table, name, &["value"])?;
            constant(needed(table, name, "value")?)
        }
        "intuniform" => {
            only(table, name, &["low", "high"])?;
            match bounds(name, table)? {
                Bounds::Ints(low, high) => Ok(Distribution::IntUniform { low, high }),
                Bounds::Floats(..) => {
                    let (key, kind, expected) = ("low", "a float", "an integer, as must `high`");
                    Err(DistributionError::NotANumber { key, kind, expected })
                }
            }
        }
        "reversed-loguniform" => {
            only(table, name, &["low", "high", "n"])?;
            let (low, high) = bounds(name, table)?.floats();
            let n = table.get("n").map_or(Ok(1.0), |entry| number("n", &entry.node))?;
            Ok(Distribution::ReversedLogUniform { low, high, n })
        }
        _ => {
            only(table, name, &["low", "high"])?;
            let (low, high) = bounds(name, table)?.floats();
            Ok(match name {
                "loguniform" => Distribution::LogUniform { low, high },
                _ => Distribution::Uniform { low, high },
            })
        }
    }
}

fn constant(node: &Node) -> Result<Distribution, DistributionError> {
    node.to_json().map(Distribution::Constant).ok_or(DistributionError::NotJson)
}

fn choice(items: &[Node]) -> Result<Distribution, DistributionError> {
    let choices: Option<Vec<_>> = items.iter().map(Node::to_json).collect();
    choices.map(Distribution::Choice).ok_or(DistributionError::NotJson)
}

fn needed<'a>(
    table: &'a Table,
    distribution: &'static str,
    key: &'static str,
) -> Result<&'a Node, DistributionError> {
    let entry = table.get(key).ok_or(DistributionError::Missing { distribution, key })?;
    Ok(&entry.node)
}

/// A key that is not there to be read is a mistake, not a remark.
fn only(table: &Table, distribution: &'static str, keys: &[&str]) -> Result<(), DistributionError> {
    let stranger = table
        .entries
        .iter()
        .map(|entry| snake(&entry.key))
        .find(|key| key != "distribution" && !keys.contains(&key.as_str()));
    match stranger {
        None => Ok(()),
        Some(key) => Err(DistributionError::UnknownKey {
            distribution,
            hint: hint(&key, keys.iter().copied()),
            known: keys.join(", "),
            key,
        }),
    }
}

enum Bounds {
    Ints(i64, i64),
    Floats(f64, f64),
}

impl Bounds {
    /// Integers are welcome where a continuous distribution is asked for by name.
    fn floats(self) -> (f64, f64) {
        match self {
            Self::Ints(low, high) => (low as f64, high as f64),
            Self::Floats(low, high) => (low, high),
        }
    }
}

fn bounds(distribution: &'static str, table: &Table) -> Result<Bounds, DistributionError> {
    let low = needed(table, distribution, "low")?;
    let high = needed(table, distribution, "high")?;
    number("low", low)?;
    number("high", high)?;
    match (low, high) {
        (Node::Int(low), Node::Int(high)) => Ok(Bounds::Ints(*low, *high)),
        (Node::Float(low), Node::Float(high)) => Ok(Bounds::Floats(*low, *high)),
        (low, high) => Err(DistributionError::Mixed { low: low.kind(), high: high.kind() }),
    }
}

fn number(key: &'static str, node: &Node) -> Result<f64, DistributionError> {
    match node {
        Node::Int(value) => Ok(*value as f64),
        Node::Float(value) => Ok(*value),
        other => Err(DistributionError::NotANumber { key, kind: other.kind(), expected: "a number" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn load_text(name: &str, text: &str) -> Result<SearchSpace, SpaceError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        load(&path)
    }

    const TOML: &str = r#"
[darts.training]
max-epochs = 3

[hyperparameters]
model-arch = "Unet"
batch_size = [32, 64]
depth = {low = 1, high = 10}
gamma = {low = 0.8, high = 0.99}
learning-rate = {distribution = "loguniform", low = 1.0e-5, high = 1e-2}
whole = {distribution = "uniform", low = 0, high = 2}
alpha = {distribution = "reversed-loguniform", low = 0.9, high = 0.9999}
beta = {distribution = "reversed_loguniform", low = 0.0, high = 1.5, n = 2}
steps = {distribution = "intuniform", low = -3, high = 3}
bands = {distribution = "choice", choices = [["red", "green"], ["nir"]]}
augment = {distribution = "constant", value = ["D4", "Blur"]}
seed = {distribution = "value", value = 7}
"#;

    fn expected() -> Vec<(&'static str, Distribution)> {
        vec![
            ("model_arch", Distribution::Constant(json!("Unet"))),
            ("batch_size", Distribution::Choice(vec![json!(32), json!(64)])),
            ("depth", Distribution::IntUniform { low: 1, high: 10 }),
            ("gamma", Distribution::Uniform { low: 0.8, high: 0.99 }),
            ("learning_rate", Distribution::LogUniform { low: 1e-5, high: 1e-2 }),
            ("whole", Distribution::Uniform { low: 0.0, high: 2.0 }),
            ("alpha", Distribution::ReversedLogUniform { low: 0.9, high: 0.9999, n: 1.0 }),
            ("beta", Distribution::ReversedLogUniform { low: 0.0, high: 1.5, n: 2.0 }),
            ("steps", Distribution::IntUniform { low: -3, high: 3 }),
            ("bands", Distribution::Choice(vec![json!(["red", "green"]), json!(["nir"])])),
            ("augment", Distribution::Constant(json!(["D4", "Blur"]))),
            ("seed", Distribution::Constant(json!(7))),
        ]
    }

    fn pairs(space: &SearchSpace) -> Vec<(&str, Distribution)> {
        let parameters = space.parameters().iter();
        parameters.map(|parameter| (parameter.name.as_str(), parameter.distribution.clone())).collect()
    }

    #[test]
    fn every_form_is_read_in_the_order_of_the_file() {
        let space = load_text("hp.toml", TOML).unwrap();
        assert_eq!(pairs(&space), expected());
        assert_eq!(space.parameters()[4].line, Some(10));
    }

    #[test]
    fn yaml_says_the_same() {
        let yaml = "hyperparameters:\n  model-arch: Unet\n  batch_size: [32, 64]\n  depth: {low: 1, high: 10}\n  \
                    gamma: {low: 0.8, high: 0.99}\n  learning-rate:\n    distribution: loguniform\n    low: 1e-5\n    \
                    high: 0.01\n  off: ~\n";
        let space = load_text("hp.yml", yaml).unwrap();
        let mut expected = expected();
        expected.truncate(5);
        expected.push(("off", Distribution::Constant(json!(null))));
        assert_eq!(pairs(&space), expected);
        assert_eq!(space.parameters()[4].line, Some(6));
    }

    #[test]
    fn every_mistake_is_named_with_parameter_file_and_line() {
        for (written, needle) in [
            ("{low = 1, high = 2.0}", "both as integers or both as floats"),
            ("{distribution = \"uniform\", low = 1, high = 2.0}", "both as integers or both as floats"),
            ("{low = 1}", "both `low` and `high`"),
            ("{}", "`distribution`, or both"),
            ("{distribution = \"uniform\", low = 1.0}", "uniform needs `high`"),
            ("{distribution = \"choice\"}", "choice needs `choices`"),
            ("{distribution = \"constant\"}", "constant needs `value`"),
            ("{low = 2, high = 2}", "`low` must be less than `high`"),
            ("{low = 2.5, high = -1.0}", "`low` is 2.5 and `high` is -1.0"),
            ("{low = nan, high = 1.0}", "`low` is NaN, but must be finite"),
            ("{distribution = \"loguniform\", low = 0.0, high = 1.0}", "more than 0"),
            ("{distribution = \"reversed-loguniform\", low = 0.1, high = 1.0}", "less than `n`, which is 1"),
            ("{distribution = \"lognuniform\", low = 0.1, high = 1.0}", "did you mean loguniform?"),
            ("{distribution = 3, low = 0.1, high = 1.0}", "`distribution` is an integer"),
            ("{distribution = \"intuniform\", low = 0.1, high = 1.0}", "must be an integer"),
            ("{distribution = \"loguniform\", low = 0.1, hihg = 1.0}", "did you mean high?"),
            ("{low = 1, high = 2, step = 1}", "intuniform has no `step`"),
            ("{low = \"1\", high = 2}", "`low` is a text"),
            ("{distribution = \"choice\", choices = 3}", "`choices` is an integer"),
            ("[]", "at least one value"),
            ("{distribution = \"choice\", choices = []}", "at least one value"),
            ("1979-05-27", "a date"),
            ("[1.0, inf]", "not finite"),
        ] {
            let error =
                load_text("hp.toml", &format!("[hyperparameters]\na = 1\nb-c = {written}\n")).unwrap_err();
            let message = error.to_string();
            assert!(message.contains(needle), "{written}: {message}");
            assert!(message.contains("parameter b_c") && message.contains("hp.toml:3"), "{message}");
        }
    }

    #[test]
    fn mistakes_of_the_whole_file() {
        for (text, needle) in [
            ("a = 1\n", "no top-level table `hyperparameters`"),
            ("[hyperparameters]\n", "holds no parameter"),
            ("hyperparameters = 3\n", "`hyperparameters` is an integer"),
            ("[hyperparameters]\na-b = 1\na_b = 2\n", "hp.toml:2 and in"),
            ("[hyperparameters\n", "is not valid TOML"),
        ] {
            let error = load_text("hp.toml", text).unwrap_err().to_string();
            assert!(error.contains(needle) && error.contains("hp.toml"), "{error}");
        }
        assert!(matches!(load(Path::new("not/there.yaml")), Err(SpaceError::Document(_))));
    }
}
