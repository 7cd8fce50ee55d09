//! Looks at the GPUs that are out: whether they are still there, and whether the memory of past runs is back.

use actix::{ActorFutureExt, AsyncContext, Context, SpawnHandle, WrapFuture};
use engine_devices::LeaseEvent;
use tokio::time::timeout;

use super::DeviceManager;
use crate::devices::claim::Gpu;
use crate::devices::memory::{Finding, Reading};
use crate::events::Event;
use crate::limits::{GPU_ANSWER, GPU_LOOK, MEMORY_LOOK};
use crate::off_arbiter::off_arbiter;

/// When the next look is.
#[derive(Debug, Default)]
pub(super) enum NextLook {
    /// There is nothing to look at.
    #[default]
    Never,
    /// By a timer.
    Later(SpawnHandle),
    /// The driver is being asked.
    UnderWay,
}

impl DeviceManager {
    /// Has the GPUs that are out looked at from time to time, if they are not already.
    pub(super) fn watch_gpus(&mut self, ctx: &mut Context<Self>) {
        if matches!(self.look, NextLook::Never) {
            self.look_later(ctx);
        }
    }

    /// Looks now: a lease came back.
    pub(super) fn look_now(&mut self, ctx: &mut Context<Self>) {
        match std::mem::take(&mut self.look) {
            NextLook::UnderWay => self.look = NextLook::UnderWay,
            NextLook::Later(timer) => {
                ctx.cancel_future(timer);
                self.look(ctx);
            }
            NextLook::Never => self.look(ctx),
        }
    }

    fn look_later(&mut self, ctx: &mut Context<Self>) {
        let pause = if self.watch.is_draining() {
            MEMORY_LOOK
        } else if self.out.values().any(|out| !out.taken.watched.is_empty()) {
            GPU_LOOK
        } else {
            self.look = NextLook::Never;
            return;
        };
        self.look = NextLook::Later(ctx.run_later(pause, Self::look));
    }

    /// Asks the driver away from the arbiter: one that has lost a GPU may take its time.
    fn look(&mut self, ctx: &mut Context<Self>) {
        self.look = NextLook::UnderWay;
        let mut gpus: Vec<Gpu> = self.out.values().flat_map(|out| out.taken.watched.clone()).collect();
        gpus.sort_by(|a, b| a.device.cmp(&b.device));
        gpus.dedup();
        let silent =
            gpus.iter().map(|gpu| Reading { device: gpu.device.clone(), used_bytes: None }).collect();
        let reader = self.reader.clone();
        let read = timeout(GPU_ANSWER, off_arbiter("gpu-memory".into(), move || reader.read(&gpus)));
        ctx.spawn(read.into_actor(self).map(move |answer, manager, ctx| {
            let readings = match answer {
                Ok(Ok(readings)) => readings,
                // Nobody was asked.
                Ok(Err(error)) => {
                    tracing::warn!(%error, "no look at the GPUs");
                    Vec::new()
                }
                Err(_) => silent,
            };
            manager.looked(&readings, ctx);
            manager.look_later(ctx);
        }));
    }

    fn looked(&mut self, readings: &[Reading], ctx: &mut Context<Self>) {
        for finding in self.watch.looked(readings, self.born.elapsed()) {
            match finding {
                Finding::Gone { device } => {
                    let message = format!("{device} is gone: its driver does not answer for it any more");
                    self.bus.publish(Event::Warned { message });
                    self.enter(LeaseEvent::DeviceGone { device }, ctx);
                }
                Finding::Back { lease } => self.enter(LeaseEvent::Release { lease }, ctx),
                Finding::Kept { lease, device, bytes } => {
                    let message = format!(
                        "{} of {device} did not come back after its run: another process may hold it; the device \
                         is used all the same",
                        mebibytes(bytes)
                    );
                    self.bus.publish(Event::Warned { message });
                    self.enter(LeaseEvent::Release { lease }, ctx);
                }
            }
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    if bytes == u64::MAX { "memory".to_owned() } else { format!("{} MiB", bytes >> 20) }
}
