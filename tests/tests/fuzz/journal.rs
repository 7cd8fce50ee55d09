//! The journal of a job, which decides what a resumed job does.

use std::fs;
use std::path::Path;

use engine_tracking::journal::{Durability, JournalError, JournalWriter, read};

use crate::framing::{job_journal, joined};
use crate::harness::Target;

/// A journal as its writer makes it, with its own words about what was on the disk.
fn written(path: &Path) -> Vec<u8> {
    let mut journal = JournalWriter::create(path, b"{\"plan\":1}").unwrap();
    for (number, durability) in [(1, Durability::Process), (2, Durability::Power), (3, Durability::Process)] {
        let records = [format!("{{\"ended\":{number}}}").into_bytes(), vec![number; 40]];
        journal.append(records.iter().map(Vec::as_slice), durability).unwrap();
    }
    drop(journal);
    fs::read(path).unwrap()
}

fn refused(error: &JournalError, path: &Path) -> String {
    let told = crate::chain(error);
    assert!(told.contains(&path.display().to_string()), "does not name its file: {told}");
    told.replace(&path.display().to_string(), "FILE")
}

/// Reads a journal, and goes on with it as a resumed job does: what was whole stays, what is added is found behind it.
fn resumed(path: &Path, input: &[u8]) -> String {
    fs::write(path, input).unwrap();
    let before = match read(path) {
        Ok(contents) => contents,
        Err(error) => {
            assert!(JournalWriter::open(path).is_err(), "no reader takes it, but a writer does");
            assert_eq!(fs::read(path).unwrap(), input, "a refused journal is left as it is");
            return refused(&error, path);
        }
    };
    let torn = before.torn.map_or(0, |torn| torn.bytes);
    assert_eq!(before.whole_bytes + torn, input.len() as u64, "every byte is a record's or the torn tail's");
    let (mut journal, found) = JournalWriter::open(path).unwrap();
    assert_eq!(found, before);
    journal.append([b"resumed".as_slice()], Durability::Process).unwrap();
    drop(journal);
    let after = read(path).unwrap();
    let (last, kept) = after.entries.split_last().unwrap();
    assert_eq!(
        (last.content.as_slice(), kept, after.torn),
        (b"resumed".as_slice(), before.entries.as_slice(), None)
    );
    format!("read {} {}", before.entries.len().min(3), before.torn.map_or("whole", |torn| torn.reason))
}

fn words() -> &'static [&'static str] {
    &["\u{fffd}", "jr\u{1}", "engjrn\n", "{}", "\0\0\0\0", "resumed"]
}

/// Damage as a disk or a copy does it: checksums do not fit what was changed.
#[test]
fn job_journals() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = vec![written(&folder.path().join("seed"))];
    let target = Target { name: "job_journal", corpus, words: words(), seal: None, allowed_bytes: 0 };
    let path = folder.path().join("engine.journal");
    target.run(|input| resumed(&path, input));
}

/// Records whose checksums fit whatever they hold, in any order and number.
#[test]
fn job_journals_with_right_checksums() {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<Vec<u8>> = (0..6_u8).map(|number| vec![number; 4 + usize::from(number) * 9]).collect();
    let corpus = vec![joined(records.iter().map(Vec::as_slice))];
    let target = Target {
        name: "job_journal_sealed",
        corpus,
        words: words(),
        seal: Some(job_journal),
        allowed_bytes: 0,
    };
    let path = folder.path().join("engine.journal");
    target.run(|input| resumed(&path, input));
}
