//! What of a run's checkpoints is kept elsewhere.

/// Which checkpoints are kept on W&B, as versions of the artifact `model-{run_id}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogModel {
    /// None.
    #[default]
    None,
    /// The best of each run, at its end.
    Best,
    /// Each as it is written but `last`, which is kept once, at the end.
    All,
}
