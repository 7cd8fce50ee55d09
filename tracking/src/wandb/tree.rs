//! Nested values whose leaves stay the JSON text they were logged as: NaN and Infinity, which JSON does not know, pass
//! through untouched.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::record::{Item, Typed};

/// Characters of a key in a message.
const LONGEST_SHOWN: usize = 100;

/// Levels that are told apart: what is deeper stays text, and a longer path ends there. Each level is a call on the stack, and a
/// journal may be another program's. The depth at which serde_json gives up.
const DEEPEST: usize = 128;

/// A value: the JSON text it was logged as, or values by key.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tree {
    /// JSON text; nothing stands below it then.
    text: Option<String>,
    below: BTreeMap<String, Self>,
}

impl Tree {
    /// A value that is not taken apart.
    pub(super) fn leaf(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), below: BTreeMap::new() }
    }

    /// From JSON text; objects become branches.
    pub(super) fn parse(text: &str) -> Self {
        Self::parse_within(DEEPEST, text)
    }

    fn parse_within(levels: usize, text: &str) -> Self {
        match split_object(text).filter(|_| levels > 0) {
            Some(members) => {
                let below = members
                    .into_iter()
                    .map(|(key, raw)| (key, Self::parse_within(levels - 1, raw)))
                    .collect();
                Self { text: None, below }
            }
            None => Self::leaf(text.trim()),
        }
    }

    /// What stands at this level. A leaf that holds an object is taken apart first, any other leaf gives way.
    pub(super) fn members(&mut self) -> &mut BTreeMap<String, Self> {
        if let Some(text) = self.text.take() {
            let members = split_object(&text).unwrap_or_default();
            self.below = members.into_iter().map(|(key, raw)| (key, Self::leaf(raw))).collect();
        }
        &mut self.below
    }

    /// Sets what stands at a path, in place of all that stood there.
    pub(super) fn set<'a>(&mut self, path: impl IntoIterator<Item = &'a str>, value: Self) {
        *path.into_iter().fold(self, |at, key| at.members().entry(key.to_owned()).or_default()) = value;
    }

    /// Adds the leaves of `other`, which win.
    pub(super) fn merge(&mut self, other: Self) {
        if other.text.is_some() {
            *self = other;
            return;
        }
        let own = self.members();
        for (key, value) in other.below {
            own.entry(key).or_default().merge(value);
        }
    }

    /// Removes what stands at a path.
    pub(super) fn remove(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [key] => drop(self.members().remove(*key)),
            [key, rest @ ..] => {
                if let Some(below) = self.members().get_mut(*key) {
                    below.remove(rest);
                }
            }
        }
    }

    /// What stands under a key of this level.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.below.get(key)
    }

    /// The number a key of this level holds.
    pub(super) fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.text.as_deref()?.trim().parse().ok()
    }

    /// Appends it as JSON.
    pub(super) fn write(&self, out: &mut String) {
        if let Some(text) = &self.text {
            out.push_str(text);
            return;
        }
        out.push('{');
        for (at, (key, value)) in self.below.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_text(key, out);
            out.push(':');
            value.write(out);
        }
        out.push('}');
    }

    /// It as JSON.
    pub(super) fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// Takes out what is too long for `limit` bytes in all: `kept` stays, then as many of the shortest members of at most
    /// `longest` bytes, key and value, as fit. Gives the keys taken out, the longest of them cut.
    pub(super) fn shorten(&mut self, kept: &[&str], longest: usize, limit: usize) -> Vec<String> {
        let mut sizes: Vec<(usize, String)> = self
            .members()
            .iter()
            .filter(|(key, _)| !kept.contains(&key.as_str()))
            .map(|(key, value)| (key.len() + value.to_json().len(), key.clone()))
            .collect();
        sizes.sort();
        let mut held = 0;
        let mut out = Vec::new();
        for (size, key) in sizes {
            // Quotes, colon and comma.
            let size = size + 4;
            if size > longest || held + size > limit {
                self.members().remove(&key);
                out.push(shown(&key));
            } else {
                held += size;
            }
        }
        out
    }
}

/// A key as messages name it.
fn shown(key: &str) -> String {
    match key.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key.to_owned(),
    }
}

/// The path an item is set at.
pub(super) fn path_of(item: &Item) -> Vec<&str> {
    if item.nested_key.is_empty() {
        vec![item.key.as_str()]
    } else {
        item.nested_key.iter().take(DEEPEST).map(String::as_str).collect()
    }
}

/// The value of an item as JSON text.
pub(super) fn value_of(item: Item) -> String {
    match item.typed {
        None if item.value_json.is_empty() => "null".to_owned(),
        None => item.value_json,
        Some(Typed::None(_)) => "null".to_owned(),
        Some(Typed::Boolean(value)) => value.to_string(),
        Some(Typed::Integer(value)) => value.to_string(),
        Some(Typed::Number(value)) => number(value),
        Some(Typed::Text(value)) => text(&value),
        Some(Typed::Json(value)) => value,
    }
}

/// A number as W&B writes it: with the bare words NaN, Infinity and -Infinity.
pub(super) fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else {
        serde_json::Number::from_f64(value).map_or_else(|| "null".to_owned(), |number| number.to_string())
    }
}

/// A text as JSON.
pub(super) fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    write_text(value, &mut out);
    out
}

/// Appends a text as JSON.
fn write_text(value: &str, out: &mut String) {
    out.push('"');
    for letter in value.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Writing to a String can not fail.
            letter if letter < ' ' => drop(write!(out, "\\u{:04x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// The members of a JSON object, each value as the text it stands there; `None` if it is no object. Knows strings and
/// brackets only, so that the bare words of W&B do not matter.
pub(super) fn split_object(text: &str) -> Option<Vec<(String, &str)>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut members = Vec::new();
    for member in split_list(inner) {
        let (key, value) = split_once_outside(member, b':')?;
        members.push((serde_json::from_str::<String>(key.trim()).ok()?, value.trim()));
    }
    Some(members)
}

/// The parts of a text between commas that stand in no string and no bracket.
pub(super) fn split_list(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((part, behind)) = split_once_outside(rest, b',') {
        parts.push(part.trim());
        rest = behind;
    }
    if !rest.trim().is_empty() {
        parts.push(rest.trim());
    }
    parts
}

/// Splits at the first `mark` that stands in no string and no bracket.
fn split_once_outside(text: &str, mark: u8) -> Option<(&str, &str)> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            // The marks are ASCII, so that the text is cut between letters.
            byte if byte == mark && depth == 0 => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bare_words_pass_through() {
        let mut tree = Tree::parse(r#"{"a": NaN, "b": {"c": [1, -Infinity, "x,}"]}}"#);
        tree.set(["b", "d"], Tree::leaf("Infinity"));
        assert_eq!(tree.to_json(), r#"{"a":NaN,"b":{"c":[1, -Infinity, "x,}"],"d":Infinity}}"#);
    }

    #[test]
    fn a_leaf_is_taken_apart_where_something_is_set_below_it() {
        let mut tree = Tree::default();
        tree.set(["extra"], Tree::leaf(r#"{"deep":{"er":1},"nan":NaN}"#));
        tree.set(["extra", "deep", "est"], Tree::leaf("2"));
        assert_eq!(tree.to_json(), r#"{"extra":{"deep":{"er":1,"est":2},"nan":NaN}}"#);
        tree.remove(&["extra", "deep", "er"]);
        tree.remove(&["extra", "not", "there"]);
        tree.remove(&["neither"]);
        assert_eq!(tree.to_json(), r#"{"extra":{"deep":{"est":2},"nan":NaN}}"#);
        tree.set(["extra", "nan", "below"], Tree::leaf("3"));
        assert_eq!(tree.to_json(), r#"{"extra":{"deep":{"est":2},"nan":{"below":3}}}"#);
    }

    #[test]
    fn merged_values_win_and_others_stay() {
        let mut tree = Tree::parse(r#"{"viz":{"a":1,"b":2},"t":{"5":"x"}}"#);
        tree.merge(Tree::parse(r#"{"viz":{"b":3},"cli":"y"}"#));
        assert_eq!(tree.to_json(), r#"{"cli":"y","t":{"5":"x"},"viz":{"a":1,"b":3}}"#);
    }

    #[test]
    fn what_is_too_long_is_taken_out_and_the_rest_stays() {
        let mut tree = Tree::parse(r#"{"_step":7,"long":"xxxxxxxxxxxxxxxxxxxx","a":1,"b":22,"c":333}"#);
        assert_eq!(tree.clone().shorten(&["_step"], 10, 100), ["long"]);
        assert_eq!(tree.shorten(&["_step"], 10, 14), ["c", "long"]);
        assert_eq!(tree.to_json(), r#"{"_step":7,"a":1,"b":22}"#);
        assert_eq!(tree.number("b"), Some(22.0));
    }

    #[test]
    fn the_typed_values_of_the_official_client_are_read() {
        let typed = |typed| Item { typed: Some(typed), ..Item::default() };
        assert_eq!(value_of(typed(Typed::Number(f64::NAN))), "NaN");
        assert_eq!(value_of(typed(Typed::Number(f64::NEG_INFINITY))), "-Infinity");
        assert_eq!(value_of(typed(Typed::Number(0.25))), "0.25");
        assert_eq!(value_of(typed(Typed::Integer(-3))), "-3");
        assert_eq!(value_of(typed(Typed::Text("a\"b\u{1}".to_owned()))), r#""a\"b\u0001""#);
        assert_eq!(value_of(typed(Typed::Json("[1]".to_owned()))), "[1]");
        assert_eq!(value_of(typed(Typed::None(0))), "null");
        assert_eq!(value_of(Item::default()), "null");
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            ".{0,8}".prop_map(serde_json::Value::from),
            "[{}\\[\\],:\"\\\\]{0,6}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_the_same_after_a_tree(value in json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let back: serde_json::Value = serde_json::from_str(&Tree::parse(&text).to_json()).unwrap();
                prop_assert_eq!(&back, &value);
            }
        }
    }
}
