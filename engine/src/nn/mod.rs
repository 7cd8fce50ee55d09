//! Layers with PyTorch's semantics and PyTorch's parameter names.
//!
//! Each layer computes through [`kernels`], where a backend's own kernels take the place of burn's operations.
//!
//! Invariants
//! - NN-1: a module's parameter paths are its state-dict names in PyTorch (`bn1.running_mean`); a field
//!   that stands for a place in a torch `Sequential` is called `at_0`, `at_1`, … and counts as `0`, `1`, ….
//! - NN-2: the same seed gives the same initial values on every backend and machine.
//! - NN-3: parameter ids follow the order of construction, so an optimizer's state outlives the process.

mod conv;
mod init;
pub(crate) mod kernels;
mod norm;
mod ops;
mod precision;

pub use conv::{Bias, Conv2d, ConvGeometry};
pub use init::{Initializer, WeightInit};
pub use norm::BatchNorm2d;
pub use ops::{max_pool_3x3_stride_2, relu, upsample_nearest, upsample_nearest_and_join};
pub use precision::Precision;
