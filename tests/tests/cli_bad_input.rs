//! Bad input at the command line: one error that names what, where and what to do, the documented exit code, and
//! nothing written.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use engine_tests::cli::{Ended, Workplace};
use engine_tests::damage::{edit_json, edit_table, write_v2};

/// Exit codes as `engine --help` documents them.
const USAGE: i32 = 2;
const DATA: i32 = 3;
const FILE: i32 = 4;
const DEVICE: i32 = 5;

/// Arguments, exit code, and words the error has: what, where, what to do.
type Case<'a> = (&'a str, i32, &'a [&'a str]);

const TRAIN: &str = "train --train-data-dir data --artifact-dir out --model-encoder resnet18 --batch-size 4";
const CV: &str = "cv --train-data-dir data --artifact-dir out";
const TUNE: &str = "tune --train-data-dir data --artifact-dir out";

/// Arguments between blanks; `@` stands for a blank within one.
fn split(line: &str) -> Vec<String> {
    line.split_whitespace().map(|word| word.replace('@', " ")).collect()
}

/// Runs what must be refused, and checks all that holds of every refusal.
fn refuse(place: &Workplace, line: &str, code: i32, needles: &[&str]) {
    let before = place.files();
    let arguments = split(line);
    let ended = place.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let Ended { stderr, stdout, .. } = &ended;
    assert_eq!(ended.code, Some(code), "{line}: {stderr}");
    let errors = stderr.lines().filter(|line| line.starts_with("error:")).count();
    assert_eq!(errors, 1, "{line}: {stderr}");
    assert!(stderr.starts_with("error:"), "{line} said something before: {stderr}");
    assert!(!stderr.contains("panicked"), "{line}: {stderr}");
    assert_eq!(stdout, "", "{line} printed a result");
    for needle in needles {
        assert!(stderr.contains(needle), "{line} does not say {needle:?}: {stderr}");
    }
    let after = place.files();
    let touched: Vec<_> = before.iter().filter(|(path, about)| after.get(*path) != Some(*about)).collect();
    let made: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    assert!(touched.is_empty() && made.is_empty(), "{line} changed {touched:?} and made {made:?}");
}

fn refuse_all(place: &Workplace, command: &str, cases: &[Case<'_>]) {
    for (arguments, code, needles) in cases {
        refuse(place, &format!("{command} {arguments}"), *code, needles);
    }
}

// ---- options ----

#[test]
fn wrong_arguments() {
    let place = Workplace::with_data();
    refuse_all(
        &place,
        "",
        &[
            ("trian", USAGE, &["unrecognized subcommand 'trian'", "'train'"]),
            ("train --max-epoch 3", USAGE, &["'--max-epoch'", "'--max-epochs'"]),
            ("data synth data", DATA, &["not empty", "name another", ": data"]),
            ("data synth new --samples 0", DATA, &["samples is 0", "give 1 or more", ": new"]),
            ("train --artifact-dir out", USAGE, &["train-data-dir is not set", "give --train-data-dir"]),
            ("test --train-data-dir data", USAGE, &["checkpoint is not set", "give --checkpoint"]),
        ],
    );
    refuse_all(
        &place,
        TRAIN,
        &[
            ("--max-epochs 0", USAGE, &["max-epochs is 0", "at least 1", "on the command line"]),
            ("--max-epochs three", USAGE, &["max-epochs is three", "an integer"]),
            ("--max-epochs 3 --max-epochs 4", USAGE, &["max-epochs is 3 4", "given once"]),
            ("--artifact-dir other", USAGE, &["artifact-dir is out other", "given once"]),
            ("--batch-size=0", USAGE, &["given once"]),
            ("--save-top-k -2", USAGE, &["save-top-k is -2", "at least -1"]),
            ("--learning-rate 0", USAGE, &["learning-rate is 0", "greater than 0"]),
            ("--learning-rate nan", USAGE, &["learning-rate is nan", "finite"]),
            ("--gamma 1.5", USAGE, &["gamma is 1.5", "at most 1"]),
            ("--focal-loss-alpha 2", USAGE, &["focal-loss-alpha is 2", "from 0 to 1"]),
            ("--fold 5", USAGE, &["fold is 5", "total-folds is 5", "the last one is 4"]),
            ("--augment D5", USAGE, &["augment is", "did you mean D4?", "HorizontalFlip"]),
            ("--augment D4 Blru", USAGE, &["augment is", "did you mean Blur?"]),
            ("--bands blue nri", DATA, &["no band `nri`", "`nir`", "data/config.toml"]),
            ("--bands blue blue", USAGE, &["bands is", "blue is there twice", "on the command line"]),
        ],
    );
    refuse_all(
        &place,
        "train --train-data-dir data --artifact-dir out",
        &[
            ("--batch-size 100", USAGE, &["`batch_size` is 100", "19 samples", "choose 19 or less"]),
            ("--batch-size 0", USAGE, &["batch-size is 0", "at least 1"]),
            ("--model-arch Unett", USAGE, &["model-arch is \"Unett\"", "did you mean Unet?", "command line"]),
            (
                "--model-encoder resnet19",
                USAGE,
                &["model-encoder is", "resnet18, resnet34, resnet50", "mean"],
            ),
            ("--model-encoder-weights no.safetensors", FILE, &["encoder weights", "check", "no.safetensors"]),
            ("--weights-from-checkpoint gone", FILE, &["checkpoint", "check", ": gone"]),
            ("--continue-from-checkpoint gone", FILE, &["checkpoint", "check", ": gone"]),
        ],
    );
    refuse_all(
        &place,
        CV,
        &[
            ("--n-randoms 0", USAGE, &["n-randoms is 0", "at least 1"]),
            ("--n-folds 9", USAGE, &["n-folds is 9", "total-folds is 5", "at most 5"]),
            ("--total-folds 1", USAGE, &["total-folds is 1", "kfold", "fold-method none"]),
            ("--fold-method kfolds", USAGE, &["fold-method is kfolds", "did you mean kfold?"]),
            ("--scoring-metric val/Jaccard", USAGE, &["scoring-metric val/Jaccard", "val/JaccardIndex"]),
            ("--scoring-metric val/loss:down", USAGE, &["val/loss:down", "`:higher` and `:lower`"]),
            ("--scoring-metric val/Recall val/Recall", USAGE, &["val/Recall", "twice"]),
            ("--multi-score-strategy median", USAGE, &["multi-score-strategy is median", "one of harmonic"]),
            ("--failed-cells ignroe", USAGE, &["failed-cells is ignroe", "did you mean ignore?"]),
            ("--batch-size 40", USAGE, &["`batch_size` is 40", "choose 19 or less"]),
        ],
    );
    refuse_all(
        &place,
        TUNE,
        &[
            ("", USAGE, &["no search space", "--hpconfig"]),
            ("--n-trials 0", USAGE, &["n-trials is 0", "at least 1 or \"grid\""]),
            ("--n-trials all", USAGE, &["n-trials is all", "at least 1 or \"grid\""]),
        ],
    );
}

#[test]
fn names_that_can_not_be_folders() {
    let place = Workplace::with_data();
    place.write("space.toml", "[hyperparameters]\nmodel_encoder = \"resnet18\"\nbatch_size = 4\n");
    for command in [TRAIN, CV, &format!("{TUNE} --hpconfig space.toml")] {
        refuse_all(
            &place,
            command,
            &[
                ("--name a/b", USAGE, &["name is \"a/b\"", "must not hold `/`", "on the command line"]),
                ("--name ..", USAGE, &["name is \"..\"", "must not hold `..`"]),
                ("--name ../out", USAGE, &["must not hold"]),
                ("--name _runs", USAGE, &["name is \"_runs\"", "must not"]),
                ("--name .hidden", USAGE, &["name is \".hidden\"", "must not"]),
            ],
        );
        let long = "n".repeat(129);
        refuse(&place, &format!("{command} --name {long}"), USAGE, &["name is", "128"]);
    }
}

#[test]
fn names_that_are_taken() {
    let place = Workplace::with_data();
    place.write("space.toml", "[hyperparameters]\nmodel_encoder = \"resnet18\"\nbatch_size = 4\n");
    for folder in ["out/_runs/mine-a1b2c3d4", "out/_cross_validations/mine", "out/mine"] {
        fs::create_dir_all(place.path(folder)).unwrap();
    }
    let tune = format!("{TUNE} --hpconfig space.toml --n-trials 1");
    for (command, level, folder) in [
        (TRAIN, "run", "out/_runs/mine-a1b2c3d4"),
        (CV, "cv", "out/_cross_validations/mine"),
        (&tune, "tune", "out/mine"),
    ] {
        let already = format!("a {level} called mine already");
        refuse(
            &place,
            &format!("{command} --name mine"),
            USAGE,
            &[&already, "choose another --name", folder],
        );
    }
}

#[test]
fn artifact_folders_that_can_not_be_written() {
    let place = Workplace::with_data();
    place.write("file", "not a folder\n");
    refuse_all(
        &place,
        "train --train-data-dir data --model-encoder resnet18 --batch-size 4",
        &[
            ("--artifact-dir file", FILE, &["is a file", "--artifact-dir", ": file"]),
            ("--artifact-dir file/below", FILE, &["is a file", "--artifact-dir", "file/below"]),
        ],
    );
    if cfg!(target_os = "linux") {
        let line = "train --train-data-dir data --model-encoder resnet18 --batch-size 4 --artifact-dir /proc/self/no";
        refuse(
            &place,
            line,
            FILE,
            &["can not be written", "another folder with --artifact-dir", "/proc/self/no"],
        );
    }
}

#[test]
fn devices_and_strategies_that_are_not_there() {
    let place = Workplace::with_data();
    refuse_all(
        &place,
        CV,
        &[
            ("--accelerator cpu --devices 99999", DEVICE, &["no device cpu:99999", "cpu:0", "--devices"]),
            ("--accelerator cpu --devices one", DEVICE, &["`one` is no device", "indices such as `0 1`"]),
            ("--accelerator tpu", DEVICE, &["TPU", "use --accelerator cpu or gpu"]),
            ("--accelerator gqu", USAGE, &["accelerator is gqu", "did you mean gpu?"]),
            ("--devices 0 0", USAGE, &["devices is", "0 is there twice"]),
            ("--devices auto 0", USAGE, &["devices is", "auto alone"]),
            ("--num-nodes 2", USAGE, &["`num-nodes` is 2", "use 1"]),
            ("--backend torch", USAGE, &["backend is torch", "one of auto, tch"]),
            ("--backend wgpu", DEVICE, &["wgpu", "--features wgpu"]),
            ("--strategy cv-parallel ddp", USAGE, &["cv-parallel ddp", "one or the other"]),
            ("--strategy ddp tune-parallel", USAGE, &["ddp tune-parallel", "one or the other"]),
            ("--strategy cv-parallel+ddp_fork", USAGE, &["cv-parallel+ddp_fork", "one or the other"]),
            ("--strategy cv-paralel", USAGE, &["cv-paralel", "did you mean cv-parallel?"]),
        ],
    );
    place
        .write("ddp.toml", "[darts.device]\nstrategy = \"cv-parallel\"\n[darts.other]\nstrategy = \"ddp\"\n");
    refuse(
        &place,
        &format!("{CV} --config-file ddp.toml"),
        USAGE,
        &["strategy is set twice", "ddp.toml:2", "ddp.toml:4"],
    );
}

#[test]
fn a_gpu_where_none_is_visible() {
    let place = Workplace::with_data();
    let mut command = place
        .command(&split(&format!("{CV} --accelerator gpu")).iter().map(String::as_str).collect::<Vec<_>>());
    let output = command.env("CUDA_VISIBLE_DEVICES", "").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(DEVICE), "{stderr}");
    assert!(
        stderr.starts_with("error: no GPU on this machine") && stderr.contains("use --accelerator cpu"),
        "{stderr}"
    );
    assert!(!place.path("out").exists());
}

// ---- config files and search spaces ----

#[test]
fn config_files_that_are_wrong() {
    let place = Workplace::with_data();
    let cases: &[(&str, &str, &[&str])] = &[
        ("a.toml", "[darts]\nmax-epochs = \n", &["a.toml:2"]),
        (
            "b.toml",
            "[darts.training]\nmax-epochs = 6\n\n[darts.foo]\nmax_epochs = 6\n",
            &["set twice", "keep one", "b.toml:2", "b.toml:5"],
        ),
        (
            "c.toml",
            "[engine.training]\nmax-epoch = 6\n",
            &["max-epoch", "no option", "did you mean max-epochs?", "c.toml:2"],
        ),
        ("d.toml", "[darts]\nmax-epochs = 0\n", &["max-epochs is 0", "at least 1", "d.toml:2"]),
        ("e.toml", "[darts]\nmax-epochs = \"6\"\n", &["max-epochs is \"6\"", "not a text", "e.toml:2"]),
        ("f.toml", "[other]\nmax-epochs = 6\n", &["neither a [darts] nor an [engine] table", "f.toml"]),
        ("g.toml", "darts = 3\n", &["darts must be a table", "write [darts]", "g.toml:1"]),
        ("h.json", "{}", &["h.json", ".toml"]),
        ("i.yaml", "darts:\n  fold: [1\n", &["i.yaml:"]),
        ("j.yaml", "darts:\n  fold: -1\n", &["fold is -1", "at least 0", "j.yaml:2"]),
        (
            "k.toml",
            "[darts.training.hyperparameters]\nlearning_rte = 0.1\n",
            &["learning_rte", "did you mean learning-rate?", "k.toml:2"],
        ),
        (
            "l.toml",
            "[darts.training.hyperparameters]\nmodel_encoder = \"resnet19\"\n",
            &["resnet19", "did you mean", "l.toml:2"],
        ),
        ("m.toml", "[darts]\nname = \"a/b\"\n", &["name is \"a/b\"", "must not hold `/`", "m.toml:2"]),
        ("n.toml", "[darts]\naccelerator = \"gqu\"\n", &["accelerator is", "did you mean gpu?", "n.toml:2"]),
    ];
    for (name, text, needles) in cases {
        place.write(name, text);
        refuse(&place, &format!("{CV} --config-file {name}"), USAGE, needles);
    }
    refuse(
        &place,
        &format!("{CV} --config-file gone.toml"),
        USAGE,
        &["can not be read", "check", "gone.toml"],
    );
    let environment = place.command(&["config", "show"]).env("ENGINE_MAX_EPOCHS", "many").output().unwrap();
    let stderr = String::from_utf8(environment.stderr).unwrap();
    assert_eq!(environment.status.code(), Some(USAGE), "{stderr}");
    assert!(
        stderr.starts_with("error: max-epochs is many") && stderr.contains("ENGINE_MAX_EPOCHS"),
        "{stderr}"
    );
}

#[test]
fn search_spaces_that_are_wrong() {
    let place = Workplace::with_data();
    let cases: &[(&str, &[&str])] = &[
        ("gamma = {low = 1, high = 2.0}", &["gamma", "both as integers or both as floats"]),
        ("gamma = {low = 0.9}", &["gamma", "`low` and `high`"]),
        ("gamma = {distribution = \"uniform\", low = 0.9}", &["gamma", "needs `high`"]),
        ("gamma = {low = 0.9, high = 0.8}", &["gamma", "`low` must be less than `high`"]),
        ("gama = 0.9", &["gama", "did you mean gamma?"]),
        ("gamma = {distribution = \"unifrom\", low = 0.8, high = 0.9}", &["gamma", "unifrom", "uniform?"]),
        (
            "learning_rate = {distribution = \"loguniform\", low = 0.0, high = 0.9}",
            &["learning_rate", "more than 0"],
        ),
        (
            "gamma = {distribution = \"reversed-loguniform\", low = 0.1, high = 1.0}",
            &["gamma", "less than `n`"],
        ),
        ("batch_size = []", &["batch_size", "at least one value"]),
        ("batch_size = {distribution = \"choice\", choices = 4}", &["batch_size", "must be a list"]),
        ("batch_size = {low = 0, high = 4}", &["batch_size", "an integer of at least 1"]),
        ("batch_size = 4.5", &["batch_size", "4.5"]),
        ("learning_rate = {low = -0.1, high = 0.1}", &["learning_rate", "greater than 0"]),
        ("model_encoder = [\"resnet18\", \"resnet19\"]", &["model_encoder", "resnet19", "did you mean"]),
        ("model_arch = \"Vnet\"", &["model_arch", "Vnet", "did you mean Unet?"]),
        ("augment = {distribution = \"constant\", value = [\"D5\"]}", &["augment", "D5", "did you mean D4?"]),
        ("x = 3", &["x", "no hyperparameter", "learning_rate"]),
        ("gamma = 0.9\n\"gamma\" = 0.8", &["duplicate key", "correct it"]),
    ];
    for (number, (parameter, needles)) in cases.iter().enumerate() {
        let name = format!("space-{number}.toml");
        place.write(&name, &format!("[hyperparameters]\n{parameter}\n"));
        let line = if parameter.contains('\n') { 3 } else { 2 };
        let mut needles = needles.to_vec();
        let at = format!("{name}:{line}");
        needles.push(&at);
        refuse(&place, &format!("{TUNE} --hpconfig {name}"), USAGE, &needles);
    }
    place.write("none.toml", "[darts]\nmax-epochs = 3\n");
    place.write("value.yaml", "hyperparameters: 3\n");
    place.write("empty.yaml", "hyperparameters: {}\n");
    place.write("free.yaml", "hyperparameters:\n  gamma:\n    low: 0.8\n    high: 0.9\n");
    place.write("big.toml", "[hyperparameters]\nmodel_encoder = \"resnet18\"\nbatch_size = [4, 40]\n");
    refuse_all(
        &place,
        TUNE,
        &[
            ("--hpconfig gone.toml", USAGE, &["can not be read", "check", "gone.toml"]),
            ("--hpconfig none.toml", USAGE, &["`hyperparameters`", "--hpconfig", "none.toml"]),
            ("--hpconfig value.yaml", USAGE, &["must be a table", "value.yaml:1"]),
            ("--hpconfig empty.yaml", USAGE, &["no parameter", "name at least one", "empty.yaml"]),
            (
                "--hpconfig free.yaml --n-trials grid",
                USAGE,
                &["gamma is uniform", "list its values", "free.yaml:"],
            ),
            ("--hpconfig big.toml", USAGE, &["`batch_size` is 40", "choose 19 or less"]),
            ("--hpconfig big.toml --retrain-and-test", USAGE, &["no test split", "data-split-method"]),
        ],
    );
}

// ---- data ----

#[test]
fn splits_and_folds_that_are_not_possible() {
    let place = Workplace::with_data();
    refuse_all(
        &place,
        CV,
        &[
            (
                "--data-split-method region --data-split-by bank",
                DATA,
                &["region `bank`", "did you mean `banks`", ": data"],
            ),
            (
                "--data-split-method sample --data-split-by banks-999",
                DATA,
                &["sample id `banks-999`", "mean", ": data"],
            ),
            (
                "--data-split-method region --data-split-by banks herschel kolguev",
                DATA,
                &["train set is empty", "leave more", ": data"],
            ),
            (
                "--data-split-method random --data-split-by 1.5",
                USAGE,
                &["data-split-by is", "between 0 and 1"],
            ),
            (
                "--data-split-method random --data-split-by 0.01",
                DATA,
                &["test set is empty", "raise the test fraction", ": data"],
            ),
            ("--data-split-method random", USAGE, &["data-split-by is not set", "--data-split-by"]),
            ("--data-split-by 0.2", USAGE, &["data-split-method is not set", "--data-split-method"]),
            (
                "--fold-method region-stratified --total-folds 4",
                DATA,
                &["4 folds of 3 regions", "lower total-folds", ": data"],
            ),
            ("--total-folds 25", DATA, &["25 folds of 24 samples", "lower total-folds", ": data"]),
            ("--fold-method stratified --total-folds 24", DATA, &["24 folds", "lower total-folds", ": data"]),
            ("--subsample 25", DATA, &["subsample of 25", "from 1 to 24", ": data"]),
            (
                "--subsample 1 --fold-method none --data-split-method random --data-split-by 0.9",
                DATA,
                &["train set is empty", ": data"],
            ),
        ],
    );
    refuse(
        &place,
        "data validate --train-data-dir data --fold-method region-stratified --total-folds 4",
        DATA,
        &["4 folds of 3 regions", ": data"],
    );
}

/// What is done to a folder, and the words of the error.
type Damage = (&'static str, fn(&Path), &'static [&'static str]);

const MISSING_PARTS: &[Damage] = &[
    ("no folder", |dir| fs::remove_dir_all(dir).unwrap(), &["folder is missing", "train-data-dir"]),
    (
        "no config.toml",
        |dir| fs::remove_file(dir.join("config.toml")).unwrap(),
        &["missing", "data/config.toml"],
    ),
    (
        "no metadata",
        |dir| fs::remove_file(dir.join("metadata.parquet")).unwrap(),
        &["missing", "data/metadata.parquet"],
    ),
    ("no zarr", |dir| fs::remove_dir_all(dir.join("data.zarr")).unwrap(), &["missing", "data/data.zarr"]),
    ("no x", |dir| fs::remove_dir_all(dir.join("data.zarr/x")).unwrap(), &["missing", "data/data.zarr/x"]),
    ("no y", |dir| fs::remove_dir_all(dir.join("data.zarr/y")).unwrap(), &["missing", "data/data.zarr/y"]),
];

const WRONG_PARTS: &[Damage] = &[
    (
        "broken TOML",
        |dir| fs::write(dir.join("config.toml"), "[darts]\nbands = [\n").unwrap(),
        &["does not parse", "line 2", "data/config.toml"],
    ),
    (
        "no bands",
        |dir| fs::write(dir.join("config.toml"), "[darts]\npatch_size = 32\n").unwrap(),
        &["bands", "correct it", "data/config.toml"],
    ),
    (
        "fewer bands",
        |dir| fs::write(dir.join("config.toml"), "[darts]\nbands = [\"red\"]\n").unwrap(),
        &["4", "data/"],
    ),
    (
        "array metadata",
        |dir| fs::write(dir.join("data.zarr/x/zarr.json"), "{").unwrap(),
        &["array `x`", "again", "data/data.zarr/x"],
    ),
    (
        "dtype of x",
        |dir| write_v2(dir, "x", "<f8", &[24, 4, 2, 2], 1, &[0; 24 * 128]),
        &["`x`", "float32", "data/data.zarr/x"],
    ),
    (
        "rank of x",
        |dir| write_v2(dir, "x", "<f4", &[24, 4, 4], 1, &[0; 24 * 64]),
        &["`x`", "data/data.zarr/x"],
    ),
    (
        "dtype of y",
        |dir| write_v2(dir, "y", "<i2", &[24, 32, 32], 1, &[0; 24 * 2048]),
        &["`y`", "uint8", "data/data.zarr/y"],
    ),
    (
        "extent of y",
        |dir| write_v2(dir, "y", "|u1", &[24, 16, 16], 1, &[0; 24 * 256]),
        &["`y`", "data/data.zarr/y"],
    ),
    (
        "rows",
        |dir| edit_json(&dir.join("data.zarr/x/zarr.json"), |meta| meta["shape"][0] = 23.into()),
        &["23", "data/"],
    ),
    (
        "no parquet",
        |dir| fs::write(dir.join("metadata.parquet"), "text").unwrap(),
        &["does not read", "restore", "data/metadata.parquet"],
    ),
    (
        "cut parquet",
        |dir| {
            let bytes = fs::read(dir.join("metadata.parquet")).unwrap();
            fs::write(dir.join("metadata.parquet"), &bytes[..bytes.len() / 2]).unwrap();
        },
        &["does not read", "restore", "data/metadata.parquet"],
    ),
    (
        "fewer rows",
        |dir| {
            edit_table(dir, |columns| {
                columns.into_iter().map(|(name, column)| (name, column.slice(0, 20))).collect()
            });
        },
        &["20 rows for 24 samples", "same preprocessing run", "data/metadata.parquet"],
    ),
    (
        "no column",
        |dir| edit_table(dir, |columns| columns.into_iter().filter(|(name, _)| name != "region").collect()),
        &["no column `region`", "add it", "data/metadata.parquet"],
    ),
    (
        "column type",
        |dir| {
            edit_table(dir, |mut columns| {
                columns[2].1 = Arc::new(arrow::array::StringArray::from(vec!["no"; 24]));
                columns
            });
        },
        &["column `empty`", "not booleans", "data/metadata.parquet"],
    ),
];

/// Values inside the arrays: seen by whoever reads them all.
const BAD_VALUES: &[Damage] = &[
    (
        "not finite",
        |dir| {
            let mut values = vec![0.5_f32; 24 * 4 * 1024];
            values[2 * 4096 + 7] = f32::NAN;
            values[9 * 4096] = f32::INFINITY;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            write_v2(dir, "x", "<f4", &[24, 4, 32, 32], 1, &bytes);
        },
        &["2 values of x in 2 samples", "first in sample 2", "fill or drop", "data/data.zarr/x"],
    ),
    (
        "labels",
        |dir| {
            let mut labels = vec![1_u8; 24 * 1024];
            labels[5 * 1024 + 3] = 255;
            write_v2(dir, "y", "|u1", &[24, 32, 32], 1, &labels);
        },
        &["1 values of y in 1 samples", "255 in sample 5", "map the labels", "data/data.zarr/y"],
    ),
    (
        "cut chunk",
        |dir| {
            let chunk = dir.join("data.zarr/x/c/3/0/0/0");
            let bytes = fs::read(&chunk).unwrap();
            fs::write(&chunk, &bytes[..bytes.len() / 2]).unwrap();
        },
        &["chunk of sample 3", "does not decode", "restore", "data/data.zarr/x/c/3/0/0/0"],
    ),
];

fn damaged(damage: fn(&Path)) -> Workplace {
    let place = Workplace::with_data();
    damage(&place.path("data"));
    place
}

#[test]
fn data_folders_that_are_not_whole() {
    for (what, damage, needles) in MISSING_PARTS.iter().chain(WRONG_PARTS) {
        println!("{what}");
        let place = damaged(*damage);
        refuse(&place, "data validate --train-data-dir data", DATA, needles);
        refuse(&place, TRAIN, DATA, needles);
    }
}

#[test]
fn values_that_no_training_can_use() {
    for (what, damage, needles) in BAD_VALUES {
        println!("{what}");
        refuse(&damaged(*damage), "data validate --train-data-dir data", DATA, needles);
    }
}

#[test]
fn a_run_that_meets_a_bad_value_fails_and_says_which() {
    let (_, damage, _) = BAD_VALUES[2];
    let place = damaged(damage);
    let line = format!("{TRAIN} --max-epochs 1 --fold-method none --json");
    let ended = place.run(&split(&line).iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let outcome = ended.outcome();
    assert_eq!(
        (&outcome["status"], &outcome["failure"]["cause"]),
        (&"failed".into(), &"data".into()),
        "{outcome}"
    );
    let message = outcome["failure"]["message"].as_str().unwrap();
    assert!(message.contains("chunk of sample 3") && message.contains("data.zarr/x/c/3/0/0/0"), "{message}");
    assert_eq!(outcome["attempts"], 1, "bad data stay bad");
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

// ---- checkpoints ----

#[test]
fn checkpoints_that_can_not_be_used() {
    let place = Workplace::with_data();
    let test = "test --train-data-dir data --artifact-dir out --data-split-method random --data-split-by 0.2";
    fs::create_dir(place.path("empty")).unwrap();
    for (name, text) in [("cut", "{\"format_ver"), ("new", "{\"format_version\": 999}")] {
        fs::create_dir(place.path(name)).unwrap();
        place.write(&format!("{name}/state.json"), text);
    }
    for (checkpoint, needles) in [
        ("gone", &["no checkpoint is there", "give the path", ": gone"][..]),
        ("empty", &["`state.json` is missing", "use another checkpoint", ": empty"]),
        ("cut", &["`state.json`", "damaged", "use another checkpoint", ": cut"]),
        ("new", &["format version 999", "use the build that wrote it", ": new"]),
    ] {
        refuse(&place, &format!("{test} --checkpoint {checkpoint}"), FILE, needles);
    }
    for checkpoint in ["empty", "cut", "new"] {
        refuse(&place, &format!("{TRAIN} --continue-from-checkpoint {checkpoint}"), FILE, &[checkpoint]);
    }
}
