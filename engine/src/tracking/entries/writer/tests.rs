//! The entry of a tune over several processes: its journal, as it lies on disk after each.

use std::path::Path;

use engine_actors::bus::EventBus;
use engine_actors::events::Event;
use engine_actors::outcome::Status;
use engine_actors::plan::Hyperparameters;
use engine_tracking::wandb::settings::{Mode, Settings};

use super::*;
use crate::tracking::wandb::Wandb;

/// One process of the engine, which hears these events.
fn process(folder: &Path, events: impl IntoIterator<Item = Event>) {
    let mut settings = Settings::from_env(Some("team"), Some("ice"), &|_| None).unwrap();
    settings.mode = Mode::Offline;
    let (link, _note) = Link::start(Wandb::new(settings), folder, &|_| None);
    let bus = EventBus::new();
    let writer = EntryWriter::start(link.unwrap(), JobBook::default(), bus.subscribe()).unwrap();
    events.into_iter().for_each(|event| bus.publish(event));
    assert!(writer.end());
}

fn started(folder: &Path, resumed: bool) -> Event {
    let tune_dir = folder.join("t");
    Event::TuneStarted { tune_name: "t".into(), tune_dir, n_trials: 3, cells_per_cv: 1, resumed }
}

fn recalled(hp_index: u32) -> Event {
    Event::CvRecalled {
        cv_name: format!("t-cv{hp_index}"),
        hp_index,
        hyperparameters: Hyperparameters::new(),
        score: Some(0.5),
        spread: None,
        score_is_unstable: false,
        status: Status::Complete,
        runs: vec![Status::Complete],
    }
}

fn cv(folder: &Path, hp_index: u32) -> [Event; 2] {
    let cv_name = format!("t-cv{hp_index}");
    let begun = Event::CvStarted {
        cv_name: cv_name.clone(),
        cv_dir: folder.join("t").join(&cv_name),
        tune_name: Some("t".into()),
        hp_index,
        hyperparameters: Hyperparameters::new(),
        cells: 1,
        resumed: false,
    };
    let (score, status) = (Some(0.5), Status::Complete);
    [begun, Event::CvFinished { cv_name, score, spread: None, score_is_unstable: false, status }]
}

fn finished() -> Event {
    Event::TuneFinished { tune_name: "t".into(), best_cv: None, best_score: None, cancelled: false }
}

/// The bytes of the tune's one journal, whether it has ended, and the configurations it has rows for.
fn journal(folder: &Path) -> (Vec<u8>, bool, Vec<f64>) {
    let parent = folder.join("t").join(FOLDER);
    let id = entry_id('t', "t", &folder.join("t"), SystemTime::UNIX_EPOCH);
    let folders: Vec<_> = std::fs::read_dir(&parent)
        .unwrap()
        .filter(|entry| !entry.as_ref().unwrap().path().is_symlink())
        .collect();
    assert_eq!(folders.len(), 1, "one entry: {folders:?}");
    let run = folders[0].as_ref().unwrap().path();
    let bytes = std::fs::read(run.join(format!("run-{id}.wandb"))).unwrap();
    let past = Past::read(&parent, &id, &["hp_index"]).unwrap().unwrap();
    (bytes, past.has_ended, past.rows.concat())
}

#[test]
fn a_tune_that_goes_on_has_one_entry_and_each_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [begun, ended] = cv(folder, 0);
    process(folder, [started(folder, false), begun, ended, finished()]);
    let first = journal(folder);
    assert_eq!((first.1, first.2.as_slice()), (true, [0.0].as_slice()));

    process(folder, [started(folder, true), recalled(0), finished()]);
    assert!(journal(folder).0 == first.0, "nobody hears of a finished tune that is resumed");

    let [begun, ended] = cv(folder, 1);
    process(folder, [started(folder, true), recalled(0), begun, ended, finished()]);
    let (_, has_ended, rows) = journal(folder);
    assert_eq!((has_ended, rows), (true, vec![0.0, 1.0]), "one that was made larger is taken up");

    // The process was killed when the cv was over and its row not written.
    process(folder, [started(folder, true), recalled(0), recalled(2), recalled(1), finished()]);
    let (_, has_ended, rows) = journal(folder);
    assert_eq!((has_ended, rows), (true, vec![0.0, 1.0, 2.0]));
    let cvs = std::fs::read_dir(folder.join("t")).unwrap().count();
    assert_eq!(cvs, 3, "entries of recalled cvs are neither opened nor made");
}
