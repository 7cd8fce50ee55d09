//! Dropout.

use burn::module::{Flag, Module, Param};
use burn::tensor::{Tensor, TensorData};

use super::init::Initializer;
use super::noise::Noise;
use super::precision::cast;

/// What is dropped as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Value,
    Channel,
}

/// `torch.nn.Dropout` and `torch.nn.Dropout2d`.
///
/// Training is on as for [`BatchNorm2d`](super::BatchNorm2d). What is dropped follows from the pass, see
/// [`Noise`](super::Noise), and is drawn on the host: it is the same on every device. PyTorch drops others.
///
/// # Sources
/// Srivastava et al. 2014, Dropout; Tompson et al. 2015, Efficient Object Localization Using Convolutional Networks (whole
/// channels).
#[derive(Module, Debug)]
pub struct Dropout {
    #[module(skip)]
    unit: Unit,
    #[module(skip)]
    rate: f64,
    #[module(skip)]
    noise: Noise,
    training: Param<Flag>,
}

impl Dropout {
    /// Drops the share `rate` of the values, which is below 1.
    pub fn of_values(rate: f64, init: &mut Initializer) -> Self {
        Self::new(Unit::Value, rate, init)
    }

    /// Drops the share `rate`, which is below 1, of the channels of each sample, whole.
    pub fn of_channels(rate: f64, init: &mut Initializer) -> Self {
        Self::new(Unit::Channel, rate, init)
    }

    fn new(unit: Unit, rate: f64, init: &mut Initializer) -> Self {
        Self { unit, rate, noise: init.noise(), training: init.training_flag() }
    }

    /// # Shapes
    /// - `x`: `[batch, channels, height, width]`
    /// - returns the same
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        if !(x.device().is_autodiff() && self.training.is_enabled()) {
            return x;
        }
        let [batch, channels, height, width] = x.dims();
        let shape = match self.unit {
            Unit::Value => [batch, channels, height, width],
            Unit::Channel => [batch, channels, 1, 1],
        };
        let factors = self.noise.kept(shape.iter().product(), self.rate);
        let factors = Tensor::from_data(TensorData::new(factors, shape), &x.device());
        let factors = cast(factors, x.dtype());
        x * factors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{BackendName, ComputeDevice};
    use crate::nn::TrainingPass;

    fn read(x: Tensor<4>) -> Vec<f32> {
        x.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn it_drops_what_the_batch_says_and_nothing_outside_of_training() {
        let mut of_all = Vec::new();
        for device in BackendName::ALL.into_iter().filter_map(|name| name.device(ComputeDevice::Cpu).ok()) {
            let device = device.autodiff();
            let mut init = Initializer::new(0, &device);
            let (values, channels) =
                (Dropout::of_values(0.5, &mut init), Dropout::of_channels(0.5, &mut init));
            init.noise().begin(TrainingPass { seed: 1, epoch: 2, batch: 3, rank: 0 });
            let x = Tensor::<4>::ones([2, 8, 3, 3], &device).require_grad();
            let y = values.forward(x.clone());
            let gradients = y.clone().sum().backward();
            let (y, gradient) = (read(y), read(x.grad(&gradients).unwrap()));
            assert_eq!(y, gradient, "what is dropped takes no gradient");
            assert!(y.contains(&0.0) && y.contains(&2.0));

            let whole = read(channels.forward(x.clone()));
            assert!(whole.chunks(9).all(|channel| channel.iter().all(|value| *value == channel[0])));
            assert!(whole.contains(&0.0) && whole.contains(&2.0));
            of_all.push((y, whole));

            let evaluated = values.valid().forward(x.without_autodiff());
            assert!(read(evaluated).iter().all(|value| *value == 1.0));
        }
        assert!(of_all.iter().all(|other| *other == of_all[0]), "the same on every backend");
    }
}
