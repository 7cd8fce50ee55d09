//! How runs are filed on W&B.

use std::path::Path;
use std::time::SystemTime;

use engine_actors::plan::{Hyperparameters, RunPlan};
use engine_tracking::wandb::run::RunHeader;
use serde_json::{Map, Value, json};

/// Longest tag a server takes, in characters.
const TAG_CHARS: usize = 64;
/// What stands for a group or job type that there is not.
const NONE: &str = "none";

/// What all runs of an engine are filed under.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::tracking) struct Filing {
    pub(super) entity: Option<String>,
    pub(super) project: String,
    /// Given tags.
    pub(super) tags: Vec<String>,
    pub(super) notes: Option<String>,
}

/// A cv or tune, as it is filed.
pub(in crate::tracking) struct EntryLabel<'a> {
    pub(in crate::tracking) id: &'a str,
    pub(in crate::tracking) name: &'a str,
    pub(in crate::tracking) tune_name: Option<&'a str>,
    /// `cv` or `tune`.
    pub(in crate::tracking) job_type: &'a str,
}

impl Filing {
    /// The header of a run: group = tune, job type = cv, tags = data folder, cv, tune, given ones.
    pub(in crate::tracking) fn run(&self, plan: &RunPlan, started: SystemTime) -> RunHeader {
        let mut config = config(&plan.hyperparameters, &plan.settings);
        for (name, value) in [("fold", json!(plan.cell.fold)), ("seed", json!(plan.cell.seed))] {
            config.entry(name).or_insert(value);
        }
        let names = [plan.cv_name.as_deref(), plan.tune_name.as_deref()];
        RunHeader {
            id: plan.run_id.clone(),
            name: plan.run_name.clone(),
            entity: self.entity.clone(),
            project: self.project.clone(),
            group: Some(plan.tune_name.as_deref().unwrap_or(NONE).to_owned()),
            job_type: Some(plan.cv_name.as_deref().unwrap_or(NONE).to_owned()),
            tags: self.tags(&plan.settings, names.into_iter().flatten()),
            notes: self.notes.clone(),
            config,
            started,
        }
    }

    /// The header of a cv or tune, beside its runs.
    pub(in crate::tracking) fn entry(
        &self,
        label: &EntryLabel<'_>,
        hyperparameters: &Hyperparameters,
        settings: &Value,
        started: SystemTime,
    ) -> RunHeader {
        let named = (label.tune_name != Some(label.name)).then_some(label.name);
        RunHeader {
            id: label.id.to_owned(),
            name: label.name.to_owned(),
            entity: self.entity.clone(),
            project: self.project.clone(),
            group: Some(label.tune_name.unwrap_or(NONE).to_owned()),
            job_type: Some(label.job_type.to_owned()),
            tags: self.tags(settings, named.into_iter().chain(label.tune_name)),
            notes: self.notes.clone(),
            config: config(hyperparameters, settings),
            started,
        }
    }

    fn tags<'a>(&'a self, settings: &'a Value, names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let data = settings.get("train_data_dir").and_then(Value::as_str);
        let data = data.and_then(|folder| Path::new(folder).file_name()?.to_str());
        let mut tags: Vec<String> = Vec::new();
        for tag in data.into_iter().chain(names).chain(self.tags.iter().map(String::as_str)) {
            let tag: String = tag.trim().chars().take(TAG_CHARS).collect();
            if !tag.is_empty() && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        tags
    }
}

/// Hyperparameters at top level, settings beside them under their own names where no hyperparameter has that name.
fn config(hyperparameters: &Hyperparameters, settings: &Value) -> Map<String, Value> {
    let mut config = hyperparameters.clone();
    match settings {
        Value::Object(settings) => {
            for (name, value) in settings {
                config.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        Value::Null => {}
        other => {
            config.entry("settings").or_insert_with(|| other.clone());
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine_actors::plan::{Cell, RunTask};

    use super::*;

    fn filing() -> Filing {
        Filing {
            entity: Some("team".into()),
            project: "ice".into(),
            tags: vec!["night".into(), "t".into()],
            notes: Some("a note".into()),
        }
    }

    fn plan(cv: Option<&str>, tune: Option<&str>, settings: Value) -> RunPlan {
        RunPlan {
            run_name: "t-cv0-run-f1s42".into(),
            run_id: "abcd1234".into(),
            run_dir: "somewhere".into(),
            cv_name: cv.map(str::to_owned),
            tune_name: tune.map(str::to_owned),
            cell: Cell { fold: 1, seed: 42 },
            task: RunTask::Fit,
            hyperparameters: json!({"learning_rate": 0.1, "max_epochs": 3}).as_object().unwrap().clone(),
            settings: Arc::new(settings),
        }
    }

    #[test]
    fn a_run_is_filed_as_the_reference_does() {
        let settings = json!({"train_data_dir": "/data/ice.v2", "max_epochs": 100, "backend": null});
        let header = filing().run(&plan(Some("t-cv0"), Some("t"), settings), SystemTime::UNIX_EPOCH);
        assert_eq!((header.id.as_str(), header.name.as_str()), ("abcd1234", "t-cv0-run-f1s42"));
        assert_eq!((header.entity.as_deref(), header.project.as_str()), (Some("team"), "ice"));
        assert_eq!((header.group.as_deref(), header.job_type.as_deref()), (Some("t"), Some("t-cv0")));
        assert_eq!(header.tags, ["ice.v2", "t-cv0", "t", "night"], "each once");
        assert_eq!(header.notes.as_deref(), Some("a note"));
        let config = json!({
            "learning_rate": 0.1, "max_epochs": 3, "train_data_dir": "/data/ice.v2", "backend": null, "fold": 1, "seed": 42
        });
        assert_eq!(
            Value::Object(header.config),
            config,
            "a hyperparameter goes before a setting of its name"
        );
    }

    #[test]
    fn a_run_alone_belongs_to_none() {
        let header = filing().run(&plan(None, None, Value::Null), SystemTime::UNIX_EPOCH);
        assert_eq!((header.group.as_deref(), header.job_type.as_deref()), (Some("none"), Some("none")));
        assert_eq!(header.tags, ["night", "t"]);
    }

    #[test]
    fn a_tag_is_no_longer_than_a_server_takes() {
        let filing = Filing { tags: vec!["ü".repeat(80), "  ".into()], ..filing() };
        let header = filing.run(&plan(None, None, Value::Null), SystemTime::UNIX_EPOCH);
        assert_eq!(header.tags, ["ü".repeat(64)]);
    }

    #[test]
    fn an_entry_stands_in_the_group_of_its_runs() {
        let label = EntryLabel { id: "c1", name: "t-cv0", tune_name: Some("t"), job_type: "cv" };
        let lr = json!({"lr": 0.1}).as_object().unwrap().clone();
        let header = filing().entry(&label, &lr, &json!({"epochs": 3}), SystemTime::UNIX_EPOCH);
        assert_eq!((header.group.as_deref(), header.job_type.as_deref()), (Some("t"), Some("cv")));
        assert_eq!(header.tags, ["t-cv0", "t", "night"]);
        assert_eq!(Value::Object(header.config), json!({"lr": 0.1, "epochs": 3}));
        let tune = EntryLabel { id: "t1", name: "t", tune_name: Some("t"), job_type: "tune" };
        let header = filing().entry(&tune, &Map::new(), &Value::Null, SystemTime::UNIX_EPOCH);
        assert_eq!(header.tags, ["t", "night"]);
    }
}
