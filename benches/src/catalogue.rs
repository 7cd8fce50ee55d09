//! Every bench of `messages` by its id. A message type of the actors without one fails the tests of this module.

/// Floors: what a message, a byte on the disk or a trial costs without the engine.
pub const FLOORS: &[&str] = &[
    "floor/tokio",
    "floor/crossbeam",
    "floor/crossbeam-there-and-back",
    "floor/write",
    "floor/fdatasync",
    "floor/put",
];

/// Messages between actors.
pub const MESSAGES: &[&str] = &[
    "message/acquire-lease",
    "message/track",
    "message/settle",
    "message/close-run",
    "message/run-info-ready",
    "message/cv-scored",
    "message/tune-closed",
    "message/start-job",
    "message/start-run",
    "message/start-cv",
    "message/start-tune",
];

/// What a worker says to its RunActor.
pub const WORDS: &[&str] = &[
    "word/hello",
    "word/beat",
    "word/prepared",
    "word/settle",
    "word/progress",
    "word/logged",
    "word/drawn",
    "word/validated",
    "word/checkpoint-written",
    "word/warned",
    "word/finished",
    "word/failed",
];

/// What a RunActor says to its worker.
pub const ORDERS: &[&str] = &["order/start", "order/stop", "order/checkpoint", "order/settled"];

/// Events, from their publisher to a reader on another thread.
pub const EVENTS: &[&str] = &[
    "event/tune-started",
    "event/tune-finished",
    "event/cv-started",
    "event/cv-recalled",
    "event/run-recalled",
    "event/cv-finished",
    "event/run-queued",
    "event/run-started",
    "event/run-prepared",
    "event/run-tracked",
    "event/worker-ready",
    "event/run-progressed",
    "event/run-validated",
    "event/checkpoint-written",
    "event/run-retried",
    "event/run-finished",
    "event/lease-granted",
    "event/lease-returned",
    "event/warned",
];

/// Facts, from whoever keeps them until they are as safe as they need to be.
pub const RECORDS: &[&str] = &[
    "record/job",
    "record/opened",
    "record/changed",
    "record/proposed",
    "record/cv-planned",
    "record/retrain-planned",
    "record/run-retried",
    "record/run-ended",
    "record/cv-ended",
    "record/ended",
];

/// Whole ways: a search, a training step, a tune of runs that do nothing, a load that does not wait for its answers.
pub const WAYS: &[&str] = &[
    "search/random",
    "search/durable-trial",
    "step/share",
    "metrics/instances",
    "metrics/instances-of-noise",
    "figures/charts",
    "load/progress",
    "tune/1000-runs",
    "tune/10000-runs",
];

/// Those that are run only where they are asked for by name, or by `long`.
pub const LONG: &[&str] = &["tune/100000-runs"];

/// Every id, in the order in which they are measured.
pub fn ids() -> impl Iterator<Item = &'static str> {
    [FLOORS, MESSAGES, WORDS, ORDERS, EVENTS, RECORDS, WAYS, LONG].into_iter().flatten().copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::budgets::Budgets;

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    fn actors() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../actors/src")
    }

    /// `RunInfoReady` as `run-info-ready`.
    fn kebab(name: &str) -> String {
        let mut kebab = String::new();
        for character in name.chars() {
            if character.is_uppercase() && !kebab.is_empty() {
                kebab.push('-');
            }
            kebab.extend(character.to_lowercase());
        }
        kebab
    }

    fn name_behind(line: &str, word: &str) -> Option<String> {
        let (_, behind) = line.split_once(word)?;
        Some(behind.chars().take_while(|character| character.is_alphanumeric()).collect())
    }

    /// What derives or implements `Message`, and what an actor is started with: `Start…` with a reply.
    fn messages() -> BTreeSet<String> {
        let mut files = Vec::new();
        sources(&actors(), &mut files);
        let mut found = BTreeSet::new();
        for file in files {
            let text = fs::read_to_string(file).unwrap();
            let mut is_message = false;
            for line in text.lines() {
                let line = line.trim();
                is_message |= line.starts_with("#[derive(") && line.contains("Message");
                let implements =
                    line.starts_with("impl Message for").then(|| name_behind(line, " for ")).flatten();
                let declares = (!line.starts_with("//"))
                    .then(|| name_behind(line, "pub struct ").or(name_behind(line, "pub(super) struct ")));
                let Some(name) = implements.or(declares.flatten()) else { continue };
                if std::mem::take(&mut is_message) || name.starts_with("Start") && !name.ends_with("Error") {
                    found.insert(name);
                }
            }
        }
        found
    }

    /// The variants of a public enum.
    fn variants(file: &str, name: &str) -> Vec<String> {
        let text = fs::read_to_string(actors().join(file)).unwrap();
        let (_, body) = text.split_once(&format!("pub enum {name} {{\n")).unwrap();
        let (body, _) = body.split_once("\n}").unwrap();
        let variant = |line: &str| {
            let name = line.strip_prefix("    ")?.split(['(', '{', ',', ' ']).next()?;
            name.starts_with(char::is_uppercase).then(|| name.to_owned())
        };
        body.lines().filter_map(variant).collect()
    }

    fn of(prefix: &str, names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
        names.into_iter().map(|name| format!("{prefix}/{}", kebab(&name))).collect()
    }

    fn listed(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn every_message_of_the_actors_has_a_bench() {
        assert_eq!(listed(MESSAGES), of("message", messages()));
        assert_eq!(listed(WORDS), of("word", variants("protocol.rs", "FromWorker")));
        assert_eq!(listed(ORDERS), of("order", variants("protocol.rs", "ToWorker")));
        assert_eq!(listed(EVENTS), of("event", variants("events.rs", "Event")));
        assert_eq!(listed(RECORDS), of("record", variants("journal/record.rs", "Record")));
    }

    #[test]
    fn every_bench_has_a_budget_and_every_budget_a_bench() {
        let budgets = Budgets::parse(include_str!("../budgets.toml")).unwrap();
        let bounded: BTreeSet<&str> = budgets.ids().collect();
        assert_eq!(bounded, ids().collect());
    }
}
