//! Leaving out the residual path of whole samples while training.

use burn::module::{Flag, Module, Param};
use burn::tensor::{Tensor, TensorData};

use super::init::Initializer;
use super::noise::Noise;
use super::precision::cast;

/// Stochastic depth: while training, a sample's path is left out with a probability, and scaled up where it is not; else
/// nothing happens.
///
/// It trains as [`BatchNorm2d`](super::BatchNorm2d) does: where the input lies on an autodiff device and the layer is
/// not frozen.
///
/// # Sources
/// Huang et al. 2016, Deep Networks with Stochastic Depth; smp 0.6's `drop_connect` and timm's `drop_path`, which scale
/// by the reciprocal of what is kept.
#[derive(Module, Debug)]
pub struct DropPath {
    training: Param<Flag>,
    #[module(skip)]
    noise: Noise,
    #[module(skip)]
    rate: f64,
}

impl DropPath {
    /// Leaves out the share `rate`, which is below 1.
    pub fn new(rate: f64, init: &mut Initializer) -> Self {
        Self { training: init.training_flag(), noise: init.noise(), rate }
    }

    /// # Shapes
    /// - `x`: `[batch, ...]`
    /// - returns the same
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let device = x.device();
        if self.rate <= 0.0 || !device.is_autodiff() || !self.training.is_enabled() {
            return x;
        }
        let mut shape = [1; D];
        shape[0] = x.dims()[0];
        let scales = TensorData::new(self.noise.kept(shape[0], self.rate), shape);
        let scales = cast(Tensor::from_data(scales, &device), x.dtype());
        x * scales
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{BackendName, ComputeDevice};
    use crate::nn::TrainingPass;

    fn read(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn whole_samples_are_left_out_alike_on_every_backend_and_only_while_training() {
        let mut of_all = Vec::new();
        for device in BackendName::ALL.into_iter().filter_map(|name| name.device(ComputeDevice::Cpu).ok()) {
            let mut init = Initializer::new(5, &device.clone().autodiff());
            let (layer, never) = (DropPath::new(0.5, &mut init), DropPath::new(0.0, &mut init));
            let x = Tensor::<4>::ones([32, 2, 3, 1], &device.clone().autodiff()).require_grad();
            init.noise().begin(TrainingPass { seed: 1, epoch: 0, batch: 0, rank: 0 });
            let y = layer.forward(x.clone());
            let gradients = y.clone().sum().backward();
            let values = read(y);
            assert_eq!(read(x.grad(&gradients).unwrap()), values, "the gradient goes where the values went");
            let (samples, _) = values.as_chunks::<6>();
            let kept = samples.iter().filter(|sample| **sample == [2.0; 6]).count();
            let dropped = samples.iter().filter(|sample| **sample == [0.0; 6]).count();
            assert_eq!(kept + dropped, 32);
            assert!((6..=26).contains(&kept), "{kept} of 32 kept");

            assert_eq!(read(never.forward(x.clone())), [1.0; 192]);
            assert_eq!(read(layer.valid().forward(x.clone().without_autodiff())), [1.0; 192]);
            of_all.push(values);
        }
        assert!(of_all.iter().all(|values| *values == of_all[0]));
    }
}
