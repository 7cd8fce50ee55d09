//! Bare bounded channels, which every message is compared with; and events, which travel on one.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use actix::System;
use crossbeam::channel::bounded;
use engine_actors::bus::EventBus;
use engine_actors::events::Event;
use engine_benches::counting::counted;
use tokio::sync::{mpsc, oneshot};

use crate::samples;
use crate::session::{Session, each};

/// Messages of a block.
const BLOCK: usize = 5000;
/// Room of the floors' channels, as that of a worker's.
const ROOM: usize = 32;
/// Events of a block.
const EVENTS: usize = 2000;

/// About the size of a message.
type Message = [u64; 8];

pub fn floor(id: &'static str, session: &mut Session) {
    match id {
        "floor/tokio" => session.alone(id, there_and_back_on_one_thread),
        "floor/crossbeam" => session.alone(id, from_thread_to_thread),
        "floor/crossbeam-there-and-back" => session.alone(id, there_and_back),
        _ => panic!("{id} has no bench"),
    }
}

/// A message to another task of the same thread and its answer, one after another: what any actor costs at least.
pub fn there_and_back_on_one_thread() -> Duration {
    System::new().block_on(async {
        let (ask, mut asked) = mpsc::channel::<(Message, oneshot::Sender<u64>)>(ROOM);
        let answering = actix::spawn(async move {
            while let Some((message, reply)) = asked.recv().await {
                reply.send(black_box(message)[0]).unwrap();
            }
        });
        let begun = Instant::now();
        for number in 0..BLOCK as u64 {
            let (reply, answer) = oneshot::channel();
            ask.send(([number; 8], reply)).await.unwrap();
            assert_eq!(answer.await.unwrap(), number);
        }
        let took = begun.elapsed();
        drop(ask);
        answering.await.unwrap();
        took / BLOCK as u32
    })
}

/// Messages from one thread to another, as fast as they are taken.
pub fn from_thread_to_thread() -> Duration {
    let (says, hears) = bounded::<Message>(ROOM);
    let hearing = thread::spawn(move || hears.iter().map(|message| black_box(message)[0]).max());
    each(BLOCK, || {
        (0..BLOCK as u64).for_each(|number| says.send([number; 8]).unwrap());
        drop(says);
        assert_eq!(hearing.join().unwrap(), Some(BLOCK as u64 - 1));
    })
}

/// A message to another thread and its answer, one after another.
pub fn there_and_back() -> Duration {
    let ((ask, asked), (reply, answers)) = (bounded::<Message>(ROOM), bounded::<u64>(ROOM));
    let answering = thread::spawn(move || {
        asked.iter().for_each(|message| reply.send(black_box(message)[0]).unwrap());
    });
    let took = each(BLOCK / 5, || {
        for number in 0..BLOCK as u64 / 5 {
            ask.send([number; 8]).unwrap();
            assert_eq!(answers.recv().unwrap(), number);
        }
    });
    drop(ask);
    answering.join().unwrap();
    took
}

/// From the publisher to a reader on another thread, beside a bare channel from thread to thread.
pub fn event(id: &'static str, session: &mut Session) {
    let event = samples::event(id);
    let publish = || {
        let bus = EventBus::new();
        let mut reader = bus.subscribe();
        let event = event.clone();
        let reading = thread::spawn(move || {
            let mut heard = 0;
            while heard < EVENTS as u64 {
                heard += told(reader.next_blocking().unwrap(), &event);
            }
            heard
        });
        let events = vec![samples::event(id); EVENTS];
        each(EVENTS, || {
            events.into_iter().for_each(|event| bus.publish(event));
            assert_eq!(reading.join().unwrap(), EVENTS as u64);
        })
    };
    session.beside(id, from_thread_to_thread, publish);
    // Without a reader, as in the actors' own path: what a reader takes is a copy, and the reader's own affair.
    let bus = EventBus::new();
    let events = vec![event; EVENTS];
    let ((), taken) = counted(|| events.into_iter().for_each(|event| bus.publish(event)));
    session.taken(id, taken, EVENTS);
}

/// How many of those that were published this one tells of: of progress the reader gets the newest.
fn told(mut heard: Event, event: &Event) -> u64 {
    let mut told = 1;
    if let Event::RunProgressed { skipped, .. } = &mut heard {
        told += std::mem::take(skipped);
    }
    assert_eq!(heard, *event);
    told
}
