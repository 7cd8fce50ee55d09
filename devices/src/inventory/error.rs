//! Why no device could be chosen.

use thiserror::Error;

use super::device::{Accelerator, DeviceId, DeviceKind};
use super::gpu::NoGpu;
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
    #[error("{why}; use --accelerator cpu")]
    NoGpu {
        /// Why there is none.
        why: NoGpu,
    },
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
    #[error("the list of devices is empty: give `auto`, `all`, indices such as `0 1`, or UUIDs of GPUs")]
    Nothing,
    /// An entry is no device.
    #[error("`{given}` is no device: give `auto`, `all`, indices such as `0 1`, or UUIDs of GPUs")]
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
    /// No GPU has a UUID that begins so.
    #[error("no GPU `{given}`: {there}; choose among them with --devices")]
    UnknownUuid {
        /// As written.
        given: String,
        /// What there is, as a clause.
        there: String,
    },
    /// Several GPUs have UUIDs that begin so.
    #[error("`{given}` begins the UUIDs of several GPUs ({fitting}): give more of it")]
    AmbiguousUuid {
        /// As written.
        given: String,
        /// Those it fits.
        fitting: String,
    },
    /// Nobody may compute on the device.
    #[error(
        "{device} can not be computed on: its compute mode is Prohibited; use another of --devices, or have its \
         administrator run `nvidia-smi -i {uuid} -c DEFAULT`"
    )]
    Prohibited {
        /// The device.
        device: DeviceId,
        /// Its UUID.
        uuid: String,
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
