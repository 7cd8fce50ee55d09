//! Worker processes that do one run after another.
//!
//! Starting a process, loading its libraries and making their threads takes longer than a small run's first step. A
//! worker whose run ended well may therefore rest and be given the next run of the same family on the same device.
//! Nothing but the time differs: a run starts from its order alone.
//!
//! Only on a CPU: there a worker's memory is looked at and proven back before it rests. On a GPU libtorch keeps what it
//! was given, and only the process's end brings it back.
//!
//! - WARM-1: at most one worker rests on a device.
//! - WARM-2: a worker rests only after a run that ended well, alone in its process group, with no more memory than
//!   [`allowed_bytes`] of what it had after its first run.
//! - WARM-3: another family on the device, [`IDLE`] without work, and the launcher's end each end a resting worker; a
//!   launch on its device returns only once it is gone.
//! - WARM-4: a handle of an earlier run never reaches a later one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::LaunchError;
use super::process::{ProcessLauncher, ProcessWorker};
use super::reap::{ProcessGroup, is_alone};
use super::stderr::BetweenTurns;
use super::wire::Over;
use super::{EventSink, Launch, Launcher, Worker};
use crate::inventory::{DeviceId, DeviceKind};
use crate::lease::Place;

/// How long a worker rests before it is ended: the next run of a cv comes within moments.
const IDLE: Duration = Duration::from_secs(30);

/// Time between two looks whether a resting worker still lives.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a launch waits for a resting worker that makes room for it: a killed process is gone in a moment.
const EVICTION: Duration = Duration::from_secs(10);

/// What a worker may have kept over its first run's remains, whatever those are: buffers, caches of allocators.
const SLACK_BYTES: u64 = 64 << 20;

/// Most that a worker may have resident to be given more work, from what it had after its first run.
const fn allowed_bytes(first: u64) -> u64 {
    first / 2 * 3 + SLACK_BYTES
}

/// Starts workers as [`ProcessLauncher`] does, and lets those rest that may; see the module.
///
/// Dropped, it ends the workers that rest; those at work end with their handles.
#[derive(Debug)]
pub struct WarmLauncher<In, Out> {
    launcher: ProcessLauncher,
    pool: Arc<Pool<In, Out>>,
    idle: Duration,
}

impl<In, Out> WarmLauncher<In, Out> {
    /// Workers of this launcher.
    #[must_use]
    pub fn new(launcher: ProcessLauncher) -> Self {
        Self::resting_for(launcher, IDLE)
    }

    /// As [`WarmLauncher::new`], for workers that rest for so long at the most.
    #[must_use]
    pub fn resting_for(launcher: ProcessLauncher, idle: Duration) -> Self {
        Self { launcher, pool: Arc::new(Pool { parked: Mutex::new(HashMap::new()) }), idle }
    }
}

impl<In, Out> Launcher<In, Out> for WarmLauncher<In, Out>
where
    In: Serialize + Send + 'static,
    Out: DeserializeOwned + Send + 'static,
{
    fn launch(&self, launch: &Launch<'_>, sink: EventSink<Out>) -> Result<Box<dyn Worker<In>>, LaunchError> {
        let key = Key::of(launch);
        let mut parked = None;
        for place in &launch.grant.places {
            parked = self.pool.take(&place.device, key.as_ref());
        }
        let sink = match parked {
            Some(parked) => match parked.rouse(sink) {
                Ok(worker) => return Ok(Box::new(worker)),
                Err(sink) => sink,
            },
            None => sink,
        };
        match (key, launch.grant.places.as_slice()) {
            (Some(key), [place]) => {
                let berth =
                    Berth { pool: Arc::downgrade(&self.pool), key, idle: self.idle, first_bytes: None };
                self.launcher.start_resting(launch.name, place, sink, berth)
            }
            _ => self.launcher.launch(launch, sink),
        }
    }
}

/// What two runs must have in common to share a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    family: String,
    place: Place,
}

impl Key {
    /// None for a run that shares its worker with no other.
    fn of(launch: &Launch<'_>) -> Option<Self> {
        let family = launch.family?.to_owned();
        match launch.grant.places.as_slice() {
            [place] if place.kind == DeviceKind::Cpu => Some(Self { family, place: place.clone() }),
            _ => None,
        }
    }
}

/// The workers that rest, by device.
struct Pool<In, Out> {
    parked: Mutex<HashMap<DeviceId, Parked<In, Out>>>,
}

impl<In, Out> fmt::Debug for Pool<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// A worker that rests, as its next launch sees it.
struct Parked<In, Out> {
    key: Key,
    group: Arc<ProcessGroup>,
    inbox: Sender<In>,
    next: Sender<EventSink<Out>>,
    printed: BetweenTurns,
    /// Closed with the worker's supervising thread.
    ended: Receiver<()>,
}

impl<In, Out> Pool<In, Out> {
    fn parked(&self) -> MutexGuard<'_, HashMap<DeviceId, Parked<In, Out>>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker that rests on the device, if it lives and has this key; any other is gone on return.
    fn take(&self, device: &DeviceId, key: Option<&Key>) -> Option<Parked<In, Out>> {
        let parked = self.parked().remove(device)?;
        if Some(&parked.key) == key && !parked.group.has_ended() {
            return Some(parked);
        }
        parked.evict();
        None
    }

    /// Takes a worker out that has rested too long; none if a launch has just taken it.
    fn withdraw(&self, device: &DeviceId, group: &Arc<ProcessGroup>) -> Option<Parked<In, Out>> {
        let mut all = self.parked();
        if all.get(device).is_some_and(|parked| Arc::ptr_eq(&parked.group, group)) {
            all.remove(device)
        } else {
            None
        }
    }
}

impl<In, Out> Drop for Pool<In, Out> {
    fn drop(&mut self) {
        for (_, parked) in self.parked().drain() {
            parked.group.kill();
        }
    }
}

impl<In, Out> Parked<In, Out> {
    /// Gives the worker other work; the sink comes back if it is gone.
    fn rouse(self, sink: EventSink<Out>) -> Result<ProcessWorker<In>, EventSink<Out>> {
        let Self { group, inbox, next, printed, .. } = self;
        let turn = group.turn();
        printed.forget();
        next.send(sink).map_err(|unheard| unheard.0)?;
        Ok(ProcessWorker { group, turn, inbox })
    }

    /// Ends the worker and waits until it is gone and its memory back.
    fn evict(self) {
        let Self { group, next, ended, .. } = self;
        group.kill();
        // Its supervising thread waits for an order that will not come.
        drop(next);
        // Nothing is ever sent: the line closes with that thread.
        if ended.recv_timeout(EVICTION) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(pid = group.pid(), "a resting worker is slow to go");
        }
    }
}

/// Where one worker may rest; its supervising thread's own.
pub(super) struct Berth<In, Out> {
    pool: Weak<Pool<In, Out>>,
    key: Key,
    idle: Duration,
    /// What the worker had resident after its first run.
    first_bytes: Option<u64>,
}

impl<In, Out> Berth<In, Out> {
    /// Whether a worker that is done may be given more work: its memory is back, and nothing it started is left.
    pub(super) fn proves(&mut self, over: Over, group: &ProcessGroup) -> bool {
        let Some(resident) = over.memory.resident_bytes else { return false };
        let first = *self.first_bytes.get_or_insert(resident);
        if resident > allowed_bytes(first) {
            tracing::info!(
                pid = group.pid(),
                resident,
                first,
                "a worker kept too much memory to go on: ended"
            );
            return false;
        }
        is_alone(group)
    }

    /// Puts the worker where the next launch finds it; none if another rests there already or nobody launches any more.
    pub(super) fn park(
        &self,
        group: &Arc<ProcessGroup>,
        inbox: &Sender<In>,
        (ended, printed): (&Receiver<()>, BetweenTurns),
    ) -> Option<Resting<In, Out>> {
        let pool = self.pool.upgrade()?;
        let (next, order) = bounded(1);
        let device = self.key.place.device.clone();
        match pool.parked().entry(device.clone()) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(free) => {
                let (key, group) = (self.key.clone(), Arc::clone(group));
                let (inbox, ended) = (inbox.clone(), ended.clone());
                free.insert(Parked { key, group, inbox, next, printed, ended });
            }
        }
        Some(Resting { pool: Weak::clone(&self.pool), device, order, until: Instant::now() + self.idle })
    }
}

/// A worker that rests, as its supervising thread sees it.
pub(super) struct Resting<In, Out> {
    pool: Weak<Pool<In, Out>>,
    device: DeviceId,
    order: Receiver<EventSink<Out>>,
    until: Instant,
}

impl<In, Out> Resting<In, Out> {
    /// Waits for other work; none if the worker is to end.
    pub(super) fn order(self, group: &Arc<ProcessGroup>) -> Option<EventSink<Out>> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            match self.order.recv_timeout(left.min(LOOK_EVERY)) {
                Ok(sink) => return Some(sink),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if left.is_zero() || group.has_ended() => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        let withdrawn = self.pool.upgrade().and_then(|pool| pool.withdraw(&self.device, group));
        match withdrawn {
            Some(_) => None,
            // A launch has taken it at this very moment: its order is on the way, or it is being evicted.
            None => self.order.recv().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_proven_back_by_half_as_much_again_and_a_little() {
        assert_eq!(allowed_bytes(0), 64 << 20);
        assert_eq!(allowed_bytes(1 << 30), (3 << 29) + (64 << 20));
    }

    #[test]
    fn only_runs_of_one_family_on_one_cpu_slice_share_a_worker() {
        let place = crate::inventory::DeviceInfo::bare(DeviceKind::Cpu, 0, vec![0], 1).place();
        let key = |family, places: &[&Place]| {
            let grant = crate::lease::Grant { places: places.iter().map(|place| (*place).clone()).collect() };
            Key::of(&Launch { name: "run", family, grant: &grant })
        };
        let gpu = Place { kind: DeviceKind::Cuda, ..place.clone() };
        let pinned = Place { cores: vec![1], ..place.clone() };
        assert!(key(Some("cv"), &[&place]).is_some());
        assert_eq!(key(Some("cv"), &[&place]), key(Some("cv"), &[&place]));
        assert_ne!(key(Some("cv"), &[&place]), key(Some("cv"), &[&pinned]));
        assert_ne!(key(Some("cv"), &[&place]), key(Some("other"), &[&place]));
        assert_eq!(key(None, &[&place]), None);
        assert_eq!(key(Some("cv"), &[&gpu]), None);
        assert_eq!(key(Some("cv"), &[&place, &pinned]), None);
    }
}
