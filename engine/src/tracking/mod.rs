//! Where runs are tracked besides the files in their own folders: Weights & Biases and TensorBoard.
//!
//! - [`Wandb`]: what [`EngineBuilder::wandb`](crate::EngineBuilder::wandb) is given
//! - [`sync_all`]: what was left on disk is sent: `engine sync`
//! - [`group_url`] and [`is_entry`]: a cv and a tune have an entry of their own beside their runs
//!
//! Invariants:
//! - TRACKED-1: nothing here keeps an engine from being built or a run from ending: what can not be had is a warning.
//! - TRACKED-2: a run has one sender at a time: the engine that writes it, or one `engine sync`.
//! - TRACKED-3: whatever [`Engine::close`](crate::Engine::close) could not send is named by it and lies on disk whole.

mod entries;
mod job_book;
pub(crate) mod live;
mod service;
mod sync;
mod tensorboard;
mod wandb;

use engine_actors::events::Event;
use engine_tracking::Figure;
pub use engine_tracking::wandb::settings::{Mode, Pace, Resume, Settings, SettingsError};
pub use engine_tracking::wandb::uploader::{Progress, Unfinished};

pub use self::entries::{group_url, is_entry};
pub(crate) use self::job_book::JobFacts;
pub(crate) use self::service::{Tracking, TrackingPlan};
pub use self::sync::{Deed, SyncAllError, SyncOptions, Synced, Which, runs_below, sync_all};
pub use self::wandb::{LogModel, Wandb};

/// What the user is told of a figure that a back end could not take; the back end goes on.
fn left_out(tracker: &str, run_name: &str, figure: &Figure, error: &dyn std::fmt::Display) -> Event {
    Event::Warned { message: format!("{tracker} of `{run_name}` goes on without {}: {error}", figure.name) }
}
