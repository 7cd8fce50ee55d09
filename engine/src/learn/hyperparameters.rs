//! Hyperparameters as a user's own type, read so that an error names the one that is wrong.

use engine_actors::plan::Hyperparameters;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use super::error::LearnError;

/// Reads hyperparameters.
///
/// # Errors
/// [`LearnError::Hyperparameters`], which names the one that is missing, has no place or is of another type.
pub(super) fn read<H: DeserializeOwned>(given: &Hyperparameters) -> Result<H, LearnError> {
    H::deserialize(Table(given)).map_err(|error| LearnError::Hyperparameters { reason: error.to_string() })
}

struct Table<'a>(&'a Hyperparameters);

impl<'de> Deserializer<'de> for Table<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(Entries { entries: self.0.iter(), open: None })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    /// A learner without hyperparameters has the type `()`.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0.keys().next() {
            None => visitor.visit_unit(),
            Some(name) => Err(Error::custom(format!("there is no hyperparameter `{name}`"))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

struct Entries<'a> {
    entries: serde_json::map::Iter<'a>,
    /// The one whose name was read and whose value was not.
    open: Option<(&'a String, &'a Value)>,
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        self.open = self.entries.next();
        self.open.map(|(name, _)| seed.deserialize(name.as_str().into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        let Some((name, value)) = self.open.take() else {
            return Err(Error::custom("a value was asked for before its name"));
        };
        seed.deserialize(value).map_err(|error| Error::custom(format!("hyperparameter `{name}`: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Mine {
        learning_rate: f64,
        width: usize,
        #[serde(default)]
        layers: Vec<u32>,
        name: Option<String>,
    }

    fn read_mine(given: &Value) -> Result<Mine, String> {
        read(given.as_object().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_users_type_is_read() {
        let mine = read_mine(&json!({"learning_rate": 1, "width": 8, "layers": [1, 2]})).unwrap();
        assert_eq!(mine, Mine { learning_rate: 1.0, width: 8, layers: vec![1, 2], name: None });
        read::<()>(&Hyperparameters::new()).unwrap();
        read::<Option<Mine>>(json!({"learning_rate": 1, "width": 8}).as_object().unwrap()).unwrap().unwrap();
        read::<Hyperparameters>(json!({"anything": [1]}).as_object().unwrap()).unwrap();
    }

    #[test]
    fn an_error_names_the_hyperparameter_and_what_it_should_be() {
        for (given, needles) in [
            (json!({"learning_rate": "fast", "width": 8}), ["`learning_rate`", "\"fast\"", "f64"]),
            (json!({"learning_rate": 1e-3, "width": 8.5}), ["`width`", "8.5", "usize"]),
            (json!({"learning_rate": 1e-3, "width": -8}), ["`width`", "-8", "usize"]),
            (
                json!({"learning_rate": 1e-3, "width": 8, "layers": [1, "two"]}),
                ["`layers`", "\"two\"", "u32"],
            ),
            (json!({"learning_rate": 1e-3}), ["missing", "`width`", "field"]),
            (json!({"learning_rate": 1e-3, "width": 8, "widht": 1}), ["unknown", "`widht`", "`width`"]),
        ] {
            let error = read_mine(&given).unwrap_err();
            assert!(needles.iter().all(|needle| error.contains(needle)), "{error}");
        }
        let error = read::<()>(json!({"width": 1}).as_object().unwrap()).unwrap_err().to_string();
        assert!(error.contains("no hyperparameter `width`"), "{error}");
    }
}
