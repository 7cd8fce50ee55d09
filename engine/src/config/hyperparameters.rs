//! What segmentation makes of hyperparameters: which names it knows, which values it takes.

use engine_actors::plan::Hyperparameters;
use serde_json::Value;
use thiserror::Error;

use super::nearest;
use super::options::{Group, options};
use crate::augment::Augmentation;
use crate::models::SegmentationModel;
use crate::segmentation::settings::SegmentationHyperparameters;
use crate::space::{Distribution, SearchSpace};

/// Why training can not use hyperparameters.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HyperparameterError {
    /// Segmentation has no hyperparameter of this name.
    #[error("{name} is no hyperparameter of segmentation{hint}; there are {known}{place}")]
    Unknown {
        /// The name.
        name: String,
        /// The nearest known name, as a fragment.
        hint: String,
        /// Names there are.
        known: String,
        /// Where it stands, as a fragment.
        place: String,
    },
    /// A value of a type that the hyperparameter does not have.
    #[error("hyperparameter {name} can not be {value}: {reason}{place}")]
    Type {
        /// The name.
        name: String,
        /// The value.
        value: String,
        /// What was expected.
        reason: String,
        /// Where it stands, as a fragment.
        place: String,
    },
    /// A value outside what the hyperparameter may be.
    #[error("hyperparameter {name} can not be {value}, but must be {expected}{place}")]
    Range {
        /// The name.
        name: String,
        /// The value.
        value: String,
        /// What is allowed.
        expected: String,
        /// Where it stands, as a fragment.
        place: String,
    },
}

/// The hyperparameters of a segmentation run from their values by name; what is not named has its default, and the
/// words `none` and `all` stand for no value where there may be none.
///
/// # Errors
/// [`HyperparameterError`] for a name that segmentation does not know, and a value it does not take.
pub fn check_hyperparameters(
    values: &Hyperparameters,
) -> Result<SegmentationHyperparameters, HyperparameterError> {
    let mut named = Hyperparameters::new();
    for (name, value) in values {
        known(name, "")?;
        let value = without_words(name, value.clone());
        check(name, &value, "")?;
        named.insert(name.clone(), value);
    }
    // Every value was read on its own, so nothing is left that could fail.
    serde_json::from_value(Value::Object(named)).map_err(|error| HyperparameterError::Type {
        name: "(all)".to_owned(),
        value: format!("{values:?}"),
        reason: error.to_string(),
        place: String::new(),
    })
}

/// A search space that segmentation can use: every name is known, and every value it can take is checked before the
/// first trial, not at the trial that draws it. Words for no value become none.
///
/// # Errors
/// As [`check_hyperparameters`], with the place in the file.
pub fn check_space(space: SearchSpace) -> Result<SearchSpace, HyperparameterError> {
    let space = space.map_values(without_words);
    for parameter in space.parameters() {
        let place = match (space.path(), parameter.line) {
            (Some(path), line) => format!(", in {}", super::document::place(path, line)),
            (None, _) => String::new(),
        };
        known(&parameter.name, &place)?;
        // What is allowed is an interval for every number: the ends decide.
        for value in &parameter.distribution.ends() {
            check(&parameter.name, value, &place)
                .map_err(|error| meant_as_one_list(error, &parameter.name, &parameter.distribution))?;
            check_words(&parameter.name, value)
                .map_err(|expected| out_of_range(&parameter.name, value, expected, &place))?;
        }
    }
    Ok(space)
}

/// Says how to write one list, where a list that is a choice between its items was probably meant as a value.
fn meant_as_one_list(
    error: HyperparameterError,
    name: &str,
    distribution: &Distribution,
) -> HyperparameterError {
    match (error, distribution) {
        (
            HyperparameterError::Type { name: parameter, value, reason, place },
            Distribution::Choice(choices),
        ) if check(name, &Value::Array(choices.clone()), "").is_ok() => {
            let written = Value::Array(choices.clone());
            let reason = format!(
                "{reason}; a list is a choice between its items, for one list write \
                 {{ distribution = \"constant\", value = {written} }}"
            );
            HyperparameterError::Type { name: parameter, value, reason, place }
        }
        (error, _) => error,
    }
}

/// Whether a number may be the value of this hyperparameter; if not, what may.
pub(super) fn check_range(name: &str, value: f64) -> Result<(), &'static str> {
    let (allowed, expected) = match name {
        "learning_rate" => (value > 0.0 && value.is_finite(), "a finite number greater than 0"),
        "gamma" => (value > 0.0 && value <= 1.0, "greater than 0 and at most 1"),
        "focal_loss_alpha" => ((0.0..=1.0).contains(&value), "from 0 to 1, or none"),
        "focal_loss_gamma" => (value >= 0.0 && value.is_finite(), "a finite number of at least 0"),
        "bce_pos_weight" => (value > 0.0 && value.is_finite(), "a finite number greater than 0"),
        "tversky_alpha" | "tversky_beta" | "weight_decay" | "warmup_epochs" | "min_learning_rate" => {
            (value >= 0.0 && value.is_finite(), "a finite number of at least 0")
        }
        "momentum" => ((0.0..1.0).contains(&value), "from 0 to below 1"),
        "plateau_factor" => (value > 0.0 && value < 1.0, "greater than 0 and below 1"),
        "batch_size" => (value >= 1.0, "an integer of at least 1"),
        _ => (true, ""),
    };
    if allowed { Ok(()) } else { Err(expected) }
}

fn known(name: &str, place: &str) -> Result<(), HyperparameterError> {
    if names().any(|known| known == name) {
        return Ok(());
    }
    let known: Vec<String> = names().collect();
    Err(HyperparameterError::Unknown {
        name: name.to_owned(),
        hint: nearest::hint(name, known.iter().map(String::as_str)),
        known: known.join(", "),
        place: place.to_owned(),
    })
}

fn names() -> impl Iterator<Item = String> {
    let ours = options().iter().filter(|spec| spec.group == Group::Hyperparameters || spec.key == "bands");
    ours.map(|spec| spec.key.replace('-', "_"))
}

fn without_words(name: &str, value: Value) -> Value {
    let spec = options().iter().find(|spec| spec.key.replace('-', "_") == name);
    match (spec.and_then(|spec| spec.absent), &value) {
        (Some(word), Value::String(text)) if text.eq_ignore_ascii_case(word) => Value::Null,
        _ => value,
    }
}

/// Checks one value by reading it as part of the hyperparameters it belongs to.
fn check(name: &str, value: &Value, place: &str) -> Result<(), HyperparameterError> {
    let alone = Hyperparameters::from_iter([(name.to_owned(), value.clone())]);
    if let Err(error) = serde_json::from_value::<SegmentationHyperparameters>(Value::Object(alone)) {
        return Err(HyperparameterError::Type {
            name: name.to_owned(),
            value: value.to_string(),
            reason: error.to_string(),
            place: place.to_owned(),
        });
    }
    match value.as_f64().map_or(Ok(()), |number| check_range(name, number)) {
        Ok(()) => Ok(()),
        Err(expected) => Err(out_of_range(name, value, expected.to_owned(), place)),
    }
}

/// Whether architecture, encoder and augmentations are there by the names given; if not, what is.
pub(super) fn check_words(name: &str, value: &Value) -> Result<(), String> {
    let known = match name {
        "model_arch" => SegmentationModel::architectures(),
        "model_encoder" => SegmentationModel::encoders(),
        "augment" => Augmentation::ALL.map(Augmentation::name).to_vec(),
        _ => return Ok(()),
    };
    let given = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let is_known = |word: &&str| match name {
        "augment" => known.contains(word),
        _ => known.iter().any(|known| known.eq_ignore_ascii_case(word)),
    };
    match given.iter().filter_map(Value::as_str).find(|word| !is_known(word)) {
        None => Ok(()),
        Some(unknown) => {
            Err(format!("one of {}{}", known.join(", "), nearest::hint(unknown, known.iter().copied())))
        }
    }
}

fn out_of_range(name: &str, value: &Value, expected: String, place: &str) -> HyperparameterError {
    HyperparameterError::Range {
        name: name.to_owned(),
        value: value.to_string(),
        expected,
        place: place.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: &Value) -> Hyperparameters {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn the_table_of_options_and_the_type_have_the_same_names_and_defaults() {
        let defaults = serde_json::to_value(SegmentationHyperparameters::default()).unwrap();
        let mut of_type: Vec<_> = map(&defaults).keys().cloned().collect();
        let mut of_table: Vec<_> = names().collect();
        of_type.sort();
        of_table.sort();
        assert_eq!(of_type, of_table);
    }

    #[test]
    fn named_values_replace_defaults_and_words_mean_no_value() {
        let given = map(&json!({"batch_size": 4, "focal_loss_alpha": "none", "bands": "all", "gamma": 1}));
        let read = check_hyperparameters(&given).unwrap();
        let expected = SegmentationHyperparameters {
            batch_size: 4,
            gamma: 1.0,
            ..SegmentationHyperparameters::default()
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn losses_optimizers_and_schedules_are_searched_over_as_any_other_value() {
        let losses = vec![json!("focal"), json!("0.5*bce + 0.5*dice"), json!("lovasz")];
        let space = |losses: Vec<Value>| {
            SearchSpace::new([
                ("loss".to_owned(), Distribution::Choice(losses)),
                ("optimizer".to_owned(), Distribution::Choice(vec![json!("adamw"), json!("sgd")])),
                ("nesterov".to_owned(), Distribution::Choice(vec![json!(true), json!(false)])),
                ("weight_decay".to_owned(), Distribution::Choice(vec![json!("auto"), json!(0.1)])),
            ])
            .unwrap()
        };
        let corners = check_space(space(losses.clone())).unwrap().corners();
        let read: Vec<_> = corners.iter().map(|corner| check_hyperparameters(corner).unwrap()).collect();
        assert!(read.iter().any(|one| one.loss.terms().len() == 2 && one.weight_decay.is_none()));
        let error = check_space(space([losses, vec![json!("tverski")]].concat())).unwrap_err().to_string();
        assert!(error.contains("loss can not be \"tverski\"") && error.contains("mean tversky?"), "{error}");
    }

    #[test]
    fn a_list_of_names_in_a_space_is_pointed_out_as_a_choice() {
        let flips = Distribution::Choice(vec![json!("HorizontalFlip"), json!("Blur")]);
        let space = SearchSpace::new([("augment".to_owned(), flips)]).unwrap();
        let error = check_space(space).unwrap_err().to_string();
        assert!(error.contains(r#"value = ["HorizontalFlip","Blur"]"#), "{error}");
    }

    #[test]
    fn wrong_names_types_and_ranges_are_named() {
        for (given, needle) in [
            (json!({"learning_rat": 0.1}), "did you mean learning_rate?"),
            (json!({"batch_size": 4.5}), "batch_size can not be 4.5"),
            (json!({"model_arch": 3}), "model_arch can not be 3"),
            (json!({"batch_size": 0}), "an integer of at least 1"),
            (json!({"learning_rate": 0.0}), "greater than 0"),
            (json!({"gamma": 1.5}), "at most 1"),
            (json!({"focal_loss_alpha": -0.5}), "from 0 to 1"),
            (json!({"augment": "D4"}), "augment can not be \"D4\""),
            (json!({"loss": "0.5*bce + dise"}), "there is no `dise`; did you mean dice?"),
            (json!({"optimizer": "sdg"}), "`adamw`, `adam`, `sgd`"),
            (json!({"schedule": "linear"}), "`cosine`, `onecycle`, `plateau`"),
            (json!({"momentum": 1.0}), "from 0 to below 1"),
            (json!({"plateau_factor": 1}), "below 1"),
        ] {
            let error = check_hyperparameters(&map(&given)).unwrap_err().to_string();
            assert!(error.contains(needle), "{error}");
        }
    }

    #[test]
    fn a_space_is_checked_at_its_ends_and_at_every_choice() {
        let space = |name: &str, of| SearchSpace::new([(name.to_owned(), of)]).unwrap();
        let uniform = |low, high| Distribution::Uniform { low, high };
        assert!(check_space(space("gamma", uniform(0.5, 1.0))).is_ok());
        assert!(check_space(space("gamma", uniform(0.5, 1.1))).is_err());
        assert!(check_space(space("batch_size", uniform(1.0, 8.0))).is_err());
        assert!(check_space(space("batch_size", Distribution::IntUniform { low: 1, high: 8 })).is_ok());
        assert!(check_space(space("gama", uniform(0.5, 1.0))).is_err());
        let choice = Distribution::Choice(vec![json!("None"), json!(0.9)]);
        let checked = check_space(space("focal_loss_alpha", choice)).unwrap();
        let expected = Distribution::Choice(vec![json!(null), json!(0.9)]);
        assert_eq!(checked.parameters()[0].distribution, expected);
        assert!(
            check_space(space("model_encoder", Distribution::Choice(vec![json!("a"), json!(1)]))).is_err()
        );
    }

    #[test]
    fn a_space_is_checked_for_names_that_are_not_there() {
        for (name, value, needle) in [
            ("model_encoder", json!("resnet19"), "resnet18, resnet34, resnet50, "),
            ("model_encoder", json!("resnet19"), "; did you mean resnet18?"),
            ("model_arch", json!("Vnet"), "did you mean Unet?"),
            ("augment", json!(["D4", "Blru"]), "did you mean Blur?"),
        ] {
            let space = SearchSpace::new([(name.to_owned(), Distribution::Constant(value))]).unwrap();
            let error = check_space(space).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(needle), "{error}");
        }
        let known = Distribution::Choice(vec![json!("ResNet18"), json!("resnet34")]);
        assert!(check_space(SearchSpace::new([("model_encoder".to_owned(), known)]).unwrap()).is_ok());
    }
}
