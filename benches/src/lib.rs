//! What the benches share: [`figures`], and a workload that does nothing, so that only the engine's own cost is left.

pub mod figures;
pub mod process;

use engine::workload::{RunContext, Workload};
use engine::{
    Accelerator, Cell, CvRequest, Engine, EngineError, FailedCells, Failure, Hyperparameters, Scoring,
    Strategy,
};
use engine_actors::protocol::{RunOrder, RunSummary};
use engine_actors::score::ScoringError;

/// Metric that [`NoOp`] reports.
pub const METRIC: &str = "val/JaccardIndex";

/// A run that logs nothing and ends at once with a usable score.
#[derive(Debug, Clone, Copy)]
pub struct NoOp;

impl Workload for NoOp {
    fn run(&self, _order: &RunOrder, _context: &RunContext) -> Result<RunSummary, Failure> {
        Ok(RunSummary { metrics: [(METRIC.to_owned(), 0.5)].into(), ..RunSummary::default() })
    }
}

/// An engine over two CPU slices with thread workers, which writes to `folder`.
///
/// # Errors
/// [`EngineError`] if it can not be built.
pub fn engine(folder: &std::path::Path) -> Result<Engine, EngineError> {
    Engine::builder(NoOp)
        .artifact_dir(folder)
        .accelerator(Accelerator::Cpu)
        .devices(["0", "1"])
        .strategy(Strategy::CvParallel)
        .build()
}

/// A cv of so many cells.
///
/// # Errors
/// [`ScoringError`] never: the metric is a fixed one.
pub fn cv(cells: u32) -> Result<CvRequest, ScoringError> {
    Ok(CvRequest {
        name: None,
        cells: (0..cells).map(|fold| Cell { fold, seed: 42 }).collect(),
        hyperparameters: Hyperparameters::new(),
        scoring: Scoring::parse(&[METRIC], "harmonic")?,
        failed_cells: FailedCells::FailCv,
        max_failures: None,
        settings: serde_json::Value::Null,
        keeping: engine::resume::Keeping::default(),
    })
}
