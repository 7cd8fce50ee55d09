//! What the processes of a job said, one after another.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cli::Ended;

/// The events of a job's processes, in order. Their last lines may be torn, if they were killed.
#[derive(Default)]
pub struct Told {
    processes: Vec<Vec<Value>>,
}

impl Told {
    /// Hears what a process said.
    ///
    /// # Panics
    /// If a line is no JSON that is not the last.
    pub fn hear(&mut self, ended: &Ended) {
        let lines: Vec<&str> = ended.stdout.lines().collect();
        let mut events = Vec::new();
        for (number, line) in lines.iter().enumerate() {
            match serde_json::from_str(line) {
                Ok(event) => events.push(event),
                Err(error) => assert_eq!(number + 1, lines.len(), "not JSON ({error}): {line}"),
            }
        }
        self.processes.push(events);
    }

    /// That every run was trained to its end once: nobody trained one on that an earlier process, or its own, had ended. Gives
    /// the epochs that were validated, and those that were so more than once.
    ///
    /// A run's end is told before it stands in the journal. Killed in between, the next process tells it again, of the same run,
    /// without training it.
    ///
    /// # Panics
    /// If not.
    pub fn assert_trained_once(&self) -> (usize, usize) {
        let mut ended: BTreeSet<String> = BTreeSet::new();
        let mut validated: BTreeMap<(String, u64), usize> = BTreeMap::new();
        for (number, events) in self.processes.iter().enumerate() {
            let mut ended_here = BTreeSet::new();
            for event in events {
                let run = || event["run_id"].as_str().unwrap().to_owned();
                match event["event"].as_str().unwrap() {
                    "run-validated" => {
                        let epoch = event["epoch"].as_u64().unwrap();
                        assert!(
                            !ended.contains(&run()),
                            "process {number} trained {} that had ended: {event}",
                            run()
                        );
                        *validated.entry((run(), epoch)).or_default() += 1;
                    }
                    "run-finished" => {
                        assert!(ended_here.insert(run()), "process {number} ended a run twice: {event}");
                        ended.insert(run());
                    }
                    _ => {}
                }
            }
        }
        (validated.len(), validated.values().filter(|times| **times > 1).count())
    }

    /// How often a kind of event was told, by all.
    pub fn count(&self, kind: &str) -> usize {
        self.processes.iter().flatten().filter(|event| event["event"] == kind).count()
    }
}
