//! The segmentation workload: one U-Net-like model, trained, validated and tested on a data folder.
//!
//! Owns: what a run of the engine does once it has a device. Hears a [`RunOrder`], tells what happens
//! through a [`RunContext`], writes `checkpoints/` and `figures/` of the run's folder and nothing else;
//! `metrics.csv`, `hparams.yaml` and `events.jsonl` are the trackers'.
//!
//! # What is logged
//! | names | when | over |
//! |---|---|---|
//! | `train/{metric}_step` | every `log-every-n-steps` steps | that step's last batch |
//! | `learning_rate`, `train/device/{samples,batches}_per_second`, `train/time` | with each of these rows, and at an epoch's end if the last such row lies further back | the steps since the row before |
//! | `train/{metric}` | at the end of each epoch | the epoch, from summed counts |
//! | `val/{metric}` | after each validation | the whole validation set, from summed counts |
//! | `test/{metric}` | once, where a run tests | the whole test set, from summed counts |
//!
//! `{metric}` is `loss` and the names of [`crate::metrics`]. The suffix is Lightning's: it keeps a step's
//! value and an epoch's apart where both fall on the same row. `train/time` is in seconds since training
//! began, earlier attempts included; `val/loss` is the mean over all pixels that count, so a batch weighs
//! as much as it has of them.
//!
//! # What is drawn
//! After every `plot-every-n-val-epochs`-th validation and the one of the last epoch, and once where a run tests, through
//! [`RunContext::draw`]: `{val|test}/roc`, `/precision_recall`, `/confusion_matrix` and `/samples`, previews of the same
//! samples every time. The pictures lie in `figures/{val|test}_samples_epoch{E}/`. Drawing changes nothing that is
//! trained, and what can not be drawn is a warning.
//!
//! # Several processes
//! Where [`Rank::from_env`](engine_devices::rank::Rank::from_env) says so, this is one process of several that train the
//! run's model together, by [`parallel`](crate::training::parallel). Each trains on its share of every epoch and
//! validates its share of the validation set; what is logged is of all of them, except time and throughput, which are
//! rank 0's. Rank 0 speaks, writes checkpoints and figures, and tests; the others do neither. A stop that one rank is
//! asked for, and a loss that is not finite on one, end all of them at the same step.
//!
//! # Invariants
//! - `RUN-1` the same seed, device kind and thread count give the same losses, bit for bit on the CPU.
//! - `RUN-2` a run that was stopped and goes on from its `last` checkpoint gives what it would have given.
//! - `RUN-3` a checkpoint never holds a step whose loss was known not to be finite.
//!
//! [`RunOrder`]: engine_actors::protocol::RunOrder
//! [`RunContext`]: crate::workload::RunContext
//! [`RunContext::draw`]: crate::workload::RunContext::draw

pub mod devices;
mod error;
mod evaluate;
mod figures;
mod held;
pub mod jobs;
mod keep;
mod preflight;
mod prepare;
mod preview;
mod resume;
pub mod settings;
mod setup;
mod step;
mod tally;
mod train;
mod weights;
mod workload;

pub use error::RunError;
pub use preflight::{Scope, preflight};
pub use settings::{FoldMethod, SegmentationHyperparameters, SegmentationSettings, TestSplit};
pub use workload::SegmentationWorkload;
