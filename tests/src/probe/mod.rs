//! A workload that does what a script says, and the jobs that run it in real worker processes.
//!
//! The program `probe` (in `src/bin`) is an application like any other: it links the engine, its `main` begins with
//! `run_if_worker`, and its runs happen in child processes of itself. What they do stands in the hyperparameter
//! `script`, see [`script`].
//!
//! ```ignore
//! let place = Workplace::new();
//! let script = json!({"script": {"f0s42": "step:5; kill-self", "*": "step:5"}});
//! let job = Job::new(&place.path(""), Level::Cv, &[script], 3);
//! let ended = place.probe(env!("CARGO_BIN_EXE_probe"), &job).end();
//! assert_eq!(ended.outcome()["runs"][0]["failure"]["cause"], "killed");
//! ```

mod job;
mod marker;
pub mod script;
mod workload;

pub use job::{Job, Level, ProbeError, Processes, carry_out};
pub use marker::{Mark, Moment, marks};
pub use workload::Scripted;
