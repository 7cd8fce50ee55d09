//! Files that people write: search spaces and settings.

use std::fs;
use std::path::{Path, PathBuf};

use engine::config::{Command, EngineConfig, Sources, check_space};
use engine::space::{GridSampler, RandomSampler, SearchSpace};

use crate::harness::Target;

const SPACE_TOML: &str = r#"
[hyperparameters]
model-arch = "Unet"
batch_size = [32, 64]
gamma = {low = 0.8, high = 0.99}
learning-rate = {distribution = "loguniform", low = 1.0e-5, high = 1e-2}
focal_loss_alpha = {distribution = "reversed-loguniform", low = 0.9, high = 0.9999}
focal_loss_gamma = {distribution = "reversed_loguniform", low = 0.0, high = 1.5, n = 2}
bands = {distribution = "choice", choices = [["red", "green"], ["nir"]]}
augment = {distribution = "constant", value = ["D4", "Blur"]}
steps = {distribution = "intuniform", low = -3, high = 3}
"#;
const SPACE_YAML: &str = "hyperparameters:\n  model-arch: Unet\n  batch_size: [32, 64]\n  gamma: {low: 0.8, high: 0.99}\n  \
                          learning-rate:\n    distribution: loguniform\n    low: 1e-5\n    high: 0.01\n  off: ~\n  \
                          list: &a [1, 2]\n  again: *a\n  text: |\n    several\n    lines\n";
const CONFIG_TOML: &str = r#"
[darts]
train-data-dir = "data"
bands = ["red", "nir"]
[darts.training]
max-epochs = 3
fold_method = "region-stratified"
data-split-method = "random"
data-split-by = 0.2
scoring-metric = ["val/loss:lower", "val/Recall"]
n-trials = "grid"
strategy = "cv-parallel"
devices = [0, 1]
save-top-k = -1
in-memory = true
[darts.training.hyperparameters]
learning-rate = 1e-3
batch-size = 8
augment = ["D4"]
"#;
const CONFIG_YAML: &str = "engine:\n  train-data-dir: data\n  max-epochs: 3\n  total-folds: 4\n  n-folds: 2\n  \
                           hyperparameters:\n    gamma: 0.5\n    model-encoder: resnet18\n  runs-per-device: auto\n  \
                           wandb-mode: offline\n  subsample: none\n";
const WORDS: &[&str] = &[
    "\n",
    "[",
    "]",
    "[[",
    "{",
    "}",
    "\"",
    "'''",
    "\"\"\"",
    "=",
    ".",
    ",",
    ": ",
    "- ",
    "|",
    ">",
    "&a ",
    "*a",
    "<<: *a\n",
    "? ",
    "!!binary ",
    "!!float ",
    "---\n",
    "...\n",
    "#",
    "\\u0000",
    "\\U0010ffff",
    "\u{feff}",
    "\t",
    "null",
    "~",
    "true",
    ".inf",
    ".nan",
    "-inf",
    "nan",
    "0x7f",
    "0o17",
    "1_0",
    "1979-05-27T07:32:00Z",
    "hyperparameters",
    "distribution",
    "\"choice\"",
    "choices",
    "constant",
    "value",
    "uniform",
    "intuniform",
    "loguniform",
    "reversed-loguniform",
    "low",
    "high",
    "n",
    "darts",
    "engine",
    "training",
    "none",
    "all",
    "auto",
    "grid",
    "learning-rate",
    "batch_size",
    "[hyperparameters]\n",
    "[darts]\n",
    "[engine]\n",
    "{low = 1, high = 2}",
    "[[[[[[[[",
    "{a: {a: {a: ",
];

/// The text of an input, under a name by its first byte.
fn write(folder: &Path, stem: &str, input: &[u8]) -> PathBuf {
    let (format, text) = input.split_first().unwrap_or((&0, &[]));
    let path = folder.join(format!("{stem}.{}", if format % 2 == 0 { "toml" } else { "yaml" }));
    fs::write(&path, text).unwrap();
    path
}

fn inputs(toml: &str, yaml: &str) -> Vec<Vec<u8>> {
    [(0, toml), (1, yaml)].map(|(format, text)| [&[format], text.as_bytes()].concat()).to_vec()
}

/// That an error says where it is about.
fn refused(error: &dyn std::error::Error, path: &Path) -> String {
    let told = crate::chain(error);
    assert!(told.contains(&path.display().to_string()), "does not name its file: {told}");
    assert!(!told.contains('\n'), "has several lines: {told:?}");
    told.replace(&path.display().to_string(), "FILE")
}

#[test]
fn search_spaces() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target {
        name: "search_space",
        corpus: inputs(SPACE_TOML, SPACE_YAML),
        words: WORDS,
        seal: None,
        allowed_bytes: 0,
    };
    target.run(|input| {
        let path = write(folder.path(), "space", input);
        let space = match SearchSpace::load(&path) {
            Ok(space) => space,
            Err(error) => return refused(&error, &path),
        };
        let mut random = RandomSampler::new(space.clone(), 42);
        let drawn = (0..3).filter(|trial| random.propose(*trial).is_some()).count();
        let grid = GridSampler::new(space.clone())
            .map(|mut grid| (0..3).filter(|trial| grid.propose(*trial).is_some()).count());
        assert_eq!(drawn as u32, space.limit(3), "as many as there are, up to three");
        let corners = space.corners().len();
        match check_space(space) {
            Ok(space) => {
                format!("read {drawn} {:?} {corners} {}", grid.ok(), space.parameters().len().min(4))
            }
            Err(error) => format!("read, unusable: {error}"),
        }
    });
}

#[test]
fn config_files() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target {
        name: "config",
        corpus: inputs(CONFIG_TOML, CONFIG_YAML),
        words: WORDS,
        seal: None,
        allowed_bytes: 0,
    };
    target.run(|input| {
        let path = write(folder.path(), "settings", input);
        let sources = Sources::new().in_directory(folder.path());
        let sources = sources.with_option("config-file", [path.to_str().unwrap()]).unwrap();
        let resolved = match sources.resolve() {
            Ok(resolved) => resolved,
            Err(error) => return refused(&error, &path),
        };
        let shown = resolved.options().iter().map(|option| option.shown().len()).sum::<usize>() > 100;
        let commands = [Command::Train, Command::Cv, Command::Tune, Command::Test];
        let told = commands.map(|command| match EngineConfig::new(&resolved, command) {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        });
        format!("read {shown} {}", told.join(", "))
    });
}
