//! A small engine, tracked: what lies in its folders when it is closed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what cannot be had fails the test")]

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use engine::tracking::{
    Deed, LogModel, Mode, Settings, SyncOptions, Synced, Wandb, Which, is_entry, runs_below, sync_all,
};
use engine::workload::{RunContext, Workload};
use engine::{
    Accelerator, Cause, Cell, Engine, EngineBuilder, Event, Failure, Hyperparameters, JobError, RunLine,
    RunPlan, RunRequest, Sampler, Scoring, Tracker, TrackerError, TuneRequest,
};
use engine_actors::protocol::{RunOrder, RunSummary};
use engine_tracking::wandb::folder::RunFolder;
use engine_tracking::wandb::log::{Found, LogReader};
use engine_tracking::wandb::record::Kind;
use engine_tracking::{Figure, FigureContent, ImageFile, MetricPoint};
use serde_json::{Map, Value, json};

/// Two epochs whose score is the hyperparameter `x`; `x` above 1 fails, on fold 1 alone.
struct Tiny;

impl Workload for Tiny {
    fn run(&self, order: &RunOrder, context: &RunContext) -> Result<RunSummary, Failure> {
        let x = order.plan.hyperparameters["x"].as_f64().unwrap();
        context.prepared(8, 2, 1, "a thread".into());
        for epoch in 0..2 {
            let values = [("val/score".to_owned(), x), ("train/loss".to_owned(), 1.0 - x)].into();
            context.log(MetricPoint { epoch, step: u64::from(epoch) + 1, values });
        }
        if x > 1.0 && order.plan.cell.fold == 1 {
            let message = "the loss is not finite".into();
            return Err(Failure { cause: Cause::Diverged, message, stderr_tail: Vec::new() });
        }
        let checkpoint = order.plan.run_dir.join("checkpoints/epoch=1");
        std::fs::create_dir_all(&checkpoint).unwrap();
        std::fs::write(checkpoint.join("weights.bin"), x.to_string()).unwrap();
        context.checkpoint_written(checkpoint.clone(), 1, 2, Some(x));
        Ok(RunSummary {
            metrics: [("val/score".to_owned(), x)].into(),
            best_checkpoint: Some(checkpoint),
            epochs: 2,
            steps: 2,
            stopped: false,
        })
    }
}

struct Listed(VecDeque<Hyperparameters>);

impl Sampler for Listed {
    fn propose(&mut self, _trial: u32) -> Option<Hyperparameters> {
        self.0.pop_front()
    }

    fn tell(&mut self, _trial: u32, _score: Option<f64>) {}
}

fn hyperparameters(x: f64) -> Hyperparameters {
    json!({ "x": x, "kind": "tiny" }).as_object().unwrap().clone()
}

fn builder(folder: &Path) -> EngineBuilder {
    Engine::builder(Tiny).accelerator(Accelerator::Cpu).artifact_dir(folder.join("artifacts"))
}

/// Settings that take nothing from this process's environment.
fn settings(mode: Mode) -> Settings {
    let mut settings = Settings::from_env(Some("team"), Some("ice"), &|_| None).unwrap();
    settings.mode = mode;
    settings
}

fn tune(engine: &Engine, xs: &[f64]) {
    let scoring = Scoring::parse(&["val/score"], "harmonic").unwrap();
    let request = TuneRequest::new(u32::try_from(xs.len()).unwrap(), engine::seeds::cells(2, 1), scoring)
        .with_name("t")
        .with_settings(json!({ "train_data_dir": "/data/thaw", "max_epochs": 2 }));
    let sampler = Listed(xs.iter().copied().map(hyperparameters).collect());
    engine.tune(request, Box::new(sampler)).unwrap().wait().unwrap();
}

fn one_run() -> RunRequest {
    RunRequest::new(Cell { fold: 0, seed: 7 }).with_name("alone").with_hyperparameters(hyperparameters(0.5))
}

/// What a journal says, as a server would have it.
#[derive(Default)]
struct Told {
    group: String,
    job_type: String,
    tags: Vec<String>,
    config: Map<String, Value>,
    rows: Vec<Map<String, Value>>,
    summary: Map<String, Value>,
    alerts: Vec<String>,
    artifacts: Vec<String>,
    exit_code: Option<i32>,
}

fn set(map: &mut Map<String, Value>, key: &str, nested: &[String], json: &str) {
    let name = if nested.is_empty() { key.to_owned() } else { nested.join(".") };
    map.insert(name, serde_json::from_str(json).unwrap());
}

fn read(folder: &RunFolder) -> (String, Told) {
    let mut reader = LogReader::open(&folder.journal(), 0).unwrap();
    let (mut told, mut name) = (Told::default(), String::new());
    loop {
        let record = match reader.next().unwrap() {
            Found::Record(record, _) => record,
            Found::End => return (name, told),
            Found::Damage { from, to } => panic!("damage from {from} to {to} in {}", folder.path.display()),
        };
        match record.kind {
            Some(Kind::Run(run)) => {
                (name, told.group, told.job_type, told.tags) =
                    (run.display_name, run.run_group, run.job_type, run.tags);
                for item in run.config.unwrap_or_default().update {
                    set(&mut told.config, &item.key, &item.nested_key, &item.value_json);
                }
            }
            Some(Kind::Config(items)) => {
                for item in items.update {
                    set(&mut told.config, &item.key, &item.nested_key, &item.value_json);
                }
            }
            Some(Kind::History(history)) => {
                let mut row = Map::new();
                for item in history.item {
                    set(&mut row, &item.key, &item.nested_key, &item.value_json);
                }
                told.rows.push(row);
            }
            Some(Kind::Summary(items)) => {
                for item in items.update {
                    set(&mut told.summary, &item.key, &item.nested_key, &item.value_json);
                }
            }
            Some(Kind::Alert(alert)) => told.alerts.push(alert.title),
            Some(Kind::Artifact(artifact)) => {
                told.artifacts.push(format!("{} {}", artifact.name, artifact.aliases.join(",")));
            }
            Some(Kind::Exit(exit)) => told.exit_code = Some(exit.exit_code),
            _ => {}
        }
    }
}

/// Every journal below a folder, by the name of what it is of.
fn journals(folder: &Path) -> BTreeMap<String, Told> {
    runs_below(&[folder.to_owned()]).unwrap().iter().map(read).collect()
}

fn column(told: &Told, name: &str) -> Vec<f64> {
    told.rows.iter().map(|row| row[name].as_f64().unwrap()).collect()
}

fn close(engine: Engine) {
    let left = engine.close(&mut |_| ControlFlow::Continue(()));
    assert!(left.is_empty(), "{left:?}");
}

/// The folder of the tools to compare with, which are no part of the repository.
fn dump_tool() -> Option<PathBuf> {
    let shared = match std::env::var_os("ENGINE_SHARED") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
    };
    Some(shared.join("tools/wandb/wandb_offline_dump.py")).filter(|tool| tool.is_file())
}

#[test]
fn a_tune_offline_leaves_a_journal_for_each_run_cv_and_itself() {
    let folder = tempfile::tempdir().unwrap();
    let wandb = Wandb::new(settings(Mode::Offline)).tags(["night"]).log_model(LogModel::Best);
    let engine = builder(folder.path()).wandb(wandb).build().unwrap();
    assert_eq!(engine.tracking_note(), None);
    tune(&engine, &[0.25, 0.75, 1.5]);
    let artifacts = folder.path().join("artifacts");
    close(engine);

    let all = journals(&artifacts);
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    let expected = [
        "t",
        "t-cv0",
        "t-cv0-run-f0s42",
        "t-cv0-run-f1s42",
        "t-cv1",
        "t-cv1-run-f0s42",
        "t-cv1-run-f1s42",
        "t-cv2",
        "t-cv2-run-f0s42",
        "t-cv2-run-f1s42",
    ];
    assert_eq!(names, expected);
    assert!(all.values().all(|told| told.group == "t" && told.exit_code.is_some()));

    let run = &all["t-cv1-run-f1s42"];
    assert_eq!((run.job_type.as_str(), run.exit_code), ("t-cv1", Some(0)));
    assert_eq!(run.tags, ["thaw", "t-cv1", "t", "night"]);
    assert_eq!(
        (&run.config["x"], &run.config["max_epochs"], &run.config["fold"]),
        (&json!(0.75), &json!(2), &json!(1))
    );
    assert_eq!(run.config["parameters"], 1, "told when the model stood");
    assert_eq!((column(run, "val/score"), column(run, "epoch")), (vec![0.75; 2], vec![0.0, 1.0]));
    assert_eq!((&run.summary["status"], &run.summary["attempts"]), (&json!("complete"), &json!(1)));
    assert!(run.artifacts.len() == 1 && run.artifacts[0].starts_with("model-"), "{:?}", run.artifacts);
    assert!(run.artifacts[0].ends_with("best,latest"), "{:?}", run.artifacts);

    let failed = &all["t-cv2-run-f1s42"];
    assert_eq!((failed.exit_code, failed.artifacts.len()), (Some(1), 0));
    assert_eq!(failed.alerts, ["t-cv2-run-f1s42 failed"]);
    assert_eq!(failed.summary["failure"], "diverged: the loss is not finite");

    let cv = &all["t-cv2"];
    assert_eq!((cv.job_type.as_str(), cv.exit_code, cv.rows.len()), ("cv", Some(1), 2));
    assert_eq!((&cv.config["x"], &cv.config["hp_index"]), (&json!(1.5), &json!(2)));
    assert_eq!(cv.summary["not_complete"], "f1s42 failed (diverged)");
    assert_eq!(all["t-cv1"].summary["score"], 0.75);

    let tune = &all["t"];
    assert_eq!((tune.job_type.as_str(), tune.exit_code, tune.rows.len()), ("tune", Some(0), 3));
    assert_eq!((&tune.summary["best_cv"], &tune.summary["best_score"]), (&json!("t-cv1"), &json!(0.75)));
    assert_eq!(
        (column(tune, "hp_index"), column(tune, "hyperparameters/x")),
        (vec![0.0, 1.0, 2.0], vec![0.25, 0.75, 1.5])
    );

    for run in runs_below(std::slice::from_ref(&artifacts)).unwrap() {
        let name = run.path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("offline-run-"), "{name}");
        assert!(!run.path.join(format!("run-{}.live", run.run_id)).exists(), "{name} is anybody's to send");
    }
    let hidden = std::fs::read_dir(&artifacts)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".live-"));
    assert_eq!(hidden.count(), 0, "no lock is left");
    accepted_by_another_reader(&artifacts);
}

fn accepted_by_another_reader(artifacts: &Path) {
    let Some(tool) = dump_tool() else {
        // Written past the test harness, which shows what a test prints only when it fails.
        std::io::stderr()
            .write_all(b"skipped: ENGINE_SHARED has no tools/wandb to read journals with\n")
            .unwrap();
        return;
    };
    for run in runs_below(&[artifacts.to_owned()]).unwrap() {
        let read = Command::new("python3").arg(&tool).arg(run.journal()).output().unwrap();
        assert!(read.status.success(), "{}: {read:?}", run.path.display());
    }
}

/// Keeps a run open until it is told not to.
struct Held(Arc<Mutex<Vec<Synced>>>, PathBuf);

impl Tracker for Held {
    fn name(&self) -> &'static str {
        "held"
    }

    fn open(&mut self, _plan: &RunPlan, _line: &RunLine) -> Result<(), TrackerError> {
        Ok(())
    }

    fn points(&mut self, _points: &[MetricPoint]) -> Result<(), TrackerError> {
        Ok(())
    }

    /// The run is over, its journal on W&B is not: what would a sync do to it?
    fn event(&mut self, event: &Event) -> Result<(), TrackerError> {
        if matches!(event, Event::RunFinished { .. }) {
            let list = SyncOptions { which: Which::Missing, deed: Deed::List };
            let folders = std::slice::from_ref(&self.1);
            sync_all(folders, list, &|_| None, &mut |_, synced| self.0.lock().unwrap().push(synced.clone()))?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), TrackerError> {
        Ok(())
    }
}

#[test]
fn a_run_under_way_is_not_a_syncs_to_send_and_is_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().join("artifacts");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (sees, looks_at) = (Arc::clone(&seen), artifacts.clone());
    let engine = builder(folder.path())
        .wandb(Wandb::new(settings(Mode::Offline)))
        .tracker(move |_| Box::new(Held(Arc::clone(&sees), looks_at.clone())))
        .build()
        .unwrap();
    engine.train(one_run()).unwrap().wait().unwrap();
    let during = seen.lock().unwrap().clone();
    let [Synced::NotSent { why }] = during.as_slice() else { panic!("{during:?}") };
    assert!(why.contains("still runs"), "{why}");

    // The run is over and the engine is not: it may go.
    let list = SyncOptions { which: Which::Missing, deed: Deed::List };
    let mut after = Vec::new();
    sync_all(std::slice::from_ref(&artifacts), list, &|_| None, &mut |_, synced| after.push(synced.clone()))
        .unwrap();
    assert!(matches!(after.as_slice(), [Synced::WouldBeSent { bytes }] if *bytes > 0), "{after:?}");
    close(engine);

    let error =
        sync_all(&[artifacts], SyncOptions::default(), &|_| None, &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("WANDB_API_KEY"), "{error}");
}

#[test]
fn tracking_that_can_not_be_had_is_a_note_and_the_run_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    // A key of impossible form, wherever this process has another.
    let mut settings = settings(Mode::Online);
    settings.base_url = "http://no-key-for-this.invalid".into();
    let engine = builder(folder.path()).wandb(Wandb::new(settings)).build().unwrap();
    let note = engine.tracking_note();
    // A developer may have WANDB_API_KEY set; then there is a key, for any server.
    if std::env::var_os("WANDB_API_KEY").is_none() {
        let note = note.unwrap();
        assert!(note.contains("no W&B key") && note.contains("engine sync"), "{note}");
    }
    let outcome = engine.train(one_run()).unwrap().wait().unwrap();
    assert_eq!(outcome.status, engine::Status::Complete);
}

#[test]
fn disabled_leaves_nothing_and_tensorboard_leaves_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let engine =
        builder(folder.path()).wandb(Wandb::new(settings(Mode::Disabled))).tensorboard().build().unwrap();
    let outcome = engine.train(one_run()).unwrap().wait().unwrap();
    close(engine);
    assert!(!outcome.run_dir.join("wandb").exists());
    let events: Vec<_> = std::fs::read_dir(outcome.run_dir.join("tensorboard")).unwrap().collect();
    assert_eq!(events.len(), 1);
    let file = events[0].as_ref().unwrap();
    assert!(file.file_name().to_string_lossy().starts_with("events.out.tfevents."));
    assert!(file.metadata().unwrap().len() > 100);
}

#[test]
fn a_closed_engine_takes_no_job_and_tells_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = builder(folder.path()).wandb(Wandb::new(settings(Mode::Offline))).build().unwrap();
    let other = engine.clone();
    let mut before = engine.events();
    close(engine);
    assert!(before.next_blocking().is_none(), "the stream ends with the engine, whoever holds it");
    let refused = other.train(one_run()).unwrap_err();
    assert!(matches!(refused, engine::EngineError::Job(JobError::ShutDown)), "{refused}");
    assert!(other.events().next_blocking().is_none());
    close(other);
}

#[test]
fn entries_lie_in_the_folders_of_cv_and_tune() {
    let folder = tempfile::tempdir().unwrap();
    let engine = builder(folder.path()).wandb(Wandb::new(settings(Mode::Offline))).build().unwrap();
    tune(&engine, &[0.5]);
    close(engine);
    let ids = |at: &Path| -> Vec<String> {
        let own = RunFolder::below(&at.join("wandb"));
        own.into_iter().map(|run| run.run_id).collect()
    };
    let (of_tune, of_cv) =
        (ids(&folder.path().join("artifacts/t")), ids(&folder.path().join("artifacts/t/t-cv0")));
    assert!(of_tune.len() == 1 && is_entry(&of_tune[0]) && of_tune[0].starts_with('t'), "{of_tune:?}");
    assert!(of_cv.len() == 1 && is_entry(&of_cv[0]) && of_cv[0].starts_with('c'), "{of_cv:?}");
}

/// Draws a picture that is not there, and logs before and behind it.
struct Careless;

impl Workload for Careless {
    fn run(&self, order: &RunOrder, context: &RunContext) -> Result<RunSummary, Failure> {
        for step in 0..2 {
            context.log(MetricPoint { epoch: 0, step, values: [("train/loss".to_owned(), 0.5)].into() });
            let path = order.plan.run_dir.join("figures/gone.png");
            let picture = ImageFile { path, width: 1, height: 1, caption: String::new() };
            let content = FigureContent::Images(vec![picture]);
            context.draw(vec![Figure { name: "val/samples".into(), epoch: 0, step, content }]);
        }
        Ok(RunSummary::default())
    }
}

#[test]
fn a_picture_that_is_gone_is_a_warning_and_the_run_is_tracked_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::builder(Careless)
        .accelerator(Accelerator::Cpu)
        .artifact_dir(folder.path().join("artifacts"))
        .wandb(Wandb::new(settings(Mode::Offline)))
        .tensorboard()
        .build()
        .unwrap();
    let mut events = engine.events();
    engine.train(one_run()).unwrap().wait().unwrap();
    close(engine);
    let told = journals(folder.path()).remove("alone").unwrap();
    assert_eq!(column(&told, "trainer/global_step"), [0.0, 1.0]);
    assert_eq!(told.exit_code, Some(0));
    let mut warned = Vec::new();
    while let Some(event) = events.next_blocking() {
        if let Event::Warned { message } = event {
            warned.push(message);
        }
    }
    // Two pictures, two back ends, neither turned off.
    assert_eq!(warned.iter().filter(|message| message.contains("val/samples")).count(), 4, "{warned:?}");
    assert!(warned.iter().all(|message| !message.contains("turned off")), "{warned:?}");
}
