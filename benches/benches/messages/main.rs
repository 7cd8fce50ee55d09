//! The engine's own cost, message by message and way by way, held to `benches/budgets.toml`.
//!
//! `cargo bench --package engine-benches --bench messages -- [ids]`; an id may be the beginning of one (`word/`). Without
//! any, all are measured but the long ones, which are asked for by their whole id or all by `long`. Every figure in `times_floor` is a ratio to a bare bounded
//! channel, or to a bare write where files are written, measured in alternation with it in the same run; its spread stands
//! behind it. The bench fails if a figure is beyond its budget. `ENGINE_BENCH_DIR` is where files go (the system's
//! folder for temporary files else): the floors tell what its disk takes.

#![expect(clippy::unwrap_used, reason = "a bench that can not start has nothing to measure")]
#![expect(clippy::panic, reason = "an id without its bench is a mistake in the bench")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod actors;
mod channels;
mod evaluation;
mod files;
mod load;
mod records;
mod runs;
mod samples;
mod search;
mod session;
mod stage;
mod step;
mod tune;

use std::process::ExitCode;

use engine_benches::budgets::{Budgets, Line, Report};
use engine_benches::catalogue::{self, LONG};
use engine_benches::counting::Counting;

use self::session::Session;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    // Cargo passes `--bench` besides what the user names.
    let named: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let ids: Vec<&'static str> = catalogue::ids().filter(|id| is_asked_for(id, &named)).collect();
    if ids.is_empty() {
        println!("no bench begins with {}; there are:", named.join(", "));
        catalogue::ids().for_each(|id| println!("  {id}"));
        return ExitCode::from(2);
    }
    let budgets = Budgets::parse(include_str!("../../budgets.toml")).unwrap();
    let mut session = Session::new(Report::new(budgets));
    println!("{}", Line::head());
    ids.iter().for_each(|id| measure(id, &mut session));
    stage::remove_folders();
    let complaints = session.complaints(&ids);
    complaints.iter().for_each(|complaint| println!("beyond budget: {complaint}"));
    println!("{} benches, {} complaints", ids.len(), complaints.len());
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a bench is named, wholly or by its beginning; without any name all are but the long ones.
fn is_asked_for(id: &str, named: &[String]) -> bool {
    let is_id = |word: &str| catalogue::ids().any(|id| id == word);
    let is_named = |word: &String| id == word || !is_id(word) && id.starts_with(word.as_str());
    let names: Vec<&String> = named.iter().filter(|word| *word != "long").collect();
    if LONG.contains(&id) {
        return names.len() < named.len() || names.iter().any(|word| *word == id);
    }
    named.is_empty() || names.into_iter().any(is_named)
}

/// Every id of the catalogue has its bench here: one without ends the process at its turn.
fn measure(id: &'static str, session: &mut Session) {
    let Some((kind, _)) = id.split_once('/') else { panic!("{id} is no id") };
    match (kind, id) {
        ("floor", "floor/write" | "floor/fdatasync" | "floor/put") => files::floor(id, session),
        ("floor", _) => channels::floor(id, session),
        (
            "message",
            "message/start-job" | "message/start-run" | "message/start-cv" | "message/start-tune",
        ) => {
            runs::started(id, session);
        }
        ("message", _) => actors::message(id, session),
        ("word", "word/hello" | "word/finished" | "word/failed")
        | ("order", "order/start" | "order/stop") => {
            runs::once_a_run(id, session);
        }
        ("word" | "order", _) => runs::many_a_run(id, session),
        ("event", _) => channels::event(id, session),
        ("record", _) => records::record(id, session),
        ("search", _) => search::trials(id, session),
        ("step", _) => step::share(id, session),
        ("metrics", _) => evaluation::instances(id, session),
        ("figures", _) => evaluation::charts(id, session),
        ("load", _) => load::open_loop(id, session),
        ("tune", _) => tune::of_noop_runs(id, session),
        _ => panic!("{id} has no bench"),
    }
}
