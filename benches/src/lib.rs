//! What the benches share: [`figures`], [`budgets`], what is counted ([`counting`], [`cpu`]), the [`catalogue`] of the harness,
//! and workloads that do nothing, so that only the engine's own cost is left.

pub mod budgets;
pub mod catalogue;
pub mod counting;
pub mod cpu;
pub mod figures;
pub mod process;

use engine::workload::{RunContext, Workload};
use engine::{Accelerator, Engine, EngineError, Failure, Strategy};
use engine_actors::protocol::{RunOrder, RunSummary};

/// Metric that [`NoOp`] reports.
pub const METRIC: &str = "val/JaccardIndex";

/// A run that logs nothing and ends at once with a usable score.
#[derive(Debug, Clone, Copy)]
pub struct NoOp;

impl Workload for NoOp {
    fn run(&self, _order: &RunOrder, _context: &RunContext) -> Result<RunSummary, Failure> {
        Ok(ended())
    }
}

/// A run that went well, in as few words as there are.
#[must_use]
pub fn ended() -> RunSummary {
    RunSummary { metrics: [(METRIC.to_owned(), 0.5)].into(), ..RunSummary::default() }
}

/// An engine over so many CPU slices with thread workers, whose runs stand side by side and which writes to `folder`.
///
/// # Errors
/// [`EngineError`] if it can not be built.
pub fn engine(
    workload: impl Workload,
    slices: usize,
    folder: &std::path::Path,
) -> Result<Engine, EngineError> {
    Engine::builder(workload)
        .artifact_dir(folder)
        .accelerator(Accelerator::Cpu)
        .devices((0..slices).map(|slice| slice.to_string()))
        .strategy(Strategy::CvParallel)
        .build()
}
