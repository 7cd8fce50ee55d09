//! The engine as an application holds it: built once, given jobs, asked for events.
//!
//! [`Engine::builder`] takes a workload and says where it may run; [`Engine::train`], [`Engine::cv`] and
//! [`Engine::tune`] start a job each and return a [`JobHandle`]. Jobs of one engine share its devices.
//!
//! The engine has threads of its own and needs no runtime of the application's: it works within tokio, within an actix system and
//! from a plain `main`. What is async here runs on any executor.

mod builder;
mod error;
mod handle;
mod jobs;
mod ranks;
mod request;
mod seat;

pub use builder::{Engine, EngineBuilder};
pub use error::EngineError;
pub use handle::JobHandle;
pub use ranks::{Follower, Part};
pub use request::{CvRequest, RunRequest, TuneRequest};
