//! What every loss needs to know of a batch.

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Bool, Int, Tensor};

/// Target of a pixel that counts for nothing.
const IGNORED: i32 = 2;
/// Target of a pixel of the class.
const POSITIVE: i32 = 1;

/// A batch: its logits, and which of its pixels are what. All of `[batch, height, width]`.
#[derive(Debug, Clone)]
pub(super) struct Pixels {
    pub(super) logits: Tensor<3>,
    pub(super) positive: Tensor<3, Bool>,
    pub(super) ignored: Tensor<3, Bool>,
}

impl Pixels {
    pub(super) fn new(logits: Tensor<3>, target: Tensor<3, Int>) -> Self {
        let positive = target.clone().equal_elem(POSITIVE);
        let ignored = target.equal_elem(IGNORED);
        Self { logits, positive, ignored }
    }

    /// How many count, `[1]`.
    pub(super) fn counted(&self) -> Tensor<1> {
        self.ignored.clone().bool_not().int().sum().float()
    }

    /// The logits, their sign turned for negatives: large where the logit is right.
    pub(super) fn margins(&self) -> Tensor<3> {
        let logits = self.logits.clone();
        logits.clone().mask_where(self.positive.clone().bool_not(), logits.neg())
    }

    /// Cross-entropy of each pixel by its margin: -ln sigmoid(z). Nothing overflows or cancels, for any logit.
    pub(super) fn entropy(margins: Tensor<3>) -> Tensor<3> {
        log_sigmoid(margins).neg()
    }

    /// Sum over the pixels that count, `[1]`.
    pub(super) fn sum(&self, values: Tensor<3>) -> Tensor<1> {
        values.mask_fill(self.ignored.clone(), 0.0).sum()
    }
}
