//! The feature map that encoders which begin at a quarter of the image's size do not have.

use burn::tensor::Tensor;

use super::Features;

impl Features {
    /// One deeper: half the image's size, and no channels. It keeps the places of what follows, as smp does it.
    pub(super) fn then_empty(self) -> Self {
        let [batch, _, height, width] = self.deepest.dims();
        let of = (&self.deepest.device(), self.deepest.dtype());
        let empty = Tensor::zeros([batch, 0, height / 2, width / 2], of);
        self.then(empty)
    }
}
