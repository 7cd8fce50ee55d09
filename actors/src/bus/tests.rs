use std::thread;

use proptest::prelude::*;

use super::*;
use crate::protocol::{Phase, Progress};

fn fact(number: usize) -> Event {
    Event::Warned { message: number.to_string() }
}

fn progressed(run: usize, batch: u32, skipped: u64) -> Event {
    let progress = Progress { epoch: 0, max_epochs: 1, batch, batches: 1_000_000, phase: Phase::Train };
    Event::RunProgressed { run_id: run.to_string(), progress, skipped }
}

fn rest(mut stream: EventStream) -> Vec<Event> {
    std::iter::from_fn(|| stream.try_next()).collect()
}

#[test]
fn bus_2_a_reader_that_never_reads_costs_its_facts_and_one_progress_a_run() {
    let bus = EventBus::new();
    let stalled = bus.subscribe();
    for number in 0..100 {
        bus.publish(fact(number));
        for batch in 0..1_000 {
            bus.publish(progressed(number % 3, batch, 0));
        }
    }
    assert_eq!(stalled.waiting(), (100, 3));
    assert_eq!(stalled.skipped(), 100_000 - 3);
    let events = rest(stalled);
    let facts: Vec<_> =
        events.iter().filter(|event| matches!(event, Event::Warned { .. })).cloned().collect();
    assert_eq!(facts, (0..100).map(fact).collect::<Vec<_>>());
    let told: u64 = events
        .iter()
        .filter_map(|event| match event {
            Event::RunProgressed { skipped, .. } => Some(1 + skipped),
            _ => None,
        })
        .sum();
    assert_eq!(told, 100_000, "each is told or counted");
}

#[test]
fn what_waits_comes_in_the_order_of_publishing() {
    let bus = EventBus::new();
    let mut stream = bus.subscribe();
    bus.publish(progressed(0, 1, 0));
    bus.publish(fact(1));
    bus.publish(progressed(1, 1, 0));
    bus.publish(progressed(0, 2, 0));
    bus.publish(fact(2));
    let order = [fact(1), progressed(1, 1, 0), progressed(0, 2, 1), fact(2)];
    for expected in order {
        assert_eq!(stream.try_next(), Some(expected));
    }
    bus.publish(progressed(0, 3, 0));
    assert_eq!(rest(stream), [progressed(0, 3, 0)], "what was read is not counted again");
}

#[test]
fn a_part_is_heard_by_its_own_readers_and_by_those_of_the_whole() {
    let whole = EventBus::new();
    let (one, other) = (whole.part(), whole.part());
    let (all, mut ones) = (whole.subscribe(), one.subscribe());
    one.publish(fact(1));
    other.publish(fact(2));
    whole.publish(fact(3));
    one.end();
    one.publish(fact(4));
    assert_eq!([ones.next_blocking(), ones.next_blocking()], [Some(fact(1)), None]);
    assert_eq!(one.subscribe().next_blocking(), None, "it has ended");
    assert_eq!(rest(all), [1, 2, 3, 4].map(fact));
}

#[test]
fn a_stream_ends_with_the_last_who_could_publish_and_after_what_waits() {
    let bus = EventBus::new();
    let part = bus.part();
    let mut stream = bus.subscribe();
    drop(bus);
    let reading = thread::spawn(move || std::iter::from_fn(|| stream.next_blocking()).collect::<Vec<_>>());
    part.publish(fact(1));
    drop(part);
    assert_eq!(reading.join().unwrap(), [fact(1)]);
}

#[test]
fn a_reader_that_is_gone_is_forgotten_with_what_waited_for_it() {
    let bus = EventBus::new();
    let stream = bus.subscribe();
    bus.publish(fact(1));
    drop(stream);
    bus.publish(fact(2));
    assert!(bus.hub.readers().queues.is_empty());
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_wherever_it_runs() {
    let bus = EventBus::new();
    let mut stream = bus.subscribe();
    let publishing = bus.clone();
    let reading = tokio::spawn(async move { (stream.next().await, stream.next().await) });
    tokio::task::yield_now().await;
    thread::spawn(move || publishing.publish(fact(7))).join().unwrap();
    drop(bus);
    assert_eq!(reading.await.unwrap(), (Some(fact(7)), None));
}

proptest! {
    #[test]
    fn bus_1_and_3_hold_however_reading_and_publishing_alternate(
        deeds in prop::collection::vec((0_usize..4, any::<bool>()), 0..200),
    ) {
        let bus = EventBus::new();
        let mut stream = bus.subscribe();
        let (mut read, mut published, mut batches) = (Vec::new(), Vec::new(), 0);
        for (number, (kind, reads)) in deeds.into_iter().enumerate() {
            if kind == 0 {
                bus.publish(fact(number));
                published.push(fact(number));
            } else {
                batches += 1;
                bus.publish(progressed(kind, batches, 0));
            }
            let waiting = stream.waiting();
            prop_assert!(waiting.0 <= published.len() && waiting.1 <= 3);
            if reads {
                read.extend(stream.try_next());
            }
        }
        let skipped = stream.skipped();
        read.extend(rest(stream));
        let is_fact = |event: &&Event| matches!(event, Event::Warned { .. });
        prop_assert_eq!(read.iter().filter(is_fact).cloned().collect::<Vec<_>>(), published);
        let told: Vec<(u32, u64)> = read.iter().filter_map(|event| match event {
            Event::RunProgressed { progress, skipped, .. } => Some((progress.batch, *skipped)),
            _ => None,
        }).collect();
        prop_assert!(told.windows(2).all(|two| two[0].0 < two[1].0), "in the order of publishing");
        prop_assert_eq!(told.iter().map(|(_, skipped)| skipped).sum::<u64>(), skipped);
        prop_assert_eq!(told.len() as u64 + skipped, u64::from(batches));
    }
}
