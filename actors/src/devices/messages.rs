//! What the DeviceManager hears and answers.

use actix::{Addr, Message};
use engine_devices::Want;
use tokio::sync::oneshot;

use super::{DeviceManager, LeaseGuard};
use crate::bus::EventBus;

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
    /// How much.
    pub want: Want,
    /// Where it is told that the lease was granted and came back: the bus of the job.
    pub bus: EventBus,
    /// Where the lease goes.
    pub reply: oneshot::Sender<Result<LeaseGuard, LeaseRefused>>,
}

const _: () = assert!(size_of::<AcquireLease>() <= 64);

impl AcquireLease {
    /// Asks and waits for the answer, however long the line.
    ///
    /// # Errors
    /// [`LeaseRefused`] if there will be no device, or the DeviceManager is gone.
    ///
    /// # Cancel safety
    /// Dropped, the request is withdrawn.
    pub(crate) async fn ask(
        devices: Addr<DeviceManager>,
        holder: String,
        want: Want,
        bus: EventBus,
    ) -> Result<LeaseGuard, LeaseRefused> {
        let gone = LeaseRefused { holder: holder.clone(), reason: "the device manager is gone".into() };
        let (reply, granted) = oneshot::channel();
        if devices.send(Self { holder, want, bus, reply }).await.is_err() {
            return Err(gone);
        }
        granted.await.unwrap_or(Err(gone))
    }
}

/// There is no device to wait for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no device for `{holder}`: {reason}")]
pub struct LeaseRefused {
    /// Who asked.
    pub holder: String,
    /// Why not.
    pub reason: String,
}
