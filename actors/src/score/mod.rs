//! The score of a cross-validation: the metrics of each run combined, then averaged over the runs.
//!
//! Owns what a score is, when a run is unstable and which of two scores is better; see [`Scoring`].

mod mean;
mod parse;
mod scoring;

pub use parse::ScoringError;
pub use scoring::{Direction, Score, ScoreMetric, Scoring, Strategy};
