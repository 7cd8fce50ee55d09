//! The book of leases: who may use which device.
//!
//! Owns what is on every device and the line of those who wait. Hears [`LeaseEvent`], tells [`LeaseEffect`]. It decides
//! and performs nothing: no clock, no I/O, and any order of events has an answer.
//!
//! A request is served in the order it came. One that can not be served reserves what it waits for: every device for a
//! run on all of them, else the device nearest to serving it. Those behind take what is left, and nothing of that.
//!
//! Devices with a UUID are shared with the other engine processes of the machine: a lease on them is first claimed
//! ([`LeaseEffect::Claim`]), and granted once they are locked.
//!
//! - DM-1: the leases on one device never exceed its slots, what they need never exceeds its memory where runs are
//!   packed by memory, and whoever is alone on it is alone.
//! - DM-2: every lease is returned exactly once.
//! - DM-3: nobody waits while a device that fits is free and not reserved for somebody who came earlier. No device fits
//!   a run whose family is being measured, nor one that came after a claim which is not answered yet.

mod book;
mod device;
mod messages;
mod needs;

pub use book::LeaseBook;
pub use messages::{
    DeviceUse, Grant, LeaseEffect, LeaseEvent, LeaseId, LeaseSnapshot, LeaseUse, Place, RefuseReason, Share,
    Ticket, Want,
};
#[cfg(test)]
use needs::need_of;
pub use needs::{GPU_CONTEXT_BYTES, NEED_PERCENT};
