//! Batch normalisation with running statistics.

use burn::module::{Flag, Module, Param, RunningState};
use burn::tensor::Tensor;

use super::init::Initializer;
use super::kernels::{batch_norm_eval, batch_norm_train};

/// Weight of a batch in the running statistics: PyTorch's default.
const MOMENTUM: f64 = 0.1;
/// Added to a variance before its root: PyTorch's default.
const EPSILON: f64 = 1e-5;

/// `torch.nn.BatchNorm2d`.
///
/// Normalises with the batch's own mean and biased variance while training, and with the running ones
/// otherwise. The running variance takes the unbiased variance, as PyTorch's does and burn's does not.
///
/// Training is on where the input lies on an autodiff device and the layer is not frozen; so
/// `Module::valid` gives a model that evaluates. Clones of a layer share their running statistics,
/// `valid` copies them.
///
/// # Sources
/// Ioffe and Szegedy 2015, Batch Normalization, algorithms 1 and 2.
#[derive(Module, Debug)]
pub struct BatchNorm2d {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    running_mean: RunningState<Tensor<1>>,
    running_var: RunningState<Tensor<1>>,
    training: Param<Flag>,
    #[module(skip)]
    epsilon: f64,
    #[module(skip)]
    momentum: f64,
}

impl BatchNorm2d {
    /// Scale 1, shift 0, running mean 0, running variance 1; epsilon and momentum as PyTorch has them.
    pub fn new(channels: usize, init: &mut Initializer) -> Self {
        Self {
            weight: init.constant(channels, 1.0),
            bias: init.constant(channels, 0.0),
            running_mean: init.buffer(channels, 0.0),
            running_var: init.buffer(channels, 1.0),
            training: init.training_flag(),
            epsilon: EPSILON,
            momentum: MOMENTUM,
        }
    }

    /// The same with something else added to a variance before its root.
    #[must_use]
    pub fn with_epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// The same with another weight of a batch in the running statistics.
    #[must_use]
    pub fn with_momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// # Shapes
    /// - `x`: `[batch, channels, height, width]`
    /// - returns the same
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        if x.device().is_autodiff() && self.training.is_enabled() {
            self.forward_train(x)
        } else {
            self.forward_eval(x)
        }
    }

    fn forward_eval(&self, x: Tensor<4>) -> Tensor<4> {
        let running = [self.running_mean.value(), self.running_var.value()];
        batch_norm_eval(x, [self.weight.val(), self.bias.val()], running, self.epsilon)
    }

    fn forward_train(&self, x: Tensor<4>) -> Tensor<4> {
        let running = [self.running_mean.value_sync(), self.running_var.value_sync()];
        let affine = [self.weight.val(), self.bias.val()];
        let normalised = batch_norm_train(x, affine, running, self.momentum, self.epsilon);
        keep(&self.running_mean, normalised.running_mean);
        keep(&self.running_var, normalised.running_var);
        normalised.output
    }
}

/// Sets a running statistic. Reading it back at once folds the update in, so that a visitor, which does not, sees it.
fn keep(running: &RunningState<Tensor<1>>, value: Tensor<1>) {
    running.update(value);
    running.value_sync();
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::backend::{BackendName, ComputeDevice};

    fn assert_close(got: &Tensor<1>, expected: f64) {
        let got = f64::from(got.clone().into_scalar::<f32>());
        assert!((got - expected).abs() < 1e-6, "{got}, not {expected}");
    }

    /// One channel, values 1, 2, 3, 6: mean 3, biased variance 3.5, unbiased 14 / 3.
    #[test]
    fn training_normalises_by_the_batch_and_moves_the_statistics_as_pytorch_does() {
        for device in BackendName::ALL.into_iter().filter_map(|name| name.device(ComputeDevice::Cpu).ok()) {
            let device = device.autodiff();
            let layer = BatchNorm2d::new(1, &mut Initializer::new(0, &device));
            let x = Tensor::from_data(TensorData::new(vec![1.0_f32, 2.0, 3.0, 6.0], [2, 1, 1, 2]), &device);
            let y = layer.forward(x.clone()).into_data().try_into_vec::<f32>().unwrap();
            for (got, expected) in y.into_iter().zip([-2.0, -1.0, 0.0, 3.0]) {
                let expected = expected / (3.5_f64 + EPSILON).sqrt();
                assert!((f64::from(got) - expected).abs() < 1e-6, "{got}, not {expected}");
            }
            assert_close(&layer.running_mean.value(), 0.3);
            assert_close(&layer.running_var.value(), 0.9 + 0.1 * 14.0 / 3.0);

            let evaluated = layer.valid();
            let y = evaluated.forward(x.without_autodiff()).into_data().try_into_vec::<f32>().unwrap();
            let expected = (6.0 - 0.3) / (0.9 + 0.1 * 14.0 / 3.0 + EPSILON).sqrt();
            assert!((f64::from(y[3]) - expected).abs() < 1e-5, "{}, not {expected}", y[3]);
            assert_close(&evaluated.running_mean.value(), 0.3);
        }
    }
}
