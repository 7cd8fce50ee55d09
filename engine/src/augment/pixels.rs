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
    let mut line = Vec::with_capacity(height.max(width) + edge);
    for plane in image.chunks_exact_mut(height * width) {
        for row in 0..height {
            blur_line(plane, row * width, 1, width, edge, &mut line);
        }
        for column in 0..width {
            blur_line(plane, column, width, height, edge, &mut line);
        }
    }
}

/// Blurs `len` pixels of a plane, `stride` apart from `start` on. Each window is added anew: no drift.
fn blur_line(plane: &mut [f32], start: usize, stride: usize, len: usize, edge: usize, line: &mut Vec<f32>) {
    let reach = edge / 2;
    line.clear();
    line.extend((0..len + 2 * reach).map(|at| plane[start + mirrored(at, reach, len) * stride]));
    #[expect(clippy::cast_precision_loss, reason = "an edge of 3 to 7 pixels")]
    let edge_len = edge as f32;
    for (at, window) in line.windows(edge).enumerate() {
        plane[start + at * stride] = window.iter().sum::<f32>() / edge_len;
    }
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
        let low = plane.iter().copied().fold(f32::INFINITY, f32::min);
        let high = plane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let step = (high - low) / LEVELS;
        if step > 0.0 && step.is_finite() {
            for value in plane {
                *value = low + ((*value - low) / step).floor().min(LEVELS - 1.0) * step;
            }
        }
    }
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
