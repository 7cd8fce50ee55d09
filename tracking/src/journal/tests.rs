use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::frame::FILE_HEAD;
use super::*;

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.journal");
    (folder, path)
}

/// A journal of these records, each with its durability; the first makes it.
fn journal(path: &Path, records: &[(Vec<u8>, Durability)]) {
    let mut writer = JournalWriter::create(path, &records[0].0).unwrap();
    for (record, durability) in &records[1..] {
        writer.append([record.as_slice()], *durability).unwrap();
    }
}

fn contents(contents: &Contents) -> Vec<Vec<u8>> {
    contents.entries.iter().map(|entry| entry.content.clone()).collect()
}

fn records() -> impl Strategy<Value = Vec<(Vec<u8>, Durability)>> {
    let durability = prop_oneof![Just(Durability::Process), Just(Durability::Power)];
    prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), durability), 1..6)
}

#[test]
fn what_is_appended_is_read_back_and_gone_on_with() {
    let (_folder, path) = place();
    let mut writer = JournalWriter::create(&path, b"one").unwrap();
    writer.append([b"two".as_slice(), b"", b"three"], Durability::Process).unwrap();
    assert_eq!(
        contents(&read(&path).unwrap()),
        [b"one".to_vec(), b"two".to_vec(), vec![], b"three".to_vec()]
    );
    drop(writer);
    let (mut writer, before) = JournalWriter::open(&path).unwrap();
    assert_eq!(before.entries.len(), 4);
    writer.append([b"four".as_slice()], Durability::Power).unwrap();
    assert_eq!(read(&path).unwrap().entries.len(), 5);
}

#[test]
fn jrn_4_two_writers_never_hold_one_journal() {
    let (_folder, path) = place();
    let writer = JournalWriter::create(&path, b"one").unwrap();
    assert!(is_held(&path).unwrap());
    assert!(matches!(JournalWriter::open(&path), Err(JournalError::Held { .. })));
    drop(writer);
    assert!(!is_held(&path).unwrap());
    JournalWriter::open(&path).unwrap();
}

#[test]
fn a_failed_append_leaves_what_was_there_and_names_file_and_place() {
    let (_folder, path) = place();
    let mut writer = JournalWriter::create(&path, b"one").unwrap();
    writer.break_for_test();
    let error = writer.append([b"two".as_slice()], Durability::Power).unwrap_err();
    assert!(matches!(error, JournalError::Write { .. }), "{error}");
    assert!(
        error.to_string().contains("byte 43") && error.to_string().ends_with("engine.journal"),
        "{error}"
    );
    assert_eq!(contents(&read(&path).unwrap()), [b"one".to_vec()]);
}

#[test]
fn what_is_no_journal_is_told_from_one_of_another_version() {
    let (_folder, path) = place();
    assert!(matches!(read(&path), Err(JournalError::Absent { .. })));
    for other in [b"".as_slice(), b"PAR1", &[0; 64]] {
        fs::write(&path, other).unwrap();
        assert!(matches!(read(&path), Err(JournalError::NotAJournal { .. })));
    }
    let mut head = frame::file_head();
    head[8] = 9;
    let check = crc32c::crc32c(&head[..12]).to_le_bytes();
    head[12..].copy_from_slice(&check);
    fs::write(&path, head).unwrap();
    assert!(matches!(read(&path), Err(JournalError::Version { found: 9, supported: 1, .. })));
}

/// A file of the first version of the format: it must open for ever.
#[test]
fn a_journal_of_version_1_still_opens() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/journal/v1.journal");
    let read = read(&path).unwrap();
    assert_eq!(contents(&read), [b"first".to_vec(), b"second".to_vec(), vec![0; 300]]);
    assert_eq!(read.torn, None);
}

proptest! {
    /// JRN-1, JRN-2.
    #[test]
    fn cut_anywhere_a_journal_holds_the_records_before_the_cut(records in records(), cut: prop::sample::Index) {
        let (_folder, path) = place();
        journal(&path, &records);
        let whole = read(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        let cut = FILE_HEAD + cut.index(bytes.len() + 1 - FILE_HEAD);
        fs::write(&path, &bytes[..cut]).unwrap();
        let left = read(&path).unwrap();
        let ends = whole.entries[1..].iter().map(|entry| entry.at).chain([bytes.len() as u64]);
        let before = ends.filter(|end| *end <= cut as u64).count();
        prop_assert_eq!(&left.entries[..], &whole.entries[..before]);
        prop_assert_eq!(left.torn.is_some(), left.whole_bytes < cut as u64);
        // And it is gone on with.
        let (mut writer, _) = JournalWriter::open(&path).unwrap();
        writer.append([b"more".as_slice()], Durability::Process).unwrap();
        drop(writer);
        prop_assert_eq!(read(&path).unwrap().entries.len(), before + 1);
    }

    /// JRN-1, JRN-3.
    #[test]
    fn a_flipped_bit_is_found_and_costs_nothing_that_was_on_the_disk(records in records(), bit: prop::sample::Index) {
        let (_folder, path) = place();
        journal(&path, &records);
        let whole = read(&path).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        match read(&path) {
            Err(JournalError::NotAJournal { .. }) => prop_assert!(bit / 8 < FILE_HEAD),
            Err(JournalError::Damaged { at, whole_behind, .. }) => {
                prop_assert!(at <= (bit / 8) as u64);
                let behind = whole.entries.iter().filter(|entry| entry.at > at).count();
                prop_assert_eq!(whole_behind, behind as u64);
            }
            Ok(left) => {
                let torn = left.torn.expect("a flip that nobody sees");
                prop_assert_eq!(&left.entries[..], &whole.entries[..left.entries.len()]);
                // Whatever stood behind was never known to be on the disk.
                let dropped = &records[left.entries.len() + 1..];
                let last_was_synced = dropped.split_last().is_some_and(|(_, known)| known.iter().any(|(_, d)| *d == Durability::Power));
                prop_assert!(!last_was_synced, "dropped from {}", torn.at);
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}
