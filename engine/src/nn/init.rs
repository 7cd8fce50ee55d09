//! Initial weights as PyTorch draws them, from a generator that stays the same everywhere.

use burn::module::{Flag, Param, ParamId, RunningState};
use burn::tensor::{Device, Tensor, TensorData};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use super::kernels::laid_out;
use super::noise::Noise;

/// Distribution a weight is drawn from. `fan` counts the kernel's area.
///
/// # Sources
/// He et al. 2015, Delving Deep into Rectifiers, eq. 10 and 14; Glorot and Bengio 2010, eq. 16;
/// Dosovitskiy et al. 2020, An Image Is Worth 16x16 Words (its code); `torch.nn.init` for which fan and which gain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightInit {
    /// Normal with variance 2 / fan out: torchvision's residual networks.
    KaimingNormalFanOut,
    /// Uniform within ± sqrt(6 / fan in): smp's decoders.
    KaimingUniformFanIn,
    /// Uniform within ± sqrt(6 / (fan in + fan out)): smp's heads.
    XavierUniform,
    /// Uniform within ± sqrt(1 / fan in): `torch.nn.Conv2d` left alone.
    TorchDefault,
    /// Normal with variance 2 / area: what [`WeightInit::KaimingNormalFanOut`] is where each channel has its own kernel, if
    /// the fan out is that of a channel.
    KaimingNormalDepthwise,
    /// Normal with deviation 0.02: vision transformers.
    Normal002,
}

/// Deviation of [`WeightInit::Normal002`].
const TRANSFORMER_DEVIATION: f64 = 0.02;

/// Makes the parameters of a model, one after another.
///
/// Values come from xoshiro256++ on the host and not from the backend, in order of construction.
#[derive(Debug)]
pub struct Initializer {
    generator: Xoshiro256PlusPlus,
    spare_normal: Option<f64>,
    next_id: u64,
    device: Device,
    noise: Noise,
    outlines: bool,
}

impl Initializer {
    /// Starts at `seed`; parameters come to lie on `device`.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self {
            generator: Xoshiro256PlusPlus::seed_from_u64(seed),
            spare_normal: None,
            next_id: 1,
            device: device.clone(),
            noise: Noise::new(seed),
            outlines: false,
        }
    }

    /// One whose parameters have a shape and no values: for naming and counting them. Nothing is drawn, and no memory is
    /// taken but for running statistics.
    pub fn outline(device: &Device) -> Self {
        Self { outlines: true, ..Self::new(0, device) }
    }

    /// A trainable convolution kernel `[out, in / groups, height, width]`, or a matrix `[out, in]`.
    pub fn weight<const D: usize>(&mut self, shape: [usize; D], init: WeightInit) -> Param<Tensor<D>> {
        const { assert!(D >= 2, "a weight has outputs and inputs") };
        let area: usize = shape[2..].iter().product();
        let fan_in = (shape[1] * area) as f64;
        let fan_out = (shape[0] * area) as f64;
        let count = shape.iter().product();
        let values: Vec<f32> = match init {
            _ if self.outlines => return self.outlined(shape),
            WeightInit::KaimingNormalFanOut => {
                let deviation = (2.0 / fan_out).sqrt();
                self.normals(count, deviation)
            }
            WeightInit::KaimingUniformFanIn => self.uniform(count, (6.0 / fan_in).sqrt()),
            WeightInit::XavierUniform => self.uniform(count, (6.0 / (fan_in + fan_out)).sqrt()),
            WeightInit::TorchDefault => self.uniform(count, (1.0 / fan_in).sqrt()),
            WeightInit::KaimingNormalDepthwise => self.normals(count, (2.0 / area as f64).sqrt()),
            WeightInit::Normal002 => self.normals(count, TRANSFORMER_DEVIATION),
        };
        self.parameter(TensorData::new(values, shape))
    }

    /// A trainable vector filled with `value`.
    pub fn constant(&mut self, length: usize, value: f32) -> Param<Tensor<1>> {
        self.parameter(TensorData::new(vec![value; length], [length]))
    }

    /// A trainable vector drawn uniformly within ± `bound`.
    pub fn uniform_vector(&mut self, length: usize, bound: f64) -> Param<Tensor<1>> {
        let values = self.uniform(length, bound);
        self.parameter(TensorData::new(values, [length]))
    }

    /// What the layers of this model draw from while training.
    pub fn noise(&self) -> Noise {
        self.noise.clone()
    }

    /// A vector filled with `value` that is kept with the model, but not trained.
    pub fn buffer(&mut self, length: usize, value: f32) -> RunningState<Tensor<1>> {
        let id = self.id();
        RunningState::with_id(id, Tensor::full([length], value, &self.device))
    }

    /// A tensor that is computed with, but neither trained nor kept with the model.
    pub fn table<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    /// The flag that lets a layer behave as in training.
    pub fn training_flag(&mut self) -> Param<Flag> {
        Param::initialized(self.id(), Flag::new(true))
    }

    fn parameter<const D: usize>(&mut self, data: TensorData) -> Param<Tensor<D>> {
        if self.outlines {
            let shape = std::array::from_fn(|dimension| data.shape()[dimension]);
            return self.outlined(shape);
        }
        let mut param = Param::from_tensor(laid_out(Tensor::from_data(data, &self.device)));
        param.id = self.id();
        param
    }

    /// A parameter that comes to be, at zero, if anybody asks for its values.
    fn outlined<const D: usize>(&mut self, shape: [usize; D]) -> Param<Tensor<D>> {
        let zeros = move |device: &Device, is_trained: bool| {
            let zeros = Tensor::zeros(shape, device);
            if is_trained { zeros.require_grad() } else { zeros }
        };
        Param::uninitialized(self.id(), zeros, self.device.clone(), true, shape.into())
    }

    fn id(&mut self) -> ParamId {
        let id = ParamId::from(self.next_id);
        self.next_id += 1;
        id
    }

    /// The 53 high bits of a draw, in [0, 1).
    fn unit(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn uniform(&mut self, count: usize, bound: f64) -> Vec<f32> {
        (0..count).map(|_| ((2.0 * self.unit() - 1.0) * bound) as f32).collect()
    }

    fn normals(&mut self, count: usize, deviation: f64) -> Vec<f32> {
        (0..count).map(|_| (self.normal() * deviation) as f32).collect()
    }

    /// Standard normal by Box and Muller's transform, two at a time.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * self.unit()).sin_cos();
        self.spare_normal = Some(radius * sine);
        radius * cosine
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{BackendName, ComputeDevice};

    fn drawn(init: WeightInit, seed: u64) -> Vec<f32> {
        let device = BackendName::best(ComputeDevice::Cpu).unwrap().device(ComputeDevice::Cpu).unwrap();
        let weight = Initializer::new(seed, &device).weight([64, 16, 3, 3], init);
        weight.val().into_data().try_into_vec::<f32>().unwrap()
    }

    fn deviation(values: &[f32]) -> f64 {
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    /// Standard deviations by the formulas, over 9216 draws: 3 % is four times the sampling error.
    #[test]
    fn each_distribution_has_its_spread() {
        let cases = [
            (WeightInit::KaimingNormalFanOut, (2.0_f64 / 576.0).sqrt()),
            (WeightInit::KaimingUniformFanIn, (6.0_f64 / 144.0 / 3.0).sqrt()),
            (WeightInit::XavierUniform, (6.0_f64 / 720.0 / 3.0).sqrt()),
            (WeightInit::TorchDefault, (1.0_f64 / 144.0 / 3.0).sqrt()),
            (WeightInit::KaimingNormalDepthwise, (2.0_f64 / 9.0).sqrt()),
            (WeightInit::Normal002, 0.02),
        ];
        for (init, expected) in cases {
            let got = deviation(&drawn(init, 3));
            assert!((got / expected - 1.0).abs() < 0.03, "{init:?}: {got} instead of {expected}");
        }
    }

    /// The first values of seed 42, as xoshiro256++ seeded through splitmix64 gives them elsewhere too: another
    /// generator would change every result.
    #[test]
    fn the_values_of_a_seed_never_change() {
        let uniform = drawn(WeightInit::TorchDefault, 42);
        let normal = drawn(WeightInit::KaimingNormalFanOut, 42);
        assert_eq!(uniform[..3], [0.052_384_19, -0.030_196_493, 0.080_649_026]);
        assert_eq!(normal[..3], [-0.045_313_35, 0.098_176_97, -0.051_173_676]);
    }
}
