//! What every training run needs, whatever it trains: optimizers, clipping, schedules, early stopping, checkpoints.
//!
//! Owns: the optimizers and their state, the learning-rate schedules, the patience counter, the list of best
//! checkpoints, the checkpoint folders on disk, and the exchange between processes that train one model. Knows nothing of segmentation, actors or trackers;
//! the loop that uses them is [`crate::learn`]'s.
//!
//! Nothing here draws random numbers or reads a clock, so a course of training is a function of the
//! model's first weights and the order of the batches.

pub mod checkpoint;
mod clipping;
mod early_stopping;
mod optimizer;
pub mod parallel;
mod schedule;
mod tensors;
mod top_k;

pub use clipping::Clipping;
pub use early_stopping::EarlyStopping;
pub use optimizer::{
    AdamConfig, Optimizer, OptimizerConfig, OptimizerError, OptimizerName, OptimizerState, SgdConfig,
};
pub use schedule::{CosineLr, ExponentialLr, OneCycleLr, PlateauLr, Schedule, ScheduleConfig, ScheduleName};
pub use tensors::{TensorFile, TensorFileError, decode_tensors, encode_tensors};
pub use top_k::{Kept, Ranked, TopK};
