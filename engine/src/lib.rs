//! Tune, cross-validate and train models over many devices, from one handle.
//!
//! Three levels, each callable on its own, each calling the one below: a *tune* tries many configurations, a *cv*
//! trains one configuration on every fold and seed, a *run* trains one model.
//!
//! ```
//! use burn::nn::{Linear, LinearConfig};
//! use burn::tensor::{Device, Tensor};
//! use engine::Engine;
//! use engine::backend::burn;
//! use engine::learn::{BoxError, Closures, Data, Learning, LearningSettings, Run, Step};
//! use engine::space::{SearchSpace, Trials};
//! use engine::training::ScheduleConfig;
//!
//! #[derive(serde::Deserialize)]
//! struct Space {
//!     learning_rate: f64,
//! }
//!
//! fn points(rows: &[usize], device: &Device) -> Result<Tensor<2>, BoxError> {
//!     let x: Vec<f32> = rows.iter().map(|row| *row as f32 / 100.0).collect();
//!     Ok(Tensor::<1>::from_floats(x.as_slice(), device).unsqueeze_dim(1))
//! }
//!
//! # fn main() -> Result<(), BoxError> {
//! # let folder = tempfile::tempdir()?;
//! let model = |run: &Run<Space>| Ok(LinearConfig::new(1, 1).init(run.device()));
//! let data = |run: &Run<Space>| Data::kfold(run, 100, 10, points);
//! let step = |line: &Linear, x: Tensor<2>, _: &Run<Space>| {
//!     let error = line.forward(x.clone()) - (x * 3.0 + 1.0);
//!     Step::new(error.square().mean())
//! };
//! let closures = Closures::new(model, data, step);
//! let learning = Learning::new(closures.schedule(|space: &Space| ScheduleConfig::constant(space.learning_rate)));
//!
//! let space = SearchSpace::builder().choice("learning_rate", [1e-6, 1e-1]).build()?;
//! let (request, sampler) = learning.tune(&LearningSettings::default(), space, Trials::Grid)?;
//! let engine = Engine::builder(learning).artifact_dir(folder.path()).build()?;
//! let outcome = engine.tune(request, sampler)?.wait()?;
//! assert_eq!(outcome.best, Some(1));
//! # Ok(())
//! # }
//! ```
//!
//! - [`Engine`]: built once with a [`Workload`](workload::Workload), started with a request, watched through its
//!   [`EventStream`]
//! - [`learn`]: a burn model of your own as a workload, and the loop that trains it
//! - [`segmentation`]: the workload that comes with the engine; [`segmentation::jobs`] makes requests from a
//!   configuration
//! - [`command`]: any program as a run, a training script in Python
//! - [`config`], [`space`]: options, config files, search spaces
//! - [`jobs`]: the jobs of an artifact folder from outside: how each stands, what it is doing, how to stop it
//! - [`resume`]: going on with a job that was begun before
//! - [`tracking`]: Weights & Biases and TensorBoard
//! - [`export`]: a trained model as files that Python loads
//! - [`data`], [`folds`], [`models`], [`loss`], [`metrics`], [`training`]: the parts of a segmentation run, usable
//!   alone
//! - [`worker::run_if_worker`]: first line of `main` of an application that trains in child processes

pub mod artifacts;
#[cfg(feature = "segmentation")]
pub mod augment;
pub mod backend;
pub mod command;
pub mod config;
#[cfg(feature = "segmentation")]
pub mod data;
pub mod engine;
#[cfg(feature = "segmentation")]
pub mod export;
pub mod failures;
#[cfg(feature = "segmentation")]
pub mod figures;
pub mod folds;
pub mod jobs;
pub mod learn;
#[cfg(feature = "segmentation")]
pub mod loss;
#[cfg(feature = "segmentation")]
pub mod metrics;
pub mod models;
pub mod names;
pub mod nn;
pub mod resume;
mod rng;
pub mod seeds;
#[cfg(feature = "segmentation")]
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

// What signatures of the engine name, so that an application depends on this crate alone.
pub use engine_actors::protocol::{FromWorker, RunOrder, RunSummary};
pub use engine_actors::score::{Direction, Score, ScoreMetric, ScoringError, Strategy as ScoreStrategy};
pub use engine_devices::{Grant, Place, RunsPerDevice};
pub use engine_tracking::{Figure, FigureContent, ImageFile, MetricPoint, Metrics, RunPlace, Series};
