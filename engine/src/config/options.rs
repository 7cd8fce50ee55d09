//! Every option there is, in one table.
//!
//! The command line, its help and defaults, the environment names, the look-up in the file and `engine config show`
//! are all made from [`options`]; nothing else lists them.

use Command::{Cv, DataValidate, Devices, Jobs, Predict, Test, Train, Tune};

/// What the options are grouped by, for help and display; groups mean nothing in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Where the settings themselves come from.
    Config,
    /// What is trained on.
    Data,
    /// One run.
    Run,
    /// The training loop.
    Training,
    /// Values a tune searches over.
    Hyperparameters,
    /// Artifacts and logs.
    Logging,
    /// Where it is computed.
    Device,
    /// A program in place of segmentation.
    Program,
    /// Cross-validation.
    Cv,
    /// Tuning.
    Tune,
}

impl Group {
    /// Heading in help and display.
    pub fn title(self) -> &'static str {
        match self {
            Self::Config => "Configuration",
            Self::Data => "Data",
            Self::Run => "Run",
            Self::Training => "Training",
            Self::Hyperparameters => "Hyperparameters",
            Self::Logging => "Logging",
            Self::Device => "Device",
            Self::Program => "Program",
            Self::Cv => "Cross-validation",
            Self::Tune => "Tuning",
        }
    }
}

/// A command that takes options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// `engine train`
    Train,
    /// `engine cv`
    Cv,
    /// `engine tune`
    Tune,
    /// `engine test`
    Test,
    /// `engine predict`
    Predict,
    /// `engine data validate`
    DataValidate,
    /// `engine devices`
    Devices,
    /// `engine status`, `attach`, `cancel`
    Jobs,
}

/// What an option's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Any text.
    Text,
    /// A file or folder, relative to the working directory.
    Path,
    /// An integer in this range, both ends included.
    Int {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// A number.
    Float,
    /// `true` or `false`; a flag on the command line.
    Bool,
    /// Names; commas separate them as well.
    List,
    /// Texts that may hold commas.
    Texts,
    /// One of these names; case and `_` for `-` make no difference.
    Choice(&'static [&'static str]),
    /// An integer of at least `min`, or the word.
    IntOr {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
        /// The word that may stand for the integer.
        word: &'static str,
    },
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// Kebab-case name: `--key`, `key = …` in the file.
    pub key: &'static str,
    /// Group in help.
    pub group: Group,
    /// What the value is.
    pub kind: Kind,
    /// Default as it would be written; `None` where there is none.
    pub default: Option<&'static str>,
    /// The word for "no value", where having none is a choice.
    pub absent: Option<&'static str>,
    /// One line of help, without the default.
    pub help: &'static str,
    /// Commands that take it as an argument. In the file and the environment it may stand for all of them.
    pub commands: &'static [Command],
}

impl OptionSpec {
    /// Name in the environment: `ENGINE_MAX_EPOCHS`.
    pub fn environment(&self) -> String {
        format!("ENGINE_{}", self.key.replace('-', "_").to_uppercase())
    }

    /// Whether a command takes the option as an argument.
    pub fn taken_by(&self, command: Command) -> bool {
        self.commands.contains(&command)
    }

    /// Default as shown in help: the default, the word for none, or nothing.
    pub fn shown_default(&self) -> Option<&'static str> {
        self.default.or(self.absent)
    }

    const fn absent(mut self, word: &'static str) -> Self {
        self.absent = Some(word);
        self
    }

    const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    const fn only(mut self, commands: &'static [Command]) -> Self {
        self.commands = commands;
        self
    }
}

/// The option of this name, in kebab-case or snake_case.
pub fn option(key: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|option| option.key.len() == key.len() && option.key == key.replace('_', "-"))
}

/// Every option, by group.
pub fn options() -> &'static [OptionSpec] {
    OPTIONS
}

/// Spellings that are read as another: the reference guide writes `mpu` for `mps`, and Lightning's process starts
/// that all mean worker processes here.
pub(crate) const READ_AS: &[(&str, &str, &str)] = &[
    ("accelerator", "mpu", "mps"),
    ("strategy", "ddp_spawn", "ddp_fork"),
    ("strategy", "ddp_notebook", "ddp_fork"),
];

const EVERY: &[Command] = &[Train, Cv, Tune, Test, DataValidate];
const MODEL: &[Command] = &[Train, Cv, Tune, Test];
const PLACED: &[Command] = &[Train, Cv, Tune, Test, Predict, Devices];
const FIT: &[Command] = &[Train, Cv, Tune];

const COUNT: i64 = u32::MAX as i64;
const AT_LEAST_0: Kind = Kind::Int { min: 0, max: COUNT };
const AT_LEAST_1: Kind = Kind::Int { min: 1, max: COUNT };

const fn spec(group: Group, key: &'static str, kind: Kind, help: &'static str) -> OptionSpec {
    OptionSpec { key, group, kind, default: None, absent: None, help, commands: MODEL }
}

const fn data(key: &'static str, kind: Kind, help: &'static str) -> OptionSpec {
    spec(Group::Data, key, kind, help).only(EVERY)
}

const fn training(key: &'static str, kind: Kind, help: &'static str) -> OptionSpec {
    spec(Group::Training, key, kind, help).only(FIT)
}

const fn hyperparameter(key: &'static str, kind: Kind, help: &'static str) -> OptionSpec {
    spec(Group::Hyperparameters, key, kind, help).only(&[Train, Cv])
}

const fn logging(key: &'static str, kind: Kind, help: &'static str) -> OptionSpec {
    spec(Group::Logging, key, kind, help)
}

const fn device(key: &'static str, kind: Kind, help: &'static str) -> OptionSpec {
    spec(Group::Device, key, kind, help)
}

const fn program(key: &'static str, kind: Kind, help: &'static str) -> OptionSpec {
    spec(Group::Program, key, kind, help).only(FIT)
}

const fn cv(key: &'static str, kind: Kind, help: &'static str) -> OptionSpec {
    spec(Group::Cv, key, kind, help).only(&[Cv, Tune])
}

const fn tune(key: &'static str, kind: Kind, help: &'static str) -> OptionSpec {
    spec(Group::Tune, key, kind, help).only(&[Tune])
}

const OPTIONS: &[OptionSpec] = &[
    spec(
        Group::Config,
        "config-file",
        Kind::Path,
        "Settings, TOML or YAML; config.toml in the working directory is read if it is there",
    )
    .only(&[Train, Cv, Tune, Test, Predict, DataValidate, Devices, Jobs]),
    data("train-data-dir", Kind::Path, "Folder with config.toml, data.zarr and metadata.parquet [required]"),
    data(
        "data-split-method",
        Kind::Choice(&["random", "region", "sample"]),
        "How the held-out test set is chosen",
    )
    .absent("none"),
    data(
        "data-split-by",
        Kind::Texts,
        "The test set: a fraction for random, names for region, ids for sample",
    )
    .absent("none"),
    data(
        "fold-method",
        Kind::Choice(&["kfold", "shuffle", "stratified", "region", "region-stratified", "none"]),
        "How the rest is divided into train and validation",
    )
    .default("kfold"),
    data("total-folds", AT_LEAST_1, "Folds the data are divided into").default("5"),
    data("subsample", AT_LEAST_1, "Use that many samples only, drawn with seed 42").absent("none"),
    data("in-memory", Kind::Bool, "Decode every sample once and keep it").default("false").only(MODEL),
    data("bands", Kind::List, "Bands to use, in this order").absent("all"),
    spec(Group::Run, "name", Kind::Text, "Name of the run, cv or tune that is started").absent("generated"),
    spec(
        Group::Run,
        "detach",
        Kind::Bool,
        "Run on without this terminal; `engine status`, `attach` and `cancel` find the job",
    )
    .default("false")
    .only(FIT),
    spec(
        Group::Run,
        "resume",
        Kind::Choice(&["no", "yes", "failed", "force"]),
        "Go on with the run, cv or tune of this name, or with the newest; failed tries failed runs again, force whatever changed",
    )
    .default("no")
    .only(FIT),
    spec(
        Group::Run,
        "checkpoint",
        Kind::Path,
        "Checkpoint to test: a folder under a run's checkpoints [required, or --from]",
    )
    .only(&[Test]),
    spec(Group::Run, "fold", AT_LEAST_0, "Fold to validate on, from 0").default("0").only(&[Train]),
    spec(
        Group::Run,
        "random-seed",
        Kind::Int { min: 0, max: i64::MAX },
        "Seed of weights, order, augmentation; of a tune: of its search",
    )
    .default("42")
    .only(&[Train, Tune, Test]),
    training("max-epochs", AT_LEAST_1, "Epochs at the most").default("100"),
    training(
        "early-stopping-patience",
        AT_LEAST_0,
        "Validations without improvement before a run ends; 0 = off",
    )
    .default("5"),
    training(
        "num-workers",
        Kind::Int { min: 0, max: 1024 },
        "Threads that decode ahead of training; 0 = one thread",
    )
    .default("0")
    .only(MODEL),
    training(
        "save-top-k",
        Kind::Int { min: -1, max: i32::MAX as i64 },
        "Best checkpoints kept; 0 = none, -1 = all",
    )
    .default("1"),
    training(
        "checkpoint-every-n-steps",
        AT_LEAST_1,
        "Write `last` within an epoch too, every so many optimizer steps; an interrupted run goes on from there",
    )
    .absent("none"),
    training("accumulate-grad-batches", AT_LEAST_1, "Batches whose gradients make one optimizer step")
        .default("1"),
    training("gradient-clip-val", Kind::Float, "How far gradients may reach before a step; above 0")
        .absent("none"),
    training(
        "gradient-clip-algorithm",
        Kind::Choice(&["norm", "value"]),
        "What gradient-clip-val bounds: the norm of all gradients together, or each value",
    )
    .default("norm"),
    training(
        "precision",
        Kind::Choice(&["32", "32-true", "bf16-mixed"]),
        "In how many bits the network computes; bf16-mixed on backend tch alone",
    )
    .default("32-true")
    .only(MODEL),
    training(
        "weights-from-checkpoint",
        Kind::Path,
        "Start from these weights: a checkpoint, a run's folder, a .safetensors or PyTorch file",
    )
    .absent("none")
    .only(MODEL),
    training(
        "continue-from-checkpoint",
        Kind::Path,
        "Go on from the whole training state of this checkpoint",
    )
    .absent("none")
    .only(&[Train]),
    hyperparameter("model-arch", Kind::Text, "Architecture").default("Unet"),
    hyperparameter("model-encoder", Kind::Text, "Encoder").default("resnet34"),
    hyperparameter(
        "model-encoder-weights",
        Kind::Text,
        "Pretrained encoder weights: a file, or imagenet for those in the folder of ENGINE_WEIGHTS_DIR",
    )
    .absent("none"),
    hyperparameter("augment", Kind::List, "Augmentations in order of application").absent("none"),
    hyperparameter("learning-rate", Kind::Float, "Learning rate: of the first epoch, or the schedule's highest")
        .default("1e-3"),
    hyperparameter("gamma", Kind::Float, "Factor of the learning rate per epoch, of schedule exponential")
        .default("0.9"),
    hyperparameter(
        "loss",
        Kind::Text,
        "focal, bce, dice, jaccard, tversky, lovasz, or a weighted sum: \"0.5*bce + 0.5*dice\"",
    )
    .default("focal"),
    hyperparameter("focal-loss-alpha", Kind::Float, "Weight of the positive class").absent("none"),
    hyperparameter("focal-loss-gamma", Kind::Float, "Focusing exponent of the focal loss").default("2.0"),
    hyperparameter("bce-pos-weight", Kind::Float, "Weight of positive pixels in loss bce").default("1.0"),
    hyperparameter("tversky-alpha", Kind::Float, "Weight of false positives in loss tversky").default("0.5"),
    hyperparameter("tversky-beta", Kind::Float, "Weight of false negatives in loss tversky").default("0.5"),
    hyperparameter("optimizer", Kind::Choice(&["adamw", "adam", "sgd"]), "What takes the steps")
        .default("adamw"),
    hyperparameter("weight-decay", Kind::Float, "Weight decay; auto = 0.01 for adamw, 0 for adam and sgd")
        .absent("auto"),
    hyperparameter("momentum", Kind::Float, "Momentum of sgd").default("0.9"),
    hyperparameter("nesterov", Kind::Bool, "Whether the momentum of sgd is Nesterov's").default("false"),
    hyperparameter(
        "schedule",
        Kind::Choice(&["exponential", "cosine", "onecycle", "plateau", "constant"]),
        "How the learning rate changes",
    )
    .default("exponential"),
    hyperparameter("warmup-epochs", Kind::Float, "Epochs, or parts of one, that schedule cosine warms up over")
        .default("0.0"),
    hyperparameter("min-learning-rate", Kind::Float, "Least learning rate of schedules cosine and plateau")
        .default("0.0"),
    hyperparameter("plateau-factor", Kind::Float, "Factor of the learning rate, of schedule plateau")
        .default("0.1"),
    hyperparameter(
        "plateau-patience",
        AT_LEAST_0,
        "Validations without improvement that schedule plateau lets pass",
    )
    .default("2"),
    hyperparameter("batch-size", AT_LEAST_1, "Samples per batch, on each device of the run").default("8"),
    logging("artifact-dir", Kind::Path, "Folder for everything that is written")
        .default("artifacts")
        .only(&[Train, Cv, Tune, Test, Jobs]),
    logging("log-every-n-steps", AT_LEAST_0, "Log train metrics every so many steps; 0 = never")
        .default("10")
        .only(FIT),
    logging("check-val-every-n-epoch", AT_LEAST_0, "Validate every so many epochs; 0 = after the last only")
        .default("3")
        .only(FIT),
    logging("plot-every-n-val-epochs", AT_LEAST_0, "Draw figures every so many validations; 0 = never")
        .default("5")
        .only(FIT),
    logging(
        "wandb-entity",
        Kind::Text,
        "W&B entity, else WANDB_ENTITY; tracked there when the project is set too",
    )
    .absent("none"),
    logging(
        "wandb-project",
        Kind::Text,
        "W&B project, else WANDB_PROJECT; tracked there when the entity is set too",
    )
    .absent("none"),
    logging(
        "wandb-mode",
        Kind::Choice(&["online", "offline", "disabled"]),
        "Whether runs are sent to W&B while they run, written for `engine sync`, or neither",
    )
    .absent("WANDB_MODE, else online"),
    logging("wandb-log-model", Kind::Choice(&["none", "best", "all"]), "Checkpoints kept on W&B")
        .default("none"),
    logging(
        "wandb-finish-secs",
        AT_LEAST_0,
        "Seconds to wait at the end for what is not sent to W&B yet; the rest is left to `engine sync`",
    )
    .default("60"),
    logging("tensorboard", Kind::Bool, "Write TensorBoard event files into the folder of each run")
        .default("false"),
    device("accelerator", Kind::Choice(&["auto", "cpu", "gpu", "mps", "tpu"]), "Kind of device")
        .default("auto")
        .only(PLACED),
    device(
        "backend",
        Kind::Choice(&["auto", "tch", "flex", "cuda", "wgpu"]),
        "What computes; auto = the best one compiled in",
    )
    .default("auto")
    .only(PLACED),
    device(
        "strategy",
        Kind::Choice(&[
            "auto",
            "cv-parallel",
            "tune-parallel",
            "ddp",
            "ddp_fork",
            "ddp_spawn",
            "ddp_notebook",
        ]),
        "How devices are used: one after another, one run each, one cv each, all for one run",
    )
    .default("auto"),
    device(
        "devices",
        Kind::List,
        "Devices by index, GPUs by UUID too; on the CPU each is a slice of its cores",
    )
    .default("auto")
    .only(PLACED),
    device("num-nodes", AT_LEAST_1, "Machines that take part").default("1"),
    device(
        "runs-per-device",
        Kind::IntOr { min: 1, max: 16, word: "auto" },
        "Runs that share a device; auto = as many as fit its memory, by measurement",
    )
    .default("1"),
    device(
        "lock-dir",
        Kind::Path,
        "Folder of this machine where engine processes keep each other off their GPUs",
    )
    .default("/tmp/engine-devices")
    .only(PLACED),
    device(
        "progress-timeout",
        AT_LEAST_1,
        "Seconds without progress after which a run is ended and counts as failed",
    )
    .default("600"),
    device(
        "stop-secs",
        AT_LEAST_1,
        "Seconds a run has for its step and its `last` checkpoint when it is told to stop",
    )
    .default("60"),
    program(
        "program",
        Kind::Texts,
        "Program that does the runs in place of segmentation, and its arguments: all behind it is its own, so give it last",
    )
    .absent("none"),
    program("program-dir", Kind::Path, "Folder the program is started in").absent("the working directory"),
    program(
        "program-parameters",
        Kind::Choice(&["arguments", "environment", "file"]),
        "How hyperparameters are handed over; in the file of ENGINE_RUN_PARAMETERS they always are",
    )
    .default("arguments"),
    program(
        "program-template",
        Kind::Text,
        "Arguments for each hyperparameter, parted by blanks: {name}, or {kebab} with hyphens, and {value}",
    )
    .default("--{name} {value}"),
    program("program-prefix", Kind::Text, "What stands before the names of hyperparameters as variables")
        .default("PARAM_"),
    program(
        "program-resume-args",
        Kind::Text,
        "Further arguments of a run that goes on from a checkpoint: \"--resume {checkpoint}\"",
    )
    .absent("none"),
    program(
        "program-metrics-file",
        Kind::Path,
        "File of metrics that the program writes in its folder of the run, .csv or .jsonl; standard output is read besides",
    )
    .absent("none"),
    program("param", Kind::Texts, "Hyperparameters of the program, NAME=VALUE; in a tune those its space does not name")
        .absent("none"),
    cv("n-folds", AT_LEAST_1, "Folds that are used, from the first").absent("all"),
    cv("n-randoms", AT_LEAST_1, "Seeds per fold").default("3"),
    cv("scoring-metric", Kind::List, "Metrics the score is made of; :lower after a name = less is better")
        .default("val/JaccardIndex,val/Recall"),
    cv(
        "multi-score-strategy",
        Kind::Choice(&["harmonic", "arithmetic", "geometric", "min"]),
        "How several metrics become one score",
    )
    .default("harmonic"),
    cv(
        "failed-cells",
        Kind::Choice(&["fail-cv", "worst", "ignore"]),
        "What a run that did not complete does to the score of its cv",
    )
    .default("fail-cv"),
    cv(
        "max-failures",
        AT_LEAST_1,
        "Failed runs after which nothing new starts; what runs goes on to its end",
    )
    .absent("none"),
    tune(
        "n-trials",
        Kind::IntOr { min: 1, max: COUNT, word: "grid" },
        "Configurations to try; grid = every combination",
    )
    .default("100"),
    tune("hpconfig", Kind::Path, "Search space, TOML or YAML; the config file if not given").absent("none"),
    tune("retrain-and-test", Kind::Bool, "Train the best configuration on all train data and test it")
        .default("false"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_kebab_case_and_appear_once() {
        let mut seen = HashSet::new();
        for option in options() {
            assert!(seen.insert(option.key), "{} twice", option.key);
            assert!(option.key.bytes().all(|b| b == b'-' || b.is_ascii_lowercase()), "{}", option.key);
            assert!(!option.commands.is_empty() && !option.help.is_empty(), "{}", option.key);
        }
    }

    #[test]
    fn options_are_found_by_either_spelling_and_named_in_the_environment() {
        let spec = option("max_epochs").unwrap();
        assert_eq!((spec.key, spec.environment().as_str()), ("max-epochs", "ENGINE_MAX_EPOCHS"));
        assert_eq!(option("max-epochs").unwrap().key, spec.key);
        assert!(option("max-epoch").is_none());
    }

    /// The table of docs/configuration.md.
    #[test]
    fn the_options_of_a_program_stand_in_the_documentation_with_their_defaults() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        let text = std::fs::read_to_string(path).unwrap();
        let of_group: Vec<_> = options().iter().filter(|option| option.group == Group::Program).collect();
        for option in &of_group {
            let row = text.lines().find(|line| line.starts_with(&format!("| `{}` |", option.key)));
            let row = row.unwrap_or_else(|| panic!("{} is not documented", option.key));
            let default = option.shown_default().unwrap();
            assert!(
                row.contains(&format!("| {default} |")) || row.contains(&format!("| `{default}` |")),
                "{row}"
            );
        }
        let documented = text
            .lines()
            .filter(|line| ["| `program", "| `param`"].iter().any(|start| line.starts_with(start)));
        assert_eq!(documented.count(), of_group.len());
    }

    /// The table of the specification: every documented option is there with its documented default.
    #[test]
    fn documented_defaults() {
        let documented = [
            ("train-data-dir", None),
            ("data-split-method", Some("none")),
            ("fold-method", Some("kfold")),
            ("total-folds", Some("5")),
            ("subsample", Some("none")),
            ("in-memory", Some("false")),
            ("bands", Some("all")),
            ("fold", Some("0")),
            ("random-seed", Some("42")),
            ("max-epochs", Some("100")),
            ("early-stopping-patience", Some("5")),
            ("num-workers", Some("0")),
            ("save-top-k", Some("1")),
            ("accumulate-grad-batches", Some("1")),
            ("gradient-clip-val", Some("none")),
            ("gradient-clip-algorithm", Some("norm")),
            ("precision", Some("32-true")),
            ("artifact-dir", Some("artifacts")),
            ("log-every-n-steps", Some("10")),
            ("check-val-every-n-epoch", Some("3")),
            ("plot-every-n-val-epochs", Some("5")),
            ("wandb-entity", Some("none")),
            ("wandb-project", Some("none")),
            ("wandb-mode", Some("WANDB_MODE, else online")),
            ("wandb-log-model", Some("none")),
            ("wandb-finish-secs", Some("60")),
            ("tensorboard", Some("false")),
            ("accelerator", Some("auto")),
            ("strategy", Some("auto")),
            ("devices", Some("auto")),
            ("num-nodes", Some("1")),
            ("runs-per-device", Some("1")),
            ("lock-dir", Some("/tmp/engine-devices")),
            ("n-folds", Some("all")),
            ("n-randoms", Some("3")),
            ("scoring-metric", Some("val/JaccardIndex,val/Recall")),
            ("multi-score-strategy", Some("harmonic")),
            ("max-failures", Some("none")),
            ("n-trials", Some("100")),
            ("retrain-and-test", Some("false")),
        ];
        for (key, default) in documented {
            assert_eq!(option(key).unwrap().shown_default(), default, "{key}");
        }
    }
}
