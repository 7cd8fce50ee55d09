//! Files that the official client leaves beside every run: made from the journal when it has ended.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::console::{Console, ConsoleLine};
use super::folder::RunFolder;
use super::log::{Found, LogError, LogReader};
use super::record::Kind;
use super::tree::Tree;
use crate::atomic::{self, AtomicError, Durability};

/// Why they could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExtrasError {
    /// A file could not be put in place.
    #[error(transparent)]
    File(#[from] AtomicError),
    /// A file could not be written.
    #[error("can not write, check the free space of the disk: {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The journal could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What they say.
#[derive(Debug, Clone)]
pub(super) struct Content {
    /// The summary, JSON.
    pub(super) summary: String,
    /// The configuration, JSON.
    pub(super) config: String,
    /// Where the run ran, JSON.
    pub(super) metadata: Option<String>,
    /// Whether anything was printed.
    pub(super) has_console: bool,
}

/// Writes, each whole or not at all, `wandb-summary.json`, `config.yaml`, and where they are not there `wandb-metadata.json` and `output.log`. Gives
/// their names. Blocks.
///
/// # Errors
/// [`ExtrasError`]; nothing of the run depends on them.
pub(super) fn write(folder: &RunFolder, content: &Content) -> Result<Vec<String>, ExtrasError> {
    let files = folder.files();
    fs::create_dir_all(&files).map_err(|source| ExtrasError::Write { path: files.clone(), source })?;
    let mut names = Vec::new();
    let mut put = |name: &str, text: String| {
        let path = files.join(name);
        names.push(name.to_owned());
        atomic::put(&path, Durability::Unsynced, |file| file.write_all(text.as_bytes()))
    };
    put("wandb-summary.json", content.summary.clone())?;
    put("config.yaml", yaml_of(&content.config))?;
    if let Some(metadata) = content.metadata.clone().filter(|_| !files.join("wandb-metadata.json").exists()) {
        put("wandb-metadata.json", metadata)?;
    }
    if content.has_console {
        let path = files.join("output.log");
        if !path.exists() {
            write_console(&folder.journal(), &path)?;
        }
        names.push("output.log".to_owned());
    }
    Ok(names)
}

/// The keys one below the other, each value in the flow form, which is JSON.
fn yaml_of(config: &str) -> String {
    let mut config = Tree::parse(config);
    let mut out = String::new();
    for (key, value) in config.members() {
        out.push_str(&super::tree::text(key));
        out.push_str(":\n");
        for (key, value) in value.members() {
            out.push_str("    ");
            out.push_str(&super::tree::text(key));
            out.push_str(": ");
            value.write(&mut out);
            out.push('\n');
        }
    }
    out
}

/// What was printed, as plain lines. Not brought to the disk: it stands in the journal.
fn write_console(journal: &Path, path: &Path) -> Result<(), ExtrasError> {
    atomic::write_unsynced(path, |file| fill_console(journal, path, file))
}

fn fill_console(journal: &Path, path: &Path, file: &mut fs::File) -> Result<(), ExtrasError> {
    let failed = |source| ExtrasError::Write { path: path.to_owned(), source };
    let mut out = BufWriter::new(file);
    let (mut console, mut open) = (Console::default(), None::<ConsoleLine>);
    let mut reader = LogReader::open(journal, 0)?;
    loop {
        let record = match reader.next()? {
            Found::Record(record, _) => record,
            Found::Damage { .. } => continue,
            Found::End => break,
        };
        let Some(Kind::OutputRaw(output)) = record.kind else {
            continue;
        };
        for line in console.feed(output.output_type == 0, output.timestamp.unwrap_or_default(), &output.line)
        {
            if let Some(before) = open
                .replace(line)
                .filter(|before| Some(before.number) != open.as_ref().map(|open| open.number))
            {
                writeln!(out, "{}", before.text).map_err(failed)?;
            }
        }
    }
    if let Some(last) = open {
        writeln!(out, "{}", last.text).map_err(failed)?;
    }
    out.flush().map_err(failed)
}
