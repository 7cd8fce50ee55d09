//! DeviceManager: every device and every lease of the process.
//!
//! - **Owns** the [`LeaseBook`](engine_devices::LeaseBook), which decides; and the requests that wait.
//! - **Hears** [`AcquireLease`] from RunActors and CvActors, and leases that come back by themselves.
//! - **Tells** whoever waits, through the request's own reply; publishes `LeaseGranted` and `LeaseReturned`.
//!
//! Invariants (the book's own, kept by it):
//! - DM-1: the leases on one device never exceed its slots.
//! - DM-2: every lease comes back exactly once: dropping the last holder's [`LeaseGuard`] is the only way back.
//! - DM-3: nobody waits while a device that fits is free; first come, first served.

mod actor;
mod guard;
mod messages;

pub use actor::DeviceManager;
pub use guard::LeaseGuard;
pub use messages::{AcquireLease, LeaseRefused};
