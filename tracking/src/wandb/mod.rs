//! Weights & Biases: every run goes to a journal on disk first, and from there to the server, live or later.
//!
//! - [`run`]: what is logged, appended to `run-<id>.wandb` in the official offline format
//! - [`uploader`]: reads behind the journals and sends them; [`sync`](mod@sync) does so after the fact
//! - [`settings`], [`key`]: where to, and as whom
//!
//! Invariants:
//! - WANDB-1: what is logged is in the journal when the call returns; nothing waits for the network.
//! - WANDB-2: the server has a prefix of the journal's rows at any instant, each once, in order.
//! - WANDB-3: a request that is repeated changes nothing.
//! - WANDB-4: the key is in no file, event, log line or argument.
//! - WANDB-5: no answer of the server ends the upload of a run while its journal has more, but a refusal of the key.

pub mod api;
pub mod artifact;
mod batch;
mod board;
mod charts;
mod config;
mod connect;
mod console;
mod cursor;
mod environment;
mod extras;
#[cfg(test)]
mod fake_server_tests;
pub mod files;
pub mod folder;
mod follower;
#[cfg(test)]
mod follower_tests;
mod gather;
mod json;
pub mod key;
mod lanes;
pub mod log;
mod media;
mod netrc;
pub mod record;
pub mod run;
pub mod settings;
mod side;
mod source;
mod stream;
#[cfg(test)]
mod stream_tests;
pub mod sync;
#[cfg(test)]
pub(crate) mod testing;
mod tree;
pub mod uploader;

pub use media::MediaError;
