//! The command line, made from the engine's table of options.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use clap_complete::Shell;
use engine::config::{Command as Level, Group, Kind, OptionSpec, options};

const ABOUT: &str = "Tune, cross-validate and train segmentation models over many devices";
const AFTER: &str = "\
Options come from the command line, then the environment (ENGINE_MAX_EPOCHS), then the config file, then defaults;
`engine config show` tells which. Ctrl-C once keeps what is done and stops, twice stops at once.

Exit codes: 0 done; 1 could not run to its end; 2 wrong arguments or configuration; 3 bad data; 4 a file could not
be read or written; 5 device or backend not there; 6 no stable configuration or no score; 130 stopped by Ctrl-C,
143 by SIGTERM.
Signals: SIGUSR1 has every run write a checkpoint now; a terminal that is closed (SIGHUP) stops nothing.";

/// The whole command line.
pub fn command() -> Command {
    Command::new("engine")
        .about(ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(AFTER)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(output_arguments())
        .subcommand(level("train", Level::Train, "Train and validate one model on one fold"))
        .subcommand(level("cv", Level::Cv, "Train one configuration on every fold and seed, and score it"))
        .subcommand(level(
            "tune",
            Level::Tune,
            "Try many configurations, each by cross-validation, and find the best",
        ))
        .subcommand(test_command())
        .subcommand(predict_command())
        .subcommand(
            level("status", Level::Jobs, "Show how the jobs of an artifact folder stand, or one of them")
                .arg(job()),
        )
        .subcommand(
            level(
                "attach",
                Level::Jobs,
                "Show a job that is under way as it goes on; Ctrl-C leaves it running",
            )
            .arg(job().required(true)),
        )
        .subcommand(
            level(
                "cancel",
                Level::Jobs,
                "Stop a job that is under way as Ctrl-C does, and wait until it is gone",
            )
            .arg(job().required(true))
            .arg(
                Arg::new("now")
                    .long("now")
                    .action(ArgAction::SetTrue)
                    .help("Stop at once, as Ctrl-C twice: runs under way are killed, their checkpoints stay"),
            ),
        )
        .subcommand(export_command())
        .subcommand(sync_command())
        .subcommand(data_command())
        .subcommand(level(
            "devices",
            Level::Devices,
            "Show what there is to compute on, who is on it, and what a job would take (*)",
        ))
        .subcommand(models_command())
        .subcommand(config_command())
        .subcommand(journal_command())
        .subcommand(completions_command())
        .subcommand(man_command())
}

fn output_arguments() -> [Arg; 3] {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue).global(true).display_order(900)
    };
    [
        flag("quiet", "Print the result only").short('q'),
        flag("json", "Print every event, and the result last, as one JSON object a line")
            .conflicts_with("quiet"),
        flag("verbose", "Log what the engine does to standard error; ENGINE_LOG sets it finer").short('v'),
    ]
}

fn job() -> Arg {
    Arg::new("job").value_name("NAME").help("Name of a tune, or of a cv or run alone; or its folder")
}

fn level(name: &'static str, level: Level, about: &'static str) -> Command {
    Command::new(name).about(about).args(arguments(level))
}

fn export_command() -> Command {
    let place =
        |name: &'static str| Arg::new(name).required(true).value_parser(value_parser!(std::path::PathBuf));
    Command::new("export")
        .about("Write a trained model as files that Python loads")
        .long_about(
            "Write a trained model as files that Python loads. A folder gets model.safetensors and config.json, NAME.safetensors a \
             NAME.json beside it; NAME.pt, .pth and .ckpt become one PyTorch file with the entries config and statedict.",
        )
        .arg(
            place("from")
                .value_name("CHECKPOINT|RUN_FOLDER")
                .help("Folder of a checkpoint, or of a run, whose best checkpoint it is then"),
        )
        .arg(
            place("to")
                .long("to")
                .value_name("FOLDER|FILE")
                .help("What is written; it must not be there yet"),
        )
        .arg(
            Arg::new("framework")
                .long("framework")
                .value_name("CHOICE")
                .default_value("engine")
                .value_parser(PossibleValuesParser::new(engine::export::Framework::NAMES))
                .help("For whom the configuration is written: smp = what smp.from_pretrained takes"),
        )
}

fn sync_command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    Command::new("sync")
        .about("Send runs to Weights & Biases that are not there yet, or not to their end")
        .long_about(
            "Send runs to Weights & Biases that are not there yet, or not to their end. It goes on where an engine or an earlier \
             sync left off, and may be called again. Folders of the official client are sent too. WANDB_API_KEY or a netrc file \
             gives the key, WANDB_BASE_URL another server.",
        )
        .arg(
            Arg::new("folders")
                .value_name("FOLDER")
                .num_args(0..)
                .default_value("artifacts")
                .value_parser(value_parser!(std::path::PathBuf))
                .help("Folders to look for runs in, however deep"),
        )
        .arg(flag("force", "Send again what is marked as sent, from its beginning"))
        .arg(flag("dry-run", "List what would be sent"))
}

fn data_command() -> Command {
    Command::new("data")
        .about("Check, build or make a training data folder")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(level(
            "validate",
            Level::DataValidate,
            "Read everything; show splits and folds; warn of leaks and of folds without positives",
        ))
        .subcommand(build_command())
        .subcommand(synth_command())
}

fn folder(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("FOLDER").value_parser(value_parser!(std::path::PathBuf)).help(help)
}

fn numbers(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("X")
        .num_args(1..)
        .allow_negative_numbers(true)
        .value_parser(value_parser!(f32))
        .help(help)
}

fn pixels(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("N")
        .default_value(default)
        .value_parser(value_parser!(u32))
        .help(help)
}

fn test_command() -> Command {
    level("test", Level::Test, "Test a checkpoint on the held-out samples")
        .arg(
            folder("from", "Test this checkpoint, the best of this run, or that of every run of this cv, each on what its own run held out")
                .conflicts_with("checkpoint"),
        )
        .mut_arg("train-data-dir", |argument| argument.visible_alias("data"))
}

fn predict_command() -> Command {
    level("predict", Level::Predict, "Predict probabilities and masks for images or a data folder")
        .arg(
            Arg::new("inputs")
                .value_name("INPUT")
                .required(true)
                .num_args(1..)
                .value_parser(value_parser!(std::path::PathBuf))
                .help("GeoTIFFs, or training data folders"),
        )
        .arg(folder("from", "A checkpoint, a run (its best) or a cv (the mean of all its runs)").required(true))
        .arg(folder("to", "Folder for {name}_probability.tif and {name}_mask.tif").default_value("predictions"))
        .arg(pixels("tile-size", "512", "Height and width of the tiles that images are cut into, a multiple of 32"))
        .arg(pixels("overlap", "128", "Pixels by which tiles overlap, at most half of a tile; they are blended there"))
        .arg(pixels("batch-size", "4", "Tiles that go through the network at once"))
        .arg(
            Arg::new("flips")
                .long("flips")
                .action(ArgAction::SetTrue)
                .help("Look at each tile in the eight symmetries of the square and take the mean; eight times the work"),
        )
        .arg(
            Arg::new("threshold")
                .long("threshold")
                .value_name("P")
                .default_value("0.5")
                .value_parser(value_parser!(f32))
                .help("A pixel of the mask is positive where its probability is greater"),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("CHOICE")
                .default_value("float32")
                .value_parser(PossibleValuesParser::new(["float32", "uint8"]))
                .help("Probabilities as numbers from 0 to 1, or scaled to 0 to 254"),
        )
        .arg(
            Arg::new("bands")
                .long("bands")
                .value_name("NAME")
                .num_args(1..)
                .help("Names of the images' bands, in order; those of the network are taken [default: as the file says, else in order]"),
        )
        .arg(numbers("scale", "Multiply values of images by this, or by one number for each band of the network"))
        .arg(numbers("offset", "Add this to them after that"))
}

fn build_command() -> Command {
    let text = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("TEXT")
            .default_value(default)
            .hide_default_value(default.is_empty())
            .help(help)
    };
    Command::new("build")
        .about("Cut images and masks (GeoTIFF, PNG, npy) into the patches of a training data folder")
        .arg(
            Arg::new("images")
                .value_name("IMAGES")
                .required(true)
                .value_parser(value_parser!(std::path::PathBuf))
                .help("Folder of the images; its sub-folders are regions"),
        )
        .arg(folder("masks", "Folder of the masks, called as the images are").required(true))
        .arg(folder("to", "Folder to make").required(true))
        .arg(text("image-suffix", "", "What the names of images end in, and not those of masks: _image"))
        .arg(text("mask-suffix", "", "What the names of masks end in: _mask"))
        .arg(
            Arg::new("bands")
                .long("bands")
                .value_name("NAME")
                .num_args(1..)
                .help("Names of the images' bands, in order [default: as the files say]"),
        )
        .arg(pixels("patch-size", "128", "Height and width of a patch"))
        .arg(pixels("overlap", "0", "Pixels by which patches overlap"))
        .arg(
            Arg::new("regions")
                .long("regions")
                .value_name("FILE")
                .value_parser(value_parser!(std::path::PathBuf))
                .help("Table of comma-separated values that gives the region of each image"),
        )
        .arg(text("region-column", "region", "Column of the regions; that of the images is `image`"))
        .arg(numbers("positive", "Values of masks that are positive").default_value("1"))
        .arg(numbers("negative", "Values of masks that are negative").default_value("0"))
        .arg(numbers("ignored", "Values of masks that do not count").default_value("2"))
        .arg(numbers("scale", "Multiply values of images by this, or by one number for each band"))
        .arg(numbers("offset", "Add this to them after that"))
}

fn synth_command() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("N").default_value(default).help(help)
    };
    let count = |name, default, help| number(name, default, help).value_parser(value_parser!(u32));
    let share = |name, default, help| number(name, default, help).value_parser(value_parser!(f64));
    Command::new("synth")
        .about("Make a small data set that can be learned, in the form of a training data folder")
        .arg(
            Arg::new("folder")
                .required(true)
                .value_parser(value_parser!(std::path::PathBuf))
                .help("Folder to make"),
        )
        .arg(count("samples", "96", "Samples"))
        .arg(count("patch-size", "64", "Height and width of a sample, in pixels"))
        .arg(count("regions", "4", "Regions"))
        .arg(share("empty-fraction", "0.4", "Share of the samples without a positive pixel"))
        .arg(share("positive-fraction", "0.08", "Share of positive pixels in the other samples, about"))
        .arg(share("ignored-fraction", "0.2", "Share of the samples with ignored pixels"))
        .arg(number("seed", "42", "Seed; the same seed makes the same data").value_parser(value_parser!(u64)))
}

fn models_command() -> Command {
    Command::new("models").about("List the architectures and encoders there are, and how large they are").arg(
        Arg::new("bands")
            .long("bands")
            .value_name("N")
            .default_value("3")
            .value_parser(value_parser!(u32).range(1..))
            .help("Bands of the images to count parameters for"),
    )
}

fn config_command() -> Command {
    Command::new("config")
        .about("Look at the configuration")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("show")
                .about("Every option with its value and where the value came from")
                .args(every_argument()),
        )
}

fn journal_command() -> Command {
    let place = || {
        Arg::new("place")
            .value_name("FILE|FOLDER")
            .required(true)
            .value_parser(value_parser!(std::path::PathBuf))
            .help("A journal, or the folder of the tune, cv or run it belongs to")
    };
    Command::new("journal")
        .about("Look at the journal of a tune, a cv or a run: what --resume goes on from")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("check")
                .about(
                    "Say whether a journal is whole, who works on its job, and what to do if it is damaged",
                )
                .arg(place()),
        )
        .subcommand(Command::new("show").about("Show every record of a journal").arg(place()))
}

fn completions_command() -> Command {
    Command::new("completions")
        .about("Print the script that completes this command line in a shell")
        .long_about(
            "Print the script that completes this command line in a shell. For bash: engine completions bash > \
             ~/.local/share/bash-completion/completions/engine",
        )
        .arg(Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(Shell)))
}

fn man_command() -> Command {
    Command::new("man")
        .about("Print the manual page, or write the pages of every command")
        .arg(folder("to", "Folder for engine.1 and a page for each command: engine-tune.1"))
}

/// Arguments of every option a level takes.
fn arguments(level: Level) -> Vec<Arg> {
    options()
        .iter()
        .enumerate()
        .filter(|(_, spec)| spec.taken_by(level))
        .map(|(at, spec)| argument(at, spec))
        .collect()
}

fn every_argument() -> Vec<Arg> {
    options().iter().enumerate().map(|(at, spec)| argument(at, spec)).collect()
}

fn argument(order: usize, spec: &'static OptionSpec) -> Arg {
    let argument = Arg::new(spec.key)
        .long(spec.key)
        .help(help(spec))
        .help_heading(spec.group.title())
        .display_order(order)
        .allow_negative_numbers(true)
        .action(ArgAction::Append);
    match spec.kind {
        Kind::Bool => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(PossibleValuesParser::new(["true", "false"]))
            .hide_possible_values(true),
        Kind::List => argument.num_args(1..).value_name("NAME"),
        // All behind it is the program's, options included.
        Kind::Texts if spec.key == "program" => {
            argument.num_args(1..).value_names(["PROGRAM", "ARGUMENT"]).allow_hyphen_values(true)
        }
        Kind::Texts if spec.key == "param" => argument.num_args(1).value_name("NAME=VALUE"),
        // Arguments of a program may begin with hyphens.
        Kind::Text if spec.group == Group::Program => {
            argument.num_args(1).value_name("TEXT").allow_hyphen_values(true)
        }
        Kind::Texts => argument.num_args(1..).value_name("VALUE"),
        Kind::Path => argument.num_args(1).value_name("PATH").value_hint(ValueHint::AnyPath),
        Kind::Int { .. } => argument.num_args(1).value_name("N"),
        Kind::IntOr { word, .. } => argument.num_args(1).value_name(format!("N|{word}")),
        Kind::Float => argument.num_args(1).value_name("X"),
        // Several strategies are told apart by the engine, which knows which exclude each other.
        Kind::Choice(_) if spec.key == "strategy" => argument.num_args(1..).value_name("CHOICE"),
        Kind::Choice(_) if spec.key == "resume" => {
            argument.num_args(0..=1).require_equals(true).default_missing_value("yes").value_name("CHOICE")
        }
        Kind::Choice(_) => argument.num_args(1).value_name("CHOICE"),
        _ => argument.num_args(1).value_name("TEXT"),
    }
}

fn help(spec: &OptionSpec) -> String {
    let mut text = spec.help.to_owned();
    if let Kind::Choice(choices) = spec.kind {
        text.push_str(&format!(" ({})", choices.join(", ")));
    }
    if let Some(default) = spec.shown_default() {
        text.push_str(&format!(" [default: {default}]"));
    }
    text.push_str(&format!(" [env: {}]", spec.environment()));
    text
}

/// What was given on the command line, by option, in the order given.
pub fn given(matches: &ArgMatches) -> Vec<(String, Vec<String>)> {
    options()
        .iter()
        .filter_map(|spec| {
            let values = matches.try_get_many::<String>(spec.key).ok().flatten()?;
            Some((spec.key.to_owned(), values.cloned().collect()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn lists_take_several_values_and_flags_none() {
        let matches = command()
            .try_get_matches_from([
                "engine",
                "tune",
                "--devices",
                "0",
                "1",
                "--retrain-and-test",
                "--max-epochs",
                "3",
            ])
            .unwrap();
        let (_, tune) = matches.subcommand().unwrap();
        let mut given = given(tune);
        given.sort();
        let pair =
            |key: &str, values: &[&str]| (key.to_owned(), values.iter().map(|v| (*v).to_owned()).collect());
        assert_eq!(
            given,
            vec![
                pair("devices", &["0", "1"]),
                pair("max-epochs", &["3"]),
                pair("retrain-and-test", &["true"])
            ]
        );
    }

    #[test]
    fn all_behind_a_program_is_its_own() {
        let words = "engine tune --param a=-1 --param b=2 --program-template --{name}={value} --n-folds 2 \
                     --program python3 train.py --json --n-folds 3 -- -x";
        let matches = command().try_get_matches_from(words.split_whitespace()).unwrap();
        assert!(!matches.get_flag("json"));
        let given = given(matches.subcommand().unwrap().1);
        let of = |key: &str| given.iter().find(|(name, _)| name == key).unwrap().1.join(" ");
        assert_eq!(of("program"), "python3 train.py --json --n-folds 3 -- -x");
        assert_eq!((of("n-folds"), of("param")), ("2".to_owned(), "a=-1 b=2".to_owned()));
        assert_eq!(of("program-template"), "--{name}={value}");
    }

    #[test]
    fn a_negative_number_is_a_value() {
        let matches = command().try_get_matches_from(["engine", "train", "--save-top-k", "-1"]).unwrap();
        assert_eq!(
            given(matches.subcommand().unwrap().1),
            vec![("save-top-k".to_owned(), vec!["-1".to_owned()])]
        );
    }
}
