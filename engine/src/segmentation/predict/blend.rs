//! One image through the network, from the top down: rows come in, tiles go through, rows go out. What is held are the rows
//! of one row of tiles, however high the image is.

use std::collections::VecDeque;
use std::ops::Range;

use super::error::PredictError;
use super::tiling::{Axis, mirrored};

/// Gives the rows of an image, from the top.
pub(super) trait Rows {
    /// Fills the next row: values of every band, `[bands, width]`, and which pixels have none.
    fn next(&mut self, values: &mut [f32], ignored: &mut [bool]) -> Result<(), PredictError>;
}

/// Takes the rows of a prediction, from the top.
pub(super) trait Sink {
    /// Takes the probabilities of a row; those of ignored pixels mean nothing.
    fn put(&mut self, probabilities: &[f32], ignored: &[bool]) -> Result<(), PredictError>;
}

/// How an image is cut, and how many pieces go through the network at once.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    pub(super) rows: Axis,
    pub(super) columns: Axis,
    pub(super) bands: usize,
    pub(super) batch_size: usize,
}

/// A row of the image that is not finished.
struct Row {
    values: Vec<f32>,
    ignored: Vec<bool>,
    /// Probabilities times weights so far.
    sums: Vec<f32>,
}

/// The rows under way.
struct Window {
    /// Number of the first.
    first: usize,
    rows: VecDeque<Row>,
    /// Rows that are done with, to be filled again.
    spare: Vec<Row>,
}

/// Predicts an image. `network` turns `[n, bands, height, width]` values into `[n, height, width]` probabilities; `done`
/// hears how many rows are finished.
pub(super) fn predict_rows(
    grid: &Grid,
    source: &mut dyn Rows,
    network: &mut dyn FnMut(Vec<f32>, [usize; 4]) -> Result<Vec<f32>, PredictError>,
    sink: &mut dyn Sink,
    done: &mut dyn FnMut(usize),
) -> Result<(), PredictError> {
    let (row_totals, column_totals) = (grid.rows.totals(), grid.columns.totals());
    let (height, width) = (grid.rows.len, grid.columns.len);
    let mut window = Window { first: 0, rows: VecDeque::new(), spare: Vec::new() };
    let mut finish = |window: &mut Window, until: usize| -> Result<(), PredictError> {
        while window.first < until {
            let Some(mut row) = window.rows.pop_front() else { break };
            let total = row_totals[window.first];
            for (sum, weight) in row.sums.iter_mut().zip(&column_totals) {
                *sum /= total * weight;
            }
            sink.put(&row.sums, &row.ignored)?;
            window.spare.push(row);
            window.first += 1;
        }
        done(window.first);
        Ok(())
    };
    for &top in &grid.rows.starts {
        finish(&mut window, top)?;
        let bottom = height.min(top + grid.rows.tile);
        while window.first + window.rows.len() < bottom {
            let mut row = window.spare.pop().unwrap_or_else(|| Row {
                values: vec![0.0; grid.bands * width],
                ignored: vec![false; width],
                sums: Vec::new(),
            });
            row.sums.clear();
            row.sums.resize(width, 0.0);
            source.next(&mut row.values, &mut row.ignored)?;
            window.rows.push_back(row);
        }
        predict_tiles(grid, &mut window, network)?;
    }
    finish(&mut window, height)
}

/// Sends the tiles of a row of tiles through the network. Tiles without a pixel that counts are passed over.
fn predict_tiles(
    grid: &Grid,
    window: &mut Window,
    network: &mut dyn FnMut(Vec<f32>, [usize; 4]) -> Result<Vec<f32>, PredictError>,
) -> Result<(), PredictError> {
    let Grid { rows, columns, bands, batch_size } = grid;
    let range = |left: usize| left..columns.len.min(left + columns.tile);
    let counts = |left: &&usize| window.rows.iter().any(|row| row.ignored[range(**left)].contains(&false));
    let counting: Vec<usize> = columns.starts.iter().filter(counts).copied().collect();
    for lefts in counting.chunks(*batch_size) {
        let mut batch = Vec::with_capacity(lefts.len() * bands * rows.tile * columns.tile);
        for left in lefts {
            for band in 0..*bands {
                for y in 0..rows.tile {
                    let row = &window.rows[mirrored(y, window.rows.len())];
                    let pixels = &row.values[band * columns.len..(band + 1) * columns.len];
                    let inside = range(*left);
                    batch.extend_from_slice(&pixels[inside.clone()]);
                    let beyond = inside.len()..columns.tile;
                    batch.extend(beyond.map(|x| pixels[left + mirrored(x, inside.len())]));
                }
            }
        }
        let probabilities = network(batch, [lefts.len(), *bands, rows.tile, columns.tile])?;
        let tiles = probabilities.chunks_exact(rows.tile * columns.tile);
        for (left, tile) in lefts.iter().zip(tiles) {
            add(grid, window, range(*left), tile);
        }
    }
    Ok(())
}

fn add(grid: &Grid, window: &mut Window, inside: Range<usize>, tile: &[f32]) {
    let Grid { rows, columns, .. } = grid;
    for ((row, pixels), row_weight) in
        window.rows.iter_mut().zip(tile.chunks_exact(columns.tile)).zip(&rows.weights)
    {
        let weighed = pixels.iter().zip(&columns.weights);
        for (sum, (probability, weight)) in row.sums[inside.clone()].iter_mut().zip(weighed) {
            *sum += probability * row_weight * weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image whose values are their places, and whose lower right corner has no data.
    struct Places {
        width: usize,
        next: usize,
        hole: Range<usize>,
    }

    impl Rows for Places {
        fn next(&mut self, values: &mut [f32], ignored: &mut [bool]) -> Result<(), PredictError> {
            for (column, value) in values.iter_mut().enumerate() {
                *value = (self.next * self.width + column) as f32;
            }
            for (column, ignored) in ignored.iter_mut().enumerate() {
                *ignored = self.hole.contains(&self.next) && self.hole.contains(&column);
            }
            self.next += 1;
            Ok(())
        }
    }

    #[derive(Default)]
    struct Kept {
        probabilities: Vec<f32>,
        ignored: Vec<bool>,
    }

    impl Sink for Kept {
        fn put(&mut self, probabilities: &[f32], ignored: &[bool]) -> Result<(), PredictError> {
            self.probabilities.extend_from_slice(probabilities);
            self.ignored.extend_from_slice(ignored);
            Ok(())
        }
    }

    fn run(
        (height, width): (usize, usize),
        (tile, overlap): (usize, usize),
        hole: Range<usize>,
        network: &mut dyn FnMut(Vec<f32>, [usize; 4]) -> Result<Vec<f32>, PredictError>,
    ) -> Kept {
        let grid = Grid {
            rows: Axis::new(height, tile, overlap),
            columns: Axis::new(width, tile, overlap),
            bands: 1,
            batch_size: 3,
        };
        let mut kept = Kept::default();
        let mut finished = 0;
        let mut source = Places { width, next: 0, hole };
        predict_rows(&grid, &mut source, network, &mut kept, &mut |rows| finished = rows).unwrap();
        assert_eq!((source.next, finished), (height, height), "every row is read and finished, once");
        kept
    }

    #[test]
    fn each_pixel_comes_back_to_its_place_whatever_the_tiles() {
        for size in [(1, 1), (32, 32), (40, 70), (130, 97), (65, 200)] {
            for tiles in [(32, 0), (32, 16), (64, 8), (256, 64)] {
                let found = run(size, tiles, 0..0, &mut |values, _| Ok(values));
                for (place, value) in found.probabilities.iter().enumerate() {
                    let error = (value - place as f32).abs();
                    assert!(error <= 1e-5 * place as f32, "{size:?} {tiles:?}: {value} at {place}");
                }
                assert_eq!(found.probabilities.len(), size.0 * size.1);
            }
        }
    }

    #[test]
    fn tiles_that_disagree_pass_over_into_each_other() {
        let mut number = 0.0;
        let mut network = |values: Vec<f32>, [n, _, h, w]: [usize; 4]| -> Result<Vec<f32>, PredictError> {
            assert_eq!(values.len(), n * h * w);
            let tiles = (0..n).flat_map(|_| {
                number = 1.0 - number;
                vec![number; h * w]
            });
            Ok(tiles.collect())
        };
        let found = run((64, 64 * 9), (64, 32), 0..0, &mut network);
        let steps = found.probabilities.windows(2).enumerate().filter(|(at, _)| (at + 1) % 576 != 0);
        let largest = steps.map(|(_, pair)| (pair[0] - pair[1]).abs()).fold(0.0, f32::max);
        // The steepest place of a squared sine over 32 pixels.
        assert!(largest > 0.01 && largest < 0.06, "{largest}");
    }

    #[test]
    fn what_has_no_data_is_told_and_tiles_without_any_are_not_computed() {
        let mut tiles = 0;
        let found = run((128, 128), (32, 0), 64..128, &mut |values, [n, ..]| {
            tiles += n;
            Ok(values)
        });
        assert_eq!(tiles, 12, "of sixteen, four have no data");
        assert_eq!(found.ignored.iter().filter(|ignored| **ignored).count(), 64 * 64);
        assert!(found.probabilities[..64 * 128].iter().enumerate().all(|(at, value)| *value == at as f32));
    }
}
