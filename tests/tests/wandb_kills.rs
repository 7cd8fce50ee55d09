//! SIGKILL at random moments: the journal is well formed but for a torn last record, and has what `metrics.csv` has.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine_tests::cli::Workplace;
use engine_tests::shared_tool;
use engine_tests::wandb::journal;
use engine_tests::wandb::local::{Logged, assert_same, read_csv, runs_below};
use engine_tests::wandb::tracked::{MODEL, Tracked};
use engine_tracking::wandb::folder::RunFolder;
use rustix::process::Signal;

/// Kills of the engine's program.
const KILLS: u64 = 20;
/// Kills of a program that does nothing but log.
const KILLS_OF_A_WRITER: u64 = 20;
/// Environment variable that replays what a failure printed.
const SEED: &str = "TEST_SEED";

/// Numbers that look random, the same for a seed.
struct Random(u64);

impl Random {
    /// From the clock, or as asked for; told, so that a failure can be replayed.
    fn new(of: &str) -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
        let seed = std::env::var(SEED).map_or(u64::from(clock), |seed| seed.parse().unwrap());
        engine_tests::note(&format!("{of}: {SEED}={seed}"));
        Self(seed)
    }

    /// Up to a bound.
    fn within(&mut self, bound: Duration) -> Duration {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bound.mul_f64((mixed >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// That the journals below a folder have what a `metrics.csv` has, by our reader and by the tool of the shared folder.
fn assert_journal(folder: &Path, csv: &Path, dump: Option<&Path>) -> usize {
    let found = RunFolder::below(&folder.join("wandb"));
    assert_eq!(found.len(), 1, "{found:?}");
    let path = found[0].journal();
    let read = journal::read(&path);
    assert_eq!(read.damage, [], "{}", path.display());
    let rows: Vec<Logged> = read.rows.iter().filter_map(Logged::of).collect();
    let on_disk = if csv.exists() { read_csv(csv) } else { Vec::new() };
    assert!(
        rows.len() >= on_disk.len(),
        "{} rows of {} are lost",
        on_disk.len() - rows.len(),
        path.display()
    );
    assert_same(&path.display().to_string(), &rows[..on_disk.len()], &on_disk);
    if let Some(dump) = dump {
        let output = Command::new("python3").arg(dump).arg(&path).output().unwrap();
        let code = output.status.code();
        // 0: well formed; 1: the last record is torn; 2: anything else.
        assert!(matches!(code, Some(0 | 1)), "{code:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    rows.len()
}

#[test]
fn a_killed_engine_leaves_every_row_of_its_metrics_in_its_journal() {
    let dump = shared_tool("wandb/wandb_offline_dump.py");
    let mut random = Random::new("kills of the engine");
    let tracked = Tracked::new("http://127.0.0.1:9");
    let (mut rows, mut behind) = (0, 0);
    for number in 0..KILLS {
        let words = format!("train --json --name k{number} --max-epochs 100000 --wandb-mode offline {MODEL}");
        let mut running = tracked.start(&words);
        // Now and then late enough to have rows, however busy the machine is.
        running.until_event(if number % 5 == 0 { "run-validated" } else { "run-prepared" });
        std::thread::sleep(random.within(Duration::from_millis(1500)));
        running.signal(Signal::KILL);
        running.end();
        tracked.place.assert_left_by_all();
        let runs = runs_below(&tracked.out());
        let run = runs.iter().find(|run| run.name == format!("k{number}"));
        // One that was killed before its first row has no metrics.
        if let Some(run) = run {
            rows += assert_journal(&run.folder, &run.folder.join("metrics.csv"), dump.as_deref());
            behind += run.rows.len();
        }
    }
    assert!(behind > 0 && rows >= behind, "{behind} rows in metrics.csv, {rows} in the journals");
}

#[test]
fn a_writer_killed_at_full_speed_leaves_whole_records() {
    let dump = shared_tool("wandb/wandb_offline_dump.py");
    let mut random = Random::new("kills of a writer");
    let place = Workplace::new();
    let mut rows = 0;
    for number in 0..KILLS_OF_A_WRITER {
        let folder = place.path(&format!("w{number}"));
        std::fs::create_dir(&folder).unwrap();
        let mut command = place.program(Path::new(env!("CARGO_BIN_EXE_journal_writer")));
        command.arg(&folder);
        let mut running = place.start_command(command);
        running.until_line("begun");
        std::thread::sleep(random.within(Duration::from_millis(60)));
        running.signal(Signal::KILL);
        running.end();
        let dump = dump.as_deref().filter(|_| number % 4 == 0);
        rows += assert_journal(&folder, &folder.join("metrics.csv"), dump);
    }
    assert!(rows > 1000, "{rows} rows in {KILLS_OF_A_WRITER} runs: that is not full speed");
}
