//! A synthetic training data folder: small, learnable, the same for the same seed everywhere.
//!
//! Imitates thaw slumps on tundra. A slump is a lobed ellipse that is barer than its surroundings (its bands shift
//! apart from each other, by a modest step); beside it lie shapes of the same kind that are merely brighter, terrain
//! whose vegetation and brightness vary as much as a slump's do, regions that differ in tone, and noise. So neither
//! one pixel's value nor a shape alone tells; a small convolutional network learns it in a few epochs.

mod folder;
mod terrain;

use std::path::PathBuf;

use serde::Serialize;

use super::aside::{Aside, refuse_taken};
use super::error::DataError;
use crate::rng::SplitMix64;
use terrain::{Contents, Terrain};

/// Metres a pixel, as Sentinel-2's visible bands have.
const PIXEL_METRES: f64 = 10.0;
/// Scenes of two by two patches lie on a grid of so many patches' spacing: neighbours in a scene touch, scenes do not.
const SCENE_SPACING: f64 = 3.0;
/// Patches of one scene, which share a sample id.
const SCENE_PATCHES: usize = 4;
/// Metres between the origins of two regions: far more than any region is wide.
const REGION_METRES: f64 = 400_000.0;

/// What to synthesise.
#[derive(Debug, Clone, PartialEq)]
pub struct SynthConfig {
    /// Folder to write; absent or empty.
    pub dir: PathBuf,
    /// Number of samples.
    pub samples: usize,
    /// Height and width in pixels.
    pub patch_size: usize,
    /// Names of the bands. With a single band there are no shapes that are merely brighter.
    pub bands: Vec<String>,
    /// Number of regions; samples are dealt to them in turn.
    pub regions: usize,
    /// Share of the pixels that are positive in a sample that has any.
    pub positive_fraction: f64,
    /// Share of the samples without a positive pixel, in every region.
    pub empty_fraction: f64,
    /// Share of the samples of which a stripe or corner is ignored.
    pub ignored_fraction: f64,
    /// Seed of everything.
    pub seed: u64,
}

impl SynthConfig {
    /// The default problem, in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            samples: 96,
            patch_size: 64,
            bands: ["blue", "green", "red", "nir"].map(String::from).to_vec(),
            regions: 4,
            positive_fraction: 0.08,
            empty_fraction: 0.4,
            ignored_fraction: 0.15,
            seed: 42,
        }
    }

    fn check(&self) -> Result<(), DataError> {
        let refuse = |what: String| Err(DataError::SynthSettings { what, path: self.dir.clone() });
        for (name, value) in [("samples", self.samples), ("regions", self.regions)] {
            if value == 0 {
                return refuse(format!("{name} is 0; give 1 or more"));
            }
        }
        if self.regions > self.samples {
            return refuse(format!(
                "{} regions for {} samples; give every region a sample",
                self.regions, self.samples
            ));
        }
        if self.patch_size < 16 {
            return refuse(format!("patch size {}; give 16 pixels or more", self.patch_size));
        }
        if self.bands.is_empty() {
            return refuse("no bands; name one or more".into());
        }
        if let Some(band) = self.bands.iter().enumerate().find(|(i, band)| self.bands[..*i].contains(band)) {
            return refuse(format!("band `{}` is named twice; name each band once", band.1));
        }
        let half =
            [("positive fraction", self.positive_fraction)].map(|(name, value)| (name, value, 0.001, 0.5));
        let whole = [("empty fraction", self.empty_fraction), ("ignored fraction", self.ignored_fraction)]
            .map(|(name, value)| (name, value, 0.0, 1.0));
        for (name, value, least, most) in half.into_iter().chain(whole) {
            if !(least..=most).contains(&value) {
                return refuse(format!("{name} {value}; give a number from {least} to {most}"));
            }
        }
        Ok(())
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SynthReport {
    /// The folder.
    pub path: PathBuf,
    /// Number of samples.
    pub samples: usize,
    /// Samples without a positive pixel.
    pub empty_samples: usize,
    /// Names of the regions.
    pub regions: Vec<String>,
    /// Pixels labelled 1.
    pub positive_pixels: u64,
    /// Pixels labelled 0.
    pub negative_pixels: u64,
    /// Pixels labelled 2.
    pub ignored_pixels: u64,
}

/// Where one sample belongs and what it holds.
struct Site {
    sample_id: String,
    region: String,
    /// Number of the region.
    region_number: usize,
    /// Position of the upper left pixel in the region, in pixels.
    origin: [i64; 2],
    contents: Contents,
}

/// Writes a training data folder, whole or not at all.
///
/// # Errors
/// Settings that describe no folder, a folder that is not empty, a file that cannot be written.
pub fn synthesise(config: &SynthConfig) -> Result<SynthReport, DataError> {
    config.check()?;
    refuse_taken(&config.dir)?;
    let sites = sites(config);
    let terrain = Terrain::new(config);
    let aside = Aside::create(&config.dir)?;
    let counts = folder::write_arrays(&aside.path, config, &sites, &terrain)?;
    let empty: Vec<bool> = counts.iter().map(|[_, positive, _]| *positive == 0).collect();
    folder::write_metadata(&aside.path, config, &sites, &empty)?;
    folder::write_config(&aside.path, config)?;
    aside.become_folder(&config.dir)?;
    let total = |label: usize| counts.iter().map(|counts| counts[label]).sum();
    Ok(SynthReport {
        path: config.dir.clone(),
        samples: config.samples,
        empty_samples: empty.iter().filter(|empty| **empty).count(),
        regions: (0..config.regions).map(region_name).collect(),
        negative_pixels: total(0),
        positive_pixels: total(1),
        ignored_pixels: total(2),
    })
}

fn region_name(number: usize) -> String {
    const NAMES: [&str; 6] = ["banks", "herschel", "kolguev", "lena", "peel", "taymyr"];
    NAMES.get(number).map_or_else(|| format!("region-{number}"), |name| (*name).to_owned())
}

/// Deals samples to regions in turn, and within each region draws which are empty and which partly ignored.
fn sites(config: &SynthConfig) -> Vec<Site> {
    let mut contents: Vec<std::vec::IntoIter<Contents>> = (0..config.regions)
        .map(|region| {
            let members = (config.samples - region).div_ceil(config.regions);
            draw_contents(config, region, members).into_iter()
        })
        .collect();
    (0..config.samples)
        .map(|sample| {
            let (region_number, member) = (sample % config.regions, sample / config.regions);
            let (scene, corner) = (member / SCENE_PATCHES, member % SCENE_PATCHES);
            let region = region_name(region_number);
            let step = config.patch_size as f64;
            let along = |scene: usize, corner: usize| {
                (scene as f64 * SCENE_SPACING * step) as i64 + (corner * config.patch_size) as i64
            };
            Site {
                sample_id: format!("{region}-{scene:03}"),
                region,
                region_number,
                origin: [along(scene % 8, corner % 2), along(scene / 8, corner / 2)],
                contents: contents[region_number].next().unwrap_or_default(),
            }
        })
        .collect()
}

fn draw_contents(config: &SynthConfig, region: usize, members: usize) -> Vec<Contents> {
    let mut generator = SplitMix64::keyed(config.seed, region as u64);
    let mut draw = |fraction: f64| {
        let count = (members as f64 * fraction).round() as usize;
        let mut drawn: Vec<bool> = (0..members).map(|member| member < count).collect();
        generator.shuffle(&mut drawn);
        drawn
    };
    let (empty, ignored) = (draw(config.empty_fraction), draw(config.ignored_fraction));
    empty
        .into_iter()
        .zip(ignored)
        .map(|(empty, ignored)| Contents { slumps: !empty, gaps: ignored })
        .collect()
}
