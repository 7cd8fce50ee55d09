//! Tune, cross-validate and train models over many devices, from one handle.
//!
//! Three levels, each callable on its own, each calling the one below: a *tune* tries many configurations, a *cv*
//! trains one configuration on every fold and seed, a *run* trains one model.
//!
//! - [`Engine`]: built once with a [`Workload`](workload::Workload), started with a request, watched through its
//!   [`EventStream`]
//! - [`segmentation`]: the workload that comes with the engine; [`segmentation::jobs`] makes requests from a
//!   configuration
//! - [`config`], [`space`]: options, config files, search spaces
//! - [`jobs`]: the jobs of an artifact folder from outside: how each stands, what it is doing, how to stop it
//! - [`resume`]: going on with a job that was begun before
//! - [`tracking`]: Weights & Biases and TensorBoard
//! - [`export`]: a trained model as files that Python loads
//! - [`data`], [`folds`], [`models`], [`loss`], [`metrics`], [`training`]: the parts of a segmentation run, usable
//!   alone
//! - [`worker::run_if_worker`]: first line of `main` of an application that trains in child processes

pub mod artifacts;
pub mod augment;
pub mod backend;
pub mod config;
pub mod data;
pub mod engine;
pub mod export;
pub mod failures;
pub mod figures;
pub mod folds;
pub mod jobs;
pub mod loss;
pub mod metrics;
pub mod models;
pub mod names;
pub mod nn;
pub mod resume;
mod rng;
pub mod seeds;
pub mod segmentation;
pub mod space;
pub mod tracking;
pub mod training;
pub mod worker;
pub mod workload;

pub use engine_actors::bus::EventStream;
pub use engine_actors::events::{EVENT_VERSION, Event, EventLine, EventLineError, read_event_line};
pub use engine_actors::outcome::{Cause, CvOutcome, Failure, RunOutcome, Status, TuneOutcome};
pub use engine_actors::plan::{AfterTune, Cell, FailedCells, Hyperparameters, RunPlan, RunTask};
pub use engine_actors::ports::{RunLine, Sampler, Tracker, TrackerError};
pub use engine_actors::protocol::{Phase, Progress};
pub use engine_actors::score::Scoring;
pub use engine_actors::stop::StopMode;
pub use engine_actors::system::{JobError, Stopper};
pub use engine_devices::inventory::{ComputeMode, DeviceReport, DeviceRow, Holder};
pub use engine_devices::{Accelerator, DeviceInfo, DeviceKind, InventoryError, PlacementError, Strategy};

pub use self::engine::{
    CvRequest, Engine, EngineBuilder, EngineError, Follower, JobHandle, Part, RunRequest, TuneRequest,
};
