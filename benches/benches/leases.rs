//! A lease from request to return, beside a bare bounded channel there and back.
//!
//! `cargo bench --package engine-benches --bench leases`. The last column is what counts: how many times the floor,
//! measured in the same run, a lease takes.

#![expect(clippy::unwrap_used, reason = "a bench that can not start has nothing to measure")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::time::{Duration, Instant};

use actix::{Actor, Addr, System};
use engine_actors::bus::EventBus;
use engine_actors::devices::{AcquireLease, DeviceManager, LeaseGuard};
use engine_benches::figures::{Line, Times};
use engine_devices::{Accelerator, LeaseBook, LeaseEffect, LeaseEvent, RunsPerDevice, Ticket, Want, select};
use tokio::sync::{mpsc, oneshot};

const REPETITIONS: usize = 20_000;
/// Requests that wait at once in the crowded case: a tune over 64 slots with twice as many runs in line.
const CROWD: usize = 128;

fn main() {
    let floor = channel_round_trip();
    println!("{}", Line { what: "bounded channel, there and back", times: &floor, floor: None });
    let book = book_round_trip();
    println!(
        "{}",
        Line { what: "lease book alone: acquire, grant, release", times: &book, floor: Some(&floor) }
    );
    let actor = manager_round_trip();
    println!(
        "{}",
        Line { what: "device manager: acquire, grant, release", times: &actor, floor: Some(&floor) }
    );
    let crowd = crowded();
    println!("{}", Line { what: "the same, 128 in line for 64 devices", times: &crowd, floor: Some(&floor) });
}

/// A message to another task of the same thread and its answer: what any actor costs at least.
fn channel_round_trip() -> Times {
    on_an_arbiter(async {
        let (ask, mut asked) = mpsc::channel::<oneshot::Sender<u64>>(64);
        let answering = actix::spawn(async move {
            while let Some(reply) = asked.recv().await {
                reply.send(1).unwrap();
            }
        });
        let times = timed(async || {
            let (reply, answer) = oneshot::channel();
            ask.send(reply).await.unwrap();
            assert_eq!(answer.await.unwrap(), 1);
        })
        .await;
        drop(ask);
        answering.await.unwrap();
        times
    })
}

fn book_round_trip() -> Times {
    let mut book = LeaseBook::new(devices(8), RunsPerDevice::ONE);
    let mut ticket = 0;
    Times::of(REPETITIONS, || {
        ticket += 1;
        let ask = LeaseEvent::Acquire { ticket: Ticket(ticket), holder: "bench".into(), want: slot() };
        let lease = book.apply(ask).into_iter().find_map(|effect| match effect {
            LeaseEffect::Grant { lease, .. } => Some(lease),
            _ => None,
        });
        let back = book.apply(LeaseEvent::Release { lease: lease.unwrap() });
        assert_eq!(back.len(), 1);
    })
}

fn manager_round_trip() -> Times {
    on_an_arbiter(async {
        let manager = manager(8);
        timed(async || drop(acquire(&manager).await)).await
    })
}

/// From a request to its grant while the line never empties: fairness is paid for here.
fn crowded() -> Times {
    on_an_arbiter(async {
        let manager = manager(64);
        let per_task = REPETITIONS / CROWD;
        let begin = Instant::now();
        let tasks: Vec<_> = (0..CROWD)
            .map(|_| {
                let manager = manager.clone();
                actix::spawn(async move {
                    let mut times = Vec::with_capacity(per_task);
                    for _ in 0..per_task {
                        let start = Instant::now();
                        let lease = acquire(&manager).await;
                        times.push(start.elapsed());
                        tokio::task::yield_now().await;
                        drop(lease);
                    }
                    times
                })
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.unwrap());
        }
        Times::side_by_side(times, begin.elapsed())
    })
}

fn on_an_arbiter<T: 'static>(work: impl Future<Output = T> + 'static) -> T {
    System::new().block_on(work)
}

async fn timed(mut call: impl AsyncFnMut()) -> Times {
    for _ in 0..REPETITIONS / 10 {
        call().await;
    }
    let mut times: Vec<Duration> = Vec::with_capacity(REPETITIONS);
    for _ in 0..REPETITIONS {
        let start = Instant::now();
        call().await;
        times.push(start.elapsed());
    }
    Times::new(times)
}

fn slot() -> Want {
    Want::Slot { family: None }
}

fn devices(count: usize) -> Vec<engine_devices::DeviceInfo> {
    let listed: Vec<String> = (0..count).map(|index| index.to_string()).collect();
    select(Accelerator::Cpu, &listed).unwrap()
}

fn manager(count: usize) -> Addr<DeviceManager> {
    DeviceManager::new(devices(count), RunsPerDevice::ONE, EventBus::new()).start()
}

async fn acquire(manager: &Addr<DeviceManager>) -> LeaseGuard {
    let (reply, granted) = oneshot::channel();
    let bus = EventBus::new();
    manager.send(AcquireLease { holder: "bench".into(), want: slot(), bus, reply }).await.unwrap();
    granted.await.unwrap().unwrap()
}
