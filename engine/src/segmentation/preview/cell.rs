//! A sample as a cell of a table of pictures: its composite, and the edges of what is true over it.

use super::{Grid, Shown, ends};
use crate::data::Sample;
use crate::figures::{BLUE, Picture, VERMILION};
use crate::metrics::{NEGATIVE, POSITIVE};

/// Pixels a cell is wide and high at the most.
const SIDE: usize = 160;

/// How a sample, and what becomes of it, is shown: a change of its values is one of its colours.
pub(in crate::segmentation) struct Cell {
    channels: [usize; 3],
    ends: [(f32, f32); 3],
    grid: Grid,
}

impl Shown {
    /// The first samples that are shown, as rows and ids.
    pub(in crate::segmentation) fn first(&self, count: usize) -> Vec<(usize, String)> {
        let mut all: Vec<(usize, usize, &String)> =
            self.samples.iter().map(|(row, (place, id))| (*place, *row, id)).collect();
        all.sort_unstable();
        all.into_iter().take(count).map(|(_, row, id)| (row, id.clone())).collect()
    }
}

impl Cell {
    pub(in crate::segmentation) fn new(shown: &Shown, sample: &Sample, height: usize, width: usize) -> Self {
        let grid = Grid::within(height, width, SIDE);
        let ends = bands(sample, shown.channels, height * width).map(ends);
        Self { channels: shown.channels, ends, grid }
    }

    /// A sample of the same size, in the colours of the first.
    pub(in crate::segmentation) fn picture(&self, sample: &Sample) -> Picture {
        let grid = self.grid;
        let mut pixels = grid.composite(bands(sample, self.channels, grid.height * grid.width), self.ends);
        let labels = grid.pick(|at| [sample.y[at]; 3]);
        let (rows, columns) = grid.size();
        for row in 0..rows {
            for column in 0..columns {
                let at = row * columns + column;
                let label = labels[at][0];
                let differs = |row: usize, column: usize| labels[row * columns + column][0] != label;
                let is_edge = (row > 0 && differs(row - 1, column))
                    || (row + 1 < rows && differs(row + 1, column))
                    || (column > 0 && differs(row, column - 1))
                    || (column + 1 < columns && differs(row, column + 1));
                match label {
                    NEGATIVE => {}
                    POSITIVE if is_edge => pixels[at] = VERMILION,
                    _ if is_edge => pixels[at] = BLUE,
                    _ => {}
                }
            }
        }
        grid.picture(&pixels)
    }
}

fn bands(sample: &Sample, channels: [usize; 3], pixels: usize) -> [&[f32]; 3] {
    channels.map(|channel| &sample.x[channel * pixels..(channel + 1) * pixels])
}
