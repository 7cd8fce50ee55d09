//! Taking values of known kind out of what was resolved.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ConfigError;
use super::resolve::{Resolved, ResolvedOption};
use super::value::OptionValue;

/// Values by key, each in the type it is wanted in.
pub(super) struct Reader<'a> {
    pub(super) resolved: &'a Resolved,
}

impl<'a> Reader<'a> {
    pub(super) fn new(resolved: &'a Resolved) -> Self {
        Self { resolved }
    }

    pub(super) fn option(&self, key: &str) -> Result<&ResolvedOption, ConfigError> {
        self.resolved
            .get(key)
            .ok_or_else(|| ConfigError::UnknownOption { key: key.to_owned(), hint: String::new() })
    }

    pub(super) fn value(&self, key: &str) -> Option<&OptionValue> {
        self.resolved.get(key).map(|option| &option.value)
    }

    pub(super) fn needed<T>(&self, key: &str, value: Option<T>, why: &str) -> Result<T, ConfigError> {
        match value {
            Some(value) => Ok(value),
            None => Err(self.option(key)?.missing(why)),
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        match self.value(key) {
            Some(OptionValue::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    pub(super) fn list(&self, key: &str) -> Option<Vec<String>> {
        match self.value(key) {
            Some(OptionValue::List(items)) => Some(items.clone()),
            _ => None,
        }
    }

    pub(super) fn different(&self, key: &str) -> Result<Vec<String>, ConfigError> {
        let items = self.needed(key, self.list(key), "")?;
        without_repetition(self.option(key)?, &items)?;
        Ok(items)
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        matches!(self.value(key), Some(OptionValue::Bool(true)))
    }

    /// One of an enum's names.
    pub(super) fn choice<T: DeserializeOwned>(&self, key: &str) -> Result<T, ConfigError> {
        let text = self.needed(key, self.text(key), "")?;
        let option = self.option(key)?;
        serde_json::from_value(Value::String(text)).map_err(|error| option.refused(error.to_string()))
    }

    pub(super) fn whole<T: TryFrom<i64>>(&self, key: &str) -> Result<T, ConfigError> {
        let value = match self.value(key) {
            Some(OptionValue::Int(value)) => Some(*value),
            _ => None,
        };
        let value = self.needed(key, value, "")?;
        let option = self.option(key)?;
        T::try_from(value).map_err(|_| option.refused("an integer in the option's range"))
    }

    pub(super) fn count<T: From<u32>>(&self, key: &str) -> Result<T, ConfigError> {
        self.whole::<u32>(key).map(T::from)
    }

    pub(super) fn optional_count(&self, key: &str) -> Result<Option<u32>, ConfigError> {
        match self.value(key) {
            Some(OptionValue::Absent) => Ok(None),
            _ => self.count(key).map(Some),
        }
    }
}

/// That no item of a list is there twice.
pub(super) fn without_repetition(option: &ResolvedOption, items: &[String]) -> Result<(), ConfigError> {
    let mut seen = HashSet::new();
    match items.iter().find(|item| !seen.insert(item.as_str())) {
        Some(twice) => Err(option.refused(format!("a list without repetitions, and {twice} is there twice"))),
        None => Ok(()),
    }
}
