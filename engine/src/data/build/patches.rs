//! An image and its mask in patches, from the top down: what is held are the rows of one row of patches.

use std::collections::VecDeque;

use super::super::raster::{Raster, RasterRows};
use super::BuildRequest;
use super::error::BuildError;
use super::pairs::Pair;

/// Label of a pixel that does not count.
const IGNORED: u8 = 2;
/// Label of a value that means nothing, while it is looked for.
const UNKNOWN: u8 = 255;

/// What the values of a mask mean.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    /// Values and their labels.
    pairs: Vec<(f32, u8)>,
}

impl Labels {
    pub(super) fn new(request: &BuildRequest) -> Result<Self, BuildError> {
        let mut pairs: Vec<(f32, u8)> = Vec::new();
        let lists = [
            ("negative", &request.negative, 0),
            ("positive", &request.positive, 1),
            ("ignored", &request.ignored, IGNORED),
        ];
        for (option, values, label) in lists {
            for value in values {
                let impossible = |remedy| BuildError::Impossible { option, value: value.to_string(), remedy };
                if !value.is_finite() {
                    return Err(impossible("give finite numbers; what is not a number is ignored anyway"));
                }
                if pairs.iter().any(|(known, _)| known == value) {
                    return Err(impossible("give each value of a mask one meaning"));
                }
                pairs.push((*value, label));
            }
        }
        Ok(Self { pairs })
    }

    /// What is named goes before what the file calls "no data": many masks call their background so.
    fn of(&self, value: f32, nodata: Option<f32>) -> u8 {
        match self.pairs.iter().find(|(known, _)| *known == value) {
            Some((_, label)) => *label,
            None if nodata == Some(value) || !value.is_finite() => IGNORED,
            None => UNKNOWN,
        }
    }
}

/// Some values of a mask that mean nothing.
#[derive(Debug, Clone, Copy)]
struct Unknown {
    count: u64,
    value: f32,
    row: usize,
    column: usize,
}

/// One patch.
#[derive(Debug)]
pub(super) struct Patch {
    /// First row and column in the image.
    pub(super) place: (usize, usize),
    /// `[bands, side, side]`; 0 where there are no data.
    pub(super) x: Vec<f32>,
    /// `[side, side]`.
    pub(super) y: Vec<u8>,
}

/// First pixels of the patches along one axis: the last one reaches beyond the image where they do not fit.
pub(super) fn starts(len: usize, side: usize, overlap: usize) -> Vec<usize> {
    let mut starts = vec![0];
    let mut at = 0;
    while at + side < len {
        at += side - overlap;
        starts.push(at);
    }
    starts
}

struct Row {
    values: Vec<f32>,
    labels: Vec<u8>,
}

/// Reads a pair row of patches by row of patches.
pub(super) struct Patches<'a> {
    pair: &'a Pair,
    image: RasterRows,
    mask: RasterRows,
    labels: &'a Labels,
    scaling: &'a [(f32, f32)],
    mask_nodata: Option<f32>,
    size: (usize, usize),
    side: usize,
    /// Row of the first row that is held.
    first: usize,
    rows: VecDeque<Row>,
    unknown: Option<Unknown>,
}

impl<'a> Patches<'a> {
    pub(super) fn new(
        pair: &'a Pair,
        (image, channels): (&Raster, Vec<usize>),
        mask: &Raster,
        labels: &'a Labels,
        scaling: &'a [(f32, f32)],
        side: usize,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            pair,
            image: image.rows(channels)?,
            mask: mask.rows(vec![0])?.with_nodata(),
            labels,
            scaling,
            mask_nodata: mask.nodata().map(|value| value as f32),
            size: image.size(),
            side,
            first: 0,
            rows: VecDeque::new(),
            unknown: None,
        })
    }

    /// The patches of the row of patches that begins at `top`, those left out in which no pixel counts.
    pub(super) fn row(&mut self, top: usize, lefts: &[usize]) -> Result<Vec<Patch>, BuildError> {
        let (height, width) = self.size;
        while self.first < top && self.rows.pop_front().is_some() {
            self.first += 1;
        }
        while self.first + self.rows.len() < height.min(top + self.side) {
            let row = self.read(self.first + self.rows.len())?;
            self.rows.push_back(row);
        }
        let counts = |left: &&usize| {
            let inside = **left..width.min(*left + self.side);
            self.rows.iter().any(|row| row.labels[inside.clone()].iter().any(|label| *label < IGNORED))
        };
        Ok(lefts.iter().filter(counts).map(|left| self.patch(top, *left)).collect())
    }

    fn patch(&self, top: usize, left: usize) -> Patch {
        let ((_, width), side, bands) = (self.size, self.side, self.scaling.len());
        let inside = left..width.min(left + side);
        let (mut x, mut y) = (vec![0.0; bands * side * side], vec![IGNORED; side * side]);
        for (number, row) in self.rows.iter().enumerate() {
            for (band, values) in row.values.chunks_exact(width).enumerate() {
                let first = (band * side + number) * side;
                x[first..first + inside.len()].copy_from_slice(&values[inside.clone()]);
            }
            y[number * side..number * side + inside.len()].copy_from_slice(&row.labels[inside.clone()]);
        }
        Patch { place: (top, left), x, y }
    }

    fn read(&mut self, number: usize) -> Result<Row, BuildError> {
        let (_, width) = self.size;
        let mut values = vec![0.0; self.scaling.len() * width];
        let (mut ignored, mut unused) = (vec![false; width], vec![false; width]);
        let mut mask = vec![0.0; width];
        self.image.next_row(&mut values, &mut ignored)?;
        self.mask.next_row(&mut mask, &mut unused)?;
        for (band, (scale, offset)) in values.chunks_exact_mut(width).zip(self.scaling) {
            let pixels = band.iter_mut().zip(&ignored).filter(|(_, ignored)| !**ignored);
            pixels.for_each(|(value, _)| *value = *value * scale + offset);
        }
        let mut labels = Vec::with_capacity(width);
        for (column, ((value, ignored), not_finite)) in mask.iter().zip(&ignored).zip(&unused).enumerate() {
            let label = if *not_finite { IGNORED } else { self.labels.of(*value, self.mask_nodata) };
            if label == UNKNOWN {
                let first = Unknown { count: 0, value: *value, row: number, column };
                self.unknown.get_or_insert(first).count += 1;
            }
            labels.push(if *ignored { IGNORED } else { label });
        }
        Ok(Row { values, labels })
    }

    /// Ends the image: an error if values of its mask meant nothing.
    pub(super) fn finish(self) -> Result<(), BuildError> {
        let Some(Unknown { count, value, row, column }) = self.unknown else { return Ok(()) };
        Err(BuildError::Label { count, value, row, column, path: self.pair.mask.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_cover_an_axis_without_one_too_many() {
        assert_eq!(starts(128, 128, 0), [0]);
        assert_eq!(starts(129, 128, 0), [0, 128]);
        assert_eq!(starts(300, 128, 28), [0, 100, 200]);
        assert_eq!(starts(5, 128, 64), [0]);
        for (len, side, overlap) in [(1000, 64, 16), (257, 32, 31), (97, 96, 0)] {
            let starts = starts(len, side, overlap);
            let last = *starts.last().unwrap();
            assert!(last + side >= len && last < len);
            assert!(starts.len() == 1 || starts[starts.len() - 2] + side < len, "the last one is needed");
        }
    }
}
