//! A small network trained by one process and by several: the weights must be the same.

use std::collections::HashMap;
use std::time::Duration;

use engine::backend::burn;
use engine::backend::{BackendName, ComputeDevice};
use engine::training::parallel::{Sharing, join, share_weights};
use engine::training::{Optimizer, OptimizerConfig};
use serde::{Deserialize, Serialize};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};

use crate::harness::Test;
use crate::launch::{self, alone, own_rank, ranks, say};

pub const TESTS: &[Test] = &[
    ("two_and_four_processes_come_to_the_weights_of_one", equivalence),
    ("gradients_of_several_batches_and_processes_are_those_of_one_batch", accumulation),
    ("a_parameter_that_one_rank_uses_moves_on_all_and_one_that_none_uses_on_none", unused),
    ("what_one_rank_knows_all_hear_before_the_step", questions),
];

const SAMPLES_PER_STEP: usize = 8;
const STEPS: usize = 20;
const INPUTS: usize = 6;
const HIDDEN: usize = 16;
const LEARNING_RATE: f64 = 1e-2;

/// How the batch of a step is cut.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// Parts that a batch is cut into; each process takes every `world`-th.
    parts: usize,
    /// Which parts use the parameter `sometimes`.
    use_sometimes: Vec<usize>,
    /// The rank that says so at this step.
    asks_at: Option<(usize, usize)>,
}

impl Part {
    fn cut(parts: usize) -> Self {
        Self { parts, use_sometimes: Vec::new(), asks_at: None }
    }
}

/// What came of it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Trained {
    /// Bits of every weight.
    bits: Vec<u32>,
    /// Steps that `sometimes` and `never` were part of.
    sometimes: u64,
    never: u64,
    /// The step in which a rank asked, and how many did.
    asked: Option<(usize, usize)>,
}

#[derive(Module, Debug)]
struct Net {
    first: Param<Tensor<2>>,
    second: Param<Tensor<2>>,
    sometimes: Param<Tensor<1>>,
    never: Param<Tensor<1>>,
}

impl Net {
    /// Every rank begins with other weights: rank 0's have to become everybody's.
    fn new(rank: usize, device: &Device) -> Self {
        let tensor = |salt: usize, shape: [usize; 2]| {
            let values = (0..shape[0] * shape[1]).map(|at| noise(1000 * salt + at) + rank as f32).collect();
            Tensor::<2>::from_data(TensorData::new(values, shape), device)
        };
        Self {
            first: Param::from_tensor(tensor(1, [INPUTS, HIDDEN])),
            second: Param::from_tensor(tensor(2, [HIDDEN, 1])),
            sometimes: Param::from_tensor(tensor(3, [1, 3]).reshape([3])),
            never: Param::from_tensor(tensor(4, [1, 2]).reshape([2])),
        }
    }

    /// Mean squared error.
    fn loss(&self, samples: &[usize], uses_sometimes: bool, device: &Device) -> Tensor<1> {
        let inputs = samples.iter().flat_map(|sample| (0..INPUTS).map(move |at| noise(7 * sample + 31 * at)));
        let inputs: Vec<f32> = inputs.collect();
        let x = Tensor::<2>::from_data(TensorData::new(inputs, [samples.len(), INPUTS]), device);
        let wanted = samples.iter().map(|sample| noise(7 * sample) * noise(7 * sample + 31)).collect();
        let y = Tensor::<2>::from_data(TensorData::new(wanted, [samples.len(), 1]), device);
        let mut out = x.matmul(self.first.val()).tanh().matmul(self.second.val());
        if uses_sometimes {
            out = out + self.sometimes.val().mean().unsqueeze();
        }
        (out - y).square().mean()
    }

    fn names(&self) -> HashMap<ParamId, String> {
        let named = [
            (self.first.id, "first"),
            (self.second.id, "second"),
            (self.sometimes.id, "sometimes"),
            (self.never.id, "never"),
        ];
        named.map(|(id, name)| (id, name.to_owned())).into()
    }
}

/// A number between -1 and 1 that depends on `key` alone.
fn noise(key: usize) -> f32 {
    let mixed = (key as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

pub fn play(part: &Part) {
    BackendName::Tch.set_threads(1).unwrap();
    let device = BackendName::Tch.device(ComputeDevice::Cpu).unwrap().autodiff();
    let exchange = join(own_rank().as_ref(), BackendName::Tch, ComputeDevice::Cpu).unwrap();
    let (rank, world) = (exchange.rank(), exchange.world());
    let mut net = share_weights(exchange.as_ref(), Net::new(rank, &device)).unwrap();
    let mut optimizer = Optimizer::new(OptimizerConfig::default(), net.names());
    let mut asked = None;
    for step in 0..STEPS {
        let mut gathered = GradientsAccumulator::new();
        for own in (rank..part.parts).step_by(world) {
            let all = step * SAMPLES_PER_STEP..(step + 1) * SAMPLES_PER_STEP;
            let samples: Vec<usize> = all.skip(own).step_by(part.parts).collect();
            let loss = net.loss(&samples, part.use_sometimes.contains(&own), &device);
            let loss = loss.div_scalar((part.parts / world) as f64);
            gathered.accumulate(&net, GradientsParams::from_grads(loss.backward(), &net));
        }
        let mut sharing = Sharing::of(&net, gathered.grads());
        let [asks] = sharing.agree(exchange.as_ref(), [part.asks_at == Some((rank, step))]).unwrap();
        if asks > 0 {
            asked = Some((step, asks));
            break;
        }
        let gradients = sharing.average(exchange.as_ref(), &net).unwrap();
        net = optimizer.step_along(LEARNING_RATE, net, gradients);
    }
    let steps = optimizer.state(&net).unwrap().steps;
    let taken = |name: &str| steps.get(name).copied().unwrap_or(0);
    let mut bits = Bits(Vec::new());
    net.visit(&mut bits);
    exchange.barrier().unwrap();
    say(&Trained { bits: bits.0, sometimes: taken("sometimes"), never: taken("never"), asked });
}

struct Bits(Vec<u32>);

impl ModuleVisitor for Bits {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val().into_data().try_to_vec::<f32>().unwrap();
        self.0.extend(values.into_iter().map(f32::to_bits));
    }
}

fn by_one(part: &Part) -> Trained {
    alone(&launch::Part::Net(part.clone())).hear_all().remove(0)
}

/// What each of `world` ranks came to: the same, to the last bit.
fn by_many(part: &Part, world: u32) -> Trained {
    let mut said: Vec<Trained> =
        ranks(&launch::Part::Net(part.clone()), world, Duration::from_secs(60)).hear_all();
    assert!(said.iter().all(|one| *one == said[0]), "{world} ranks differ");
    said.remove(0)
}

fn assert_same(one: &Trained, many: &Trained, what: &str) {
    let pairs = one.bits.iter().zip(&many.bits).map(|(a, b)| (f32::from_bits(*a), f32::from_bits(*b)));
    let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("  {what}: largest difference of a weight after {STEPS} steps {largest:e}");
    assert!(largest <= 1e-6, "{what}: {largest:e}");
    assert_eq!(one.bits.len(), INPUTS * HIDDEN + HIDDEN + 5);
    assert_eq!((one.sometimes, one.never), (many.sometimes, many.never), "{what}");
}

fn equivalence() {
    let one = by_one(&Part::cut(1));
    for world in [2, 4] {
        let what = format!("{world} x {} samples against 1 x {SAMPLES_PER_STEP}", SAMPLES_PER_STEP / world);
        assert_same(&one, &by_many(&Part::cut(world), world as u32), &what);
    }
}

fn accumulation() {
    let one = by_one(&Part::cut(1));
    assert_same(&one, &by_many(&Part::cut(4), 2), "2 batches on each of 2");
    assert_same(&one, &by_one(&Part::cut(4)), "4 batches on 1");
}

fn unused() {
    let part = Part { use_sometimes: vec![1], ..Part::cut(2) };
    let (one, two) = (by_one(&part), by_many(&part, 2));
    assert_same(&one, &two, "a parameter used by one of 2");
    assert_eq!((two.sometimes, two.never), (STEPS as u64, 0));
    let nobody = by_many(&Part::cut(2), 2);
    assert_eq!((nobody.sometimes, nobody.never), (0, 0));
    let last = nobody.bits.len() - 5;
    let untouched: Vec<u32> = (0..3)
        .map(|at| noise(3000 + at))
        .chain((0..2).map(|at| noise(4000 + at)))
        .map(f32::to_bits)
        .collect();
    assert_eq!(nobody.bits[last..], untouched, "not even decay moves what nobody uses");
    assert_ne!(two.bits[last..last + 3], untouched[..3]);
}

fn questions() {
    let asks = Part { asks_at: Some((1, 5)), ..Part::cut(3) };
    let told = by_many(&asks, 3);
    assert_eq!(told.asked, Some((5, 1)), "all ranks hear it in the step it was asked in");
}
