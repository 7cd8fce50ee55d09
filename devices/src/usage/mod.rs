//! How busy the machine and a run's worker are, by the names under which W&B charts such values.
//!
//! What can not be read is left out, never told as 0: off Linux that is nearly everything.
//!
//! - [`HostMeter`] reads the machine, once for all runs that ask within a moment
//! - [`Meter`] makes of that what concerns one run

mod host;
mod meter;
mod process;

pub use host::HostMeter;
pub use meter::Meter;

/// Bytes of a mebibyte, which W&B's names call MB.
const MIB: f64 = 1024.0 * 1024.0;

/// As a float; exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "bytes, ticks and counts of a machine; a chart needs no more than 53 bits"
)]
fn real(count: u64) -> f64 {
    count as f64
}
