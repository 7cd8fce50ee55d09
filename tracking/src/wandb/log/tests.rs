use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tempfile::TempDir;

use super::frame::{HEAD_BYTES, frame, left_in_block};
use super::*;
use crate::wandb::record::{Kind, OutputRaw, Record};

/// A record of exactly so many encoded bytes (3 at least).
fn record_of(bytes: usize, num: i64) -> Record {
    let of_line = |length| Record {
        num,
        control: None,
        kind: Some(Kind::OutputRaw(OutputRaw { line: "x".repeat(length), ..OutputRaw::default() })),
    };
    let length = (0..=bytes).rev().find(|length| prost::Message::encoded_len(&of_line(*length)) <= bytes);
    of_line(length.unwrap_or(0))
}

fn new_log(folder: &TempDir) -> (PathBuf, LogWriter) {
    let path = folder.path().join("run-x.wandb");
    let log = LogWriter::open(&path).unwrap();
    (path, log)
}

fn read_all(path: &Path) -> Vec<Found> {
    let mut reader = LogReader::open(path, 0).unwrap();
    let mut found = vec![];
    loop {
        match reader.next().unwrap() {
            Found::End => return found,
            other => found.push(other),
        }
    }
}

fn records(found: &[Found]) -> Vec<Record> {
    let record = |found: &Found| match found {
        Found::Record(record, _) => Some((**record).clone()),
        _ => None,
    };
    found.iter().filter_map(record).collect()
}

fn damages(found: &[Found]) -> usize {
    found.iter().filter(|found| matches!(found, Found::Damage { .. })).count()
}

/// Writes records of these sizes and gives the file's path, the records and the ends of them.
fn written(folder: &TempDir, sizes: &[usize]) -> (PathBuf, Vec<Record>, Vec<Position>) {
    let (path, mut log) = new_log(folder);
    let mut ends = vec![];
    let mut wanted = vec![];
    for (size, num) in sizes.iter().zip(1..) {
        let record = record_of(*size, num);
        log.append(&record).unwrap();
        ends.push(log.end());
        wanted.push(record);
    }
    (path, wanted, ends)
}

/// Sizes of records, some longer than blocks.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![4 => 4_usize..200, 2 => 200_usize..20_000, 1 => 30_000_usize..140_000];
    prop::collection::vec(size, 1..24)
}

#[test]
fn every_remainder_at_the_end_of_a_block_is_written_as_leveldb_does() {
    for remainder in 0..=8 {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut log) = new_log(&folder);
        let first = vec![7; left_in_block(FIRST_RECORD) - HEAD_BYTES - remainder];
        log.append_bytes(&first).unwrap();
        assert_eq!(left_in_block(log.end()) % BLOCK_BYTES as usize, remainder);
        let second = record_of(100, 2);
        log.append(&second).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, log.end());
        let at_end = &bytes[BLOCK_BYTES as usize - remainder..BLOCK_BYTES as usize];
        match remainder {
            // Too short for a head: zeros.
            0..7 => assert!(at_end.iter().all(|byte| *byte == 0)),
            // A first part with nothing in it, or with one byte.
            _ => assert_eq!(at_end[4..7], [remainder as u8 - 7, 0, 2]),
        }
        let mut reader = LogReader::open(&path, BLOCK_BYTES - remainder as u64).unwrap();
        assert_eq!(reader.next().unwrap(), Found::Record(Box::new(second), log.end()));
    }
}

#[test]
fn a_record_over_many_blocks_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let (path, wanted, _) = written(&folder, &[5, 7 * BLOCK_BYTES as usize, 12 * 1024 * 1024, 10]);
    assert_eq!(records(&read_all(&path)), wanted);
}

#[test]
fn a_record_too_long_for_any_reader_is_refused_and_the_next_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut log) = new_log(&folder);
    let error = log.append_bytes(&vec![0; MAX_RECORD_BYTES + 1]).unwrap_err();
    assert!(matches!(error, LogError::TooLong { .. }), "{error}");
    log.append(&record_of(10, 1)).unwrap();
    assert_eq!(records(&read_all(&path)), [record_of(10, 1)]);
}

#[test]
fn a_length_beyond_any_record_is_damage_and_costs_no_more_memory_than_that() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut log) = new_log(&folder);
    log.append(&record_of(10, 1)).unwrap();
    let from = log.end();
    let long = frame(&vec![1; MAX_RECORD_BYTES + 100_000], from);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&long, from).unwrap();
    log.go_on_at(from + long.len() as u64).unwrap();
    log.append(&record_of(20, 2)).unwrap();
    let found = read_all(&path);
    assert_eq!(records(&found), [record_of(10, 1), record_of(20, 2)]);
    assert_eq!(damages(&found), 1);
}

#[test]
fn a_second_writer_is_refused_while_the_first_lives() {
    let folder = tempfile::tempdir().unwrap();
    let (path, log) = new_log(&folder);
    let error = LogWriter::open(&path).unwrap_err();
    assert!(matches!(error, LogError::InUse { .. }), "{error}");
    drop(log);
    LogWriter::open(&path).unwrap();
}

#[test]
fn another_file_is_no_log_and_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run-x.wandb");
    for content in ["no", "something else altogether"] {
        fs::write(&path, content).unwrap();
        drop(LogWriter::open(&path).unwrap());
        assert!(matches!(LogReader::open(&path, 0).unwrap_err(), LogError::NotALog { .. }));
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn a_position_behind_the_end_of_a_shortened_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _, ends) = written(&folder, &[100, 100]);
    OpenOptions::new().write(true).open(&path).unwrap().set_len(ends[0]).unwrap();
    let error = LogReader::open(&path, ends[1]).unwrap_err();
    assert!(matches!(error, LogError::Shorter { at, .. } if at == ends[1]), "{error}");
    LogReader::open(&path, ends[0]).unwrap();
}

#[test]
fn a_reader_that_was_there_before_the_file_had_a_header_finds_the_first_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run-x.wandb");
    fs::write(&path, &FILE_HEADER[..3]).unwrap();
    let mut reader = LogReader::open(&path, 0).unwrap();
    assert_eq!(reader.next().unwrap(), Found::End);
    let mut log = LogWriter::open(&path).unwrap();
    assert_eq!(reader.next().unwrap(), Found::End);
    log.append(&record_of(10, 1)).unwrap();
    assert_eq!(reader.next().unwrap(), Found::Record(Box::new(record_of(10, 1)), log.end()));
}

#[test]
fn a_log_that_could_not_be_written_once_takes_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut log) = new_log(&folder);
    log.append(&record_of(100, 1)).unwrap();
    let end = log.end();
    log.break_for_test();
    let error = log.append(&record_of(50_000, 2)).unwrap_err();
    assert!(matches!(error, LogError::Write { at, .. } if at == end), "{error}");
    assert!(log.is_closed());
    let error = log.append(&record_of(10, 2)).unwrap_err();
    assert!(matches!(error, LogError::Closed { .. }), "{error}");
    assert_eq!(records(&read_all(&path)), [record_of(100, 1)]);
}

/// What lets an uploader read behind a writer of another thread or process, without a word between them.
#[test]
fn a_reader_beside_the_writer_never_takes_a_write_under_way_for_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut log) = new_log(&folder);
    let sizes: Vec<_> =
        (0..4000_usize).map(|index| if index % 97 == 0 { 70_000 } else { 20 + index % 900 }).collect();
    let count = sizes.len();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for (size, num) in sizes.into_iter().zip(1..) {
                log.append(&record_of(size, num)).unwrap();
            }
        });
        let mut reader = LogReader::open(&path, 0).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut read = 0;
        while read < count {
            match reader.next().unwrap() {
                Found::Record(record, _) => {
                    read += 1;
                    assert_eq!(record.num, read as i64);
                }
                Found::End => assert!(Instant::now() < deadline, "{read} of {count} records"),
                Found::Damage { from, to } => panic!("damage from {from} to {to}"),
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_reads_back_from_every_position(sizes in sizes()) {
        let folder = tempfile::tempdir().unwrap();
        let (path, wanted, ends) = written(&folder, &sizes);
        let found = read_all(&path);
        prop_assert_eq!(damages(&found), 0);
        prop_assert_eq!(records(&found), wanted.clone());
        for (index, end) in ends.iter().enumerate() {
            let mut reader = LogReader::open(&path, *end).unwrap();
            let next = reader.next().unwrap();
            match wanted.get(index + 1) {
                Some(record) => prop_assert_eq!(next, Found::Record(Box::new(record.clone()), ends[index + 1])),
                None => prop_assert_eq!(next, Found::End),
            }
        }
    }

    /// The file arrives in pieces that do not care for records.
    #[test]
    fn a_growing_file_gives_each_record_once(sizes in sizes(), pieces in prop::collection::vec(1_usize..40_000, 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let (path, wanted, _) = written(&folder, &sizes);
        let bytes = fs::read(&path).unwrap();
        let growing = folder.path().join("growing");
        let file = OpenOptions::new().create_new(true).write(true).open(&growing).unwrap();
        let mut reader = LogReader::open(&growing, 0).unwrap();
        let mut found = vec![];
        let mut there = 0_usize;
        for piece in pieces.iter().chain([&usize::MAX]) {
            let upto = there.max(bytes.len().min(there.saturating_add(*piece)));
            file.write_all_at(&bytes[there..upto], there as u64).unwrap();
            there = upto;
            loop {
                match reader.next().unwrap() {
                    Found::End => break,
                    other => found.push(other),
                }
            }
        }
        prop_assert_eq!(damages(&found), 0);
        prop_assert_eq!(records(&found), wanted);
    }

    #[test]
    fn a_file_cut_anywhere_gives_all_whole_records(sizes in sizes(), cut in 0.0..1.0_f64) {
        let folder = tempfile::tempdir().unwrap();
        let (path, wanted, ends) = written(&folder, &sizes);
        let length = fs::metadata(&path).unwrap().len();
        let cut = (length as f64 * cut) as u64;
        OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
        let found = read_all(&path);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        prop_assert_eq!(damages(&found), 0);
        prop_assert_eq!(records(&found), wanted[..whole].to_vec());
    }

    #[test]
    fn a_flipped_bit_costs_one_stretch_and_no_record_of_another_block(
        sizes in sizes(), place in 0.0..1.0_f64, bit in 0_u8..8
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (path, wanted, ends) = written(&folder, &sizes);
        let mut bytes = fs::read(&path).unwrap();
        let place = 7 + ((bytes.len() - 7) as f64 * place) as usize;
        bytes[place] ^= 1 << bit;
        fs::write(&path, &bytes).unwrap();
        let found = read_all(&path);
        let kept = records(&found);
        let block = place as u64 / BLOCK_BYTES;
        let is_last_block = block == (bytes.len() as u64 - 1) / BLOCK_BYTES;
        // A length that leads beyond the end of the file looks like a write under way.
        prop_assert!(damages(&found) == 1 || kept == wanted || is_last_block, "{} damages", damages(&found));
        prop_assert!(damages(&found) <= 1);
        let mut begin = FIRST_RECORD;
        for (record, end) in wanted.iter().zip(&ends) {
            let is_apart = (end - 1) / BLOCK_BYTES < block
                || begin / BLOCK_BYTES > block
                || *end <= place as u64;
            prop_assert!(!is_apart || kept.contains(record), "record {} is lost", record.num);
            begin = *end;
        }
    }
}
