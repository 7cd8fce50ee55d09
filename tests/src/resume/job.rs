//! A small job of the engine's program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{Ended, Running, Workplace};

/// A search space: small networks, three learning rates to choose from.
pub const SPACE: &str = "[hyperparameters]\nmodel_encoder = \"resnet18\"\nbatch_size = 4\n\
                         learning_rate = {distribution = \"loguniform\", low = 1e-4, high = 1e-3}\n";
/// Small data in two folds, every epoch validated.
const SMALL: &str = "--fold-method region-stratified --total-folds 2 --check-val-every-n-epoch 1 \
                     --log-every-n-steps 1 --accelerator cpu --early-stopping-patience 0 --save-top-k 1";

/// A job that is called again and again with the same words, in folders of its own.
pub struct Job {
    /// Where it is called.
    pub place: Workplace,
    words: Vec<String>,
}

impl Job {
    /// A job of small data that are made for it: `tune --hpconfig space.toml …`, the search space at hand.
    pub fn small(words: &str) -> Self {
        // A run alone has one seed as it is.
        let seeds = if words.starts_with("train") { "" } else { "--n-randoms 1" };
        Self::on(Workplace::with_data(), &format!("{words} --train-data-dir data {SMALL} {seeds}"))
    }

    /// A job as its words say, with a search space at hand.
    pub fn on(place: Workplace, words: &str) -> Self {
        place.write("space.toml", SPACE);
        Self { place, words: words.split_whitespace().map(str::to_owned).collect() }
    }

    /// Its command, for results in a folder of the workplace, with more options, which take the place of its own of the same name.
    pub fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut all: Vec<&str> = Vec::new();
        let mut is_kept = true;
        for word in self.words.iter().map(String::as_str) {
            if word.starts_with("--") {
                is_kept = !more.contains(&word);
            }
            if is_kept {
                all.push(word);
            }
        }
        all.extend(["--json", "--artifact-dir", out]);
        all.extend(more);
        let mut command = self.place.command(&all);
        // Threads that wait for each other by spinning are many times slower where other tests want the cores too.
        command.env("OMP_WAIT_POLICY", "passive");
        command
    }

    /// Starts it.
    pub fn start(&self, out: &str, more: &[&str]) -> Running {
        self.place.start_command(self.command(out, more))
    }

    /// Does it to its end.
    pub fn run(&self, out: &str, more: &[&str]) -> Ended {
        self.start(out, more).end()
    }

    /// As [`Job::run`].
    ///
    /// # Panics
    /// If it does not end well.
    pub fn done(&self, out: &str, more: &[&str]) -> Ended {
        let ended = self.run(out, more);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended
    }

    /// A path below the workplace.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// Results as they stand, once more under another name.
    pub fn copy(&self, from: &str, to: &str) -> PathBuf {
        let to = self.path(to);
        copy_folder(&self.path(from), &to);
        to
    }
}

/// Copies a folder with all that is below it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}
