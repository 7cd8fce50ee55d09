//! How hyperparameters get to a program.

use std::collections::BTreeMap;

use engine_actors::plan::Hyperparameters;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::CommandError;
use super::words::{fill, has};

const TEMPLATE_WORDS: [&str; 3] = ["name", "kebab", "value"];

/// How hyperparameters are handed over. Whichever way it is, they stand in the JSON file too whose path is in `ENGINE_RUN_PARAMETERS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Handover {
    /// As arguments behind the fixed ones: these words for each hyperparameter, `{name}` being its name, `{kebab}` the name with hyphens
    /// for underscores, `{value}` its value. One without a value (null) is left out.
    Arguments(Vec<String>),
    /// As environment variables: this prefix and the name in capitals. One without a value (null) is not set.
    Environment(String),
    /// In the JSON file alone.
    File,
}

impl Default for Handover {
    /// `--name value`.
    fn default() -> Self {
        Self::Arguments(vec!["--{name}".to_owned(), "{value}".to_owned()])
    }
}

/// What a program is handed besides what it always gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Handed {
    pub(super) arguments: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
}

impl Handover {
    /// Arguments by a template as one text, parted by blanks: `--{name} {value}`, `{name}={value}`.
    #[must_use]
    pub fn template(text: &str) -> Self {
        Self::Arguments(text.split_whitespace().map(str::to_owned).collect())
    }

    /// Whether it hands anything over, whatever the hyperparameters.
    ///
    /// # Errors
    /// [`CommandError`] for a template without name or value, an unknown word in it, a prefix that no variable can have.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        match self {
            Self::Arguments(words) => {
                let is_there = |name| words.iter().any(|word| has(word, name));
                if !(is_there("value") && (is_there("name") || is_there("kebab"))) {
                    return Err(CommandError::Template { template: words.join(" ") });
                }
                words.iter().try_for_each(|word| filled(word, "x", "1").map(drop))
            }
            Self::Environment(prefix) => check_variable(&format!("{prefix}X")),
            Self::File => Ok(()),
        }
    }

    /// What is handed over of these hyperparameters.
    ///
    /// # Errors
    /// [`CommandError`] for two hyperparameters of one variable, names no variable can have, texts no program can be given.
    pub(super) fn hand(&self, hyperparameters: &Hyperparameters) -> Result<Handed, CommandError> {
        let mut handed = Handed::default();
        let mut given: BTreeMap<String, &String> = BTreeMap::new();
        for (name, value) in hyperparameters {
            let Some(value) = text(value)? else { continue };
            match self {
                Self::Arguments(words) => {
                    for word in words {
                        handed.arguments.push(filled(word, name, &value)?);
                    }
                }
                Self::Environment(prefix) => {
                    let variable = format!("{prefix}{}", name.to_uppercase());
                    check_variable(&variable)?;
                    if let Some(other) = given.insert(variable.clone(), name) {
                        let other = format!("as hyperparameter {other}");
                        return Err(CommandError::Twice { name: variable, parameter: name.clone(), other });
                    }
                    handed.environment.insert(variable, value);
                }
                Self::File => {}
            }
        }
        Ok(handed)
    }

    /// What a hyperparameter of this name is introduced by among the arguments: `--lr`, or `lr=` where the value is in the same word.
    pub(super) fn introduces(&self, name: &str) -> Option<String> {
        let Self::Arguments(words) = self else { return None };
        let word = words.iter().find(|word| has(word, "name") || has(word, "kebab"))?;
        let before_value = word.split("{value}").next()?;
        filled(before_value, name, "").ok()
    }
}

fn filled(word: &str, name: &str, value: &str) -> Result<String, CommandError> {
    fill(word, &TEMPLATE_WORDS, |asked| match asked {
        "name" => Some(name.to_owned()),
        "kebab" => Some(name.replace('_', "-")),
        "value" => Some(value.to_owned()),
        _ => None,
    })
}

/// A value as a program reads it: texts as they are, lists and tables as JSON. None has none.
fn text(value: &Value) -> Result<Option<String>, CommandError> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.contains('\0') { Err(CommandError::Nul { text }) } else { Ok(Some(text)) }
}

pub(super) fn check_variable(name: &str) -> Result<(), CommandError> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.chars().all(is_word) && name.starts_with(|c: char| !c.is_ascii_digit()) {
        return Ok(());
    }
    Err(CommandError::Variable { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: &Value) -> Hyperparameters {
        value.as_object().cloned().unwrap()
    }

    fn some() -> Hyperparameters {
        map(&json!({ "learning_rate": 1e-5, "model": "a b", "deep": true, "none": null, "widths": [1, 2] }))
    }

    #[test]
    fn values_are_handed_over_by_the_template() {
        let handed = Handover::default().hand(&some()).unwrap().arguments;
        let expected = ["--learning_rate", "1e-5", "--model", "a b", "--deep", "true", "--widths", "[1,2]"];
        assert_eq!(handed, expected);
        let hydra = Handover::template("+{kebab}={value}").hand(&some()).unwrap().arguments;
        assert_eq!(hydra[..2], ["+learning-rate=1e-5", "+model=a b"]);
        // What stands in a value is not a word of the template.
        let odd = map(&json!({ "text": "{name}" }));
        assert_eq!(Handover::default().hand(&odd).unwrap().arguments, ["--text", "{name}"]);
    }

    #[test]
    fn values_are_handed_over_as_variables() {
        let handed = Handover::Environment("HP_".into()).hand(&some()).unwrap();
        assert!(handed.arguments.is_empty());
        let expected =
            [("HP_DEEP", "true"), ("HP_LEARNING_RATE", "1e-5"), ("HP_MODEL", "a b"), ("HP_WIDTHS", "[1,2]")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(handed.environment, BTreeMap::from(expected));
        let twice = map(&json!({ "lr": 1, "LR": 2 }));
        let error = Handover::Environment(String::new()).hand(&twice).unwrap_err().to_string();
        assert!(error.contains("LR is handed over twice"), "{error}");
        let error = Handover::Environment(String::new()).hand(&map(&json!({ "a.b": 1 }))).unwrap_err();
        assert!(matches!(error, CommandError::Variable { name } if name == "A.B"));
    }

    #[test]
    fn a_template_has_to_hand_something_over() {
        for (template, is_good) in [
            ("--{name} {value}", true),
            ("{kebab}={value}", true),
            ("--{name}", false),
            ("{value}", false),
            ("", false),
            ("--{name} {value} {fold}", false),
        ] {
            assert_eq!(Handover::template(template).check().is_ok(), is_good, "{template}");
        }
        assert!(Handover::Environment("1".into()).check().is_err());
        assert!(Handover::Environment(String::new()).check().is_ok());
        let nul = Handover::default().hand(&map(&json!({ "a": "x\0" }))).unwrap_err();
        assert!(matches!(nul, CommandError::Nul { .. }));
    }

    #[test]
    fn what_introduces_a_parameter_is_known() {
        let introduces = |template: &str| Handover::template(template).introduces("batch_size").unwrap();
        assert_eq!(introduces("--{name} {value}"), "--batch_size");
        assert_eq!(introduces("--{kebab}={value}"), "--batch-size=");
        assert_eq!(Handover::File.introduces("a"), None);
    }
}
