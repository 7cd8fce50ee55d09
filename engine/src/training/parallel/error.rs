//! What can keep several processes from training one model.

#[cfg(feature = "tch")]
use engine_devices::c10d::GroupError;

use crate::backend::BackendName;

/// Why ranks could not tell each other what they had to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The backend can not exchange tensors between processes.
    #[error(
        "backend `{backend}` trains one model on one device only; several devices for one run need backend `tch`, \
         or a strategy that gives each run one device"
    )]
    OtherBackend {
        /// The backend asked for.
        backend: BackendName,
    },
    /// This build has no libtorch.
    #[error(
        "several devices for one run need libtorch, which is not in this build; build with `--features tch`"
    )]
    NotCompiledIn,
    /// The exchange itself failed.
    #[cfg(feature = "tch")]
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The ranks do not train the same model.
    #[error(
        "rank {rank} has a model of {theirs} values in {their_tensors} tensors, rank 0 one of {ours} in {our_tensors}; \
         start every rank with the same configuration and data"
    )]
    OtherModel {
        /// The first rank that differs.
        rank: usize,
        /// Its values.
        theirs: u64,
        /// Its tensors.
        their_tensors: u64,
        /// Rank 0's values.
        ours: u64,
        /// Rank 0's tensors.
        our_tensors: u64,
    },
    /// A tensor could not be handed to libtorch.
    #[error("a tensor can not be exchanged: {reason}")]
    Tensor {
        /// What the backend said.
        reason: String,
    },
}

impl ExchangeError {
    /// Whether another process is gone, late, or in the way, so that the same run may well succeed when it is done again.
    pub fn is_loss(&self) -> bool {
        #[cfg(feature = "tch")]
        if let Self::Group(
            GroupError::Lost { .. } | GroupError::Timeout { .. } | GroupError::PortTaken { .. },
        ) = self
        {
            return true;
        }
        false
    }
}
