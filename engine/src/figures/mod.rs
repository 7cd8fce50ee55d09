//! Figures: pure functions from numbers to pictures, the same bytes for the same numbers.
//!
//! Everything is drawn at the size it is looked at, in one style: [`CHART`] for charts, so that the charts of a pass stand
//! side by side. Colours are told apart by colour-blind readers: Okabe and Ito's for kinds, cividis for amounts. The font
//! comes with the engine; nothing of the system's is looked for.
//!
//! Without the feature `plots` there is [`Picture`] alone, which pictures of samples are made of; charts are then data.

#[cfg(feature = "plots")]
mod axes;
#[cfg(feature = "plots")]
mod bars;
#[cfg(feature = "plots")]
mod canvas;
#[cfg(feature = "plots")]
mod curves;
#[cfg(feature = "plots")]
mod heat;
mod picture;
#[cfg(feature = "plots")]
mod sheets;
#[cfg(feature = "plots")]
mod style;

#[cfg(test)]
#[cfg(feature = "plots")]
mod tests;

#[cfg(feature = "plots")]
pub use bars::{BarGroup, Bars, Segment, bars};
#[cfg(feature = "plots")]
pub use curves::{Line, LinePanel, learning_curves, precision_recall, roc};
#[cfg(feature = "plots")]
pub use heat::{Matrix, confusion_matrix, region_table};
pub use picture::{Colour, Picture};
#[cfg(feature = "plots")]
pub use sheets::{Grid, Key, Strip, grid, strip};
#[cfg(feature = "plots")]
pub use style::{BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, WHITE, light};

/// Width and height of a chart.
///
/// # Units
/// Pixels.
#[cfg(feature = "plots")]
pub const CHART: (u32, u32) = (800, 600);

/// Why a figure can not be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FigureError {
    /// The font that comes with the engine is none.
    #[error("the font of the figures can not be read; build the engine from whole sources")]
    Font,
    /// The drawing failed.
    #[error("the figure can not be drawn")]
    Draw(#[source] Box<dyn std::error::Error + Send + Sync>),
}
