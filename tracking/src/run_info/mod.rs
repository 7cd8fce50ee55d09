//! Run-info tables: `run_infos.parquet` of a cv, `{tune_name}.parquet` of a tune.
//!
//! Owns the columns of both, what is in them and how they grow. Invariants:
//! - TABLE-1: a reader sees a whole table at any instant, the one before or the one after a write.
//! - TABLE-2: what is read is what was written: a metric that was not logged is null, NaN is NaN.
//! - TABLE-3: no two columns have the same name, whatever metrics and hyperparameters are called.
//! - TABLE-4: a cv stands in a tune's table once, however often it is added.

mod columns;
mod decode;
mod encode;
mod error;
mod kind;
mod rows;
mod table;
mod tune;

pub use error::RunInfoError;
pub use rows::{CvScore, RunInfo, TableRow};
pub use table::{read_run_infos, write_cv};
pub use tune::{CvRows, TuneTable};

#[cfg(test)]
mod tests;
