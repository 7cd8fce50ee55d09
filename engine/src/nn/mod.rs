//! Layers with PyTorch's semantics and PyTorch's parameter names.
//!
//! Each layer computes through `kernels`, where a backend's own kernels take the place of burn's operations.
//!
//! Invariants
//! - NN-1: a module's parameter paths are its state-dict names in PyTorch (`bn1.running_mean`); a field
//!   that stands for a place in a torch `Sequential` is called `at_0`, `at_1`, … and counts as `0`, `1`, ….
//! - NN-2: the same seed gives the same initial values on every backend and machine.
//! - NN-3: parameter ids follow the order of construction, so an optimizer's state outlives the process.

mod activation;
mod attention;
mod conv;
mod conv_transpose;
mod drop_path;
mod dropout;
mod gelu;
#[cfg(test)]
pub(crate) mod golden;
mod group_norm;
mod init;
pub(crate) mod kernels;
mod layer_norm;
mod layout;
mod linear;
mod noise;
mod norm;
mod ops;
mod padding;
mod partition;
mod pooling;
mod precision;
mod resize;
mod response_norm;
mod separable;
mod softmax;

pub use activation::{relu6, silu};
pub use attention::{RelativePositionBias, RelativePositions, attend, join_heads, part_heads};
pub use conv::{Bias, Conv2d, ConvGeometry};
pub use conv_transpose::ConvTranspose2d;
pub use drop_path::DropPath;
pub use dropout::Dropout;
pub use gelu::gelu;
pub use group_norm::GroupNorm;
pub use init::{Initializer, WeightInit};
pub use layer_norm::LayerNorm;
pub use layout::{channels_first, channels_last};
pub use linear::Linear;
pub use noise::{Noise, TrainingPass};
pub use norm::BatchNorm2d;
pub use ops::{max_pool_2x2, max_pool_3x3_stride_2, relu, upsample_nearest, upsample_nearest_and_join};
pub use padding::SamePadding;
pub use partition::Partition;
pub use pooling::{excite, global_average, max_pool_3x3_stride_2_ceil};
pub use precision::Precision;
pub use resize::{Corners, average_pool, resize_bilinear};
pub use response_norm::GlobalResponseNorm;
pub use separable::SeparableConv2d;
pub use softmax::softmax_of_all;
