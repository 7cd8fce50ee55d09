//! Why no device could be chosen.

use thiserror::Error;

use super::device::{Accelerator, DeviceKind};
use crate::suggest::did_you_mean;

/// Why the devices asked for can not be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InventoryError {
    /// No accelerator of that name is known.
    #[error("unknown accelerator `{given}`{hint} use one of {}", Accelerator::NAMES.join(", "))]
    UnknownAccelerator {
        /// As written.
        given: String,
        /// `, did you mean …?` or `:`.
        hint: String,
    },
    /// A GPU was asked for where none is.
    #[error(
        "no GPU on this machine: no NVIDIA driver was found, or CUDA_VISIBLE_DEVICES hides them all; use --accelerator cpu"
    )]
    NoGpu,
    /// Metal was asked for elsewhere than on an Apple computer.
    #[error("no Metal GPU on this machine: `mps` needs macOS on Apple silicon; use --accelerator cpu")]
    NoMps,
    /// A TPU was asked for.
    #[error("TPUs are not supported: use --accelerator cpu or gpu")]
    NoTpu,
    /// The device is there, but no back end of this build drives it.
    #[error(
        "this build computes on {} only, not on {kind}: use another --accelerator or a build with a back end for it",
        join(supported)
    )]
    Unsupported {
        /// What was asked for.
        kind: DeviceKind,
        /// What the build can do.
        supported: Vec<DeviceKind>,
    },
    /// The list of devices has no entry.
    #[error("the list of devices is empty: give `auto`, `all` or indices such as `0 1`")]
    Nothing,
    /// An entry is no device.
    #[error("`{given}` is no device: give `auto`, `all` or indices such as `0 1`")]
    NotADevice {
        /// As written.
        given: String,
    },
    /// `auto` or `all` stands among other entries.
    #[error("`{given}` stands for a whole list of devices: give it alone, or indices only")]
    NotAlone {
        /// As written.
        given: String,
    },
    /// An index is given twice.
    #[error("device {kind}:{index} is listed twice: list each device once")]
    Duplicate {
        /// Kind of device.
        kind: DeviceKind,
        /// The index.
        index: u32,
    },
    /// There is no device of that index.
    #[error("no device {kind}:{index}: {there}; choose among them with --devices")]
    Missing {
        /// Kind of device.
        kind: DeviceKind,
        /// The index.
        index: u32,
        /// What there is, as a clause.
        there: String,
    },
}

impl InventoryError {
    pub(super) fn unknown_accelerator(given: &str) -> Self {
        let mut hint = did_you_mean(given, Accelerator::NAMES);
        if hint.is_empty() {
            hint.push(':');
        }
        Self::UnknownAccelerator { given: given.to_owned(), hint }
    }
}

fn join(kinds: &[DeviceKind]) -> String {
    kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
