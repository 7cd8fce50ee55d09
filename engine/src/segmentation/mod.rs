//! The segmentation workload: one U-Net-like model, trained, validated and tested on a data folder by the loop of
//! [`learn`](crate::learn).
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
//! | `test/{metric}`, `test/Instance…` | once, where a run tests | the whole test set, from summed counts |
//!
//! `{metric}` is `loss` and the names of [`crate::metrics`]. The suffix is Lightning's: it keeps a step's
//! value and an epoch's apart where both fall on the same row. `train/time` is in seconds since training
//! began, earlier attempts included; `val/loss` is the mean over all pixels that count, so a batch weighs
//! as much as it has of them.
//!
//! # What is drawn
//! As a run begins: `data/distribution` and, where samples are augmented, `data/augmentations`. After every
//! `plot-every-n-val-epochs`-th validation and the last, and once where a run tests: `{val|test}/roc`,
//! `/precision_recall`, `/confusion_matrix` (of a test also those of instances) as data, `/charts` as pictures, and
//! `/samples`, previews of the same samples every time. The pictures lie in `figures/`, `{val|test}_samples_epoch{E}/` and
//! `{val|test}_charts_epoch{E}/`; data of the best validation and of a test in `{val|test}_curves.json` and
//! `{val|test}_regions.json`. All of it is drawn beside the training and before the checkpoint that follows. Drawing changes
//! nothing that is trained, and what can not be drawn is a warning. Without the feature `plots` there are no charts as
//! pictures.
//!
//! # Several processes
//! Where [`Rank::from_env`](engine_devices::rank::Rank::from_env) says so, this is one process of several that train the
//! run's model together, by [`parallel`](crate::training::parallel). Each trains on its share of every epoch and
//! validates its share of the validation set; what is logged is of all of them, except time and throughput, which are
//! rank 0's. Rank 0 speaks, writes checkpoints and figures, and tests; the others do neither. A stop that one rank is
//! asked for, and a loss that is not finite on one, end all of them at the same step.
//!
//! # Invariants
//! Those of [`learn`](crate::learn).
//!
//! [`RunOrder`]: engine_actors::protocol::RunOrder
//! [`RunContext`]: crate::workload::RunContext

pub mod devices;
mod distribution;
mod error;
mod evaluate;
mod figures;
mod instances;
pub mod jobs;
pub mod predict;
mod preflight;
mod prepare;
mod preview;
mod recipe;
mod resume;
pub mod settings;
mod setup;
mod start;
mod tally;
mod task;
mod trained;
mod weights;
mod workload;

pub use error::RunError;
pub use preflight::{Scope, preflight};
pub use settings::{SegmentationHyperparameters, SegmentationSettings, TestSplit};
pub use trained::{Trained, TrainedError};
pub use workload::SegmentationWorkload;
