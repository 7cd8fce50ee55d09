//! TOML into the tree.

use std::path::Path;

use toml_edit::{Document, Item, TableLike, Value};

use super::{DocumentError, Entry, Node, Table};

pub(super) fn parse(text: &str, path: &Path) -> Result<Table, DocumentError> {
    let lines = Lines::of_text(text);
    match Document::parse(text) {
        Ok(document) => Ok(lines.table(document.as_table())),
        Err(error) => Err(DocumentError::Syntax {
            path: path.to_owned(),
            format: "TOML",
            line: error.span().map(|span| lines.of(span.start)),
            message: error.message().replace('\n', ", "),
        }),
    }
}

/// Turns byte offsets into lines.
struct Lines {
    /// Where lines end.
    ends: Vec<usize>,
}

impl Lines {
    fn of_text(text: &str) -> Self {
        let is_end = |(at, byte)| (byte == b'\n').then_some(at);
        Self { ends: text.bytes().enumerate().filter_map(is_end).collect() }
    }

    fn of(&self, offset: usize) -> usize {
        1 + self.ends.partition_point(|end| *end < offset)
    }

    fn table(&self, table: &dyn TableLike) -> Table {
        let entries = table.iter().map(|(key, item)| {
            let span = table.key(key).and_then(toml_edit::Key::span).or_else(|| item.span());
            Entry { key: key.to_owned(), line: span.map(|span| self.of(span.start)), node: self.item(item) }
        });
        Table { entries: entries.collect() }
    }

    fn item(&self, item: &Item) -> Node {
        match item {
            Item::None => Node::Null,
            Item::Value(value) => self.value(value),
            Item::Table(table) => Node::Table(self.table(table)),
            Item::ArrayOfTables(tables) => {
                Node::List(tables.iter().map(|table| Node::Table(self.table(table))).collect())
            }
        }
    }

    fn value(&self, value: &Value) -> Node {
        match value {
            Value::String(text) => Node::Text(text.value().clone()),
            Value::Integer(number) => Node::Int(*number.value()),
            Value::Float(number) => Node::Float(*number.value()),
            Value::Boolean(truth) => Node::Bool(*truth.value()),
            Value::Datetime(date) => Node::Date(date.value().to_string()),
            Value::Array(items) => Node::List(items.iter().map(|item| self.value(item)).collect()),
            Value::InlineTable(table) => Node::Table(self.table(table)),
        }
    }
}
