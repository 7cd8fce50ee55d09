//! What the book hears and tells.

use std::fmt;
use std::path::PathBuf;

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
    /// File the worker locks for its own life, so that other engine processes see that it is there; see
    /// [`lock`](crate::lock). None where devices are not locked.
    pub lock: Option<PathBuf>,
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
    /// Someone wants a device. Answered with `Grant` or `Refuse`, at once or later. A ticket that waits or has a lease
    /// already is late.
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
    /// What was asked for by `Claim` is taken: the lease can be given. Late if the lease is not being claimed.
    Claimed {
        /// The lease.
        lease: LeaseId,
    },
    /// Another process holds one of the devices of a `Claim`: its request waits on, at its place in the line, and the
    /// device is left alone until `LookAgain`. Late if the lease is not being claimed.
    Busy {
        /// The lease.
        lease: LeaseId,
        /// The device.
        device: DeviceId,
    },
    /// What was asked for by `Claim` can not be taken at all: its request is refused. Late if the lease is not being
    /// claimed.
    ClaimFailed {
        /// The lease.
        lease: LeaseId,
    },
    /// Time to try again what another process held. Sent from time to time while
    /// [`LeaseBook::is_held_up_elsewhere`](super::LeaseBook::is_held_up_elsewhere); never late.
    LookAgain,
    /// The run of this lease ended well, and this is the most memory it used: what the next ones of its family need.
    /// Late if the lease is not held.
    Measured {
        /// The lease.
        lease: LeaseId,
        /// Largest memory of the device in use by the run; 0 says nothing.
        peak_bytes: u64,
    },
    /// The run of this lease found no memory left: from now on its family needs so much that one run fewer than are on
    /// the device now fits there. Late if the lease is not held.
    RanOutOfMemory {
        /// The lease.
        lease: LeaseId,
    },
    /// The holder is done with its devices and nothing of it is left there. Late the second time.
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

/// How much of a device a lease takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// All of it: nobody else is on it.
    Alone,
    /// One of so many slots, whatever the run needs.
    Slot {
        /// Leases the device carries at once.
        slots: u32,
    },
    /// So much of its memory.
    Memory {
        /// What the run needs.
        need_bytes: u64,
        /// What all runs on the device may need together.
        capacity_bytes: u64,
        /// Leases the device carries at once, whatever they need.
        slots: u32,
    },
}

/// What the book tells to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseEffect {
    /// Take these devices from the other engine processes of the machine, all or none of them, and answer with
    /// `Claimed`, `Busy` or `ClaimFailed`. Told only where a device has a UUID to take it by.
    Claim {
        /// The lease to be.
        lease: LeaseId,
        /// Who it is for.
        holder: String,
        /// The devices, in the order of the grant.
        devices: Vec<DeviceId>,
        /// How much of each.
        share: Share,
    },
    /// What was taken for this lease, if anything was, goes back to the other processes: there will be no grant.
    Unclaim {
        /// The lease.
        lease: LeaseId,
    },
    /// Give this lease to whoever waits for the ticket.
    Grant {
        /// The request.
        ticket: Ticket,
        /// The lease.
        lease: LeaseId,
        /// The places.
        grant: Grant,
        /// How much of each device.
        share: Share,
    },
    /// The lease is back; once for each lease.
    Returned {
        /// The lease.
        lease: LeaseId,
        /// The devices it was on.
        devices: Vec<DeviceId>,
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
    /// The device can not be kept from other engine processes.
    Unclaimable,
}

impl fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDeviceLeft => f.write_str("no device is left: every one of them has failed"),
            Self::Unclaimable => f.write_str("a device can not be locked against other engine processes"),
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
    /// The leases on it, oldest first; those being claimed included.
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
