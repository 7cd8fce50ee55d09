//! Torch's kernels and burn's operations give the same values and gradients.

use burn::tensor::{Device, TensorData};
use proptest::prelude::*;

use super::*;
use crate::backend::{BackendName, ComputeDevice};

/// Rounding of sums of some hundred products of numbers around 1.
const TOLERANCE: f32 = 2e-4;

/// Every backend of this build, with autodiff.
fn devices() -> Vec<Device> {
    let devices = BackendName::ALL.into_iter().filter_map(|name| name.device(ComputeDevice::Cpu).ok());
    devices.map(Device::autodiff).collect()
}

/// Numbers around 0 that look random and are the same everywhere.
fn numbers<const D: usize>(shape: [usize; D], seed: u32, device: &Device) -> Tensor<D> {
    let values = (0..shape.iter().product::<usize>() as u32).map(|at| {
        let mixed = (at ^ seed.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B).rotate_left(13);
        mixed.wrapping_mul(0xC2B2_AE35) as f32 / u32::MAX as f32 * 2.0 - 1.0
    });
    Tensor::from_data(TensorData::new(values.collect(), shape), device)
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn assert_alike(all: &[Vec<Vec<f32>>], names: &[&str]) {
    let Some((first, others)) = all.split_first() else { return };
    for other in others {
        for ((ours, theirs), name) in other.iter().zip(first).zip(names) {
            assert_eq!(ours.len(), theirs.len(), "{name}");
            for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
                assert!((a - b).abs() <= TOLERANCE * (1.0 + b.abs()), "{name}[{at}]: {a} and {b}");
            }
        }
    }
}

/// Output and gradients of a convolution, weighted so that every output counts differently.
fn convolved(device: &Device, shape: [usize; 4], weight: [usize; 4], of: Convolution) -> Vec<Vec<f32>> {
    let x = numbers(shape, 1, device).require_grad();
    let weight = laid_out(numbers(weight, 2, device)).require_grad();
    let bias = numbers([weight.dims()[0]], 3, device).require_grad();
    let y = conv2d(x.clone(), weight.clone(), Some(bias.clone()), of);
    let gradients = (y.clone() * numbers(y.dims(), 4, device)).sum().backward();
    vec![
        read(y),
        read(x.grad(&gradients).unwrap()),
        read(weight.grad(&gradients).unwrap()),
        read(bias.grad(&gradients).unwrap()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_convolution_has_the_same_values_and_gradients(
        (batch, groups, inputs, outputs) in (1..3_usize, 1..3_usize, 1..4_usize, 1..4_usize),
        (kernel, stride, padding, dilation) in (1..4_usize, 1..3_usize, 0..2_usize, 1..3_usize),
        (height, width) in (7..11_usize, 7..11_usize),
    ) {
        let of = Convolution {
            stride: [stride, stride],
            padding: [padding, padding],
            dilation: [dilation, dilation],
            groups,
        };
        let (shape, weight) =
            ([batch, inputs * groups, height, width], [outputs * groups, inputs, kernel, kernel]);
        let all: Vec<_> = devices().iter().map(|device| convolved(device, shape, weight, of)).collect();
        assert_alike(&all, &["output", "gradient of the input", "of the weight", "of the bias"]);
    }
}

#[test]
fn a_batch_normalisation_has_the_same_values_and_gradients() {
    // The last is one value a channel, which has no spread.
    for shape in [[2, 3, 4, 5], [4, 1, 8, 8], [1, 2, 1, 1]] {
        let channels = [shape[1]];
        let all: Vec<_> = devices()
            .iter()
            .map(|device| {
                let x = numbers(shape, 1, device).require_grad();
                let affine = [2, 3].map(|seed| numbers(channels, seed, device).require_grad());
                let running = [numbers(channels, 4, device), numbers(channels, 5, device).abs()];
                let made = batch_norm_train(x.clone(), affine.clone(), running.clone(), 0.1, 1e-5);
                let gradients = (made.output.clone() * numbers(shape, 6, device)).sum().backward();
                let [weight, bias] = affine;
                let evaluated = batch_norm_eval(
                    x.clone().inner(),
                    [weight.clone().inner(), bias.clone().inner()],
                    running.map(Tensor::inner),
                    1e-5,
                );
                vec![
                    read(made.output),
                    read(made.running_mean),
                    read(made.running_var),
                    read(x.grad(&gradients).unwrap()),
                    read(weight.grad(&gradients).unwrap()),
                    read(bias.grad(&gradients).unwrap()),
                    read(evaluated),
                ]
            })
            .collect();
        let names =
            ["output", "running mean", "running variance", "of x", "of scale", "of shift", "evaluated"];
        assert_alike(&all, &names);
    }
}

/// What was given in stays as it was, whoever writes where.
#[test]
fn a_relu_has_the_same_gradient_and_spares_what_others_hold() {
    let all: Vec<_> = devices()
        .iter()
        .map(|device| {
            let x = numbers([2, 3, 4, 4], 1, device).require_grad();
            let between = x.clone() * 2.0;
            let (one, other) = (relu(between.clone()), relu(between.clone().neg()));
            let gradients = (one.clone() * 3.0 + other.clone() * between.clone()).sum().backward();
            vec![read(x.grad(&gradients).unwrap()), read(between), read(one), read(other), read(x)]
        })
        .collect();
    assert_alike(&all, &["gradient", "input", "output", "output of the negative", "leaf"]);
}

/// Values on both sides of every bend, what was given in stays as it was.
#[test]
fn a_relu6_and_a_silu_have_the_same_gradients_and_spare_what_others_hold() {
    for activation in [relu6, silu] {
        let all: Vec<_> = devices()
            .iter()
            .map(|device| {
                let x = numbers([2, 3, 4, 4], 1, device).require_grad();
                let between = x.clone() * 9.0;
                let (one, other) = (activation(between.clone()), activation(between.clone().neg()));
                let gradients = (one.clone() * 3.0 + other.clone() * between.clone()).sum().backward();
                vec![read(x.grad(&gradients).unwrap()), read(between), read(one), read(other), read(x)]
            })
            .collect();
        assert_alike(&all, &["gradient", "input", "output", "output of the negative", "leaf"]);
        assert!(all[0][2].iter().all(|value| (-0.3..9.0).contains(value)));
    }
}

/// Slopes by differences: what is alike on all backends need not be right.
#[test]
fn the_slopes_of_relu6_and_silu_are_those_of_their_values() {
    let points = [-7.0_f32, -1.3, -0.2, 0.4, 2.0, 5.9, 6.2, 8.0];
    for device in devices() {
        for activation in [relu6, silu] {
            let at = |shift: f32| {
                let values = points.iter().map(|point| point + shift).collect();
                Tensor::<4>::from_data(TensorData::new(values, [1, 1, 2, 4]), &device)
            };
            let x = at(0.0).require_grad();
            let gradients = activation(x.clone()).sum().backward();
            let step = 0.01;
            let rise = read((activation(at(step)) - activation(at(-step))).div_scalar(2.0 * step));
            for (slope, expected) in read(x.grad(&gradients).unwrap()).into_iter().zip(rise) {
                assert!((slope - expected).abs() < 1e-3, "{slope}, not {expected}, on {device:?}");
            }
        }
    }
}

#[test]
fn what_is_enlarged_and_joined_has_the_same_values_and_gradients() {
    // Twice the size, as the loops of our own take it; another one; twice it with the channels outermost.
    for (from, to, channels_last) in
        [([4, 6], [8, 12], true), ([3, 5], [7, 9], true), ([4, 6], [8, 12], false)]
    {
        let all: Vec<_> = devices()
            .iter()
            .map(|device| {
                let lay = |tensor: Tensor<4>| if channels_last { laid_out(tensor) } else { tensor };
                let x = lay(numbers([2, 5, from[0], from[1]], 1, device)).require_grad();
                let skip = lay(numbers([2, 3, to[0], to[1]], 2, device)).require_grad();
                let joined = upsample_join(x.clone(), skip.clone());
                let weights = lay(numbers(joined.dims(), 3, device));
                let gradients = (joined.clone() * weights).sum().backward();
                vec![read(joined), read(x.grad(&gradients).unwrap()), read(skip.grad(&gradients).unwrap())]
            })
            .collect();
        assert_alike(&all, &["joined", "gradient of what was enlarged", "of what was joined"]);
    }
}

#[test]
fn adamw_moves_all_backends_alike_and_spares_what_others_hold() {
    let shape = [4, 3, 3, 3];
    let all: Vec<_> = devices()
        .into_iter()
        .map(|device| {
            let device = device.without_autodiff();
            let (mut parameter, mut moments) = (laid_out(numbers(shape, 1, &device)), None);
            let first = parameter.clone();
            let before = read(first.clone());
            let mut held = Vec::new();
            for step in 1..=3 {
                let gradient = numbers(shape, 10 + step as u32, &device);
                let constants = AdamWStep {
                    step,
                    learning_rate: 0.1,
                    beta1: 0.9,
                    beta2: 0.999,
                    epsilon: 1e-8,
                    weight_decay: 0.01,
                };
                let moved = adamw(parameter, gradient, moments, constants);
                // A clone of a state in between: the next step must leave it alone.
                held.push((moved.mean.clone(), read(moved.mean.clone())));
                parameter = moved.parameter;
                moments = Some([moved.mean, moved.square]);
            }
            assert_eq!(read(first), before, "{device:?}");
            held.into_iter().for_each(|(mean, then)| assert_eq!(read(mean), then, "{device:?}"));
            let [mean, square] = moments.unwrap();
            vec![read(parameter), read(mean), read(square)]
        })
        .collect();
    assert_alike(&all, &["parameter", "mean", "square"]);
}

/// The order in which values are read does not hang on how they lie.
#[test]
fn a_weight_keeps_its_values_when_it_is_laid_out() {
    for device in devices() {
        for shape in [[3, 4, 3, 3], [5, 1, 1, 1], [1, 2, 7, 7]] {
            let plain = numbers(shape, 7, &device);
            assert_eq!(read(laid_out(plain.clone())), read(plain), "{device:?}");
        }
        let vector = numbers([6], 8, &device);
        assert_eq!(read(laid_out(vector.clone())), read(vector));
    }
}

#[cfg(feature = "tch")]
#[test]
fn a_refused_shape_is_told_in_torchs_words() {
    let device = BackendName::Tch.device(ComputeDevice::Cpu).unwrap();
    let of = Convolution { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };
    let refused = std::panic::catch_unwind(|| {
        conv2d(numbers([1, 2, 4, 4], 1, &device), numbers([1, 3, 3, 3], 2, &device), None, of)
    });
    let text = refused.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("a convolution") && text.contains("channels"), "{text}");
}
