//! What a synthetic sample looks like.
//!
//! Additions, multiplications and divisions alone, so that every machine draws the same bits.

use super::{Site, SynthConfig};
use crate::rng::{SplitMix64, mix};

/// Step of a slump's bands, along its signature. Terrain varies by about as much along the same signature.
const SLUMP_CONTRAST: f32 = 0.16;
/// Brightness step of a shape that is no slump.
const DECOY_CONTRAST: f32 = 0.16;
/// Amplitude of the terrain's vegetation, along the slump's signature.
const VEGETATION: f32 = 0.20;
/// Amplitude of the terrain's brightness.
const RELIEF: f32 = 0.15;
/// Amplitude of a region's tone, in brightness and along the signature.
const REGION_TONE: f32 = 0.15;
/// Standard deviation of the noise of one value.
const NOISE: f32 = 0.04;
/// Shapes a sample holds at most of one kind.
const MOST_SHAPES: u64 = 3;
/// How often a slump is drawn anew when gaps cover it.
const ATTEMPTS: usize = 16;

/// What a sample is to hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Contents {
    /// Positive pixels.
    pub(super) slumps: bool,
    /// Ignored pixels.
    pub(super) gaps: bool,
}

/// How each band answers to bareness.
///
/// Bare ground against tundra: redder, less near infrared, steeper, lower. Bands of other names take turns.
fn signature(bands: &[String]) -> Vec<f32> {
    let of = |(number, band): (usize, &String)| match band.to_lowercase().as_str() {
        "blue" => 0.35,
        "green" => 0.25,
        "red" => 0.9,
        "nir" | "nir08" => -1.0,
        "swir" | "swir16" | "swir22" => 0.6,
        "ndvi" | "tc_ndvi" => -1.0,
        "slope" => 0.5,
        "relative_elevation" | "dem" | "elevation" => -0.5,
        _ if number % 2 == 0 => 0.7,
        _ => -0.7,
    };
    bands.iter().enumerate().map(of).collect()
}

/// Draws samples.
pub(super) struct Terrain {
    seed: u64,
    size: usize,
    signature: Vec<f32>,
    positive_pixels: f32,
    /// Brightness and bareness of each region.
    tones: Vec<[f32; 2]>,
}

impl Terrain {
    pub(super) fn new(config: &SynthConfig) -> Self {
        let tone = |region: usize| {
            let mut generator = SplitMix64::keyed(config.seed ^ 0x746f_6e65, region as u64);
            [0; 2].map(|_| (generator.unit_single() * 2.0 - 1.0) * REGION_TONE)
        };
        Self {
            seed: config.seed,
            size: config.patch_size,
            signature: signature(&config.bands),
            positive_pixels: config.positive_fraction as f32 * (config.patch_size * config.patch_size) as f32,
            tones: (0..config.regions).map(tone).collect(),
        }
    }

    /// Values `[bands, size, size]` and labels `[size, size]` of one sample.
    pub(super) fn draw(&self, number: usize, site: &Site) -> (Vec<f32>, Vec<u8>) {
        let mut generator = SplitMix64::keyed(self.seed ^ 0x7061_7463, number as u64);
        let pixels = self.size * self.size;
        let mut y = vec![0u8; pixels];
        if site.contents.gaps {
            self.draw_gap(&mut generator, &mut y);
        }
        let mut slump = vec![0.0f32; pixels];
        for attempt in 0..ATTEMPTS {
            let seen = slump.iter().zip(&y).any(|(cover, label)| *cover > 0.0 && *label != 2);
            if !site.contents.slumps || seen {
                break;
            }
            if attempt > 0 {
                slump.fill(0.0);
            }
            self.draw_shapes(&mut generator, self.positive_pixels, &mut slump);
        }
        let mut decoy = vec![0.0f32; pixels];
        if self.signature.len() > 1 {
            self.draw_shapes(&mut generator, self.positive_pixels, &mut decoy);
        }
        for ((label, slump), decoy) in y.iter_mut().zip(&slump).zip(&mut decoy) {
            if *slump > 0.0 {
                *decoy = 0.0;
                *label = (*label).max(1);
            }
        }
        (self.draw_bands(&mut generator, site, &slump, &decoy, &y), y)
    }

    fn draw_bands(
        &self,
        generator: &mut SplitMix64,
        site: &Site,
        slump: &[f32],
        decoy: &[f32],
        labels: &[u8],
    ) -> Vec<f32> {
        let [tone, bareness] = self.tones[site.region_number];
        let region = mix(self.seed ^ site.region_number as u64);
        let mut brightness = Vec::with_capacity(slump.len());
        let mut bare = Vec::with_capacity(slump.len());
        for pixel in 0..slump.len() {
            let at = [
                (site.origin[0] + (pixel % self.size) as i64) as f32,
                (site.origin[1] + (pixel / self.size) as i64) as f32,
            ];
            let relief = 0.6 * lattice(region ^ 1, at, 24.0) + 0.4 * lattice(region ^ 2, at, 6.0);
            let vegetation = 0.7 * lattice(region ^ 3, at, 32.0) + 0.3 * lattice(region ^ 4, at, 5.0);
            brightness.push(0.4 + tone + RELIEF * relief + DECOY_CONTRAST * decoy[pixel]);
            bare.push(bareness + VEGETATION * vegetation + SLUMP_CONTRAST * slump[pixel]);
        }
        let mut x = Vec::with_capacity(self.signature.len() * slump.len());
        for share in &self.signature {
            for pixel in 0..slump.len() {
                let noise = NOISE * normal(generator);
                // No data is written as zero, as satellite products do.
                let seen = labels[pixel] != 2;
                x.push(if seen { brightness[pixel] + share * bare[pixel] + noise } else { 0.0 });
            }
        }
        x
    }

    /// Labels a corner or a stripe along one side as ignored: at most a third of the sample.
    fn draw_gap(&self, generator: &mut SplitMix64, y: &mut [u8]) {
        let size = self.size as u64;
        let depth = 2 + generator.below((size / 4).max(1)) as usize;
        let (corner, side) = (generator.below(2) == 0, generator.below(4));
        for (pixel, label) in y.iter_mut().enumerate() {
            let (column, row) = (pixel % self.size, pixel / self.size);
            let column = if side & 1 == 0 { column } else { self.size - 1 - column };
            let row = if side & 2 == 0 { row } else { self.size - 1 - row };
            let inside = if corner { column + row < 2 * depth } else { column < depth };
            if inside {
                *label = 2;
            }
        }
    }

    /// Adds lobed ellipses that cover about `pixels` pixels: 1 inside, fading to a half at the rim.
    fn draw_shapes(&self, generator: &mut SplitMix64, pixels: f32, cover: &mut [f32]) {
        let shapes = 1 + generator.below(MOST_SHAPES);
        let area = pixels / shapes as f32 / std::f32::consts::PI;
        let size = self.size as f32;
        for _ in 0..shapes {
            let aspect = 0.5 + 0.5 * generator.unit_single();
            // Half axes whose product gives the area.
            let short = (area * aspect).sqrt().max(1.0);
            let long = (area / aspect).sqrt().max(1.0);
            // A rational point of the unit circle is a rotation.
            let t = generator.unit_single() * 2.0 - 1.0;
            let (cosine, sine) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
            let centre = [0; 2].map(|_| size * (0.1 + 0.8 * generator.unit_single()));
            let lobes = generator.next_u64();
            for (pixel, cover) in cover.iter_mut().enumerate() {
                let at = [(pixel % self.size) as f32, (pixel / self.size) as f32];
                let (dx, dy) = (at[0] - centre[0], at[1] - centre[1]);
                let u = (cosine * dx + sine * dy) / long;
                let v = (cosine * dy - sine * dx) / short;
                let distance = u * u + v * v + 0.5 * lattice(lobes, at, 0.6 * short + 2.0);
                if distance < 1.0 {
                    *cover = cover.max(1.0 - 0.5 * distance.max(0.0));
                }
            }
        }
    }
}

/// Smooth noise from -1 to 1: random values on a lattice, blended in between.
///
/// # Sources
/// Perlin 1985, An Image Synthesizer; the blend 3t² - 2t³ is his.
fn lattice(key: u64, at: [f32; 2], wavelength: f32) -> f32 {
    let cell = at.map(|value| (value / wavelength).floor());
    let [s, t] = [0, 1].map(|axis| {
        let part = at[axis] / wavelength - cell[axis];
        part * part * (3.0 - 2.0 * part)
    });
    let corner = |dx: f32, dy: f32| {
        let place = ((cell[0] + dx) as i64 as u64).rotate_left(32) ^ (cell[1] + dy) as i64 as u64;
        SplitMix64::keyed(key, place).unit_single() * 2.0 - 1.0
    };
    let upper = corner(0.0, 0.0) * (1.0 - s) + corner(1.0, 0.0) * s;
    let lower = corner(0.0, 1.0) * (1.0 - s) + corner(1.0, 1.0) * s;
    upper * (1.0 - t) + lower * t
}

/// Nearly normal, mean 0, variance 1: a sum of four uniform values (Irwin-Hall).
fn normal(generator: &mut SplitMix64) -> f32 {
    let sum: f32 = (0..4).map(|_| generator.unit_single()).sum();
    (sum - 2.0) * 1.732_050_8 // variance of the sum is 1/3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_mean_zero_and_variance_one() {
        let mut generator = SplitMix64::new(1);
        let values: Vec<f64> = (0..20_000).map(|_| f64::from(normal(&mut generator))).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn terrain_is_smooth_across_cells() {
        let mut widest = 0.0f32;
        for step in 0..4000 {
            let at = step as f32 * 0.05;
            let [a, b] = [at, at + 0.05].map(|x| lattice(9, [x, 3.3], 8.0));
            widest = widest.max((a - b).abs());
        }
        assert!(widest > 0.0 && widest < 0.05, "{widest}");
    }
}
