//! YAML into the tree.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::{DocumentError, Entry, Node, Table};

/// What aliases may repeat, in keys, values, and beginnings and ends of lists: more is no file of settings, but one that grows to
/// the machine's memory as it is read.
const MOST_REPEATED: usize = 20_000;

pub(super) fn parse(text: &str, path: &Path) -> Result<Table, DocumentError> {
    let syntax = |line, message: String| DocumentError::Syntax {
        path: path.to_owned(),
        format: "YAML",
        line,
        message,
    };
    let options = serde_saphyr::options! {
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MOST_REPEATED },
    };
    match serde_saphyr::from_str_with_options::<Node>(text, options) {
        Ok(Node::Table(root)) => Ok(root),
        Ok(Node::Null) => Ok(Table::default()),
        Ok(other) => Err(syntax(None, format!("it holds {} where a mapping is expected", other.kind()))),
        Err(error) => {
            let line = error.location().and_then(line_of);
            let message = error.without_snippet().to_string();
            Err(syntax(line, message.replace('\n', ", ")))
        }
    }
}

fn line_of(location: Location) -> Option<usize> {
    usize::try_from(location.line()).ok().filter(|line| *line > 0)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a scalar, a list or a mapping with text keys")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        i64::try_from(value)
            .map(Node::Int)
            .map_err(|_| E::custom(format!("the integer {value} is too large (at most {})", i64::MAX)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut table = Table::default();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let node = entries.next_value()?;
            table.entries.push(Entry { key: key.value, line: line_of(key.referenced), node });
        }
        Ok(Node::Table(table))
    }
}
