//! The engine as an application holds it: built once, given jobs, asked for events.
//!
//! [`Engine::builder`] takes a workload and says where it may run; [`Engine::train`], [`Engine::cv`] and
//! [`Engine::tune`] start a job each and return a handle. Jobs of one engine share its devices.

mod builder;
mod error;
mod events;
mod jobs;
mod ranks;
mod request;
mod seat;

pub use builder::{Engine, EngineBuilder};
pub use error::EngineError;
pub use events::EventStream;
pub use ranks::{Follower, Part};
pub use request::{CvRequest, RunRequest, TuneRequest};
