//! Two-dimensional convolution.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::init::{Initializer, WeightInit};
use super::kernels::{Convolution, conv2d};

/// Size and stride of a convolution with a square kernel.
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
}

impl ConvGeometry {
    /// Stride 1, padded so that an odd kernel keeps the size.
    pub const fn new(in_channels: usize, out_channels: usize, kernel: usize) -> Self {
        Self { in_channels, out_channels, kernel, stride: 1, padding: kernel / 2 }
    }

    /// The same with another stride.
    #[must_use]
    pub const fn with_stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }
}

/// Whether a convolution adds a bias; it starts at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bias {
    /// None, as before a normalisation.
    Absent,
    /// One value per output channel.
    Zero,
}

/// `torch.nn.Conv2d`.
#[derive(Module, Debug)]
pub struct Conv2d {
    weight: Param<Tensor<4>>,
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    stride: usize,
    #[module(skip)]
    padding: usize,
}

impl Conv2d {
    /// Draws the weights.
    pub fn new(geometry: ConvGeometry, weight: WeightInit, bias: Bias, init: &mut Initializer) -> Self {
        let ConvGeometry { in_channels, out_channels, kernel, stride, padding } = geometry;
        let weight = init.weight([out_channels, in_channels, kernel, kernel], weight);
        let bias = match bias {
            Bias::Absent => None,
            Bias::Zero => Some(init.constant(out_channels, 0.0)),
        };
        Self { weight, bias, stride, padding }
    }

    /// # Shapes
    /// - `x`: `[batch, in_channels, height, width]`
    /// - returns `[batch, out_channels, height / stride, width / stride]` (with `kernel / 2` padding, rounded up)
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        let of = Convolution { stride, padding, dilation: [1, 1], groups: 1 };
        conv2d(x, self.weight.val(), self.bias.as_ref().map(Param::val), of)
    }
}
