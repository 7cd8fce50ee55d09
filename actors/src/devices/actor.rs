//! Performs what the [`LeaseBook`] decides.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use engine_devices::lock::Held;
use engine_devices::{
    DeviceId, DeviceInfo, DeviceLocks, Grant, LeaseBook, LeaseEffect, LeaseEvent, LeaseId, LockError,
    RefuseReason, RunsPerDevice, Share, Ticket,
};
use tokio::sync::{oneshot, watch};

use self::look::NextLook;
use super::claim::{Claim, Claimed, Gpu, GpuReader, Taken};
use super::guard::{ReturnBin, Word};
use super::memory::MemoryWatch;
use super::{AcquireLease, LeaseGuard, LeaseRefused};
use crate::bus::EventBus;
use crate::events::Event;
use crate::limits::{DEVICE_MAILBOX, LOOK_AGAIN};
use crate::off_arbiter::{NoAnswer, off_arbiter};

mod look;

/// The actor around the lease book; see the module.
#[derive(Debug)]
pub struct DeviceManager {
    book: LeaseBook,
    requests: HashMap<Ticket, Request>,
    /// What was taken for leases that are not granted yet.
    claims: HashMap<LeaseId, Taken>,
    out: HashMap<LeaseId, Out>,
    next_ticket: u64,
    bin: Arc<ReturnBin>,
    uuids: BTreeMap<DeviceId, String>,
    locks: Option<DeviceLocks>,
    reader: GpuReader,
    watch: MemoryWatch,
    born: Instant,
    look: NextLook,
    again: Option<SpawnHandle>,
    busy: BTreeMap<DeviceId, Busy>,
    why_unclaimable: Option<String>,
    bus: EventBus,
}

#[derive(Debug)]
struct Request {
    holder: String,
    bus: EventBus,
    reply: oneshot::Sender<Result<LeaseGuard, LeaseRefused>>,
}

/// A lease that is out.
#[derive(Debug)]
struct Out {
    holder: String,
    bus: EventBus,
    revoke: watch::Sender<bool>,
    taken: Taken,
}

/// Who holds a device that somebody waits for, and whether the user knows.
#[derive(Debug)]
struct Busy {
    holder: String,
    pid: u32,
    is_told: bool,
}

impl DeviceManager {
    /// A manager of these devices, which carry so many leases at once. Devices with a UUID are kept from other engine
    /// processes only [`with_locks`](Self::with_locks).
    #[must_use]
    pub fn new(devices: Vec<DeviceInfo>, packing: RunsPerDevice, bus: EventBus) -> Self {
        let known = |info: &DeviceInfo| info.uuid.clone().map(|uuid| (info.id.clone(), uuid));
        Self {
            uuids: devices.iter().filter_map(known).collect(),
            book: LeaseBook::new(devices, packing),
            requests: HashMap::new(),
            claims: HashMap::new(),
            out: HashMap::new(),
            next_ticket: 0,
            bin: Arc::default(),
            locks: None,
            reader: GpuReader::default(),
            watch: MemoryWatch::default(),
            born: Instant::now(),
            look: NextLook::default(),
            again: None,
            busy: BTreeMap::new(),
            why_unclaimable: None,
            bus,
        }
    }

    /// Keeps leased devices from the other engine processes of the machine.
    #[must_use]
    pub fn with_locks(mut self, locks: Option<DeviceLocks>) -> Self {
        self.locks = locks;
        self
    }

    /// Reads the memory of GPUs from there instead of from the driver.
    #[must_use]
    pub fn with_gpu_reader(mut self, reader: GpuReader) -> Self {
        self.reader = reader;
        self
    }

    fn enter(&mut self, event: LeaseEvent, ctx: &mut Context<Self>) {
        for effect in self.book.apply(event) {
            self.perform(effect, ctx);
        }
        if self.book.is_held_up_elsewhere() && self.again.is_none() {
            self.again = Some(ctx.run_later(LOOK_AGAIN, |manager, ctx| {
                manager.again = None;
                manager.withdraw_abandoned(ctx);
                manager.enter(LeaseEvent::LookAgain, ctx);
            }));
        }
    }

    fn perform(&mut self, effect: LeaseEffect, ctx: &mut Context<Self>) {
        match effect {
            LeaseEffect::Claim { lease, holder, devices, share } => {
                self.claim(lease, holder, devices, share, ctx);
            }
            LeaseEffect::Unclaim { lease } => {
                self.claims.remove(&lease);
            }
            LeaseEffect::Grant { ticket, lease, grant, share: _ } => self.grant(ticket, lease, grant, ctx),
            LeaseEffect::Returned { lease, devices } => {
                // The locks go first: whoever hears of it finds the devices free.
                let out = self.out.remove(&lease);
                let names: Vec<&str> = devices.iter().map(DeviceId::as_str).collect();
                let bus = out.map_or_else(|| self.bus.clone(), |out| out.bus);
                bus.publish(Event::LeaseReturned { lease: lease.0, device: names.join(",") });
            }
            LeaseEffect::Refuse { ticket, reason } => self.refuse(ticket, reason),
            LeaseEffect::Revoke { lease } => {
                if let Some(out) = self.out.get(&lease) {
                    out.revoke.send_replace(true);
                    let message = format!("the device of `{}` is gone; its worker is given up", out.holder);
                    out.bus.publish(Event::Warned { message });
                }
            }
            LeaseEffect::CountLate(late) => tracing::warn!(?late, "late lease event"),
        }
    }

    fn claim(
        &mut self,
        lease: LeaseId,
        holder: String,
        devices: Vec<DeviceId>,
        share: Share,
        ctx: &mut Context<Self>,
    ) {
        let known = |device: DeviceId| self.uuids.get(&device).cloned().map(|uuid| Gpu { device, uuid });
        let gpus = devices.into_iter().filter_map(known).collect();
        let claim = Claim { holder, gpus, share, locks: self.locks.clone(), reader: self.reader.clone() };
        let made = off_arbiter("claim".into(), move || claim.make());
        ctx.spawn(made.into_actor(self).map(move |made, manager, ctx| manager.claim_made(lease, made, ctx)));
    }

    fn claim_made(
        &mut self,
        lease: LeaseId,
        made: Result<Result<Claimed, LockError>, NoAnswer>,
        ctx: &mut Context<Self>,
    ) {
        let error = match made {
            Ok(Ok(Claimed::Taken(taken))) => {
                for gpu in &taken.watched {
                    self.busy.remove(&gpu.device);
                }
                self.claims.insert(lease, taken);
                return self.enter(LeaseEvent::Claimed { lease }, ctx);
            }
            Ok(Ok(Claimed::Busy { device, held })) => {
                self.note_busy(&device, held);
                self.enter(LeaseEvent::Busy { lease, device }, ctx);
                return self.tell_who_is_waited_for();
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        self.why_unclaimable = Some(error);
        self.enter(LeaseEvent::ClaimFailed { lease }, ctx);
    }

    fn note_busy(&mut self, device: &DeviceId, held: Option<Held>) {
        // Nobody is seen where the device has just come free, or is only being looked at.
        let Some(Held { holder, pid, .. }) = held.filter(|held| held.pid != 0) else { return };
        if self.busy.get(device).is_none_or(|busy| busy.pid != pid) {
            self.busy.insert(device.clone(), Busy { holder, pid, is_told: false });
        }
    }

    /// Tells once for each device and process, and only where somebody really has to wait.
    fn tell_who_is_waited_for(&mut self) {
        if !self.book.is_held_up_elsewhere() {
            return;
        }
        for (device, busy) in self.busy.iter_mut().filter(|(_, busy)| !busy.is_told) {
            busy.is_told = true;
            let message = format!("{device} is held by `{}` (process {}); waiting", busy.holder, busy.pid);
            self.bus.publish(Event::Warned { message });
        }
    }

    fn grant(&mut self, ticket: Ticket, lease: LeaseId, mut grant: Grant, ctx: &mut Context<Self>) {
        let device = grant.device_names();
        let (revoke, revoked) = watch::channel(false);
        let taken = self.claims.remove(&lease).unwrap_or_default();
        for place in &mut grant.places {
            let file = taken.worker_files.iter().find(|(device, _)| *device == place.device);
            place.lock = file.map(|(_, file)| file.clone());
        }
        let guard = LeaseGuard::new(lease, grant, revoked, Arc::clone(&self.bin));
        let request = self.requests.remove(&ticket);
        let asked = request.as_ref().map(|request| (request.holder.clone(), request.bus.clone()));
        let (holder, bus) = asked.unwrap_or_else(|| ("nobody".to_owned(), self.bus.clone()));
        self.out.insert(lease, Out { holder: holder.clone(), bus: bus.clone(), revoke, taken });
        bus.publish(Event::LeaseGranted { lease: lease.0, device, holder });
        match request {
            // A holder that is gone drops the guard, and the lease comes back through the bin.
            Some(request) => drop(request.reply.send(Ok(guard))),
            None => tracing::warn!(?ticket, "lease granted to an unknown request"),
        }
        self.watch_gpus(ctx);
    }

    fn refuse(&mut self, ticket: Ticket, reason: RefuseReason) {
        let Some(Request { holder, reply, .. }) = self.requests.remove(&ticket) else { return };
        let reason = match self.why_unclaimable.take() {
            Some(why) if reason == RefuseReason::Unclaimable => format!("{reason}: {why}"),
            _ => reason.to_string(),
        };
        drop(reply.send(Err(LeaseRefused { holder, reason })));
    }

    /// Withdraws the requests nobody waits for any more, so that the next in line is not passed over for them.
    fn withdraw_abandoned(&mut self, ctx: &mut Context<Self>) {
        let gone: Vec<Ticket> =
            self.requests.iter().filter(|(_, r)| r.reply.is_closed()).map(|(t, _)| *t).collect();
        for ticket in gone {
            self.requests.remove(&ticket);
            self.enter(LeaseEvent::Withdraw { ticket }, ctx);
        }
    }

    fn listen(&mut self, ctx: &mut Context<Self>) {
        let bin = Arc::clone(&self.bin);
        let filled = async move { bin.filled().await };
        ctx.spawn(filled.into_actor(self).map(|(), manager, ctx| {
            manager.withdraw_abandoned(ctx);
            for (lease, word) in manager.bin.empty() {
                manager.hear(lease, word, ctx);
            }
            manager.listen(ctx);
        }));
    }

    /// What a holder says of its lease, in the order it matters.
    fn hear(&mut self, lease: LeaseId, word: Word, ctx: &mut Context<Self>) {
        if let Some(peak_bytes) = word.peak_bytes {
            self.enter(LeaseEvent::Measured { lease, peak_bytes }, ctx);
        }
        if word.ran_out_of_memory {
            self.enter(LeaseEvent::RanOutOfMemory { lease }, ctx);
        }
        if word.is_back {
            self.take_back(lease, ctx);
        }
    }

    /// The holder is done. A GPU goes back only once the memory of its run is back.
    fn take_back(&mut self, lease: LeaseId, ctx: &mut Context<Self>) {
        let before = self.out.get_mut(&lease).map(|out| std::mem::take(&mut out.taken.before));
        match before.filter(|before| !before.is_empty()) {
            Some(before) => {
                self.watch.drain(lease, before, self.born.elapsed());
                self.look_now(ctx);
            }
            None => self.enter(LeaseEvent::Release { lease }, ctx),
        }
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

    fn handle(&mut self, AcquireLease { holder, want, bus, reply }: AcquireLease, ctx: &mut Self::Context) {
        self.withdraw_abandoned(ctx);
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.requests.insert(ticket, Request { holder: holder.clone(), bus, reply });
        self.enter(LeaseEvent::Acquire { ticket, holder, want }, ctx);
    }
}
