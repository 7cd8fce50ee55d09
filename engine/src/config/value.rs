//! One option's value, and how it is read from text or from a file.

use std::fmt;

use super::document::Node;
use super::nearest;
use super::options::{Kind, OptionSpec, READ_AS};

/// A value, as its option's kind says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OptionValue {
    /// None, by choice or because there is no default.
    Absent,
    /// Of a flag.
    Bool(bool),
    /// Of a count or a seed.
    Int(i64),
    /// Finite.
    Float(f64),
    /// Of a text, a path, a choice or a word.
    Text(String),
    /// Of a list, never empty.
    List(Vec<String>),
}

impl fmt::Display for OptionValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => formatter.write_str("none"),
            Self::Bool(value) => value.fmt(formatter),
            Self::Int(value) => value.fmt(formatter),
            Self::Float(value) => write!(formatter, "{value:?}"),
            Self::Text(value) => write!(formatter, "{value:?}"),
            Self::List(items) => write!(formatter, "{items:?}"),
        }
    }
}

/// What was expected instead, to stand after "must be".
type Expected = String;

/// Reads arguments of the command line; a flag has none, a list one or more.
pub(super) fn from_arguments(spec: &OptionSpec, arguments: &[String]) -> Result<OptionValue, Expected> {
    match spec.kind {
        Kind::Bool if arguments.is_empty() => Ok(OptionValue::Bool(true)),
        Kind::List => from_items(spec, arguments.iter().flat_map(|argument| split(argument)).collect()),
        Kind::Texts => from_items(spec, arguments.to_vec()),
        // Which choices exclude each other is told together with why.
        Kind::Choice(_) => from_items(spec, vec![arguments.join("+")]),
        _ if arguments.len() > 1 => Err(format!("{}, given once", expected(spec))),
        _ => from_items(spec, arguments.to_vec()),
    }
}

/// Reads a default or an environment variable: commas separate the items of every list.
pub(super) fn from_text(spec: &OptionSpec, text: &str) -> Result<OptionValue, Expected> {
    match spec.kind {
        Kind::List | Kind::Texts => from_items(spec, split(text)),
        _ => from_items(spec, vec![text.to_owned()]),
    }
}

/// Reads a value of the file, whose type must be the option's: no number as a text, but where it is one of the names to choose
/// from (`precision = 32`).
pub(super) fn from_node(spec: &OptionSpec, node: &Node) -> Result<OptionValue, Expected> {
    let is_word = |text: &String| matches!(spec.kind, Kind::IntOr { word, .. } if text == word);
    let is_absent = |text: &String| spec.absent.is_some_and(|word| text.eq_ignore_ascii_case(word));
    match (node, spec.kind) {
        (Node::Null, _) if spec.absent.is_some() => Ok(OptionValue::Absent),
        (Node::Text(text), _) if is_absent(text) => Ok(OptionValue::Absent),
        (Node::List(items), Kind::List | Kind::Texts) => {
            from_items(spec, items.iter().map(item).collect::<Option<_>>().ok_or_else(|| expected(spec))?)
        }
        (Node::Text(_) | Node::Int(_) | Node::Float(_), Kind::List | Kind::Texts)
        | (Node::Text(_), Kind::Text | Kind::Path | Kind::Choice(_))
        | (Node::Bool(_), Kind::Bool)
        | (Node::Int(_), Kind::Int { .. } | Kind::IntOr { .. } | Kind::Float)
        | (Node::Float(_), Kind::Float) => from_items(spec, item(node).into_iter().collect()),
        (Node::Int(value), Kind::Choice(names)) if names.contains(&value.to_string().as_str()) => {
            Ok(OptionValue::Text(value.to_string()))
        }
        (Node::Text(text), Kind::IntOr { .. }) if is_word(text) => Ok(OptionValue::Text(text.clone())),
        _ => Err(format!("{}, not {}", expected(spec), node.kind())),
    }
}

/// A value of the file as it may be shown.
pub(super) fn shown(node: &Node) -> String {
    match node {
        Node::Text(text) => format!("{text:?}"),
        Node::Date(text) => text.clone(),
        Node::Float(value) => format!("{value:?}"),
        Node::Table(_) => "a table".to_owned(),
        Node::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Node::Null | Node::Bool(_) | Node::Int(_) => item(node).unwrap_or_else(|| "null".to_owned()),
    }
}

fn item(node: &Node) -> Option<String> {
    match node {
        Node::Text(text) => Some(text.clone()),
        Node::Int(value) => Some(value.to_string()),
        Node::Float(value) => Some(value.to_string()),
        Node::Bool(value) => Some(value.to_string()),
        Node::Null | Node::Date(_) | Node::List(_) | Node::Table(_) => None,
    }
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(|item| item.trim().to_owned()).collect()
}

fn from_items(spec: &OptionSpec, items: Vec<String>) -> Result<OptionValue, Expected> {
    if let ([only], Some(word)) = (items.as_slice(), spec.absent)
        && only.eq_ignore_ascii_case(word)
    {
        return Ok(OptionValue::Absent);
    }
    if matches!(spec.kind, Kind::List | Kind::Texts) {
        return match items.len() {
            // An empty list says "none" where that is a choice.
            0 if spec.absent == Some("none") => Ok(OptionValue::Absent),
            0 => Err(expected(spec)),
            _ if items.iter().any(String::is_empty) => Err(format!("{}, none of them empty", expected(spec))),
            _ => Ok(OptionValue::List(items)),
        };
    }
    let text = items.into_iter().next().unwrap_or_default();
    scalar(spec, text)
}

fn scalar(spec: &OptionSpec, text: String) -> Result<OptionValue, Expected> {
    let integer = |min: i64, max: i64| match text.trim().parse() {
        Ok(value) if (min..=max).contains(&value) => Ok(OptionValue::Int(value)),
        _ => Err(expected(spec)),
    };
    match spec.kind {
        Kind::IntOr { word, .. } if text == word => Ok(OptionValue::Text(text)),
        Kind::Int { min, max } | Kind::IntOr { min, max, .. } => integer(min, max),
        Kind::Float => match text.trim().parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(OptionValue::Float(value)),
            _ => Err(expected(spec)),
        },
        Kind::Bool => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(OptionValue::Bool(true)),
            "false" | "0" | "no" | "off" => Ok(OptionValue::Bool(false)),
            _ => Err(expected(spec)),
        },
        Kind::Choice(names) => choice(spec, names, &text),
        Kind::Text | Kind::Path if text.is_empty() => Err(format!("{} that is not empty", expected(spec))),
        Kind::Text | Kind::Path | Kind::List | Kind::Texts => Ok(OptionValue::Text(text)),
    }
}

fn choice(spec: &OptionSpec, names: &[&str], text: &str) -> Result<OptionValue, Expected> {
    let same =
        |name: &str, text: &str| name.replace('_', "-").eq_ignore_ascii_case(&text.trim().replace('_', "-"));
    let find = |text: &str| {
        let read_as = READ_AS.iter().find(|(key, written, _)| *key == spec.key && same(written, text));
        read_as.map(|(_, _, name)| *name).or_else(|| names.iter().copied().find(|name| same(name, text)))
    };
    if let Some(name) = find(text) {
        return Ok(OptionValue::Text(name.to_owned()));
    }
    let parts: Option<Vec<&str>> =
        text.split(['+', ',', ' ']).filter(|part| !part.is_empty()).map(find).collect();
    match parts {
        Some(parts) if parts.len() > 1 => Err(only_one(spec, &parts)),
        _ => Err(format!("{}{}", expected(spec), nearest::hint(text, names.iter().copied()))),
    }
}

fn only_one(spec: &OptionSpec, parts: &[&str]) -> Expected {
    let parallel = parts.iter().find(|part| part.ends_with("-parallel"));
    let ddp = parts.iter().find(|part| part.starts_with("ddp"));
    match (parallel, ddp) {
        (Some(parallel), Some(ddp)) => {
            format!(
                "one or the other: {parallel} gives every run one device and {ddp} gives one run all of them"
            )
        }
        _ => format!("{}, not several", expected(spec)),
    }
}

fn expected(spec: &OptionSpec) -> Expected {
    let range = |min: i64, max: i64| match max {
        i64::MAX => format!("an integer of at least {min}"),
        _ if max == i64::from(u32::MAX) || max == i64::from(i32::MAX) => {
            format!("an integer of at least {min}")
        }
        _ => format!("an integer from {min} to {max}"),
    };
    let allowed = match spec.kind {
        Kind::Text => "a text".to_owned(),
        Kind::Path => "a path".to_owned(),
        Kind::Int { min, max } => range(min, max),
        Kind::IntOr { min, max, word } => format!("{} or {word:?}", range(min, max)),
        Kind::Float => "a finite number".to_owned(),
        Kind::Bool => "true or false".to_owned(),
        Kind::List | Kind::Texts => "a list of at least one item".to_owned(),
        Kind::Choice(names) => format!("one of {}", names.join(", ")),
    };
    match (spec.absent, spec.kind) {
        (Some(word), Kind::Choice(_)) => format!("{allowed}, {word}"),
        (Some(word), _) => format!("{allowed} or {word:?}"),
        (None, _) => allowed,
    }
}
