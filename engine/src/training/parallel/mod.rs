//! One model trained by several processes: each on its share of the batches, all with the same weights.
//!
//! Owns: the averaging of gradients, the spreading of rank 0's weights, and sums over all ranks. Knows nothing of what
//! is trained. The ranks begin with the same weights, take every step along the same gradients, and so keep the same
//! weights to the last bit; nothing but gradients, buffers and counts travels.
//!
//! - PAR-1: after every step all ranks have the same weights, bit for bit.
//! - PAR-2: all ranks ask for the same exchanges in the same order. What one of them alone knows (a stop, a loss that is
//!   not finite) is exchanged before anybody acts on it.
//!
//! # Sources
//! Li et al. 2020, PyTorch Distributed: Experiences on Accelerating Data Parallel Training; PyTorch's
//! `DistributedDataParallel(find_unused_parameters=True, broadcast_buffers=True)`, whose arithmetic this is.

#[cfg(feature = "tch")]
mod c10d;
mod error;
mod gradients;
mod shard;
mod weights;

use burn::tensor::Tensor;
use engine_devices::rank::Rank;

#[cfg(feature = "tch")]
pub use c10d::C10d;
pub use error::ExchangeError;
pub use gradients::{Sharing, mean_gradients};
pub(crate) use shard::rows_of_epoch;
pub use shard::{Remainder, Shard};
pub use weights::{share_buffers, share_weights};

use crate::backend::{BackendName, ComputeDevice};

/// What the ranks of a run tell each other.
///
/// Every rank calls the same methods in the same order, with as many values; each call waits for all of them. After an
/// error the exchange is of no further use.
pub trait Exchange {
    /// Number of this rank, from 0.
    fn rank(&self) -> usize;

    /// Ranks there are, at least 1.
    fn world(&self) -> usize;

    /// Puts the sum over all ranks in place of each value. Exact for whole numbers below 2⁵³.
    ///
    /// # Errors
    /// [`ExchangeError`] if a rank is gone or late.
    fn sum(&self, values: &mut [f64]) -> Result<(), ExchangeError>;

    /// The mean over all ranks of each tensor; the same bits on all of them.
    ///
    /// # Errors
    /// [`ExchangeError`] if a rank is gone or late.
    fn mean(&self, tensors: Vec<Tensor<1>>) -> Result<Vec<Tensor<1>>, ExchangeError>;

    /// Rank 0's values of each tensor.
    ///
    /// # Errors
    /// [`ExchangeError`] if a rank is gone or late.
    fn spread(&self, tensors: Vec<Tensor<1>>) -> Result<Vec<Tensor<1>>, ExchangeError>;

    /// Waits until every rank has come here.
    ///
    /// # Errors
    /// [`ExchangeError`] if a rank is gone or late.
    fn barrier(&self) -> Result<(), ExchangeError>;
}

/// The one rank of a run on one device: nothing is exchanged, nothing is copied.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Exchange for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn world(&self) -> usize {
        1
    }

    fn sum(&self, _values: &mut [f64]) -> Result<(), ExchangeError> {
        Ok(())
    }

    fn mean(&self, tensors: Vec<Tensor<1>>) -> Result<Vec<Tensor<1>>, ExchangeError> {
        Ok(tensors)
    }

    fn spread(&self, tensors: Vec<Tensor<1>>) -> Result<Vec<Tensor<1>>, ExchangeError> {
        Ok(tensors)
    }

    fn barrier(&self) -> Result<(), ExchangeError> {
        Ok(())
    }
}

/// Whether several processes of this build can train one model with this backend.
///
/// # Errors
/// [`ExchangeError::OtherBackend`] and [`ExchangeError::NotCompiledIn`], which say what to do.
pub fn available(backend: BackendName) -> Result<(), ExchangeError> {
    if backend != BackendName::Tch {
        return Err(ExchangeError::OtherBackend { backend });
    }
    if cfg!(feature = "tch") { Ok(()) } else { Err(ExchangeError::NotCompiledIn) }
}

/// Joins the ranks of a run that computes on `device`, and waits until all are there. No rank, or one of one: [`Alone`].
///
/// # Errors
/// [`ExchangeError`] if this build or backend can not, or a rank does not come.
pub fn join(
    rank: Option<&Rank>,
    backend: BackendName,
    device: ComputeDevice,
) -> Result<Box<dyn Exchange>, ExchangeError> {
    let Some(rank) = rank.filter(|rank| rank.world_size > 1) else {
        return Ok(Box::new(Alone));
    };
    available(backend)?;
    join_c10d(rank, device)
}

#[cfg(feature = "tch")]
fn join_c10d(rank: &Rank, device: ComputeDevice) -> Result<Box<dyn Exchange>, ExchangeError> {
    Ok(Box::new(C10d::join(rank, device)?))
}

#[cfg(not(feature = "tch"))]
fn join_c10d(_rank: &Rank, _device: ComputeDevice) -> Result<Box<dyn Exchange>, ExchangeError> {
    Err(ExchangeError::NotCompiledIn)
}

/// What every rank gives, by rank.
///
/// # Errors
/// As for [`Exchange::sum`].
pub fn gather<const N: usize>(
    exchange: &dyn Exchange,
    own: [f64; N],
) -> Result<Vec<[f64; N]>, ExchangeError> {
    let mut all = vec![0.0; exchange.world() * N];
    let at = exchange.rank() * N;
    all[at..at + N].copy_from_slice(&own);
    exchange.sum(&mut all)?;
    let (each, _) = all.as_chunks::<N>();
    Ok(each.to_vec())
}
