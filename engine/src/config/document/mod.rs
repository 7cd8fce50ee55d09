//! A TOML or YAML file as one tree that remembers the line of everything in it.
//!
//! Settings and search spaces are read from it, so that an error about a value can say where the value stands.

mod toml;
mod yaml;

use std::path::{Path, PathBuf};

use thiserror::Error;

/// A file that was read and parsed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    /// Where it was read from.
    pub(crate) path: PathBuf,
    /// Its top-level table.
    pub(crate) root: Table,
}

/// Entries in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Table {
    /// The entries; no key appears twice.
    pub(crate) entries: Vec<Entry>,
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// The key as written.
    pub(crate) key: String,
    /// Line of the key, from 1, where the parser knows it.
    pub(crate) line: Option<usize>,
    /// What stands under the key.
    pub(crate) node: Node,
}

/// What can stand under a key or in a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// YAML's null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float, possibly not finite.
    Float(f64),
    /// A text.
    Text(String),
    /// A date or a time, as written.
    Date(String),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

/// Why a file could not become a document of options.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The file can not be read.
    #[error("can not be read; check that the file is there and may be read: {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file name ends in something else than `.toml`, `.yaml` or `.yml`.
    #[error("is neither .toml nor .yaml nor .yml by its name; rename it: {}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The text is not what its name says.
    #[error("is not valid {format}: {message}; correct it at {}", place(path, *line))]
    Syntax {
        /// The file.
        path: PathBuf,
        /// `TOML` or `YAML`.
        format: &'static str,
        /// Line from 1, where the parser knows it.
        line: Option<usize>,
        /// What the parser said.
        message: String,
    },
}

impl Document {
    /// Reads a file; its extension says whether it is TOML or YAML.
    pub(crate) fn load(path: &Path) -> Result<Self, DocumentError> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        let parse = match extension.as_deref() {
            Some("toml") => toml::parse,
            Some("yaml" | "yml") => yaml::parse,
            _ => return Err(DocumentError::Format { path: path.to_owned() }),
        };
        let text = std::fs::read_to_string(path)
            .map_err(|source| DocumentError::Read { path: path.to_owned(), source })?;
        let root = parse(&text, path)?;
        Ok(Self { path: path.to_owned(), root })
    }
}

impl Table {
    /// The entry whose key is `name` once hyphens are underscores.
    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| snake(&entry.key) == name)
    }
}

impl Node {
    /// What kind of value this is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a text",
            Self::Date(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// The value as JSON; `None` for what JSON does not have: dates and floats that are not finite.
    pub(crate) fn to_json(&self) -> Option<serde_json::Value> {
        use serde_json::Value;
        Some(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::from(*value),
            Self::Float(value) => Value::Number(serde_json::Number::from_f64(*value)?),
            Self::Text(value) => Value::from(value.as_str()),
            Self::Date(_) => return None,
            Self::List(items) => Value::Array(items.iter().map(Self::to_json).collect::<Option<_>>()?),
            Self::Table(table) => Value::Object(
                table
                    .entries
                    .iter()
                    .map(|entry| Some((entry.key.clone(), entry.node.to_json()?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }
}

/// `file:line`, or the file alone where the line is not known.
pub(crate) fn place(path: &Path, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    }
}

/// A key with underscores for hyphens.
pub(crate) fn snake(key: &str) -> String {
    key.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn toml_and_yaml_give_the_same_tree_with_lines() {
        let toml = "title = \"a\"\n\n[b]\nc-d = [1, 2.5, true]\n\n[b.e]\nf = { g = -1 }\n";
        let yaml = "title: a\n\nb:\n  c-d: [1, 2.5, true]\n\n  e:\n    f: {g: -1}\n";
        let (_keep, path) = write("x.toml", toml);
        let toml = Document::load(&path).unwrap().root;
        let (_keep, path) = write("x.yaml", yaml);
        let yaml = Document::load(&path).unwrap().root;
        fn flat(table: &Table, into: &mut Vec<(String, Option<usize>, String)>) {
            for entry in &table.entries {
                let shown = match &entry.node {
                    Node::Table(_) => String::new(),
                    other => format!("{other:?}"),
                };
                into.push((entry.key.clone(), entry.line, shown));
                if let Node::Table(inner) = &entry.node {
                    flat(inner, into);
                }
            }
        }
        let (mut from_toml, mut from_yaml) = (Vec::new(), Vec::new());
        flat(&toml, &mut from_toml);
        flat(&yaml, &mut from_yaml);
        assert_eq!(from_toml.iter().map(|e| (&e.0, &e.2)).collect::<Vec<_>>(), {
            from_yaml.iter().map(|e| (&e.0, &e.2)).collect::<Vec<_>>()
        });
        let lines = |of: &[(String, Option<usize>, String)]| of.iter().map(|e| e.1).collect::<Vec<_>>();
        assert_eq!(lines(&from_toml), [Some(1), Some(3), Some(4), Some(6), Some(7), Some(7)]);
        assert_eq!(lines(&from_yaml), [Some(1), Some(3), Some(4), Some(6), Some(7), Some(7)]);
    }

    #[test]
    fn yaml_scalars_have_the_types_the_reference_reads_and_exponents_are_floats() {
        let (_keep, path) = write("x.yml", "a: 1e-5\nb: 3\nc: ~\nd: '3'\ne: off\nf: 1.0\n");
        let root = Document::load(&path).unwrap().root;
        let nodes: Vec<_> = root.entries.iter().map(|entry| entry.node.clone()).collect();
        let text = |text: &str| Node::Text(text.to_owned());
        assert_eq!(
            nodes,
            [Node::Float(1e-5), Node::Int(3), Node::Null, text("3"), Node::Bool(false), Node::Float(1.0)]
        );
    }

    #[test]
    fn syntax_errors_name_file_and_line() {
        for (name, text) in [("x.toml", "a = 1\nb = = 2\n"), ("x.yaml", "a: 1\nb: [1, 2\nc: 3\n")] {
            let (_keep, path) = write(name, text);
            let error = Document::load(&path).unwrap_err();
            assert!(matches!(error, DocumentError::Syntax { line: Some(2..), .. }), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
            assert!(error.to_string().contains(&format!("{}:", path.display())), "{error}");
        }
    }

    #[test]
    fn a_key_twice_is_a_syntax_error_in_both_formats() {
        for (name, text) in [("x.toml", "a = 1\na = 2\n"), ("x.yaml", "a: 1\na: 2\n")] {
            let (_keep, path) = write(name, text);
            assert!(matches!(Document::load(&path).unwrap_err(), DocumentError::Syntax { .. }));
        }
    }
}
