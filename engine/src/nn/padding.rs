//! TensorFlow's padding `SAME`, laid out for one image size.

use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;

use super::conv::ConvGeometry;

/// Zeros before and after the height and the width, fixed when a network is built.
///
/// # Sources
/// smp 0.6, `encoders._efficientnet.Conv2dStaticSamePadding`: what `SAME` gives at the image size the published network
/// was made for, whatever the image's size is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamePadding {
    before: usize,
    after: usize,
}

impl SamePadding {
    /// What a kernel that walks so needs for an image of `size` by `size` to become `size / stride`, rounded up.
    pub const fn new(size: usize, kernel: usize, stride: usize) -> Self {
        let reach = (size.div_ceil(stride) - 1) * stride + kernel;
        let all = reach.saturating_sub(size);
        Self { before: all / 2, after: all - all / 2 }
    }

    /// The geometry that adds these zeros itself where it can, and those that are left to be
    /// [put around](SamePadding::surround) the image before.
    pub const fn into_geometry(self, geometry: ConvGeometry) -> (ConvGeometry, Option<Self>) {
        if self.before == self.after {
            (geometry.with_padding(self.before), None)
        } else {
            (geometry.with_padding(0), Some(self))
        }
    }

    /// `x` with these zeros around it.
    pub fn surround(self, x: Tensor<4>) -> Tensor<4> {
        let Self { before, after } = self;
        x.pad((before, after, before, after), PadMode::Constant(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes along efficientnet-b0 (224), -b1 (240) and -b2 (260), as smp's layers print them.
    #[test]
    fn the_zeros_are_those_of_same_at_the_size_of_the_published_network() {
        for (size, kernel, stride, before, after) in [
            (224, 3, 2, 0, 1),
            (56, 5, 2, 1, 2),
            (14, 5, 2, 1, 2),
            (15, 5, 2, 2, 2),
            (65, 5, 2, 2, 2),
            (33, 3, 2, 1, 1),
            (112, 3, 1, 1, 1),
            (28, 1, 1, 0, 0),
        ] {
            assert_eq!(SamePadding::new(size, kernel, stride), SamePadding { before, after }, "{size}");
        }
    }
}
