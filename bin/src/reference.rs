//! The reference of the documentation, `docs/reference.md`: made of the table of options and of the command line, which
//! nothing else lists. Every command that the documentation shows is held to them as well.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use engine::config::{Group, Kind, OptionSpec, Sources, option, options};

use crate::args;

/// Set, the test writes the reference instead of comparing it.
const WRITE: &str = "ENGINE_WRITE_REFERENCE";

const HEAD: &str = "\
# Reference

Made of the program's own tables; `ENGINE_WRITE_REFERENCE=1 cargo test -p engine-cli reference` writes it, and a test holds it to them. What
the options mean to each other: [configuration.md](configuration.md).

Every option is given on the command line as `--max-epochs 50`, in the environment as `ENGINE_MAX_EPOCHS=50`, and in the config file as
`max-epochs = 50` in any table under `[darts]` or `[engine]`; the first of the three that has a value wins.
";

/// What may stand in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", cell(text)) }
}

fn joined<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(code).collect::<Vec<_>>().join(", ")
}

fn range(min: i64, max: i64) -> String {
    let greatest = [i64::from(u32::MAX), i64::from(i32::MAX), i64::MAX];
    if greatest.contains(&max) { format!("integer ≥ {min}") } else { format!("integer, {min} to {max}") }
}

fn value(kind: Kind) -> String {
    match kind {
        Kind::Path => "path".to_owned(),
        Kind::Int { min, max } => range(min, max),
        Kind::Float => "number".to_owned(),
        Kind::Bool => "flag".to_owned(),
        Kind::List => "names".to_owned(),
        Kind::Texts => "texts".to_owned(),
        Kind::Choice(choices) => joined(choices.iter().copied()),
        Kind::IntOr { min, max, word } => format!("{}, or {}", range(min, max), code(word)),
        _ => "text".to_owned(),
    }
}

/// The commands that are no further divided, by their words behind `engine`.
fn leaves<'a>(command: &'a Command, words: &str, found: &mut Vec<(String, &'a Command)>) {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        let words = format!("{words} {}", below.get_name()).trim().to_owned();
        if below.has_subcommands() {
            leaves(below, &words, found);
        } else {
            found.push((words, below));
        }
    }
}

fn spec_of(argument: &Arg) -> Option<&'static OptionSpec> {
    option(argument.get_id().as_str()).filter(|spec| argument.get_help_heading() == Some(spec.group.title()))
}

fn group(of: Group, commands: &[(String, &Command)]) -> String {
    let mut text = format!(
        "\n### {}\n\n| option | value | default | what | taken by |\n|---|---|---|---|---|\n",
        of.title()
    );
    for spec in options().iter().filter(|spec| spec.group == of) {
        let takes = |command: &Command| {
            command.get_arguments().any(|argument| spec_of(argument).is_some_and(|its| its.key == spec.key))
        };
        let takers = commands.iter().filter(|(words, command)| words != "config show" && takes(command));
        let takers = joined(takers.map(|(words, _)| words.as_str()));
        let default = code(spec.shown_default().unwrap_or_default());
        writeln!(
            text,
            "| `{}` | {} | {default} | {} | {takers} |",
            spec.key,
            value(spec.kind),
            cell(spec.help)
        )
        .unwrap();
    }
    text
}

fn own_argument(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let names: String = names.iter().map(|name| format!(" {name}")).collect();
    let is_flag = matches!(argument.get_action(), ArgAction::SetTrue);
    let name = match (argument.get_long(), is_flag) {
        (Some(long), true) => format!("--{long}"),
        (Some(long), false) => format!("--{long}{names}"),
        (None, _) => names.trim().to_owned(),
    };
    let mut help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let possible = argument.get_possible_values();
    if !is_flag && !possible.is_empty() {
        let choices: Vec<_> = possible.iter().map(|choice| choice.get_name()).collect();
        help.push_str(&format!(" ({})", choices.join(", ")));
    }
    let default = match argument.get_default_values() {
        _ if argument.is_required_set() => "required".to_owned(),
        _ if is_flag || argument.is_hide_default_value_set() => String::new(),
        values => joined(values.iter().map(|value| value.to_str().unwrap())),
    };
    format!("| {} | {default} | {} |\n", code(&name), cell(&help))
}

fn own_arguments(command: &Command) -> String {
    command
        .get_arguments()
        .filter(|argument| spec_of(argument).is_none() && !argument.is_global_set())
        .filter(|argument| !matches!(argument.get_action(), ArgAction::Help | ArgAction::Version))
        .map(own_argument)
        .collect()
}

const ARGUMENTS: &str = "\n| argument | default | what |\n|---|---|---|\n";

fn reference() -> String {
    let command = args::command();
    let mut found = Vec::new();
    leaves(&command, "", &mut found);
    let mut text = HEAD.to_owned();
    text.push_str("\n## Commands\n\n| command | what it does |\n|---|---|\n");
    for (words, command) in &found {
        let about = cell(&command.get_about().unwrap().to_string());
        writeln!(text, "| `engine {words}` | {about} |").unwrap();
    }
    text.push_str("\nAll of them take\n");
    text.push_str(ARGUMENTS);
    let global = command.get_arguments().filter(|argument| argument.is_global_set());
    text.extend(global.map(own_argument));
    text.push_str("\n## Options\n");
    let mut groups: Vec<Group> = options().iter().map(|spec| spec.group).collect();
    groups.dedup();
    text.extend(groups.into_iter().map(|of| group(of, &found)));
    text.push_str("\n## Arguments of single commands\n\nThey stand on the command line alone.\n");
    for (words, command) in &found {
        let own = own_arguments(command);
        if !own.is_empty() {
            write!(text, "\n### engine {words}\n{ARGUMENTS}{own}").unwrap();
        }
    }
    text
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_reference_is_that_of_the_program() {
    let path = root().join("docs/reference.md");
    let expected = reference();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(written.lines()).find(|(expected, written)| expected != written);
    assert!(
        written == expected,
        "docs/reference.md is not that of the program, first at {differs:?}; \
         {WRITE}=1 cargo test -p engine-cli reference writes it"
    );
    // Every option there is, once.
    for spec in options() {
        assert_eq!(written.matches(&format!("\n| `{}` |", spec.key)).count(), 1, "{}", spec.key);
    }
}

/// Words of a line of a shell, without what is behind `#`.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') => (quote, begun) = (Some(letter), true),
            (None, '#') if !begun => break,
            (None, ' ') => {
                words.extend(begun.then(|| std::mem::take(&mut word)));
                begun = false;
            }
            _ => (word, begun) = (word + &letter.to_string(), true),
        }
    }
    words.extend(begun.then_some(word));
    words
}

/// The commands of a page: lines of blocks that run `engine`, be it under `srun` or `torchrun` or with variables before it.
/// Words that stand for others, `…` and `...`, are left out.
fn commands(page: &str) -> Vec<Vec<String>> {
    let starts = ["engine ", "srun engine ", "torchrun ", "ENGINE_WEIGHTS_DIR="];
    let (mut found, mut begun) = (Vec::new(), None::<String>);
    let mut fence: Option<bool> = None;
    for line in page.lines() {
        if let Some(language) = line.strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(language == "sh") };
            continue;
        }
        if !fence.unwrap_or(line.starts_with("    ")) {
            continue;
        }
        let line = line.trim();
        let whole = match begun.take() {
            Some(before) => before + line,
            None if starts.iter().any(|start| line.starts_with(start)) => line.to_owned(),
            None => continue,
        };
        match whole.strip_suffix('\\') {
            Some(before) => begun = Some(before.to_owned()),
            None => found.push(whole),
        }
    }
    let as_given = |line: &String| {
        let words = words(line).into_iter().skip_while(|word| word != "engine");
        words.filter(|word| word != "…" && word != "...").collect()
    };
    found.iter().map(as_given).collect()
}

#[test]
fn every_command_of_the_documentation_is_one_that_the_program_takes() {
    let mut pages = vec![root().join("README.md")];
    pages.extend(std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let mut seen = std::collections::BTreeSet::new();
    for path in pages.iter().filter(|path| path.extension().is_some_and(|ending| ending == "md")) {
        for words in commands(&std::fs::read_to_string(path).unwrap()) {
            let line = format!("{}: {}", path.display(), words.join(" "));
            let matches = args::command().try_get_matches_from(&words);
            let matches = matches.unwrap_or_else(|error| panic!("{line}\n{error}"));
            let (name, mut level) = matches.subcommand().unwrap();
            seen.insert(name.to_owned());
            while let Some((_, below)) = level.subcommand() {
                level = below;
            }
            // What an option's value may be is the engine's to say.
            let mut sources = Sources::new().in_directory(root().join("docs"));
            for (key, values) in args::given(level) {
                sources = sources.with_option(&key, values).unwrap();
            }
            sources.resolve().unwrap_or_else(|error| panic!("{line}\n{error}"));
        }
    }
    let all: std::collections::BTreeSet<String> =
        args::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let missing: Vec<_> = all.difference(&seen).collect();
    assert!(missing.is_empty(), "shown nowhere: {missing:?}");
}

#[test]
fn lines_of_a_shell_are_read_as_a_shell_does() {
    assert_eq!(words("engine a  'b c' \"d\"e # f"), ["engine", "a", "b c", "de"]);
    let page = "    A=1 engine x\n```sh\nengine a \\\n   b\nls engine\nsrun engine c ... # d\n```\n    engine e …\nengine f\n";
    let found: Vec<_> = commands(page).into_iter().map(|words| words.join(" ")).collect();
    assert_eq!(found, ["engine a b", "engine c", "engine e"]);
}
