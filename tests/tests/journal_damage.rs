//! Journals cut at every byte of their last records, and with single bits flipped: each either goes on with what is whole, and says
//! what it dropped, or gives an error with its place. `TEST_SEED` repeats a failure.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use engine_actors::journal::{HistoryError, Past, Record, decode, history};
use engine_tests::resume::compare::{assert_same, assert_same_known, assert_same_outcome};
use engine_tests::resume::{Job, Random, Told};
use engine_tracking::journal::{JournalError, JournalWriter, read};
use rustix::process::Signal;

/// Bytes of a file before its first record.
const FILE_HEAD: usize = 16;
/// Where a record's header says how much of the file was known to be on the disk.
const SYNCED: std::ops::Range<usize> = 8..16;
/// Bytes of a record before its content.
const HEAD: usize = 24;
/// Records at the end that are cut at every byte.
const LAST: usize = 4;
/// Bits that are flipped, over all journals.
const FLIPS: usize = 200;

const TUNE: &str = "tune --name t --hpconfig space.toml --n-trials 2 --n-folds 1 --max-epochs 2 --devices 0";
const ONE: &str = "--name x --max-epochs 1 --devices 0 --model-encoder resnet18 --batch-size 4";

/// A journal as the engine wrote it, and what it told at each of its records.
struct Original {
    bytes: Vec<u8>,
    records: Vec<Place>,
    /// What the records before each place tell.
    pasts: Vec<Option<Past>>,
}

/// A record.
struct Place {
    at: usize,
    end: usize,
    synced: usize,
    kind: &'static str,
}

impl Original {
    fn of(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let contents = read(path).unwrap();
        assert_eq!(contents.torn, None, "{}", path.display());
        let at: Vec<usize> = contents.entries.iter().map(|entry| entry.at as usize).collect();
        let ends = at.iter().skip(1).copied().chain([bytes.len()]);
        let mut pasts: Vec<Option<Past>> = vec![None];
        let mut records = Vec::new();
        for ((entry, at), end) in contents.entries.iter().zip(&at).zip(ends) {
            let record = decode(&entry.content).unwrap();
            let synced = u64::from_le_bytes(bytes[*at..][SYNCED].try_into().unwrap()) as usize;
            records.push(Place { at: *at, end, synced, kind: record.kind() });
            pasts.push(Some(match (pasts.last().unwrap().clone(), record) {
                (None, Record::Job(job)) => Past::new(*job),
                (past, record) => {
                    let mut past = past.unwrap();
                    past.hear(record).unwrap();
                    past
                }
            }));
        }
        Self { bytes, records, pasts }
    }

    /// That a damaged copy is taken for its first records and nothing more, the rest dropped and said.
    fn assert_prefix(&self, path: &Path, damaged: &[u8], whole: usize) {
        let end = self.records.get(whole).map_or(self.bytes.len(), |record| record.at);
        let (writer, contents) = JournalWriter::open(path).unwrap();
        drop(writer);
        assert_eq!(contents.entries.len(), whole);
        assert_eq!(contents.whole_bytes as usize, end);
        let torn = contents.torn.map(|torn| (torn.at as usize, torn.bytes as usize));
        assert_eq!(
            torn,
            (damaged.len() > end).then(|| (end, damaged.len() - end)),
            "what is dropped is said"
        );
        assert_eq!(fs::read(path).unwrap(), self.bytes[..end], "what is whole stays, and nothing else");
        match (history(path, &contents), &self.pasts[whole]) {
            (Ok(told), Some(past)) => assert_eq!(&told, past),
            (Err(HistoryError::Order { at, .. }), None) => assert_eq!(at as usize, end),
            (told, _) => assert_eq!(told.map_err(|error| error.to_string()).err(), None, "{whole} records"),
        }
    }

    /// Cuts a copy at every byte of the last records.
    fn cut_everywhere(&self, copy: &Path) -> usize {
        let from = self.records[self.records.len().saturating_sub(LAST)].at;
        for cut in from..self.bytes.len() {
            fs::write(copy, &self.bytes[..cut]).unwrap();
            let whole = self.records.iter().filter(|record| record.end <= cut).count();
            self.assert_prefix(copy, &self.bytes[..cut], whole);
        }
        self.bytes.len() - from
    }

    /// Flips a bit of a copy. Gives whether that is an error.
    fn flip(&self, copy: &Path, byte: usize, bit: u8) -> bool {
        let mut damaged = self.bytes.clone();
        damaged[byte] ^= 1 << bit;
        fs::write(copy, &damaged).unwrap();
        if byte < FILE_HEAD {
            let error = JournalWriter::open(copy).unwrap_err();
            assert!(matches!(error, JournalError::NotAJournal { .. }), "{error}");
        } else {
            let hit = self.records.iter().position(|record| record.end > byte).unwrap();
            let at = self.records[hit].at;
            if !self.records[hit + 1..].iter().any(|later| later.synced > at) {
                self.assert_prefix(copy, &damaged, hit);
                return false;
            }
            let error = JournalWriter::open(copy).unwrap_err();
            let place = matches!(&error, JournalError::Damaged { at: said, .. } if *said as usize == at);
            assert!(place && error.to_string().contains(&format!("byte {at}")), "{error}");
        }
        assert_eq!(fs::read(copy).unwrap(), damaged, "nothing is changed");
        true
    }

    /// The last record of a kind.
    fn last(&self, kind: &str) -> &Place {
        self.records.iter().rfind(|record| record.kind == kind).unwrap()
    }
}

/// A folder where bringing a file to the disk costs nothing, if this machine has one.
fn fast_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn journal_of_run(job: &Job, out: &str) -> PathBuf {
    let folder = fs::read_dir(job.path(out).join("_runs")).unwrap().next().unwrap().unwrap().path();
    folder.join("engine.journal")
}

/// What each level's journals tell when they are damaged, of jobs that were killed and that are done.
#[test]
fn a_journal_cut_anywhere_or_with_a_bit_flipped_is_a_prefix_or_an_error_with_its_place() {
    let mut random = Random::new("flips");
    let tune = Job::small(TUNE);
    let mut running = tune.start("out", &[]);
    running.until_event("cv-finished");
    running.until_event("run-validated");
    running.signal(Signal::KILL);
    running.end();
    let killed = Original::of(&tune.path("out/t/engine.journal"));
    tune.done("out", &["--resume"]);
    let cv = Job::small(&format!("cv --n-folds 1 {ONE}"));
    cv.done("out", &[]);
    let run = Job::small(&format!("train {ONE}"));
    run.done("out", &[]);
    let journals = [
        killed,
        Original::of(&tune.path("out/t/engine.journal")),
        Original::of(&cv.path("out/_cross_validations/x/engine.journal")),
        Original::of(&journal_of_run(&run, "out")),
    ];
    let folder = fast_folder();
    let copy = folder.path().join("engine.journal");
    let cuts: usize = journals.iter().map(|journal| journal.cut_everywhere(&copy)).sum();
    let mut errors = 0;
    for _ in 0..FLIPS {
        let journal = random.of(&journals);
        let byte = random.below(journal.bytes.len());
        errors += usize::from(journal.flip(&copy, byte, random.below(8) as u8));
    }
    engine_tests::note(&format!("{cuts} cuts; {FLIPS} flips, {errors} of them errors"));
    assert!(errors > 0 && errors < FLIPS, "both kinds of answer are met");
}

/// The whole program on damaged journals of one tune that was killed.
#[test]
fn a_tune_whose_journal_is_cut_goes_on_to_the_same_result_and_one_that_is_damaged_is_refused() {
    let job = Job::small(TUNE);
    let expected = job.done("undisturbed", &[]);
    let mut running = job.start("killed", &[]);
    running.until_event("cv-finished");
    running.until_event("checkpoint-written");
    running.signal(Signal::KILL);
    running.end();
    let original = Original::of(&job.path("killed/t/engine.journal"));
    let [ended, planned] = ["run-ended", "cv-planned"].map(|kind| original.last(kind));
    let end = original.bytes.len();
    for (number, (what, cut)) in [
        ("torn in the last record", end - 3),
        ("torn in the header of the last record", original.records.last().unwrap().at + 5),
        ("whole, behind the end of a run", ended.end),
        ("torn in the end of a run", ended.end - HEAD),
        ("whole, behind the plan of a cv", planned.end),
        ("torn in the plan of a cv", planned.end - 1),
    ]
    .into_iter()
    .enumerate()
    {
        let out = format!("cut{number}");
        job.copy("killed", &out);
        let path = job.path(&out).join("t/engine.journal");
        fs::write(&path, &original.bytes[..cut]).unwrap();
        let is_torn = original.records.iter().all(|record| record.end != cut);
        let resumed = job.done(&out, &["--resume"]);
        let said = resumed.stdout.contains("of the journal are dropped, from byte");
        assert_eq!(said, is_torn, "{what}: {}", resumed.stdout);
        let (theirs, ours) = (job.path("undisturbed/t"), job.path(&out).join("t"));
        // Ids that were in what is cut off are drawn anew: the folders of the old ones stay, and belong to nobody.
        if cut < planned.end {
            assert_same_known(&theirs, &ours);
        } else {
            assert_same(&theirs, &ours);
        }
        assert_same_outcome(&expected.outcome(), &resumed.outcome());
        fs::remove_dir_all(job.path(&out)).unwrap();
    }

    // Damage is refused, and nothing is touched.
    let mut flipped = original.bytes.clone();
    let first = original.records[0].at;
    flipped[first + HEAD + 10] ^= 0x10;
    let short = original.bytes[..10].to_vec();
    for (damaged, said) in
        [(flipped, format!("the journal is damaged at byte {first}")), (short, "this is no journal".into())]
    {
        let path = job.path("killed/t/engine.journal");
        fs::write(&path, &damaged).unwrap();
        let before = job.place.files();
        let refused = job.run("killed", &["--resume"]);
        assert_eq!(refused.code, Some(4), "{}", refused.stderr);
        assert!(
            refused.stderr.contains(&said) && refused.stderr.contains("engine.journal"),
            "{}",
            refused.stderr
        );
        assert_eq!(fs::read(&path).unwrap(), damaged);
        let files = |all: &std::collections::BTreeMap<PathBuf, _>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(files(&before), files(&job.place.files()));
    }
    job.place.assert_left_by_all();
}

/// A job that is done, its journal cut or flipped in its last records: what is missing is made up for from checkpoints.
#[test]
fn a_job_that_is_done_is_done_again_as_far_as_its_journal_lost_it() {
    let mut random = Random::new("damage to a journal of a job that is done");
    let job = Job::small(&format!("cv --n-folds 1 {ONE}"));
    let expected = job.done("out", &[]);
    let path = job.path("out/_cross_validations/x/engine.journal");
    let original = Original::of(&path);
    job.copy("out", "undisturbed");
    // The plan stays: without it the ids of the runs are drawn anew, and what was trained belongs to nobody.
    let from = original.last("cv-planned").end;
    let cuts: Vec<usize> = (0..3).map(|_| from + random.below(original.bytes.len() - from)).collect();
    for cut in cuts {
        fs::write(&path, &original.bytes[..cut]).unwrap();
        let resumed = job.done("out", &["--resume"]);
        assert_same_outcome(&expected.outcome(), &resumed.outcome());
        assert_same(&job.path("undisturbed"), &job.path("out"));
        let mut told = Told::default();
        told.hear(&resumed);
        // Of a run whose end is lost the last checkpoint is not, and holds all epochs.
        assert_eq!(told.count("run-validated"), 0, "cut at {cut}");
    }
    let hit = from + random.below(original.bytes.len() - from);
    let mut flipped = original.bytes.clone();
    flipped[hit] ^= 1;
    fs::write(&path, &flipped).unwrap();
    let resumed = job.run("out", &["--resume"]);
    match resumed.code {
        Some(0) => {
            assert_same_outcome(&expected.outcome(), &resumed.outcome());
            assert!(resumed.stdout.contains("of the journal are dropped"), "byte {hit}: {}", resumed.stdout);
        }
        code => {
            assert_eq!(code, Some(4), "byte {hit}: {}", resumed.stderr);
            assert!(resumed.stderr.contains("damaged at byte"), "byte {hit}: {}", resumed.stderr);
            assert_eq!(fs::read(&path).unwrap(), flipped);
        }
    }
    job.place.assert_left_by_all();
}
