//! The book of leases: who may use which device.
//!
//! Owns every device's slots and the queue of those who wait. Hears [`LeaseEvent`], tells [`LeaseEffect`]. It decides
//! and performs nothing: no clock, no I/O, and any order of events has an answer.
//!
//! - DM-1: the leases on one device never exceed its slots.
//! - DM-2: every lease is returned exactly once.
//! - DM-3: nobody waits while a device has a free slot, and those who wait are served in the order they came.

mod book;
mod messages;

pub use book::LeaseBook;
pub use messages::{
    DeviceUse, Grant, LeaseEffect, LeaseEvent, LeaseId, LeaseSnapshot, LeaseUse, Place, RefuseReason, Ticket,
    Want,
};
