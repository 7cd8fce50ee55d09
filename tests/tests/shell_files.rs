//! `engine completions` and `engine man`.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::process::Command;

use engine_tests::cli::Workplace;

const FILE: i32 = 4;
const USAGE: i32 = 2;

/// What bash offers for the last of these words, the script being loaded.
fn offered(place: &Workplace, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let (last, before) = (words.len() - 1, words.len().saturating_sub(2));
    let script = format!(
        "source ./engine.bash; COMP_WORDS=({}); COMP_CWORD={last}; _engine engine '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words[last],
        words[before],
    );
    let told = Command::new("bash").arg("-c").arg(script).current_dir(place.path("")).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert!(told.stderr.is_empty(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_shells() {
    let place = Workplace::new();
    let script = place.run(&["completions", "bash"]);
    assert_eq!((script.code, script.stderr.as_str()), (Some(0), ""));
    place.write("engine.bash", &script.stdout);
    assert_eq!(offered(&place, &["engine", "tu"]), ["tune"]);
    assert_eq!(offered(&place, &["engine", "tune", "--max-ep"]), ["--max-epochs"]);
    assert_eq!(offered(&place, &["engine", "data", "sy"]), ["synth"]);
    assert_eq!(offered(&place, &["engine", "completions", "fi"]), ["fish"]);
    place.write("a-space.toml", "");
    assert_eq!(offered(&place, &["engine", "tune", "--hpconfig", "a-sp"]), ["a-space.toml"]);
}

#[test]
fn every_shell_has_a_script_and_others_are_refused_by_name() {
    let place = Workplace::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = place.run(&["completions", shell]);
        assert_eq!(script.code, Some(0), "{shell}");
        for word in ["tune", "hpconfig", "completions"] {
            assert!(script.stdout.contains(word), "{shell} does not complete {word}");
        }
    }
    let refused = place.run(&["completions", "csh"]);
    assert_eq!(refused.code, Some(USAGE));
    assert!(refused.stderr.contains("possible values: bash"), "{}", refused.stderr);
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let place = Workplace::new();
    let page = place.run(&["man"]);
    assert_eq!(page.code, Some(0));
    let has_header = page.stdout.lines().any(|line| line.starts_with(".TH engine 1"));
    assert!(has_header && page.stdout.contains("cross\\-validate"), "{}", page.stdout);

    let written = place.run(&["man", "--to", "pages"]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""));
    let names: Vec<String> = Workplace::files_below(&place.path("pages"))
        .into_keys()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    for name in ["engine.1", "engine-tune.1", "engine-data-synth.1", "engine-journal-check.1"] {
        assert!(names.iter().any(|written| written == name), "{name} is not among {names:?}");
    }
    let tune = std::fs::read_to_string(place.path("pages/engine-tune.1")).unwrap();
    assert!(tune.contains("n\\-trials"), "options are in the page of their command");

    place.write("file", "");
    let refused = place.run(&["man", "--to", "file/pages"]);
    assert_eq!(refused.code, Some(FILE));
    assert!(refused.stderr.contains("file/pages"), "{}", refused.stderr);
}
