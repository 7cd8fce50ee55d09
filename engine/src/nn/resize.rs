//! Bilinear resizing and averaging over a grid: both are a weighted sum along the rows and one along the columns.
//!
//! On the processor burn's operations are one kernel each, gradient included. On GPUs torch's gradients of both add up in whatever
//! order threads come, so that two runs of one seed would differ; there both are two matrix products, whose sums have one order.

use burn::tensor::module::{adaptive_avg_pool2d, interpolate};
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::kernels::computes_on_processor;
use super::pooling::global_average;
use super::precision::cast;

/// Which places of the input the corners of a resized image are: torch's `align_corners`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corners {
    /// The middles of the corner pixels stay where they are.
    Aligned,
    /// The outer edges of the image stay where they are.
    Edges,
}

/// `torch.nn.functional.interpolate(mode="bilinear")` to `[height, width]`.
///
/// # Shapes
/// - `x`: `[batch, channels, h, w]`
/// - returns `[batch, channels, height, width]`
pub fn resize_bilinear(x: Tensor<4>, size: [usize; 2], corners: Corners) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    if [height, width] == size {
        return x;
    }
    if [height, width] == [1, 1] {
        return x.expand([batch, channels, size[0], size[1]]);
    }
    if computes_on_processor(&x.device()) {
        let options = InterpolateOptions::new(InterpolateMode::Bilinear)
            .with_align_corners(corners == Corners::Aligned)
            .with_output_size(size);
        return interpolate(x, options);
    }
    along_both(x, |from, to| bilinear(from, to, corners), size)
}

/// `torch.nn.functional.adaptive_avg_pool2d`: means over a grid of `[height, width]` fields, which overlap where the size is no
/// multiple.
///
/// # Shapes
/// - `x`: `[batch, channels, h, w]`
/// - returns `[batch, channels, height, width]`
pub fn average_pool(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    if size == [1, 1] {
        return global_average(x);
    }
    if computes_on_processor(&x.device()) {
        return adaptive_avg_pool2d(x, size);
    }
    along_both(x, averages, size)
}

/// The weights `[to, from]` of the sums along one direction, row by row.
fn bilinear(from: usize, to: usize, corners: Corners) -> Vec<f32> {
    let last = from - 1;
    let mut weights = vec![0.0; to * from];
    for (place, row) in weights.chunks_exact_mut(from).enumerate() {
        let at = match corners {
            Corners::Aligned => place as f64 * last as f64 / (to - 1).max(1) as f64,
            Corners::Edges => ((place as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0),
        };
        let below = (at as usize).min(last);
        let share = at - below as f64;
        row[below] += (1.0 - share) as f32;
        row[(below + 1).min(last)] += share as f32;
    }
    weights
}

fn averages(from: usize, to: usize) -> Vec<f32> {
    let mut weights = vec![0.0; to * from];
    for (place, row) in weights.chunks_exact_mut(from).enumerate() {
        let (first, end) = (place * from / to, ((place + 1) * from).div_ceil(to));
        row[first..end].fill(1.0 / (end - first) as f32);
    }
    weights
}

/// Sums with these weights along the columns, then along the rows; in 32 bits, and given back in the type of `x`.
fn along_both(x: Tensor<4>, weights: impl Fn(usize, usize) -> Vec<f32>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let (dtype, device) = (x.dtype(), x.device());
    let matrix = |from, to, device: &Device| -> Tensor<4> {
        Tensor::from_data(TensorData::new(weights(from, to), [1, 1, to, from]), device)
    };
    let x = cast(x, DType::F32);
    let x = if width == size[1] { x } else { x.matmul(matrix(width, size[1], &device).swap_dims(2, 3)) };
    let x = if height == size[0] { x } else { matrix(height, size[0], &device).matmul(x) };
    cast(x, dtype)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{BackendName, ComputeDevice};
    use crate::nn::golden::{Golden, devices, read, skipped, weighted};

    /// Both ways give torch's values, on every backend.
    fn check(layer: &str, ways: [&dyn Fn(Tensor<4>, [usize; 2]) -> Tensor<4>; 2]) {
        for case in Golden::cases(layer) {
            for device in devices() {
                for way in ways {
                    let x = case.input(&device);
                    case.check(&x, way(x.clone(), case.size()));
                }
            }
        }
    }

    #[test]
    fn resizing_has_torchs_values_and_gradients() {
        for (layer, corners) in [("bilinear_aligned", Corners::Aligned), ("bilinear_edges", Corners::Edges)] {
            check(
                layer,
                [&|x, size| resize_bilinear(x, size, corners), &|x, size| {
                    along_both(x, |from, to| bilinear(from, to, corners), size)
                }],
            );
        }
    }

    #[test]
    fn averaging_has_torchs_values_and_gradients() {
        check("average_pool", [&average_pool, &|x, size| along_both(x, averages, size)]);
    }

    #[test]
    fn sixteen_bits_stay_sixteen_bits() {
        let Ok(device) = BackendName::Tch.device(ComputeDevice::Cpu) else {
            return skipped("libtorch is not in this build");
        };
        let device = device.autodiff();
        let x = Tensor::<4>::ones([1, 2, 4, 4], &device).require_grad();
        let ways: [&dyn Fn(Tensor<4>) -> Tensor<4>; 3] =
            [&|x| resize_bilinear(x, [8, 8], Corners::Aligned), &|x| average_pool(x, [3, 3]), &|x| {
                along_both(x, averages, [3, 3])
            }];
        for way in ways {
            let y = way(cast(x.clone(), DType::BF16));
            assert_eq!(y.dtype(), DType::BF16);
            let (y, gradients) = weighted(cast(y, DType::F32));
            assert!(read(y).iter().all(|value| (value - 1.0).abs() < 0.01));
            assert!(x.grad(&gradients).is_some());
        }
    }
}
