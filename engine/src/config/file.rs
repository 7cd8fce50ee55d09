//! Looking options up in the config file.

use std::collections::BTreeMap;

use super::document::{Document, Node, Table, place};
use super::error::ConfigError;
use super::nearest;
use super::options::{Group, OptionSpec, option, options};

/// Table with the hyperparameters of a single run or cv, at whatever depth: `[darts.training.hyperparameters]`.
const HYPERPARAMETERS: &str = "hyperparameters";

/// An option as it stands in the file.
pub(super) struct Found<'a> {
    pub(super) spec: &'static OptionSpec,
    pub(super) node: &'a Node,
    pub(super) line: Option<usize>,
    table: String,
}

/// Options by key.
pub(super) type FoundOptions<'a> = BTreeMap<&'static str, Found<'a>>;

/// Whether a name that is no option is a mistake.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    /// `[engine]` is ours alone.
    Error,
    /// `[darts]` configures other programs too.
    Skip,
}

/// Every option under `[darts]`, or else under `[engine]`; `None` if the file has neither.
pub(super) fn look_up(document: &Document) -> Result<Option<FoundOptions<'_>>, ConfigError> {
    let mut search = Search { document, found: BTreeMap::new() };
    for (name, unknown) in [("darts", Unknown::Skip), ("engine", Unknown::Error)] {
        let Some(entry) = document.root.entries.iter().find(|entry| entry.key == name) else { continue };
        let Node::Table(table) = &entry.node else {
            return Err(ConfigError::NotATable { table: name, place: place(&document.path, entry.line) });
        };
        search.table(table, name, unknown)?;
        return Ok(Some(search.found));
    }
    Ok(None)
}

struct Search<'a> {
    document: &'a Document,
    found: FoundOptions<'a>,
}

impl<'a> Search<'a> {
    fn table(&mut self, table: &'a Table, name: &str, unknown: Unknown) -> Result<(), ConfigError> {
        let of_hyperparameters = name.rsplit('.').next() == Some(HYPERPARAMETERS);
        // A typing error there would be a value silently not used, whoever else reads the file.
        let unknown = if of_hyperparameters { Unknown::Error } else { unknown };
        for entry in &table.entries {
            // Where the config file is can not be said by the config file.
            let spec = option(&entry.key).filter(|spec| spec.group != Group::Config);
            match (&entry.node, spec) {
                // Also where a program calls a section like one of our options.
                (Node::Table(inner), _) if !of_hyperparameters => {
                    self.table(inner, &format!("{name}.{}", entry.key), unknown)?;
                }
                (node, Some(spec)) => {
                    let found = Found { spec, node, line: entry.line, table: name.to_owned() };
                    self.add(found)?;
                }
                (_, None) if unknown == Unknown::Error => {
                    return Err(self.unknown(&entry.key, name, entry.line, of_hyperparameters));
                }
                (_, None) => {
                    tracing::debug!(key = entry.key, table = name, "key of the config file is no option");
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, second: Found<'a>) -> Result<(), ConfigError> {
        let key = second.spec.key;
        if let Some(first) = self.found.get(key) {
            let side = |found: &Found<'_>| (found.table.clone(), place(&self.document.path, found.line));
            return Err(ConfigError::Twice { key, first: side(first), second: side(&second) });
        }
        self.found.insert(key, second);
        Ok(())
    }

    fn unknown(&self, key: &str, table: &str, line: Option<usize>, of_hyperparameters: bool) -> ConfigError {
        let known = options().iter().filter(|spec| {
            !of_hyperparameters || spec.group == Group::Hyperparameters || spec.key == "bands"
        });
        ConfigError::UnknownKey {
            key: key.to_owned(),
            table: table.to_owned(),
            hint: nearest::hint(key, known.map(|spec| spec.key)),
            place: place(&self.document.path, line),
        }
    }
}
