//! A runner for tests that bring their own `main`, because their workers are the same program.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// One test and its name.
pub type Test = (&'static str, fn());

/// Runs the tests the command line asks for, so many side by side, and lists them for other runners.
pub fn run(tests: &[&[Test]], at_once: usize) -> ExitCode {
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
    let all = tests.iter().copied().flatten();
    let selected: Vec<&Test> = all.filter(|(name, _)| wanted(name) && !given("--ignored")).collect();
    if given("--list") {
        selected.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(selected.len()) {
            scope.spawn(|| {
                while let Some((name, test)) = selected.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = Instant::now();
                    let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
                    let (word, seconds) =
                        (if passed { "ok" } else { "FAILED" }, started.elapsed().as_secs_f64());
                    println!("test {name} ... {word} ({seconds:.1} s)");
                    failed.fetch_add(usize::from(!passed), Ordering::Relaxed);
                }
            });
        }
    });
    let failed = failed.into_inner();
    println!("\ntest result: {} passed; {failed} failed", selected.len() - failed);
    std::io::stdout().flush().unwrap();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
