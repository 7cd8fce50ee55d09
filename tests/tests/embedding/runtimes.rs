//! The engine built, used and ended in every kind of runtime.

use std::path::Path;

use engine::{Event, Status, StopMode};

use crate::deeds::{endless_cv, engine_on, short_cv};
use crate::harness::Test;
use crate::left::leaving_nothing;

pub const TESTS: &[Test] = &[
    ("in_a_plain_main", plain),
    ("in_tokio_with_several_threads", tokio_with_threads),
    ("in_tokio_with_one_thread", tokio_with_one),
    ("in_an_actix_system", actix_system),
    ("dropped_within_a_runtime_it_ends_as_elsewhere", dropped_in_a_runtime),
];

fn plain() {
    let folder = tempfile::tempdir().unwrap();
    leaving_nothing(|_| {
        let engine = engine_on(folder.path(), 2).build().unwrap();
        assert_eq!(engine.cv(short_cv(2)).unwrap().wait().unwrap().status, Status::Complete);
    });
}

/// Everything an application does: it builds, starts, watches, changes its mind, waits, ends.
async fn story(folder: &Path) {
    let engine = engine_on(folder, 2).build().unwrap();
    let mut one = engine.cv(short_cv(3)).unwrap();
    let mut events = one.events();
    let mut finished = 0;
    while let Some(event) = events.next().await {
        finished += u32::from(matches!(event, Event::RunFinished { .. }));
    }
    assert_eq!(finished, 3);
    assert_eq!(one.await.unwrap().status, Status::Complete);

    let mut other = engine.cv(endless_cv()).unwrap();
    let mut events = other.events();
    // Between the outcome and something else, again and again.
    loop {
        tokio::select! {
            biased;
            outcome = &mut other => {
                assert_eq!(outcome.unwrap().status, Status::Cancelled);
                break;
            }
            event = events.next() => match event {
                Some(Event::RunProgressed { .. }) => other.cancel(),
                Some(_) => {}
                None => {
                    assert_eq!((&mut other).await.unwrap().status, Status::Cancelled);
                    break;
                }
            },
        }
    }

    let third = engine.cv(endless_cv()).unwrap();
    assert!(engine.shut_down(StopMode::Cancel).await.is_empty());
    assert_eq!(third.await.unwrap().status, Status::Cancelled);
}

fn tokio_with_threads() {
    let folder = tempfile::tempdir().unwrap();
    leaving_nothing(|_| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        // On a thread of the runtime's own too.
        let path = folder.path().to_owned();
        runtime.block_on(async { tokio::spawn(async move { story(&path).await }).await.unwrap() });
    });
}

fn tokio_with_one() {
    let folder = tempfile::tempdir().unwrap();
    leaving_nothing(|_| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(story(folder.path()));
    });
}

fn actix_system() {
    let folder = tempfile::tempdir().unwrap();
    leaving_nothing(|_| {
        actix::System::new().block_on(async {
            story(folder.path()).await;
            assert!(actix::System::try_current().is_some(), "the application's own system goes on");
        });
    });
}

fn dropped_in_a_runtime() {
    let folder = tempfile::tempdir().unwrap();
    leaving_nothing(|_| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let engine = engine_on(folder.path(), 1).build().unwrap();
            let mut job = engine.cv(endless_cv()).unwrap();
            let mut events = job.events();
            while !matches!(events.next().await.unwrap(), Event::RunProgressed { .. }) {}
            drop((engine, job));
            while events.next().await.is_some() {}
        });
    });
}
