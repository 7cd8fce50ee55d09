//! Instance metrics: how many of the true things are found, whatever their size, and how well their edges are met.
//!
//! An instance is a part of a mask that hangs together over sides and corners, within one image. Found and true
//! instances are matched one to one where their intersection over union is at least [`MATCH_IOU`]; a match is a true
//! positive, a found instance without one a false positive, a true one without one a false negative. There are no true
//! negatives. Pixels with target 2 are found to be negative and are no part of a true instance.
//!
//! Counts add over images and passes, as those of pixels do. What is counted at a threshold is what reaches it, as on
//! the pixels' curves; the metrics without a curve count at a probability above 0.5.

mod components;
mod counts;
mod mask;
mod matching;
#[cfg(test)]
mod tests;

pub use counts::{BoundaryCounts, InstanceCounts, InstanceCurveData, InstanceEvaluation};
pub use matching::MATCH_IOU;

use components::{Components, Overlap};
use mask::Mask;
use matching::{Matched, best, candidates};

use super::confusion::check_sizes;
use super::curves::{edges, reached};
use super::{MetricsError, POSITIVE, THRESHOLD, THRESHOLDS};

/// Target of a pixel that counts for nothing.
const IGNORED: u8 = 2;
/// Width of a boundary as a share of the image's diagonal.
///
/// # Sources
/// Cheng et al. 2021, Boundary IoU: Improving Object-Centric Image Segmentation Evaluation, section 4.2.
const BOUNDARY_SHARE: f64 = 0.02;

/// Width of a boundary in images of this size, at least 1.
///
/// # Units
/// Pixels.
pub fn boundary_pixels(height: usize, width: usize) -> u32 {
    let diagonal = (height as f64).hypot(width as f64);
    // Half a pixel goes to the even number, as Python rounds.
    ((BOUNDARY_SHARE * diagonal).round_ties_even() as u32).max(1)
}

/// Counts the instances of one image after another, in memory that is used again.
#[derive(Debug, Default)]
pub struct InstanceCounter {
    /// What was counted so far.
    pub sums: InstanceEvaluation,
    levels: Levels,
    mask: Mask,
    truth: Components,
    found: Components,
    overlaps: Vec<Overlap>,
}

/// The pixels of an image by how many thresholds they reach.
#[derive(Debug, Default)]
struct Levels {
    level_of: Vec<u8>,
    /// Places of the pixels in a mask, those that reach most thresholds last.
    bits: Vec<u32>,
    /// Where in `bits` those of each level begin; one more than there are levels.
    begins: [usize; THRESHOLDS + 2],
}

impl InstanceCounter {
    /// Counts an image.
    ///
    /// # Shapes
    /// - `probabilities`: `[height, width]`
    /// - `targets`: `[height, width]`, 0 negative, 1 positive, 2 ignored
    ///
    /// # Errors
    /// [`MetricsError::SizeMismatch`] if there are not as many of one as of the other, or not as many as the image has
    /// pixels; nothing is counted.
    pub fn add(
        &mut self,
        probabilities: &[f32],
        targets: &[u8],
        (height, width): (usize, usize),
    ) -> Result<(), MetricsError> {
        check_sizes(probabilities.len(), targets.len())?;
        check_sizes(probabilities.len(), height * width)?;
        let mut truth = Mask::new(height, width);
        truth.fill(|at| targets[at] == POSITIVE);
        self.truth.find(&truth);

        let predicted = |at: usize| probabilities[at] > THRESHOLD;
        self.mask.reset(height, width);
        self.mask.fill(predicted);
        let mut counted = Mask::new(height, width);
        counted.fill(|at| targets[at] != IGNORED);
        let pixels = boundary_pixels(height, width);
        let (both, either) = truth.boundary(pixels).overlap(&self.mask.boundary(pixels), &counted);
        self.sums.boundary += BoundaryCounts { intersection: both, union: either };

        self.mask.fill(|at| predicted(at) && targets[at] != IGNORED);
        let (counts, iou) = self.count();
        self.sums.at_half += counts;
        self.sums.matched_iou += iou;

        self.levels.sort(&self.mask, width, probabilities, targets);
        self.mask.reset(height, width);
        let mut counts = None;
        // What reaches a threshold reaches all lower ones: from the highest on, pixels are added alone.
        for threshold in (0..THRESHOLDS).rev() {
            let added = self.levels.of(threshold + 1);
            added.iter().for_each(|bit| self.mask.set(*bit as usize));
            let unchanged = counts.filter(|_| added.is_empty());
            let now = unchanged.unwrap_or_else(|| self.count().0);
            self.sums.thresholds[threshold] += now;
            counts = Some(now);
        }
        Ok(())
    }

    /// The instances of the mask against the true ones, and the sum of the intersections over unions of the matches.
    fn count(&mut self) -> (InstanceCounts, f64) {
        self.found.find(&self.mask);
        self.truth.overlaps(&self.found, &mut self.overlaps);
        let Matched { pairs, iou } = best(&candidates(&self.truth, &self.found, &self.overlaps));
        let [truth, found] = [&self.truth, &self.found].map(|parts| parts.areas().len() as u64);
        let counts = InstanceCounts {
            true_positives: pairs,
            false_positives: found - pairs,
            false_negatives: truth - pairs,
        };
        (counts, iou)
    }
}

impl Levels {
    fn sort(&mut self, mask: &Mask, width: usize, probabilities: &[f32], targets: &[u8]) {
        let edges = edges();
        let level = |(probability, target): (&f32, &u8)| {
            if *target == IGNORED { 0 } else { reached(&edges, *probability) as u8 }
        };
        self.level_of.clear();
        self.level_of.extend(probabilities.iter().zip(targets).map(level));
        let mut counts = [0; THRESHOLDS + 1];
        self.level_of.iter().for_each(|level| counts[usize::from(*level)] += 1);
        for (level, count) in counts.into_iter().enumerate() {
            self.begins[level + 1] = self.begins[level] + count;
        }
        let mut next = self.begins;
        self.bits.resize(self.level_of.len(), 0);
        for (row, levels) in self.level_of.chunks_exact(width.max(1)).enumerate() {
            let first = mask.bit(row, 0);
            for (column, level) in levels.iter().enumerate() {
                let place = &mut next[usize::from(*level)];
                self.bits[*place] = (first + column) as u32;
                *place += 1;
            }
        }
    }

    /// Places in a mask of the pixels that reach exactly so many thresholds.
    fn of(&self, level: usize) -> &[u32] {
        &self.bits[self.begins[level]..self.begins[level + 1]]
    }
}
