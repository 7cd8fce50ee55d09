//! Logs rows as fast as it can, to the journal and then to `metrics.csv`, until it is killed: what tests of kills run.
//!
//! `journal_writer FOLDER` prints a line when the first row is on disk.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use engine_tests::wandb::points;
use engine_tracking::csv::MetricsCsv;
use engine_tracking::wandb::run::RunJournal;
use engine_tracking::wandb::settings::Mode;

type WriteError = Box<dyn std::error::Error>;

#[expect(clippy::print_stderr, reason = "a program tells what is wrong with how it was called")]
fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: journal_writer FOLDER");
        return ExitCode::from(2);
    };
    match write(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("journal_writer: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the test waits for it")]
fn write(folder: &Path) -> Result<(), WriteError> {
    let mut journal = RunJournal::open(&folder.join("wandb"), &points::header("killed"), Mode::Offline)?;
    let mut csv = MetricsCsv::create(&folder.join("metrics.csv"))?;
    for batch in 0.. {
        let batch = points::batch(batch);
        journal.rows(&batch, SystemTime::now())?;
        csv.append(&batch)?;
        if batch[0].step == 1 {
            println!("begun");
        }
    }
    Ok(())
}
