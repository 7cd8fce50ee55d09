//! Jobs that are killed and resumed: when they are killed, what their processes said, what they left.
//!
//! - [`Job`]: a small job of the engine's program, kept and resumed
//! - [`kills`]: SIGKILL at random moments, until a job is done, and what must hold then
//! - [`compare`]: whether two jobs came to the same result

pub mod compare;
mod job;
pub mod kills;
mod random;
mod told;

pub use job::{Job, SPACE, copy_folder};
pub use random::Random;
pub use told::Told;
