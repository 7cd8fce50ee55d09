use std::sync::Arc;

use engine_actors::plan::{AfterTune, FailedCells};
use engine_actors::score::Scoring;

use super::*;

fn plan() -> TunePlan {
    TunePlan {
        tune_name: "t".into(),
        tune_dir: "a/t".into(),
        n_trials: 3,
        cells: vec![Cell { fold: 0, seed: 42 }, Cell { fold: 1, seed: 42 }],
        scoring: Scoring::parse(&["val/iou"], "harmonic").unwrap(),
        failed_cells: FailedCells::FailCv,
        max_failures: None,
        after: AfterTune::Nothing,
        retrain_seed: 1,
        settings: Arc::new(
            json!({ "max_epochs": 5, "patience": 2, "workers": 1, "data": { "bands": ["r", "g"] } }),
        ),
    }
}

fn job(plan: TunePlan) -> JobRecord {
    let facts = json!({ "data": { "bytes": 100 }, "code": { "engine": "0.1.0" } });
    JobRecord { plan: JobPlan::Tune(plan), identity: facts.as_object().cloned().unwrap() }
}

fn compared(now: &JobRecord) -> Comparison {
    let keeping = Keeping {
        may_grow: vec!["max_epochs".into()],
        may_change: vec!["workers".into()],
        ..Keeping::default()
    };
    compare(&job(plan()), now, &keeping)
}

fn set(name: &str, value: Value) -> TunePlan {
    let mut settings = plan().settings.as_ref().clone();
    settings[name] = value;
    TunePlan { settings: Arc::new(settings), ..plan() }
}

fn names(differences: &[Difference]) -> Vec<&str> {
    differences.iter().map(|difference| difference.name.as_str()).collect()
}

#[test]
fn the_same_job_elsewhere_under_another_name_is_the_same() {
    let moved = TunePlan { tune_name: "u".into(), tune_dir: "b/u".into(), ..plan() };
    assert_eq!(compared(&job(moved)), Comparison::default());
}

#[test]
fn more_trials_and_cells_are_allowed_and_leave_ended_runs_alone() {
    let mut cells = plan().cells;
    cells.insert(1, Cell { fold: 0, seed: 21 });
    let more = compared(&job(TunePlan { n_trials: 4, cells, ..plan() }));
    assert_eq!((names(&more.allowed), more.refused.len()), (vec!["cells", "n_trials"], 0));
    assert_eq!(more.reopened, Reopened::default());
}

#[test]
fn what_grows_by_the_workloads_word_reopens_ended_runs() {
    let more = compared(&job(set("max_epochs", json!(6))));
    assert_eq!((names(&more.allowed), more.reopened.ended), (vec!["settings.max_epochs"], true));
    let free = compared(&job(set("workers", json!(7))));
    assert_eq!((names(&free.allowed), free.reopened.ended), (vec!["settings.workers"], false));
}

#[test]
fn less_and_other_is_refused_by_name_with_both_values() {
    let fewer = TunePlan { n_trials: 2, cells: plan().cells[..1].to_vec(), ..plan() };
    assert_eq!(names(&compared(&job(fewer)).refused), ["cells", "n_trials"]);
    for (name, value) in [("max_epochs", json!(4)), ("patience", json!(3)), ("new", json!(1))] {
        assert_eq!(names(&compared(&job(set(name, value))).refused), [format!("settings.{name}")]);
    }
    let bands = compared(&job(set("data", json!({ "bands": ["g", "r"] }))));
    assert_eq!(bands.refused[0].to_string(), r#"settings.data.bands: ["r","g"] before, ["g","r"] now"#);
    let mut other = job(plan());
    other.identity.insert("data".into(), json!({ "bytes": 101 }));
    assert_eq!(compared(&other).refused[0].to_string(), "data.bytes: 100 before, 101 now");
}

#[test]
fn long_values_are_shown_shortened() {
    let difference = Difference { name: "x".into(), before: Some(json!("ä".repeat(200))), now: None };
    let text = difference.to_string();
    assert!(text.ends_with("… before, nothing now") && text.chars().count() < 120, "{text}");
}
