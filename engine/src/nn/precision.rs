//! In how many bits a network computes.

use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

/// In how many bits a network computes. What is trained is kept in 32 bits either way.
///
/// The layers follow what comes in: convolutions compute in its type, normalisations in 32 bits, and both give it back in
/// its type. So a network computes in 16 bits where its input is [entered](Precision::enter) so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precision {
    /// 32 bits everywhere.
    #[default]
    #[serde(rename = "32-true", alias = "32")]
    Single,
    /// bfloat16 between the layers and in convolutions; normalisation, loss, gradients of what is trained and optimizer in
    /// 32 bits.
    ///
    /// # Sources
    /// Kalamkar et al. 2019, A Study of BFLOAT16 for Deep Learning Training; which operations compute in which type:
    /// PyTorch's autocast.
    #[serde(rename = "bf16-mixed")]
    Bf16Mixed,
}

impl Precision {
    /// Whether it is the one nothing has to be done for.
    pub fn is_single(&self) -> bool {
        *self == Self::Single
    }

    /// The input of a network.
    pub fn enter<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Single => x,
            Self::Bf16Mixed => cast(x, DType::BF16),
        }
    }

    /// The output of a network, in 32 bits: losses and metrics are computed in them.
    pub fn leave<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Single => x,
            Self::Bf16Mixed => cast(x, DType::F32),
        }
    }
}

/// A tensor in another type; itself if it has it already, so that nothing is added to what is differentiated.
pub(super) fn cast<const D: usize>(x: Tensor<D>, dtype: DType) -> Tensor<D> {
    if x.dtype() == dtype { x } else { x.cast(dtype) }
}
