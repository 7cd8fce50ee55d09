//! What the DeviceManager hears and answers.

use actix::Message;
use tokio::sync::oneshot;

use super::LeaseGuard;

/// Asks for a device. Sent by a RunActor before each attempt, or once by a CvActor that leases for its runs.
///
/// The message is answered at once; the lease comes through `reply` as soon as a device is free. Dropping the
/// receiver withdraws the request: a lease granted to it all the same comes back by itself. Two requests of the same
/// holder are two requests.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AcquireLease {
    /// Who wants it, for people: the run's or the cv's name.
    pub holder: String,
    /// Where the lease goes.
    pub reply: oneshot::Sender<Result<LeaseGuard, LeaseRefused>>,
}

const _: () = assert!(size_of::<AcquireLease>() <= 64);

/// There is no device to wait for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no device for `{holder}`: {reason}")]
pub struct LeaseRefused {
    /// Who asked.
    pub holder: String,
    /// Why not.
    pub reason: String,
}
