//! Performs what the [`LeaseBook`] decides.

use std::collections::HashMap;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use engine_devices::{DeviceInfo, LeaseBook, LeaseEffect, LeaseEvent, LeaseId, Ticket};
use tokio::sync::oneshot;

use super::guard::ReturnBin;
use super::{AcquireLease, LeaseGuard, LeaseRefused};
use crate::bus::EventBus;
use crate::events::Event;
use crate::limits::DEVICE_MAILBOX;

/// The actor around the lease book; see the module.
#[derive(Debug)]
pub struct DeviceManager {
    book: LeaseBook,
    waiting: HashMap<Ticket, Request>,
    holders: HashMap<LeaseId, String>,
    next_ticket: u64,
    bin: Arc<ReturnBin>,
    bus: EventBus,
}

#[derive(Debug)]
struct Request {
    holder: String,
    reply: oneshot::Sender<Result<LeaseGuard, LeaseRefused>>,
}

impl DeviceManager {
    /// A manager of these devices, each with `slots` leases at once.
    #[must_use]
    pub fn new(devices: Vec<DeviceInfo>, slots: u32, bus: EventBus) -> Self {
        Self {
            book: LeaseBook::new(devices, slots),
            waiting: HashMap::new(),
            holders: HashMap::new(),
            next_ticket: 0,
            bin: Arc::default(),
            bus,
        }
    }

    fn enter(&mut self, event: LeaseEvent) {
        for effect in self.book.apply(event) {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: LeaseEffect) {
        match effect {
            LeaseEffect::Grant { ticket, lease, grant } => {
                let device = grant.device_names();
                let guard = LeaseGuard::new(lease, grant, Arc::clone(&self.bin));
                let Some(request) = self.waiting.remove(&ticket) else {
                    // Dropping the guard returns the lease.
                    tracing::warn!(?ticket, "lease granted to an unknown request");
                    return;
                };
                let holder = request.holder;
                self.holders.insert(lease, holder.clone());
                self.bus.publish(Event::LeaseGranted { lease: lease.0, device, holder });
                // A holder that is gone drops the guard, and the lease comes back through the bin.
                drop(request.reply.send(Ok(guard)));
            }
            LeaseEffect::Returned { lease, device } => {
                self.holders.remove(&lease);
                self.bus.publish(Event::LeaseReturned { lease: lease.0, device: device.to_string() });
            }
            LeaseEffect::Refuse { ticket, reason } => {
                if let Some(Request { holder, reply }) = self.waiting.remove(&ticket) {
                    let refused = LeaseRefused { holder, reason: reason.to_string() };
                    drop(reply.send(Err(refused)));
                }
            }
            LeaseEffect::Revoke { lease } => {
                let holder = self.holders.get(&lease).map_or("nobody", String::as_str);
                let message = format!("the device of `{holder}` is gone; its worker fails by itself");
                self.bus.publish(Event::Warned { message });
            }
            late => tracing::warn!(?late, "late lease event"),
        }
    }

    /// Withdraws the requests nobody waits for any more, so that the next in line is not passed over for them.
    fn withdraw_abandoned(&mut self) {
        let gone: Vec<Ticket> =
            self.waiting.iter().filter(|(_, r)| r.reply.is_closed()).map(|(t, _)| *t).collect();
        for ticket in gone {
            self.waiting.remove(&ticket);
            self.enter(LeaseEvent::Withdraw { ticket });
        }
    }

    fn listen(&mut self, ctx: &mut Context<Self>) {
        let bin = Arc::clone(&self.bin);
        let filled = async move { bin.filled().await };
        ctx.spawn(filled.into_actor(self).map(|(), manager, ctx| {
            manager.withdraw_abandoned();
            for lease in manager.bin.empty() {
                manager.enter(LeaseEvent::Release { lease });
            }
            manager.listen(ctx);
        }));
    }
}

impl Actor for DeviceManager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(DEVICE_MAILBOX);
        self.listen(ctx);
    }
}

impl Handler<AcquireLease> for DeviceManager {
    type Result = ();

    fn handle(&mut self, AcquireLease { holder, want, reply }: AcquireLease, _ctx: &mut Self::Context) {
        self.withdraw_abandoned();
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(ticket, Request { holder: holder.clone(), reply });
        self.enter(LeaseEvent::Acquire { ticket, holder, want });
    }
}
