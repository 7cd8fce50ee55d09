//! Where runs are tracked besides the files in their own folders: Weights & Biases and TensorBoard, each of the feature of its
//! name, and what an application adds by [`EngineBuilder::tracker`](crate::EngineBuilder::tracker).
//!
//! - `Wandb`: what `EngineBuilder::wandb` is given
//! - `sync_all`: what was left on disk is sent: `engine sync`
//! - `group_url` and `is_entry`: a cv and a tune have an entry of their own beside their runs
//!
//! Invariants:
//! - TRACKED-1: nothing here keeps an engine from being built or a run from ending: what can not be had is a warning.
//! - TRACKED-2: a run has one sender at a time: the engine that writes it, or one `engine sync`.
//! - TRACKED-3: whatever [`Engine::close`](crate::Engine::close) could not send is named by it and lies on disk whole.

mod abandoned;
#[cfg(feature = "wandb")]
mod entries;
mod job_book;
#[cfg(feature = "wandb")]
mod live;
mod log_model;
mod service;
#[cfg(feature = "wandb")]
mod sync;
#[cfg(feature = "tensorboard")]
mod tensorboard;
#[cfg(feature = "wandb")]
mod wandb;

pub use engine_tracking::upload::{Mode, Progress, Unfinished};
#[cfg(feature = "wandb")]
pub use engine_tracking::wandb::settings::{Pace, Resume, Settings, SettingsError};

pub(crate) use self::abandoned::is_abandoned;
#[cfg(feature = "wandb")]
pub use self::entries::{group_url, is_entry};
pub(crate) use self::job_book::JobFacts;
pub use self::log_model::LogModel;
pub(crate) use self::service::{Tracking, TrackingPlan};
#[cfg(feature = "wandb")]
pub use self::sync::{Deed, SyncAllError, SyncOptions, Synced, Which, runs_below, sync_all};
#[cfg(feature = "wandb")]
pub use self::wandb::Wandb;

/// What the user is told of a figure that a back end could not take; the back end goes on.
#[cfg(any(feature = "wandb", feature = "tensorboard"))]
fn left_out(
    tracker: &str,
    run_name: &str,
    figure: &engine_tracking::Figure,
    error: &dyn std::fmt::Display,
) -> engine_actors::events::Event {
    let message = format!("{tracker} of `{run_name}` goes on without {}: {error}", figure.name);
    engine_actors::events::Event::Warned { message }
}
