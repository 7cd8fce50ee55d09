//! What a job writes and reads back: its tables and its journals.

use std::fs;
use std::path::Path;

use engine_tests::wandb::points::{after, batch, header};
use engine_tracking::Metrics;
use engine_tracking::run_info::{CvScore, RunInfo, TuneTable, read_run_infos, write_cv};
use engine_tracking::wandb::folder::RunFolder;
use engine_tracking::wandb::log::{Found, LogReader};
use engine_tracking::wandb::run::{RunJournal, Stream};
use engine_tracking::wandb::settings::Mode;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::properties::WriterProperties;
use serde_json::json;

use crate::framing::{wandb_log, wandb_records};
use crate::harness::Target;

fn run(fold: u32) -> RunInfo {
    RunInfo {
        run_name: format!("c-run-f{fold}s42"),
        run_id: format!("abcdef0{fold}"),
        fold,
        seed: 42,
        duration_secs: 1.5,
        metrics: Metrics::from([("val/a".to_owned(), f64::NAN), ("val/b".to_owned(), 0.5)]),
        checkpoint: (fold == 0).then(|| "checkpoints/last".to_owned()),
        is_unstable: Some(fold > 0),
        status: "complete".to_owned(),
        failure: (fold > 0).then(|| "panic: boom".to_owned()),
        attempts: 1,
        device: Some("cpu:0".to_owned()),
        peak_memory_bytes: Some(1 << 40),
        peak_device_memory_bytes: None,
    }
}

fn table_of_a_cv(folder: &Path) -> Vec<u8> {
    let path = folder.join("run_infos.parquet");
    let score = CvScore { score: Some(0.5), score_is_unstable: false };
    write_cv(&path, &[run(0), run(1), run(2)], Some(score)).unwrap();
    fs::read(path).unwrap()
}

fn table_of_a_tune(folder: &Path) -> Vec<u8> {
    let path = folder.join("t.parquet");
    let mut table = TuneTable::new(path.clone());
    let values = json!({"sizes": [16, 32], "rate": 1, "flag": true, "mixed": {"a": 1}, "name": "x"});
    for name in ["t-cv0", "t-cv1"] {
        let score = CvScore { score: None, score_is_unstable: true };
        table.append_cv(name, values.as_object().unwrap(), &[run(0), run(1)], score).unwrap();
    }
    fs::read(path).unwrap()
}

/// The table without compression, whose checks would refuse every changed page.
fn uncompressed(table: &[u8], folder: &Path) -> Vec<u8> {
    let path = folder.join("uncompressed.parquet");
    fs::write(&path, table).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path).unwrap()).unwrap();
    let notes = reader.metadata().file_metadata().key_value_metadata().cloned();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let properties = WriterProperties::builder().set_key_value_metadata(notes).build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new_with_options(&mut bytes, batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
    bytes
}

/// Decoded pages of a table: parquet takes a page's word for its length, which our bound holds it to.
const TABLE_BYTES: usize = 0;

#[test]
fn run_info_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.parquet");
    let tables = [table_of_a_cv(folder.path()), table_of_a_tune(folder.path())];
    let plain = tables.each_ref().map(|table| uncompressed(table, folder.path()));
    let target = Target {
        name: "run_infos",
        corpus: tables.into_iter().chain(plain).collect(),
        words: &[
            "PAR1",
            "engine.run_infos",
            "\"version\":2",
            "\"hyperparameters\":null",
            "[\"a\",\"int\"]",
            "run_name",
            "cv_name",
            "score",
            "json",
            "list",
        ],
        seal: None,
        allowed_bytes: TABLE_BYTES,
    };
    let refused = |error: &dyn std::error::Error| {
        let told = crate::chain(error);
        assert!(told.contains(&path.display().to_string()), "does not name its file: {told}");
        told.replace(&path.display().to_string(), "FILE")
    };
    target.run(|input| {
        fs::write(&path, input).unwrap();
        let rows = match read_run_infos(&path) {
            Ok(rows) => rows,
            Err(error) => return refused(&error),
        };
        // A table that is read can be gone on with, or says why not.
        let score = CvScore { score: Some(0.1), score_is_unstable: false };
        let values = json!({"rate": 2, "sizes": ["a"]});
        match TuneTable::new(path.clone()).append_cv("t-cv2", values.as_object().unwrap(), &[run(0)], score) {
            Ok(()) => {
                assert_eq!(read_run_infos(&path).unwrap().len(), rows.len() + 1, "one row more");
                "read and gone on with".to_owned()
            }
            Err(error) => format!("read; not gone on with: {}", refused(&error)),
        }
    });
}

/// A journal of W&B with every kind of record a run writes.
fn wandb_journal(folder: &Path) -> Vec<u8> {
    let mut journal = RunJournal::open(folder, &header("fuzz"), Mode::Offline).unwrap();
    for number in 0..4 {
        journal.rows(&batch(number), after(number)).unwrap();
    }
    journal.system(&Metrics::from([("cpu".to_owned(), 0.5)]), after(5)).unwrap();
    journal.printed(Stream::Out, &["line\r\n".to_owned()], after(6)).unwrap();
    journal.summary(json!({"best": 0.5}).as_object().unwrap()).unwrap();
    journal.config(json!({"a": {"b": 1}}).as_object().unwrap()).unwrap();
    let path = journal.folder().journal();
    journal.finish(0, after(9)).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn wandb_journals() {
    let scratch = tempfile::tempdir().unwrap();
    let whole = wandb_journal(&scratch.path().join("seed"));
    let parent = scratch.path().join("wandb");
    let folder = parent.join("offline-run-20261122_204613-fuzz");
    let target = Target {
        name: "wandb_journal",
        corpus: vec![wandb_records(&whole)],
        words: &["_step", "_runtime", "{\"a\":", "[[[[", "NaN", "fuzz", "\u{8}\u{7f}", "\n"],
        seal: Some(wandb_log),
        // The longest record, and what it decodes to.
        allowed_bytes: 0,
    };
    target.run(|input| {
        fs::create_dir_all(folder.join("files")).unwrap();
        let run = RunFolder { path: folder.clone(), run_id: "fuzz".into() };
        fs::write(run.journal(), input).unwrap();
        let mut reader = match LogReader::open(&run.journal(), 0) {
            Ok(reader) => reader,
            Err(error) => {
                return format!("refused: {error}").replace(&folder.display().to_string(), "FOLDER");
            }
        };
        let (mut records, mut damages) = (0, 0);
        loop {
            match reader.next().unwrap() {
                Found::Record(..) => records += 1,
                Found::Damage { from, to } => {
                    assert!(from < to, "damage has a length");
                    damages += 1;
                }
                Found::End => break,
            }
        }
        let gone_on = match RunJournal::open(&parent, &header("fuzz"), Mode::Offline) {
            Ok(mut journal) => {
                journal.rows(&batch(99), after(99)).unwrap();
                "gone on with".to_owned()
            }
            Err(error) => {
                format!("not gone on with: {error}").replace(&folder.display().to_string(), "FOLDER")
            }
        };
        fs::remove_dir_all(&parent).unwrap();
        format!("read {} {} {gone_on}", records.min(3) > 2, damages.min(2) > 0)
    });
}
