//! Metric types, metric files and run-info tables. Knows neither actors nor tensors.
//!
//! - [`csv`]: `metrics.csv` of a run
//! - [`hparams`]: `hparams.yaml` of a run
//! - [`events`]: `events.jsonl` of a run
//! - [`run_info`]: `run_infos.parquet` of a cv, `{tune_name}.parquet` of a tune
//! - [`journal`]: the journal of a tune, a cv or a run alone
//! - `wandb`, of the feature of this name: Weights & Biases, online and offline
//! - `tensorboard`, likewise: TensorBoard event files
//! - [`upload`]: how far what is tracked elsewhere has come there
//! - [`figure`]: pictures and charts as they travel
//! - [`parquet_guard`]: parquet files that are damaged, where the library would panic
//! - [`atomic`]: files that appear whole or not at all

pub mod atomic;
pub mod csv;
pub mod events;
pub mod figure;
pub mod hparams;
pub mod journal;
pub mod line_file;
pub mod metric;
pub mod parquet_guard;
pub mod run_info;
#[cfg(feature = "tensorboard")]
pub mod tensorboard;
pub mod upload;
#[cfg(feature = "wandb")]
pub mod wandb;
mod whole_file;

pub use figure::{Figure, FigureContent, ImageFile, Series};
pub use metric::{MetricPoint, Metrics, RunPlace};
