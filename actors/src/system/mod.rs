//! The whole tree of actors as one value: started on a thread of its own, given jobs, shut down.
//!
//! - **Owns** the thread of the actors, and through it every actor and every worker.
//! - **Hears** jobs from any thread, with or without an async runtime.
//! - **Tells** each job's outcome through its [`JobHandle`]; everything on the way through [`ActorSystem::subscribe`].
//!
//! Invariants:
//! - SYS-1: a job ends with an outcome or with [`JobError::Lost`]; waiting for it never hangs on an actor's panic.
//! - SYS-2: after shutdown no worker process is alive and the thread is joined.

mod config;
mod ending;
mod error;
mod handle;
mod root;
mod start;

pub use config::{SystemConfig, SystemOptions};
pub use error::{JobError, ShutdownError, StartError};
pub use handle::{JobHandle, Stopper};
pub use start::ActorSystem;
