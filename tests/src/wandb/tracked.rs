//! Jobs of the engine's program that are tracked: how they are called, at a pace for tests.

use std::path::PathBuf;
use std::process::Command;

use super::local::{LocalRun, runs_below};
use crate::cli::{Ended, Running, Workplace};

/// Owner of the project.
pub const ENTITY: &str = "team";
/// The project.
pub const PROJECT: &str = "proof";
/// A key such as none is given out.
pub const KEY: &str = "0123456789abcdef0123456789abcdef01234567";

/// Small networks on small samples.
const SMALL: &str = "--train-data-dir data --artifact-dir out --fold-method region-stratified --total-folds 2 \
                     --check-val-every-n-epoch 1 --log-every-n-steps 1 --accelerator cpu \
                     --early-stopping-patience 0 --save-top-k 1 --plot-every-n-val-epochs 1";
/// One configuration.
pub const MODEL: &str = "--model-encoder resnet18 --batch-size 4";
/// Two runs at once.
pub const PARALLEL: &str = "--strategy cv-parallel --devices 0 1";
/// Two configurations of two folds, an epoch each: four runs.
pub const TUNE: &str = "tune --json --name t --hpconfig space.toml --n-trials 2 --n-randoms 1 --max-epochs 1";
const SPACE: &str = "[hyperparameters]\nmodel_encoder = \"resnet18\"\nbatch_size = 4\n\
                     learning_rate = {distribution = \"loguniform\", low = 1e-4, high = 1e-3}\n";

/// A workplace whose jobs are tracked.
pub struct Tracked {
    /// The folder.
    pub place: Workplace,
    url: String,
}

impl Tracked {
    /// With data and a search space, and a server at `url`.
    pub fn new(url: &str) -> Self {
        let place = Workplace::with_data();
        place.write("space.toml", SPACE);
        Self { place, url: url.to_owned() }
    }

    /// Words of a command line, those of small and tracked runs behind them.
    pub fn arguments(words: &str) -> Vec<&str> {
        let tracked = "--wandb-entity team --wandb-project proof";
        [words, SMALL, tracked].iter().flat_map(|part| part.split_whitespace()).collect()
    }

    /// The program on a small tracked job.
    pub fn command(&self, words: &str) -> Command {
        self.at_server(&Self::arguments(words))
    }

    /// The program with these arguments, told of the server and of a pace at which tests do not wait.
    pub fn at_server(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WANDB") {
                command.env_remove(name);
            }
        }
        command
            .env("WANDB_BASE_URL", &self.url)
            .env("WANDB_API_KEY", KEY)
            .env("WANDB__FILE_STREAM_TRANSMIT_INTERVAL", "0.1")
            .env("WANDB__FILE_STREAM_RETRY_WAIT_MIN_SECONDS", "0.1")
            // Nobody's key, and no proxy before this machine.
            .env("NETRC", self.place.path("no-netrc"))
            .env("NO_PROXY", "127.0.0.1");
        command
    }

    /// Starts a small tracked job.
    pub fn start(&self, words: &str) -> Running {
        self.place.start_command(self.command(words))
    }

    /// Runs a small tracked job to its end.
    pub fn run(&self, words: &str) -> Ended {
        self.start(words).end()
    }

    /// `engine sync` of the artifacts.
    pub fn sync(&self) -> Ended {
        self.place.start_command(self.at_server(&["sync", "out"])).end()
    }

    /// The artifacts.
    pub fn out(&self) -> PathBuf {
        self.place.path("out")
    }

    /// What the runs left on disk.
    pub fn runs(&self) -> Vec<LocalRun> {
        runs_below(&self.out())
    }

    /// The one run's.
    ///
    /// # Panics
    /// If there are more, or none.
    pub fn only_run(&self) -> LocalRun {
        let mut runs = self.runs();
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.remove(0)
    }
}
