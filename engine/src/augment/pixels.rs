//! Augmentations of the values alone; no label moves.

use crate::rng::SplitMix64;

/// Edge lengths of the blur's box.
const BLUR_EDGES: [usize; 3] = [3, 5, 7];
/// Brightness and contrast change by up to this.
const CHANGE: f32 = 0.2;
/// Noise multiplies by 1 - this to 1 + this.
const NOISE: f32 = 0.1;
/// Levels of 6 bits.
const LEVELS: f32 = 64.0;

/// Replaces each pixel by the mean of a box of 3, 5 or 7 pixels around it, mirrored at the edges.
///
/// The mirror leaves the edge itself out (`d c b | a b c d | c b a`).
///
/// # Sources
/// albumentations 1.4 `Blur`, by OpenCV's `blur` with its default border `BORDER_REFLECT_101`.
pub(super) fn blur(image: &mut [f32], height: usize, width: usize, random: &mut SplitMix64) {
    let edge = BLUR_EDGES[random.nearly_below(3) as usize];
    box_blur(image, height, width, edge);
}

fn box_blur(image: &mut [f32], height: usize, width: usize, edge: usize) {
    if height * width == 0 {
        return;
    }
    let reach = edge / 2;
    let mut line = Vec::with_capacity(width + 2 * reach);
    let mut blurred = Vec::with_capacity(height * width);
    for plane in image.chunks_exact_mut(height * width) {
        for row in plane.chunks_exact_mut(width) {
            line.clear();
            line.extend((0..width + 2 * reach).map(|at| row[mirrored(at, reach, width)]));
            mean(row, line.windows(width));
        }
        blurred.clear();
        blurred.extend_from_slice(plane);
        for (at, row) in plane.chunks_exact_mut(width).enumerate() {
            let start = |at| mirrored(at, reach, height) * width;
            mean(row, (at..at + edge).map(|at| &blurred[start(at)..][..width]));
        }
    }
}

/// Replaces values by the mean of as many lines as there are, added one after another: each window anew, no drift.
fn mean<'a>(values: &mut [f32], lines: impl ExactSizeIterator<Item = &'a [f32]>) {
    #[expect(clippy::cast_precision_loss, reason = "an edge of 3 to 7 pixels")]
    let edge = lines.len() as f32;
    // Adding to it changes nothing, not even the sign of a zero.
    values.fill(-0.0);
    for line in lines {
        values.iter_mut().zip(line).for_each(|(sum, value)| *sum += value);
    }
    values.iter_mut().for_each(|sum| *sum /= edge);
}

/// The pixel that stands `at - reach` from the first, mirrored into the line as often as it takes.
fn mirrored(at: usize, reach: usize, len: usize) -> usize {
    if len == 1 {
        return 0;
    }
    let period = 2 * (len - 1);
    // A multiple of the period keeps the difference above zero.
    let within = (at + reach.div_ceil(period) * period - reach) % period;
    within.min(period - within)
}

/// Multiplies all values by a contrast of 0.8 to 1.2 and adds a brightness of -0.2 to 0.2: `x * a + b`.
///
/// One `a` and one `b` for the whole sample, all channels. The brightness is in units of the full scale of
/// normalised data, 1. Unlike the source nothing is cut off to `[0, 1]`: a relative elevation is rightly negative.
///
/// # Sources
/// albumentations 1.4 `RandomBrightnessContrast`, `brightness_by_max`, float images (full scale 1).
pub(super) fn brightness_contrast(image: &mut [f32], random: &mut SplitMix64) {
    let contrast = 1.0 + random.uniform(-CHANGE, CHANGE);
    let brightness = random.uniform(-CHANGE, CHANGE);
    for value in image {
        *value = *value * contrast + brightness;
    }
}

/// Multiplies each value by a number of its own, from 0.9 to 1.1.
///
/// # Sources
/// albumentations 1.4 `MultiplicativeNoise(per_channel=True, elementwise=True)`, without its cut to `[0, 1]`.
pub(super) fn multiplicative_noise(image: &mut [f32], random: &mut SplitMix64) {
    for value in image {
        *value *= random.uniform(1.0 - NOISE, 1.0 + NOISE);
    }
}

/// Keeps 6 bits: 64 even levels over each channel's range in this sample, each value rounded down to its level.
///
/// A channel of one value stays as it is. Rounded down, as the source does by clearing the low bits of bytes; the
/// source's bytes stand for `[0, 1]` and would clip all else.
///
/// # Sources
/// albumentations 1.4 `Posterize(num_bits=6)`.
pub(super) fn posterize(image: &mut [f32], height: usize, width: usize) {
    if height * width == 0 {
        return;
    }
    for plane in image.chunks_exact_mut(height * width) {
        let (low, high) = extremes(plane);
        let step = (high - low) / LEVELS;
        if step > 0.0 && step.is_finite() {
            for value in plane {
                // As `floor` of what is not negative, without a call.
                let level = ((*value - low) / step) as i32 as f32;
                *value = low + level.min(LEVELS - 1.0) * step;
            }
        }
    }
}

/// Smallest and largest of finite values, several side by side: one after another each comparison waits for the last.
fn extremes(values: &[f32]) -> (f32, f32) {
    const LANES: usize = 8;
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    let (lines, rest) = values.as_chunks::<LANES>();
    for line in lines {
        for ((low, high), value) in low.iter_mut().zip(&mut high).zip(line) {
            *low = if *value < *low { *value } else { *low };
            *high = if *value > *high { *value } else { *high };
        }
    }
    let low = low.iter().chain(rest).copied().fold(f32::INFINITY, f32::min);
    (low, high.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{SplitMix64, box_blur, brightness_contrast, mirrored, multiplicative_noise, posterize};

    #[test]
    fn the_mirror_leaves_the_edge_out_and_folds_short_lines_again() {
        let line = |reach: usize, len: usize| {
            (0..len + 2 * reach).map(|at| mirrored(at, reach, len)).collect::<Vec<_>>()
        };
        assert_eq!(line(2, 4), [2, 1, 0, 1, 2, 3, 2, 1]);
        assert_eq!(line(3, 2), [1, 0, 1, 0, 1, 0, 1, 0]);
        assert_eq!(line(3, 1), [0; 7]);
    }

    #[test]
    fn the_box_is_a_mean_and_a_constant_stays() {
        // OpenCV: cv2.blur([[0, 9, 0], [0, 0, 0], [0, 0, 18]], (3, 3)).
        let mut image = [0.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 18.0];
        box_blur(&mut image, 3, 3, 3);
        assert_eq!(image, [2.0, 1.0, 2.0, 2.0, 3.0, 4.0, 0.0, 2.0, 2.0]);
        let mut constant = vec![0.25; 2 * 5 * 4];
        box_blur(&mut constant, 5, 4, 7);
        assert!(constant.iter().all(|value| (value - 0.25).abs() < 1e-6));
    }

    /// As many bits as the formula has: a run that goes on with another version sees the same samples.
    #[test]
    fn the_blur_is_the_mean_of_means_of_mirrored_windows_to_the_last_bit() {
        let (height, width) = (9, 12);
        let mut random = SplitMix64::new(11);
        let image: Vec<f32> = (0..2 * height * width).map(|_| random.uniform(-3.0, 3.0)).collect();
        for edge in [3, 5, 7] {
            let mut expected = image.clone();
            for plane in expected.chunks_exact_mut(height * width) {
                for (lines, len, step, apart) in [(height, width, 1, width), (width, height, width, 1)] {
                    for line in 0..lines {
                        let place = |at: usize| line * apart + mirrored(at, edge / 2, len) * step;
                        let sum = |at: usize| (at..at + edge).map(|at| plane[place(at)]).sum::<f32>();
                        let means: Vec<f32> = (0..len).map(|at| sum(at) / edge as f32).collect();
                        (0..len).for_each(|at| plane[line * apart + at * step] = means[at]);
                    }
                }
            }
            let mut blurred = image.clone();
            box_blur(&mut blurred, height, width, edge);
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&blurred), bits(&expected), "edge {edge}");
        }
    }

    #[test]
    fn brightness_and_contrast_are_one_line_through_all_values_within_bounds() {
        for key in 0..500 {
            let mut image = [0.0, 1.0, -2.0];
            brightness_contrast(&mut image, &mut SplitMix64::new(key));
            let (brightness, contrast) = (image[0], image[1] - image[0]);
            assert!((-0.2..=0.2).contains(&brightness) && (0.799..=1.201).contains(&contrast), "{image:?}");
            assert!((image[2] - (brightness - 2.0 * contrast)).abs() < 1e-5);
        }
    }

    #[test]
    fn noise_differs_per_value_and_stays_within_a_tenth() {
        let mut image = vec![1.0; 4000];
        multiplicative_noise(&mut image, &mut SplitMix64::new(5));
        assert!(image.iter().all(|value| (0.9..=1.1).contains(value)));
        let distinct: BTreeSet<u32> = image.iter().map(|value| value.to_bits()).collect();
        assert!(distinct.len() > 3500);
        let mean = image.iter().sum::<f32>() / 4000.0;
        assert!((mean - 1.0).abs() < 0.005, "{mean}");
    }

    /// As many bits as the formula has.
    #[test]
    fn posterize_rounds_down_to_its_levels_to_the_last_bit() {
        let mut random = SplitMix64::new(3);
        let image: Vec<f32> = (0..400).map(|_| random.uniform(-5.0, 2.0)).collect();
        let mut posterized = image.clone();
        posterize(&mut posterized, 20, 20);
        let low = image.iter().copied().fold(f32::INFINITY, f32::min);
        let high = image.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let step = (high - low) / 64.0;
        for (value, found) in image.iter().zip(posterized) {
            let expected = low + ((value - low) / step).floor().min(63.0) * step;
            assert_eq!(found.to_bits(), expected.to_bits(), "{value}");
        }
    }

    #[test]
    fn posterize_leaves_at_most_64_levels_per_channel_each_near_the_value() {
        let mut image: Vec<f32> = (0..200).map(|n| f32::from(n as u8) * 0.37 - 20.0).collect();
        image.extend([7.5; 200]);
        let before = image.clone();
        posterize(&mut image, 10, 20);
        let levels: BTreeSet<u32> = image[..200].iter().map(|value| value.to_bits()).collect();
        assert_eq!(levels.len(), 64);
        let step = 199.0 * 0.37 / 64.0;
        assert!(before.iter().zip(&image).all(|(b, a)| *a <= b + 1e-4 && b - a <= step + 1e-4));
        assert_eq!(image[200..], [7.5; 200]);
    }
}
