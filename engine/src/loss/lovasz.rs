//! Lovász hinge loss.

use burn::tensor::{IndexingUpdateOp, Int, Tensor};

use super::pixels::Pixels;
use crate::nn::kernels::order_descending;

/// The Lovász hinge of a batch: the convex surrogate of its Jaccard loss on the errors 1 - z, where z is the logit with its
/// sign turned for negatives. `[1]`.
///
/// Each error above 0 counts by how much the Jaccard loss grows when its pixel joins those with larger errors. Pixels of equal
/// errors join in the order of the batch on libtorch, and elsewhere in one that follows from the errors alone: the loss is the same,
/// whichever comes first.
///
/// # Sources
/// Berman et al. 2018, The Lovász-Softmax loss, eq. 8 and algorithm 1; segmentation_models_pytorch 0.5,
/// `LovaszLoss(mode="binary", per_image=False)`.
pub(super) fn lovasz_hinge(pixels: &Pixels) -> Tensor<1> {
    let errors = pixels.margins().neg().add_scalar(1.0);
    // As any error below 0, it has no part in loss or gradient.
    let errors: Tensor<1> = errors.mask_fill(pixels.ignored.clone(), -1.0).flatten(0, 2);
    let positive: Tensor<1, Int> = pixels.positive.clone().int().flatten(0, 2);
    let known = errors.clone().without_autodiff();
    // Not by a ReLU of the errors: on some backends that makes a number of what is none.
    let growth =
        growth(known.clone(), positive.without_autodiff()).mask_fill(known.lower_equal_elem(0.0), 0.0);
    let growth = if errors.device().is_autodiff() { growth.autodiff() } else { growth };
    (errors * growth).sum()
}

/// By how much the Jaccard loss grows with each pixel, when they are taken from the largest error down.
///
/// With P positives, and c positives and n negatives among the pixels so far, this one included, the Jaccard loss is
/// 1 - (P - c) / (P + n). A positive makes it larger by 1 / (P + n), a negative by (P - c) / ((P + n) (P + n - 1)), the first negative
/// where there is no positive by 1. Written so, nothing cancels: far down, two neighbouring losses have all but the last bits in common.
fn growth(errors: Tensor<1>, positive: Tensor<1, Int>) -> Tensor<1> {
    let [pixels] = errors.dims();
    let device = errors.device();
    let order = order_descending(errors);
    let all = positive.clone().sum();
    let sorted = positive.gather(0, order.clone());
    // Counted in whole numbers: the same on every device, in whatever order it adds.
    let positives = sorted.clone().cumsum(0);
    let negatives = Tensor::<1, Int>::arange(1..pixels as i64 + 1, &device) - positives.clone();
    let union = all.clone() + negatives;
    let left = (all - positives).float();
    let before = union.clone().sub_scalar(1);
    let is_first_of_none = before.clone().equal_elem(0);
    let of_positive = union.float().recip();
    let of_negative = left * of_positive.clone() / before.clamp_min(1).float();
    let growth = of_negative.mask_fill(is_first_of_none, 1.0).mask_where(sorted.equal_elem(1), of_positive);
    growth.zeros_like().scatter(0, order, growth, IndexingUpdateOp::Add)
}
