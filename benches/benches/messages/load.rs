//! Open-loop load: words come at a fixed rate, whether or not those before them were heard.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::bounded;
use engine_actors::events::Event;
use engine_benches::figures::Times;

use crate::samples;
use crate::session::Session;
use crate::stage::{Cue, Stage, Told, folder};

/// Words a second: a hundred workers that each speak twenty times as often as one does.
const RATE: u32 = 4000;
/// Words of a block: three seconds of them.
const WORDS: u32 = 12_000;
/// Words that come at once, at the same rate in all: workers are not in step.
const BURST: u32 = 8;
/// Blocks of load, and of the floor's.
const BLOCKS: usize = 3;

/// Calls `arrive` for each word at its time. Waits only for the clock.
fn at_rate(begun: Instant, mut arrive: impl FnMut(u32)) {
    for word in 0..WORDS {
        let due = intended(begun, word);
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            thread::sleep(early);
        }
        arrive(word);
    }
}

fn intended(begun: Instant, word: u32) -> Instant {
    begun + Duration::from_secs(1) / RATE * (word / BURST * BURST)
}

/// Latency from when a word was to arrive, not from when there was room for it.
pub fn open_loop(id: &'static str, session: &mut Session) {
    let quantiles = [("p50_us", 0.5), ("p90_us", 0.9), ("p99_us", 0.99), ("p99.9_us", 0.999)];
    let blocks: Vec<(Times, Times)> = (0..BLOCKS).map(|_| (channel(), actors())).collect();
    for (measure, quantile) in quantiles {
        let of = |times: &Times| times.quantile(quantile).as_secs_f64() * 1e6;
        session.middle(id, measure, blocks.iter().map(|(_, actors)| of(actors)).collect());
    }
    let beside = |quantile: f64| {
        let ratio = |(floor, actors): &(Times, Times)| {
            actors.quantile(quantile).as_secs_f64() / floor.quantile(quantile).as_secs_f64()
        };
        blocks.iter().map(ratio).collect()
    };
    session.middle(id, "p50_times_floor", beside(0.5));
    session.middle(id, "p99_times_floor", beside(0.99));
}

/// The floor: a bare channel to a thread that only looks at the clock.
fn channel() -> Times {
    let (says, hears) = bounded::<u32>(32);
    let begun = Instant::now();
    let hearing =
        thread::spawn(move || hears.iter().map(|word| intended(begun, word).elapsed()).collect::<Vec<_>>());
    at_rate(begun, |word| says.send(word).unwrap());
    drop(says);
    Times::new(hearing.join().unwrap())
}

/// From a worker over its RunActor to a reader of events.
fn actors() -> Times {
    let (folder, stage) = (folder(), Stage::new(1));
    let handle = stage.run(folder.path());
    let mut events = stage.system.subscribe();
    let begun = Instant::now() + Duration::from_millis(10);
    let hearing = thread::spawn(move || {
        let mut latencies = Vec::with_capacity(WORDS as usize);
        while latencies.len() < WORDS as usize {
            // Words that a later one took the place of came no sooner than that one: none is lost from the latencies.
            if let Event::RunProgressed { progress, skipped, .. } = events.next_blocking().unwrap() {
                let told = progress.batch - u32::try_from(skipped).unwrap()..=progress.batch;
                latencies.extend(told.map(|word| intended(begun, word).elapsed()));
            }
        }
        latencies
    });
    let (says, said) = bounded(WORDS as usize);
    stage.cues.send(Cue::Pass(said)).unwrap();
    at_rate(begun, |word| says.send(samples::word("word/progress", u64::from(word))).unwrap());
    drop(says);
    let latencies = hearing.join().unwrap();
    stage.cues.send(Cue::End(samples::last_word("word/finished"))).unwrap();
    assert!(matches!(stage.heard(), Told::Ended(_)));
    drop(handle.wait().unwrap());
    Times::new(latencies)
}
