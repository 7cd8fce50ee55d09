//! Where tiles lie, and how what they say is blended where they overlap.
//!
//! A tile weighs nothing to speak of at its border, where a network sees only half of what surrounds a pixel, and everything
//! in its middle: along each axis the weight rises as a squared sine over the overlap. Weights are divided by their sum at
//! each pixel, so an image's own border counts in full.

use std::f32::consts::FRAC_PI_2;

/// Sides of tiles are multiples of this: what the encoders halve five times.
pub(super) const MULTIPLE: usize = 32;

/// The tiles along one axis of an image.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// Pixels of the image.
    pub(super) len: usize,
    /// Pixels of a tile; more than `len` where the image is smaller.
    pub(super) tile: usize,
    /// First pixel of each tile, ascending. The last tile ends where the image ends.
    pub(super) starts: Vec<usize>,
    /// Weight of each pixel of a tile, above 0.
    pub(super) weights: Vec<f32>,
}

impl Axis {
    /// Tiles of `tile` pixels, a multiple of [`MULTIPLE`], that overlap by at least `overlap`, at most half of a tile.
    pub(super) fn new(len: usize, tile: usize, overlap: usize) -> Self {
        let tile = tile.min(len.next_multiple_of(MULTIPLE));
        let overlap = overlap.min(tile / 2);
        let starts = match len.checked_sub(tile) {
            None | Some(0) => vec![0],
            Some(last) => (0..last).step_by(tile - overlap).chain([last]).collect(),
        };
        let rise = |at: usize| ((at as f32 + 0.5) / overlap as f32 * FRAC_PI_2).sin().powi(2);
        let weights = (0..tile).map(|at| match at.min(tile - 1 - at) {
            edge if edge < overlap => rise(edge),
            _ => 1.0,
        });
        Self { len, tile, starts, weights: weights.collect() }
    }

    /// The sum of all tiles' weights at each pixel of the image.
    pub(super) fn totals(&self) -> Vec<f32> {
        let mut totals = vec![0.0; self.len];
        for start in &self.starts {
            for (total, weight) in totals[*start..].iter_mut().zip(&self.weights) {
                *total += weight;
            }
        }
        totals
    }
}

/// The pixel that stands for one beyond the image: mirrored at the border, which is not doubled.
pub(super) fn mirrored(at: usize, len: usize) -> usize {
    if at < len {
        return at;
    }
    let period = 2 * (len - 1).max(1);
    let within = at % period;
    within.min(period - within).min(len - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_pixel_and_end_with_the_image() {
        for len in [1, 31, 32, 33, 64, 100, 257, 1000] {
            for (tile, overlap) in [(32, 0), (64, 16), (64, 32), (256, 64)] {
                let axis = Axis::new(len, tile, overlap);
                let totals = axis.totals();
                assert!(totals.iter().all(|total| *total > 0.0), "{len} {tile} {overlap}");
                let last = axis.starts.last().unwrap() + axis.tile;
                assert!(
                    last == len || (axis.starts == [0] && last < len + MULTIPLE),
                    "{len} {tile} {overlap}"
                );
                assert!(
                    axis.starts.windows(2).all(|pair| pair[0] < pair[1]
                        && pair[1] - pair[0] <= axis.tile - overlap.min(axis.tile / 2))
                );
            }
        }
    }

    #[test]
    fn two_tiles_that_overlap_as_asked_weigh_one_together() {
        let axis = Axis::new(112, 64, 16);
        assert_eq!(axis.starts, [0, 48]);
        for total in &axis.totals()[16..96] {
            assert!((total - 1.0).abs() < 1e-6, "{total}");
        }
    }

    #[test]
    fn what_lies_beyond_is_mirrored() {
        let of_four: Vec<usize> = (0..10).map(|at| mirrored(at, 4)).collect();
        assert_eq!(of_four, [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]);
        assert_eq!((mirrored(5, 1), mirrored(3, 2)), (0, 1));
    }
}
