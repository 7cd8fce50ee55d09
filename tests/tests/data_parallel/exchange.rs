//! The exchange itself: its arithmetic, and what becomes of it when a rank dies, hangs or never comes.

use std::time::{Duration, Instant};

use engine::backend::burn::tensor::Tensor;
use engine::backend::{BackendName, ComputeDevice};
use engine::training::parallel::{Exchange, ExchangeError, gather, join};
use engine_devices::c10d::GroupError;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::harness::Test;
use crate::launch::{self, own_rank, ranks, say, some_ranks};

pub const TESTS: &[Test] = &[
    ("sums_means_and_rank_0_s_values_are_everybody_s", arithmetic),
    ("a_rank_that_dies_is_an_error_of_the_others_at_once", death),
    ("a_rank_that_hangs_is_an_error_of_the_others_after_the_timeout", silence),
    ("a_rank_that_never_comes_is_an_error_of_those_that_wait", absence),
];

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Part {
    Arithmetic,
    /// Exchanges until it fails.
    Forever,
}

/// How an exchange without end ended.
#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    kind: String,
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Arithmetic {
    rank: usize,
    sums: Vec<f64>,
    gathered: Vec<[f64; 2]>,
    means: Vec<Vec<f32>>,
    spread: Vec<f32>,
}

pub fn play(part: &Part) {
    BackendName::Tch.set_threads(1).unwrap();
    let exchange = match join(own_rank().as_ref(), BackendName::Tch, ComputeDevice::Cpu) {
        Ok(exchange) => exchange,
        Err(error) => return say(&ended(&error)),
    };
    match part {
        Part::Arithmetic => say(&compute(exchange.as_ref())),
        Part::Forever => {
            let mut rounds = 0_u64;
            let error = loop {
                let mut values = vec![1.0; 1000];
                if let Err(error) = exchange.sum(&mut values) {
                    break error;
                }
                rounds += 1;
                if rounds == 10 {
                    say(&"ten rounds");
                }
            };
            say(&ended(&error));
        }
    }
}

fn ended(error: &ExchangeError) -> Ended {
    let kind = match error {
        ExchangeError::Group(GroupError::Lost { .. }) => "lost",
        ExchangeError::Group(GroupError::Timeout { .. }) => "timeout",
        _ => "other",
    };
    Ended { kind: kind.into(), text: error.to_string() }
}

fn compute(exchange: &dyn Exchange) -> Arithmetic {
    let device = BackendName::Tch.device(ComputeDevice::Cpu).unwrap();
    let rank = exchange.rank();
    let number = rank as f32;
    // Whole numbers that single precision does not hold.
    let mut sums = vec![(1_u64 << 40) as f64 + rank as f64, 0.5];
    exchange.sum(&mut sums).unwrap();
    exchange.sum(&mut []).unwrap();
    exchange.barrier().unwrap();
    let large = Tensor::<1>::full([3_000_000], number, &device);
    let small = Tensor::<1>::from_data([number, 1.0, -number], &device);
    let means = exchange.mean(vec![small.clone(), large]).unwrap();
    // What was handed over is not written to.
    assert_eq!(small.into_data().try_to_vec::<f32>().unwrap(), [number, 1.0, -number]);
    let spread = exchange.spread(vec![Tensor::<1>::from_data([7.0 + number, 8.0], &device)]).unwrap();
    let host = |tensor: Tensor<1>| tensor.into_data().try_to_vec::<f32>().unwrap();
    let mut means: Vec<Vec<f32>> = means.into_iter().map(host).collect();
    assert!(means[1].iter().all(|value| *value == means[1][0]));
    means[1].truncate(1);
    let gathered = gather(exchange, [rank as f64, 10.0 * rank as f64]).unwrap();
    let spread = spread.into_iter().flat_map(host).collect();
    Arithmetic { rank, sums, gathered, means, spread }
}

const LONG: Duration = Duration::from_secs(60);

fn arithmetic() {
    for world in [2, 3] {
        let said: Vec<Arithmetic> = ranks(&launch::Part::Exchange(Part::Arithmetic), world, LONG).hear_all();
        let n = f64::from(world);
        let of_ranks = n * (n - 1.0) / 2.0;
        for (rank, one) in said.iter().enumerate() {
            assert_eq!(one.rank, rank);
            assert_eq!(one.sums, [n * (1_u64 << 40) as f64 + of_ranks, n / 2.0]);
            assert_eq!(one.gathered.len(), world as usize);
            assert!(one.gathered.iter().enumerate().all(|(r, given)| *given == [r as f64, 10.0 * r as f64]));
            assert_eq!(one.means, said[0].means, "the same bits on every rank");
            let mean = (of_ranks / n) as f32;
            let close = |ours: f32, theirs: f32| (ours - theirs).abs() < 1e-6;
            assert!(
                close(one.means[0][0], mean) && close(one.means[0][1], 1.0) && close(one.means[0][2], -mean)
            );
            assert!(close(one.means[1][0], mean));
            assert_eq!(one.spread, [7.0, 8.0]);
        }
    }
}

fn death() {
    let ranks = ranks(&launch::Part::Exchange(Part::Forever), 3, LONG);
    (0..3).for_each(|rank| assert_eq!(ranks.hear::<String>(rank), "ten rounds"));
    ranks.signal(1, Signal::KILL);
    let killed = Instant::now();
    for rank in [0, 2] {
        let ended: Ended = ranks.hear(rank);
        println!("  rank {rank}, {:.0} ms after: {}", killed.elapsed().as_secs_f64() * 1e3, ended.text);
        assert_eq!(ended.kind, "lost", "{}", ended.text);
        assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
    }
}

fn silence() {
    let timeout = Duration::from_secs(3);
    let ranks = ranks(&launch::Part::Exchange(Part::Forever), 2, timeout);
    (0..2).for_each(|rank| assert_eq!(ranks.hear::<String>(rank), "ten rounds"));
    ranks.signal(1, Signal::STOP);
    let stopped = Instant::now();
    let ended: Ended = ranks.hear(0);
    println!("  {:.1} s after: {}", stopped.elapsed().as_secs_f64(), ended.text);
    assert_eq!(ended.kind, "timeout", "{}", ended.text);
    assert!(stopped.elapsed() >= timeout, "{:?}", stopped.elapsed());
}

fn absence() {
    let waiting = some_ranks(&launch::Part::Exchange(Part::Forever), 1, 2, Duration::from_secs(1));
    let ended: Ended = waiting.hear(0);
    println!("  {}", ended.text);
    assert_eq!(ended.kind, "timeout", "{}", ended.text);
}
