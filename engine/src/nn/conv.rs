//! Two-dimensional convolution.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::init::{Initializer, WeightInit};
use super::kernels::{Convolution, conv2d};

/// How a convolution with a square kernel walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Input channels.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Step of the kernel in both directions.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Distance of the kernel's places from each other.
    pub dilation: usize,
    /// Blocks of channels that see each other alone; as many as input channels make it depthwise.
    pub groups: usize,
}

impl ConvGeometry {
    /// Stride 1, padded so that an odd kernel keeps the size.
    pub const fn new(in_channels: usize, out_channels: usize, kernel: usize) -> Self {
        Self { in_channels, out_channels, kernel, stride: 1, padding: kernel / 2, dilation: 1, groups: 1 }
    }

    /// The same with another stride.
    #[must_use]
    pub const fn with_stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// The same with other zeros on each side.
    #[must_use]
    pub const fn with_padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// The same with its places apart, padded so that an odd kernel keeps the size.
    #[must_use]
    pub const fn with_dilation(self, dilation: usize) -> Self {
        Self { dilation, padding: self.kernel / 2 * dilation, ..self }
    }

    /// The same in blocks of channels, which must divide both channels.
    #[must_use]
    pub const fn with_groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }
}

/// Whether a convolution adds a bias, and where it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bias {
    /// None, as before a normalisation.
    Absent,
    /// One value per output channel, at zero.
    Zero,
    /// One value per output channel, uniform within ± sqrt(1 / fan in): `torch.nn.Conv2d` left alone.
    TorchDefault,
}

/// `torch.nn.Conv2d`.
#[derive(Module, Debug)]
pub struct Conv2d {
    weight: Param<Tensor<4>>,
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    of: Convolution,
}

impl Conv2d {
    /// Draws the weights.
    pub fn new(geometry: ConvGeometry, weight: WeightInit, bias: Bias, init: &mut Initializer) -> Self {
        let ConvGeometry { in_channels, out_channels, kernel, stride, padding, dilation, groups } = geometry;
        let weight = init.weight([out_channels, in_channels / groups, kernel, kernel], weight);
        let bias = match bias {
            Bias::Absent => None,
            Bias::Zero => Some(init.constant(out_channels, 0.0)),
            Bias::TorchDefault => {
                let fan_in = in_channels / groups * kernel * kernel;
                Some(init.uniform_vector(out_channels, (1.0 / fan_in as f64).sqrt()))
            }
        };
        let of = Convolution { stride: [stride; 2], padding: [padding; 2], dilation: [dilation; 2], groups };
        Self { weight, bias, of }
    }

    /// # Shapes
    /// - `x`: `[batch, in_channels, height, width]`
    /// - returns `[batch, out_channels, height / stride, width / stride]` (with `kernel / 2` padding, rounded up)
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        conv2d(x, self.weight.val(), self.bias.as_ref().map(Param::val), self.of)
    }
}
