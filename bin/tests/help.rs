//! The help of the program as it is printed.

#![expect(clippy::unwrap_used, reason = "what cannot be run fails the test")]

use std::process::Command;

use engine::config::{Command as Level, options};

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_engine"))
        .args(arguments)
        .arg("--help")
        // Wide enough that no help text is wrapped.
        .env("COLUMNS", "400")
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_level_lists_its_options_with_their_defaults() {
    let levels = [
        (&["train"][..], Level::Train),
        (&["cv"], Level::Cv),
        (&["tune"], Level::Tune),
        (&["test"], Level::Test),
        (&["data", "validate"], Level::DataValidate),
    ];
    for (arguments, level) in levels {
        // Breaks within a help text depend on the width; the words do not.
        let text = help(arguments).split_whitespace().collect::<Vec<_>>().join(" ");
        for option in options() {
            let listed =
                text.contains(&format!("--{} ", option.key)) || text.contains(&format!("--{}[", option.key));
            assert_eq!(listed, option.taken_by(level), "{arguments:?} and --{}", option.key);
            if !listed {
                continue;
            }
            assert!(
                text.contains(&format!("[env: {}]", option.environment())),
                "{arguments:?}: {}",
                option.key
            );
            assert!(text.contains(option.help), "{arguments:?}: {}", option.key);
            if let Some(default) = option.shown_default() {
                assert!(text.contains(&format!("[default: {default}]")), "{arguments:?}: {}", option.key);
            }
        }
    }
}

#[test]
fn the_program_names_its_commands_and_exit_codes() {
    let text = help(&[]);
    for needle in [
        "train",
        "cv",
        "tune",
        "test",
        "predict",
        "data",
        "models",
        "config",
        "Exit codes",
        "130 stopped by Ctrl-C",
    ] {
        assert!(text.contains(needle), "{needle} is missing in:\n{text}");
    }
}
