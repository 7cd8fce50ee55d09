//! Journal and uploader without an engine around them: rows that are too long, numbers that are not finite, a run that
//! goes on.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine_tests::wandb::faults::{FakeServer, Faults, STREAM};
use engine_tests::wandb::local::{Logged, assert_same, assert_whole, read_csv};
use engine_tests::wandb::points::{after, batch, header, point, settings};
use engine_tests::wandb::seen::SeenRun;
use engine_tests::wandb::server::Server;
use engine_tests::wandb::tracked::KEY;
use engine_tracking::MetricPoint;
use engine_tracking::csv::MetricsCsv;
use engine_tracking::upload::Unfinished;
use engine_tracking::wandb::folder::RunFolder;
use engine_tracking::wandb::key::Key;
use engine_tracking::wandb::run::RunJournal;
use engine_tracking::wandb::settings::Mode;
use engine_tracking::wandb::sync::sync;
use engine_tracking::wandb::uploader::{UploadEvent, Uploader};

/// Time for what has to arrive, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(120);
const MIB: usize = 1 << 20;

/// What was told of the runs.
type Told = Arc<Mutex<Vec<UploadEvent>>>;

fn uploader(server: &Server) -> Uploader {
    Uploader::start(&settings(&server.url()), Key::new(KEY.to_owned())).unwrap()
}

fn follow(uploader: &Uploader, journal: &RunJournal) -> Told {
    let told = Told::default();
    let hears = Arc::clone(&told);
    let hearer = Box::new(move |event| hears.lock().unwrap().push(event));
    uploader.follow(journal.folder().clone(), journal.growth(), hearer);
    told
}

fn finish(uploader: Uploader, within: Duration) -> Vec<Unfinished> {
    uploader.finish(within, &mut |_| ControlFlow::Continue(()))
}

fn sent(run: &SeenRun) -> Vec<Logged> {
    run.history.iter().filter_map(Logged::of).collect()
}

/// That no request of lines is longer than the server takes: ten MiB of lines, and what frames and escapes them.
fn assert_short(server: &Server) {
    let streams = server.heard().into_iter().filter(|request| request.label.contains(STREAM));
    let longest = streams.map(|request| request.bytes).max().unwrap();
    assert!(longest <= 11 * MIB, "a request of {longest} bytes");
}

/// Rows as `metrics.csv` has them when it is given the same.
fn expected(folder: &Path, batches: &[Vec<MetricPoint>]) -> Vec<Logged> {
    let path = folder.join("metrics.csv");
    let mut csv = MetricsCsv::create(&path).unwrap();
    batches.iter().for_each(|points| csv.append(points).unwrap());
    csv.close().unwrap();
    read_csv(&path)
}

#[test]
fn numbers_that_are_not_finite_arrive_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(None, &Faults::default());
    let uploader = uploader(&server);
    let mut journal =
        RunJournal::open(&folder.path().join("wandb"), &header("numbers1"), Mode::Online).unwrap();
    follow(&uploader, &journal);
    let edges = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e-300, f64::MAX, 0.1 + 0.2];
    let named = (0u8..).zip(edges).map(|(at, value)| (format!("edge/{at}"), value)).collect();
    let batches = [vec![MetricPoint { epoch: 0, step: 1, values: named }], batch(3), batch(4), batch(5)];
    batches.iter().for_each(|points| journal.rows(points, after(1)).unwrap());
    journal.finish(0, after(2)).unwrap();
    assert_eq!(finish(uploader, PATIENCE), []);
    let seen = server.seen();
    let run = seen.run("numbers1");
    assert_whole(run);
    assert_same("numbers1", &sent(run), &expected(folder.path(), &batches));
    assert_eq!(run.exit_code, Some(0));
    assert_eq!(run.summary["edge/0"], "NaN");
}

#[test]
fn a_row_of_twelve_mebibytes_loses_only_its_own_values() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(None, &Faults::default());
    let uploader = uploader(&server);
    let mut journal =
        RunJournal::open(&folder.path().join("wandb"), &header("longrow1"), Mode::Online).unwrap();
    let told = follow(&uploader, &journal);
    // One value under a name of twelve MiB: the shortest way to a row that is too long.
    let name = format!("long/{}", "x".repeat(12 * MIB));
    let long = MetricPoint { epoch: 0, step: 2, values: [(name, 1.0), ("short".to_owned(), 2.0)].into() };
    for points in [vec![point(1)], vec![long], vec![point(3)], vec![point(4)]] {
        journal.rows(&points, after(1)).unwrap();
    }
    let run_folder = journal.folder().clone();
    journal.finish(0, after(2)).unwrap();
    assert_eq!(finish(uploader, PATIENCE), []);

    let seen = server.seen();
    let run = seen.run("longrow1");
    assert_whole(run);
    let rows = sent(run);
    assert_eq!(
        rows.iter().map(|row| row.step).collect::<Vec<_>>(),
        [1, 2, 3, 4],
        "no row is lost, none moves"
    );
    assert_eq!(rows[1].values, [("short".to_owned(), 2.0)].into());
    assert_same("longrow1", &rows[2..], &expected(folder.path(), &[vec![point(3)], vec![point(4)]]));
    assert_short(&server);
    let warned = told.lock().unwrap().iter().filter(|event| matches!(event, UploadEvent::Warned(_))).count();
    // Of the row, and of the summary, which would hold its values too.
    assert_eq!(warned, 2, "the user is told once of each: {:?}", told.lock().unwrap());

    // Sent again by hand, the losses are told too.
    std::fs::remove_file(run_folder.synced()).unwrap();
    std::fs::remove_file(run_folder.cursor()).unwrap();
    let synced = sync(&run_folder, &settings(&server.url()), &Key::new(KEY.to_owned())).unwrap();
    assert_eq!((synced.losses.len(), synced.rows), (2, 4), "{:?}", synced.losses);
    assert_whole(server.seen().run("longrow1"));
}

#[test]
fn a_burst_of_thirty_mebibytes_goes_in_several_requests() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(None, &Faults::default());
    let uploader = uploader(&server);
    let mut journal =
        RunJournal::open(&folder.path().join("wandb"), &header("bursts01"), Mode::Online).unwrap();
    follow(&uploader, &journal);
    let wide = |step| {
        let values = (0..3).map(|part| (format!("{part}/{}", "y".repeat(MIB)), step as f64)).collect();
        MetricPoint { epoch: 0, step, values }
    };
    let batches: Vec<_> = (1..=10).map(|step| vec![wide(step)]).collect();
    batches.iter().for_each(|points| journal.rows(points, after(1)).unwrap());
    journal.finish(0, after(2)).unwrap();
    assert_eq!(finish(uploader, PATIENCE), []);
    let seen = server.seen();
    assert_whole(seen.run("bursts01"));
    assert_same("bursts01", &sent(seen.run("bursts01")), &expected(folder.path(), &batches));
    assert_short(&server);
}

#[test]
fn a_run_whose_writer_is_gone_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let wandb = folder.path().join("wandb");
    let server = Server::start(None, &Faults::default());
    let first = uploader(&server);
    let mut journal = RunJournal::open(&wandb, &header("resumed1"), Mode::Online).unwrap();
    follow(&first, &journal);
    let batches: Vec<_> = (0..8).map(batch).collect();
    batches[..4].iter().for_each(|points| journal.rows(points, after(1)).unwrap());
    let path = journal.folder().journal();
    drop(journal); // as a crash leaves it: without an end
    let left = finish(first, Duration::from_secs(5));
    assert_eq!(left.len(), 1, "a run without an end is not done: {left:?}");
    assert!(left[0].folder.file_name().unwrap().to_str().unwrap().starts_with("offline-run-"), "{left:?}");
    assert_eq!(server.seen().run("resumed1").exit_code, None);

    // The last record is torn, as a crash may leave it.
    let path = left[0].folder.join(path.file_name().unwrap());
    let bytes = std::fs::read(&path).unwrap();
    let torn = [bytes.as_slice(), &[1, 2, 3, 4, 200, 0, 1, 9, 9]].concat();
    std::fs::write(&path, torn).unwrap();

    let second = uploader(&server);
    let mut journal = RunJournal::open(&wandb, &header("resumed1"), Mode::Online).unwrap();
    follow(&second, &journal);
    batches[4..].iter().for_each(|points| journal.rows(points, after(9)).unwrap());
    journal.finish(0, after(10)).unwrap();
    assert_eq!(finish(second, PATIENCE), []);
    let seen = server.seen();
    let run = seen.run("resumed1");
    assert_whole(run);
    assert_same("resumed1", &sent(run), &expected(folder.path(), &batches));
    assert_eq!(run.exit_code, Some(0));
    assert_eq!(RunFolder::below(&wandb).len(), 1, "it goes on in its folder");
}
