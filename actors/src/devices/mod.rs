//! DeviceManager: every device and every lease of the process.
//!
//! - **Owns** the [`LeaseBook`](engine_devices::LeaseBook), which decides; the requests that wait; the locks that keep
//!   leased GPUs from other engine processes.
//! - **Hears** [`AcquireLease`] from RunActors and CvActors; through [`LeaseGuard`], what a run used, that a device ran out
//!   of memory, and leases that come back by themselves.
//! - **Tells** whoever waits, through the request's own reply; holders whose device is gone, through
//!   [`LeaseGuard::revoked`]; publishes `LeaseGranted`, `LeaseReturned` and warnings.
//!
//! A GPU is claimed before it is granted: locked, and its memory in use noted. It goes back once its holder is done and
//! its memory is back. Both ask lock files and the driver, which happens away from the arbiter.
//!
//! Invariants (the book's own, kept by it):
//! - DM-1: the leases on one device never exceed its slots or its memory, and whoever is alone on it is alone.
//! - DM-2: every lease comes back exactly once: dropping the last holder's [`LeaseGuard`] is the only way back.
//! - DM-3: nobody waits while a device that fits is free and not reserved for somebody who came earlier.

mod actor;
mod claim;
mod guard;
mod memory;
mod messages;

pub use actor::DeviceManager;
pub use claim::GpuReader;
pub use guard::LeaseGuard;
pub use messages::{AcquireLease, LeaseRefused};
