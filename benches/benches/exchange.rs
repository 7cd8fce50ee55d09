//! The sum of 25 million floats over two processes, beside a copy of as many in memory.
//!
//! `cargo bench --package engine-benches --bench exchange --features tch`. As many values as a U-Net with a ResNet-34
//! has gradients, in four buckets that are under way at once, as a data-parallel step sends them. The last column is
//! what counts: how many times a copy within one process, measured in the same run.

#![expect(clippy::unwrap_used, reason = "a bench that can not start has nothing to measure")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::hint::black_box;
use std::process::{Child, Command};

use engine_benches::figures::{Line, Times};
use engine_devices::ReservedPort;
use engine_devices::c10d::{Group, Op, Transport};
use engine_devices::rank::Rank;
use tch::{Device, Kind, Tensor};

const VALUES: usize = 25_000_000;
const BUCKETS: usize = 4;
const REPETITIONS: usize = 30;
const RANKS: u32 = 2;

fn main() {
    if let Some(rank) = Rank::from_env().unwrap() {
        drop(all_reduces(&rank));
        return;
    }
    let floor = copies();
    println!("{}", Line { what: "copy of 25 M f32 in memory", times: &floor, floor: None });
    let reserved = ReservedPort::any().unwrap();
    let rank = |number| Rank::local(number, RANKS, reserved.port());
    let mut peers: Vec<Child> = (1..RANKS).map(|number| peer(&rank(number))).collect();
    let exchange = all_reduces(&rank(0));
    println!(
        "{}",
        Line { what: "all-reduce of them, 2 processes, 4 buckets", times: &exchange, floor: Some(&floor) }
    );
    for peer in &mut peers {
        assert!(peer.wait().unwrap().success());
    }
}

fn peer(rank: &Rank) -> Child {
    Command::new(std::env::current_exe().unwrap()).envs(rank.environment()).spawn().unwrap()
}

fn copies() -> Times {
    let from = vec![1.0_f32; VALUES];
    let mut to = vec![0.0_f32; VALUES];
    Times::of(REPETITIONS, || black_box(&mut to).copy_from_slice(black_box(&from)))
}

fn all_reduces(rank: &Rank) -> Times {
    tch::set_num_threads(1);
    let group = Group::join(rank, Transport::Gloo).unwrap();
    let each = i64::try_from(VALUES / BUCKETS).unwrap();
    let mut buckets: Vec<Tensor> =
        (0..BUCKETS).map(|_| Tensor::ones([each], (Kind::Float, Device::Cpu))).collect();
    let times = Times::of(REPETITIONS, || {
        let under_way = std::mem::take(&mut buckets);
        buckets = group.all_reduce(under_way, Op::Max).unwrap().wait().unwrap();
    });
    assert!(buckets.iter().all(|bucket| bucket.double_value(&[0]) == 1.0));
    group.barrier().unwrap();
    times
}
