//! Runs tests as the standard harness would be asked to.

use std::process::ExitCode;

/// A name and what it runs.
pub type Test = (&'static str, fn());

/// Runs those the command line names; all if it names none.
pub fn run(tests: &[&[Test]]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let is_value = |place: usize| {
        place > 0 && ["--format", "--color", "--test-threads"].contains(&&*arguments[place - 1])
    };
    let filters: Vec<&String> = arguments
        .iter()
        .enumerate()
        .filter(|(place, argument)| !argument.starts_with('-') && !is_value(*place))
        .map(|(_, argument)| argument)
        .collect();
    let matches =
        |name: &str, filter: &str| if given("--exact") { name == filter } else { name.contains(filter) };
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| matches(name, filter));
    // None of these tests is ignored.
    let selected = tests.iter().copied().flatten().filter(|(name, _)| wanted(name) && !given("--ignored"));
    if given("--list") {
        selected.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in selected {
        let started = std::time::Instant::now();
        let outcome = std::panic::catch_unwind(test);
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.1} s)", started.elapsed().as_secs_f64());
        *if outcome.is_ok() { &mut passed } else { &mut failed } += 1;
    }
    println!("\ntest result: {passed} passed; {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
