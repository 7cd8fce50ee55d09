//! Checkpoints: one folder each, whole or not there.
//!
//! A checkpoint holds everything a run needs to go on as if it had never stopped:
//!
//! | file | holds |
//! |---|---|
//! | `weights.safetensors` | parameters and buffers under their state-dict names |
//! | `optimizer.safetensors` | what the optimizer keeps: `{parameter}.exp_avg` and `{parameter}.exp_avg_sq`, or `{parameter}.momentum_buffer` |
//! | `state.json` | format version, counters, schedule, early stopping, top-k list, data order, names, settings |
//!
//! A folder is filled under a temporary name beside its place, each file and the folder flushed to the
//! disk, then renamed. A ranked checkpoint and `last` of the same step are the same files under two names, where the file
//! system knows hard links: no file of a checkpoint is ever changed in its place. Nothing in it can execute code. One writer at a time has the `checkpoints/` of a run; that is locked,
//! not hoped for.

mod error;
mod find;
mod folder;
mod lock;
mod snapshot;
mod state;
pub(crate) mod values;
mod writer;

pub use error::CheckpointError;
pub use find::checkpoint_in;
#[cfg(feature = "segmentation")]
pub(crate) use find::{is_checkpoint, is_run};
pub use folder::{Checkpoints, Fill, LAST, checkpoint_name};
pub use snapshot::Snapshot;
pub use state::{Checkpoint, DataOrder, EpochRow, FORMAT_VERSION, ModelShape, OpenRow, RunIdentity, State};
pub use writer::Writer;
