//! Groups of processes that exchange tensors, over libtorch's own c10d.
//!
//! The collectives of PyTorch's data-parallel training, called as PyTorch calls them; `c10d/shim.cpp` is the part of
//! them this needs, as C. Who the processes are is [`Rank`](crate::rank::Rank)'s; what they exchange is their
//! business.
//!
//! - G-1: an exchange ends: done, or with an error. A rank that died is an error at once, one that hangs an error after
//!   [`Rank::timeout`](crate::rank::Rank::timeout).
//! - G-2: a tensor that is exchanged is in nobody's hands until the exchange has ended.
//! - G-3: no exception of C++ reaches Rust.

mod address;
mod error;
mod ffi;
mod group;

pub use error::GroupError;
pub use group::{Group, Op, Pending, Rendezvous, Transport};

/// Whether this build can exchange tensors of CUDA devices over NCCL.
pub const HAS_NCCL: bool = cfg!(engine_nccl);
