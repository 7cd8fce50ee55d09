//! What the book hears and tells.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::inventory::{DeviceId, DeviceKind, Token};

/// One lease; never given out twice by one book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(pub u64);

/// One request for a lease, named by whoever asks; to be used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(pub u64);

/// One device of a [`Grant`], and what the worker on it is held to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The device.
    pub device: DeviceId,
    /// What it is.
    pub kind: DeviceKind,
    /// Its index among those of its kind that the engine may use.
    pub index: u32,
    /// How the driver is told of this device alone. None for a device that needs no mask.
    pub token: Option<Token>,
    /// Cores the worker is pinned to; empty leaves it where it is.
    pub cores: Vec<usize>,
    /// Threads the worker may compute with, at least 1.
    pub threads: u32,
}

/// What a lease gives: one place for a run on one device, one for each rank of a data-parallel run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// At least one; in the order of the ranks of this machine.
    pub places: Vec<Place>,
}

impl Grant {
    /// Names of the devices, joined by commas: `cuda:0` or `cuda:0,cuda:2`.
    #[must_use]
    pub fn device_names(&self) -> String {
        let names: Vec<&str> = self.places.iter().map(|place| place.device.as_str()).collect();
        names.join(",")
    }
}

impl From<Place> for Grant {
    fn from(place: Place) -> Self {
        Self { places: vec![place] }
    }
}

/// How much is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Want {
    /// One slot of one device.
    Slot {
        /// What is known to need the same memory: the configuration. Decides where slots are counted by memory.
        family: Option<String>,
    },
    /// One device with nobody else on it.
    Alone,
    /// Every device there is, each with nobody else on it.
    All,
}

/// What the book hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseEvent {
    /// Someone wants a device. Answered with `Grant` or `Refuse`, at once or later. A ticket that waits or holds a
    /// lease already is late.
    Acquire {
        /// Names the request.
        ticket: Ticket,
        /// Who asks, for people.
        holder: String,
        /// How much.
        want: Want,
    },
    /// Whoever asked no longer waits. Late if the ticket has been answered: a lease granted meanwhile must be
    /// released like any other.
    Withdraw {
        /// The request.
        ticket: Ticket,
    },
    /// The holder is done with the device and nothing of it is left there. Late the second time.
    Release {
        /// The lease.
        lease: LeaseId,
    },
    /// The device can not be used any more. Its leases are revoked, and still have to be released. Late the second
    /// time.
    DeviceGone {
        /// The device.
        device: DeviceId,
    },
}

/// What the book tells to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseEffect {
    /// Give this lease to whoever waits for the ticket.
    Grant {
        /// The request.
        ticket: Ticket,
        /// The lease.
        lease: LeaseId,
        /// The place.
        grant: Grant,
    },
    /// The lease is back; once for each lease.
    Returned {
        /// The lease.
        lease: LeaseId,
        /// The device it was on.
        device: DeviceId,
    },
    /// Tell whoever waits for the ticket that there will be no lease.
    Refuse {
        /// The request.
        ticket: Ticket,
        /// Why.
        reason: RefuseReason,
    },
    /// Tell the holder to stop and release.
    Revoke {
        /// The lease.
        lease: LeaseId,
    },
    /// The event came too late or twice; nothing was changed.
    CountLate(LeaseEvent),
}

/// Why there will be no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RefuseReason {
    /// Every device is gone.
    NoDeviceLeft,
}

impl fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDeviceLeft => f.write_str("no device is left: every one of them has failed"),
        }
    }
}

/// The book at one moment, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSnapshot {
    /// Every device, in the order it was given.
    pub devices: Vec<DeviceUse>,
    /// Who waits, the next one first.
    pub waiting: Vec<String>,
}

/// One device at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceUse {
    /// The device.
    pub device: DeviceId,
    /// Leases it can carry at once; 0 once it is gone.
    pub slots: u32,
    /// The leases on it, oldest first.
    pub leases: Vec<LeaseUse>,
}

/// One lease at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseUse {
    /// The lease.
    pub lease: LeaseId,
    /// Who holds it.
    pub holder: String,
}
