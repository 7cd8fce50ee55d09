//! Memory of a journal over a long run. The only test of its process, so that no other one's memory is measured.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::fs;
use std::time::SystemTime;

use engine_tracking::metric::MetricPoint;
use engine_tracking::wandb::run::{RunHeader, RunJournal};
use engine_tracking::wandb::settings::Mode;

/// What memory may grow by between the first tenth of the points and the last, and while a long journal is read back.
const SLACK_KIB: u64 = 4 * 1024;

fn header() -> RunHeader {
    RunHeader {
        id: "long".into(),
        name: "long".into(),
        entity: None,
        project: "project".into(),
        group: None,
        job_type: None,
        tags: vec![],
        notes: None,
        config: serde_json::Map::new(),
        started: SystemTime::now(),
    }
}

/// JOURNAL-4, over as many points as a long run logs.
#[test]
fn memory_does_not_grow_with_the_rows() {
    let scratch = tempfile::tempdir().unwrap();
    let mut journal = RunJournal::open(scratch.path(), &header(), Mode::Online).unwrap();
    let names: Vec<_> = (0..20).map(|index| format!("metric/{index}")).collect();
    let mut resident = vec![];
    for batch in 0..100_u64 {
        let point = |step: u64| {
            let values = names.iter().map(|name| (name.clone(), step as f64 + 0.5)).collect();
            MetricPoint { epoch: batch as u32, step, values }
        };
        let points: Vec<_> = (batch * 500..(batch + 1) * 500).map(point).collect();
        journal.rows(&points, SystemTime::now()).unwrap();
        drop(points);
        if batch == 9 || batch == 99 {
            resident.push(resident_kib());
        }
    }
    assert!(
        resident[1] < resident[0] + SLACK_KIB,
        "KiB after 100,000 and after 1,000,000 points: {resident:?}"
    );
    let path = journal.folder().journal();
    drop(journal);
    let journal = RunJournal::open(scratch.path(), &header(), Mode::Online).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    assert_eq!(*journal.growth().borrow(), length);
    assert!(resident_kib() < resident[0] + SLACK_KIB, "after {} MiB were read back", length >> 20);
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}
