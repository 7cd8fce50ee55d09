//! Figures as they travel: from a worker to the actors and the trackers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Something a run drew, at one place of the run. Pixels stay in files; data of charts travels.
///
/// # Units
/// `epoch` counts from 0; `step` is the number of optimizer steps taken so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Name, as that of a metric: `val/roc`. The next figure of the name follows it.
    pub name: String,
    /// Epoch it belongs to, from 0.
    pub epoch: u32,
    /// Optimizer steps taken when it was drawn.
    pub step: u64,
    /// What it shows.
    pub content: FigureContent,
}

/// What a figure shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FigureContent {
    /// Pictures of one size, in order.
    Images(Vec<ImageFile>),
    /// True positive rate over false positive rate, both in [0, 1], by class.
    Roc(Vec<Series>),
    /// Precision over recall, both in [0, 1], by class.
    PrecisionRecall(Vec<Series>),
    /// Pixels or samples by truth (row) and prediction (column).
    ConfusionMatrix {
        /// Names of the classes.
        classes: Vec<String>,
        /// As many rows and columns as there are classes.
        counts: Vec<Vec<u64>>,
    },
    /// Lines over one axis.
    Lines {
        /// What the axis shows.
        x_name: String,
        /// The lines.
        series: Vec<Series>,
    },
}

/// A line of points.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Its name: the class, or what is shown.
    pub name: String,
    /// Its points.
    pub x: Vec<f64>,
    /// As many as `x`; may hold NaN, which is no point.
    pub y: Vec<f64>,
}

/// A picture on disk, whole, never changed after it was named here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// A PNG file.
    pub path: PathBuf,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// What it shows.
    pub caption: String,
}
