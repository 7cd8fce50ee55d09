//! What is said to and by a run, by a real RunActor over a real thread worker.

use std::time::{Duration, Instant};

use engine_actors::bus::EventStream;
use engine_actors::events::Event;
use engine_actors::outcome::Status;
use engine_actors::stop::StopMode;
use engine_actors::system::ActorSystem;
use engine_benches::counting::counted;

use crate::channels::{from_thread_to_thread, there_and_back};
use crate::session::{Session, each};
use crate::stage::{Cue, Stage, Told, folder};
use crate::{samples, search};

/// Words of a block.
const WORDS: usize = 1000;
/// Questions of a block, each waiting for its answer.
const QUESTIONS: usize = 200;
/// Runs of a block.
const RUNS: usize = 20;

/// Words a worker says, or hears, again and again.
pub fn many_a_run(id: &'static str, session: &mut Session) {
    let (folder, stage) = (folder(), Stage::new(1));
    let handle = stage.run(folder.path());
    match id {
        "order/checkpoint" => session.beside(id, there_and_back, || checkpoints(&stage)),
        "word/settle" | "order/settled" => session.beside(id, there_and_back, || {
            each(QUESTIONS, || {
                (0..QUESTIONS).for_each(|_| {
                    stage.say(Vec::new());
                });
            })
        }),
        _ => {
            let mut number = 0;
            let mut words = || {
                number += WORDS as u64;
                (0..WORDS as u64).map(|word| samples::word(id, number + word)).collect::<Vec<_>>()
            };
            let mut block = || stage.say(words()) / u32::try_from(WORDS).unwrap();
            session.beside(id, from_thread_to_thread, &mut block);
            let words = words();
            let (_, taken) = counted(|| stage.say(words));
            session.taken(id, taken, WORDS);
        }
    }
    stage.cues.send(Cue::End(samples::last_word(id))).unwrap();
    assert_eq!(handle.wait().unwrap().status, Status::Complete);
}

fn checkpoints(stage: &Stage) -> Duration {
    stage.cues.send(Cue::HearCheckpoints(QUESTIONS)).unwrap();
    each(QUESTIONS, || {
        for _ in 0..QUESTIONS {
            stage.system.checkpoint_now();
            assert!(matches!(stage.heard(), Told::Asked(_)));
        }
    })
}

/// Words that are said, or heard, once a run.
pub fn once_a_run(id: &'static str, session: &mut Session) {
    let stage = Stage::new(1);
    session.beside(id, there_and_back, || {
        let folder = folder();
        let took: Duration =
            (0..RUNS).map(|number| one(id, &stage, &folder.path().join(number.to_string()))).sum();
        took / RUNS as u32
    });
}

/// A run, and how long the word in question took.
fn one(id: &str, stage: &Stage, folder: &std::path::Path) -> Duration {
    let handle = stage.system.run(samples::run_plan("r", folder.to_owned())).unwrap();
    let Told::Ordered(ordered) = stage.heard() else { panic!("a worker without an order") };
    let mut stopped = None;
    if id == "order/stop" {
        stage.cues.send(Cue::HearStop).unwrap();
        // Both are on their way before the clock starts: the worker waits for the stop alone.
        let asked = Instant::now();
        handle.stop(StopMode::Cancel);
        let Told::Asked(heard) = stage.heard() else { panic!("a worker that hears no stop") };
        stopped = Some(heard.saturating_duration_since(asked));
    }
    stage.cues.send(Cue::End(samples::last_word(id))).unwrap();
    let Told::Ended(said) = stage.heard() else { panic!("a worker without an end") };
    let outcome = handle.wait().unwrap();
    assert_eq!(outcome.failure.is_some(), id == "word/failed");
    match id {
        // A hello is answered by the order.
        "word/hello" | "order/start" => ordered,
        "order/stop" => stopped.unwrap(),
        // The files of the run are closed, and its worker gone, before its end is told.
        _ => said.elapsed(),
    }
}

/// From the caller to the actor that was started.
pub fn started(id: &'static str, session: &mut Session) {
    let stage = Stage::new(1);
    session.beside(id, there_and_back, || {
        let folder = folder();
        let took: Duration =
            (0..RUNS).map(|number| start(id, &stage, &folder.path().join(number.to_string()))).sum();
        took / RUNS as u32
    });
}

/// Starts a job of one run; the time until its actor says that it began.
fn start(id: &str, stage: &Stage, folder: &std::path::Path) -> Duration {
    std::fs::create_dir_all(folder).unwrap();
    let mut events = stage.system.subscribe();
    let system: &ActorSystem = &stage.system;
    let began = |event: &Event| match id {
        "message/start-cv" => matches!(event, Event::CvStarted { .. }),
        "message/start-tune" => matches!(event, Event::TuneStarted { .. }),
        _ => matches!(event, Event::RunQueued { .. }),
    };
    let cell = || vec![samples::cells()[0]];
    let begun = Instant::now();
    let wait: Box<dyn FnOnce()> = match id {
        "message/start-cv" => {
            let handle = system.cv(samples::cv_plan("c", folder.to_owned(), cell())).unwrap();
            Box::new(|| drop(handle.wait().unwrap()))
        }
        "message/start-tune" => {
            let sampler = engine::space::RandomSampler::new(search::space(), 1);
            let plan = samples::tune_plan("t", folder.to_owned(), 1, cell());
            let handle = system.tune(plan, Box::new(sampler)).unwrap();
            Box::new(|| drop(handle.wait().unwrap()))
        }
        _ => {
            let handle = system.run(samples::run_plan("r", folder.to_owned())).unwrap();
            Box::new(|| drop(handle.wait().unwrap()))
        }
    };
    until(&mut events, began);
    let took = begun.elapsed();
    assert!(matches!(stage.heard(), Told::Ordered(_)));
    stage.cues.send(Cue::End(samples::last_word(id))).unwrap();
    assert!(matches!(stage.heard(), Told::Ended(_)));
    wait();
    took
}

fn until(events: &mut EventStream, is_it: impl Fn(&Event) -> bool) {
    while !is_it(&events.next_blocking().unwrap()) {}
}
