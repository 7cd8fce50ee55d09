//! The actors of the engine: a tune over cvs over runs, on leased devices, as one tree.
//!
//! - [`plan`], [`outcome`], [`events`], [`protocol`]: what is to be done, how it ended, what happened, what workers say
//! - [`tune`], [`cv`], [`run`], [`devices`], [`tracker`], [`sink`]: one folder per actor, its invariants in its `mod.rs`
//! - [`journal`]: what a job's journal says, and how it is written and recalled
//! - [`system`]: the way in, [`ActorSystem`]
//! - [`ports`]: what others implement
//! - [`limits`]: every queue bound and every timer
//!
//! What goes down the tree is an actor's start or an awaited send. What comes back up is one reply per child, a
//! channel of one value that can not be full and that closes when the child is lost. Nothing blocks on the arbiter.

pub mod bus;
pub mod cv;
pub mod devices;
pub mod events;
mod failure_limit;
pub mod journal;
pub mod limits;
mod off_arbiter;
pub mod outcome;
pub mod plan;
pub mod ports;
pub mod protocol;
pub mod run;
pub mod score;
pub mod sink;
mod stepwise;
pub mod stop;
pub mod system;
pub mod tracker;
pub mod tune;
mod wiring;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testing;

pub use stop::StopMode;
pub use system::{
    ActorSystem, JobError, JobHandle, ShutdownError, StartError, Stopper, SystemConfig, SystemOptions,
};
