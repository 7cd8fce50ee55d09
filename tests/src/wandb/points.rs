//! What runs of tests log when no model is trained.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine_tracking::wandb::run::RunHeader;
use engine_tracking::wandb::settings::{Mode, Pace, Resume, Settings};
use engine_tracking::{MetricPoint, Metrics};
use serde_json::json;

use super::tracked::{ENTITY, PROJECT};

/// What a run of this id is filed under.
pub fn header(id: &str) -> RunHeader {
    RunHeader {
        id: id.to_owned(),
        name: format!("run-{id}"),
        entity: Some(ENTITY.to_owned()),
        project: PROJECT.to_owned(),
        group: Some("group".to_owned()),
        job_type: Some("kind".to_owned()),
        tags: vec!["tag".to_owned()],
        notes: None,
        config: json!({"learning_rate": 0.125, "sizes": [1, 2]}).as_object().cloned().unwrap_or_default(),
        started: started(),
    }
}

/// When they began: a fixed moment.
pub fn started() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

/// A moment of a run.
pub fn after(seconds: u64) -> SystemTime {
    started() + Duration::from_secs(seconds)
}

/// Settings for a server, at a pace at which tests do not wait.
pub fn settings(url: &str) -> Settings {
    let pace = Pace {
        stream: Duration::from_millis(50),
        heartbeat: Duration::from_secs(1),
        gather: Duration::from_millis(50),
        first_wait: Duration::from_millis(50),
        longest_wait: Duration::from_secs(1),
    };
    Settings {
        base_url: url.to_owned(),
        entity: Some(ENTITY.to_owned()),
        project: PROJECT.to_owned(),
        mode: Mode::Online,
        resume: Resume::Allow,
        pace,
    }
}

/// Row `step`, counted from 1: twenty metrics, some of them now and then not finite or not there.
pub fn point(step: u64) -> MetricPoint {
    let at = step as f64;
    let mut values: Metrics =
        (0..20).map(|metric| (format!("train/metric_{metric}"), (at + f64::from(metric)).sin())).collect();
    values.insert("train/loss".to_owned(), if step.is_multiple_of(7) { f64::NAN } else { 1.0 / at });
    if step.is_multiple_of(3) {
        values.insert("val/score".to_owned(), if step.is_multiple_of(9) { f64::INFINITY } else { -at });
    }
    MetricPoint { epoch: u32::try_from(step / 100).unwrap_or(u32::MAX), step, values }
}

/// Rows that come together: one, two or three of them.
pub fn batch(number: u64) -> Vec<MetricPoint> {
    // 1, 2, 3, 1, 2, 3, …: six rows for every three batches.
    let (round, place) = (number / 3, number % 3);
    let first = round * 6 + [1, 2, 4][place as usize];
    (first..=first + place).map(point).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn batches_follow_one_another() {
        let steps: Vec<u64> = (0..9).flat_map(super::batch).map(|point| point.step).collect();
        assert_eq!(steps, (1..=18).collect::<Vec<_>>());
    }
}
