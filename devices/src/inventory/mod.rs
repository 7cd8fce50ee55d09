//! What there is to run on, and which of it was asked for.
//!
//! A CPU device is a slice of the cores this process may use: `--devices 0 1` makes two slices, and a worker is
//! held to its own. A GPU device is one GPU plus its share of the cores.

mod cores;
mod cuda;
mod device;
mod error;
mod select;

pub use device::{Accelerator, DeviceId, DeviceInfo, DeviceKind};
pub use error::InventoryError;
pub use select::{note, select, select_among};
