//! Several processes that are one worker: the ranks of a data-parallel run, on one machine or on several.
//!
//! Owns: the ranks of this machine, the port they meet at, and the order files by which the processes of several
//! machines follow one of them. Hears: what every rank says, and how it ends. Tells: rank 0's messages, and one end.
//!
//! Whoever launches a worker does not see that it is a group: W-1 to W-3 of [`worker`](super) hold for it as a whole.
//!
//! - G-1: one `Exited` is told, after everything else, once every rank of this machine is gone.
//! - G-2: a rank that dies, says that it failed, or falls silent ends all the others; so does a kill.
//! - G-3: the end tells of the rank that is to blame: one that died without a word before one that failed by its own
//!   doing, that before one that fell silent, that before one that lost its peers; the first of its kind.
//! - G-4: a rank's failure is passed on only if that rank is to blame, and then as the last message.
//! - G-5: of ranks other than 0 nothing else is passed on.
//! - G-6: time in which the group itself did not listen is nobody's silence.
//!
//! # Where the ranks meet
//!
//! Rank 0 listens on a port that its launcher has chosen. The launcher keeps the port bound, with address reuse and
//! without listening, as long as the group lives: the system then gives it to nobody who asks for any port, while
//! rank 0, which names it and allows reuse as every TCPStore does, gets it. So there is no moment between choice and
//! use in which another process could be given the port, no descriptor has to be inherited, and no rank has to wait
//! for word from another. What is left is a process that names the same port by chance; then rank 0 says so, and the
//! next attempt of the run has another port.
//!
//! # Several machines
//!
//! `srun` or `torchrun` starts one engine process for each rank. The one of rank 0 does what its command says; its
//! [`GroupLauncher`] starts rank 0's worker and publishes the order in a folder that all machines share
//! ([`Lead`]). The others are each a [`Follower`]: they start their own worker when an order appears, write down how
//! it ended, and leave when rank 0 says so or is gone.

mod error;
mod follow;
mod launcher;
mod lead;
mod members;
mod port;
mod session;
mod state;

pub use error::{FollowError, SessionError};
pub use follow::Follower;
pub use launcher::GroupLauncher;
pub use lead::Lead;
pub use port::ReservedPort;
pub use state::{Heard, Judge, Patience, Whose};
