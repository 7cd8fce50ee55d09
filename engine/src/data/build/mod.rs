//! From images and masks to a training data folder: pairs by name, patches, labels, regions, places on the ground.
//!
//! Images are read from the top down and patches written as they come, so memory grows with an image's width alone. The
//! folder appears whole or not at all.

mod error;
mod pairs;
mod patches;
mod write;

use std::collections::BTreeSet;
use std::path::PathBuf;

use rayon::prelude::*;
use serde::Serialize;

use super::arrays::{Arrays, Cause};
use super::aside::{Aside, refuse_taken};
use super::error::DataError;
use super::raster::{Georeference, Raster};
pub use error::BuildError;
use pairs::Pair;
use patches::{Labels, Patch, Patches, starts};
use write::{Config, SampleRow, System};

/// Sides of patches, in pixels: below, no encoder sees anything; above, a sample is more than a reader takes.
const SIDES: std::ops::RangeInclusive<usize> = 16..=8192;
/// Relative to a pixel, how far a mask may lie from its image.
const SAME_PLACE: f64 = 0.01;

/// What to build, from what.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildRequest {
    /// Folder of the images; its sub-folders are regions where no table says otherwise.
    pub images: PathBuf,
    /// Folder of the masks; may be that of the images.
    pub masks: PathBuf,
    /// What the names of images end in, before the ending, and not those of masks.
    pub image_suffix: String,
    /// What the names of masks end in.
    pub mask_suffix: String,
    /// Table of comma-separated values with columns `image` and `region_column`.
    pub regions: Option<PathBuf>,
    /// Column of the regions.
    pub region_column: String,
    /// Folder to make; absent or empty.
    pub to: PathBuf,
    /// Names of the images' bands; `None` = those the files say.
    pub bands: Option<Vec<String>>,
    /// Height and width of a patch.
    pub patch_size: usize,
    /// Pixels by which patches overlap.
    pub overlap: usize,
    /// Values of a mask that are positive.
    pub positive: Vec<f32>,
    /// Values of a mask that are negative.
    pub negative: Vec<f32>,
    /// Values of a mask that do not count.
    pub ignored: Vec<f32>,
    /// Factors of the images' values: none, one for all bands, or one for each.
    pub scale: Vec<f32>,
    /// Added after that, in the same way.
    pub offset: Vec<f32>,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BuildReport {
    /// The folder.
    pub path: PathBuf,
    /// Pairs of image and mask.
    pub images: usize,
    /// Number of samples.
    pub samples: usize,
    /// Samples without a positive pixel.
    pub empty_samples: usize,
    /// Patches left out, in which no pixel counts.
    pub left_out: usize,
    /// Names of the bands.
    pub bands: Vec<String>,
    /// Names of the regions.
    pub regions: Vec<String>,
    /// Pixels labelled 1.
    pub positive_pixels: u64,
    /// Pixels labelled 0.
    pub negative_pixels: u64,
    /// Pixels labelled 2, those beyond the images included.
    pub ignored_pixels: u64,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// How far building is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildProgress {
    /// Pairs that are finished.
    pub done: usize,
    /// Pairs there are.
    pub of: usize,
}

/// Builds a training data folder, whole or not at all.
///
/// # Errors
/// [`BuildError`]: settings that describe no folder, pairs that are none, files that do not read or write.
pub fn build(
    request: &BuildRequest,
    progress: &mut dyn FnMut(BuildProgress),
) -> Result<BuildReport, BuildError> {
    check(request)?;
    let labels = Labels::new(request)?;
    refuse_taken(&request.to)?;
    let pairs = pairs::find(request)?;
    let survey = Survey::of(&pairs, request)?;
    let scaling = scaling(request, survey.bands.len())?;
    let aside = Aside::create(&request.to)?;
    let path = aside.path.join("data.zarr");
    let failed = |source: Cause| DataError::Write { what: "data.zarr", path: path.clone(), source };
    let side = request.patch_size;
    let arrays = Arrays::create(&path, survey.patches, survey.bands.len(), side).map_err(failed)?;
    let mut built = Built::default();
    for (number, pair) in pairs.iter().enumerate() {
        built.pair(pair, request, &survey, (&labels, &scaling), &arrays, &failed)?;
        progress(BuildProgress { done: number + 1, of: pairs.len() });
    }
    let samples = built.rows.len();
    if samples == 0 {
        return Err(BuildError::NothingCounts { path: request.images.clone() });
    }
    drop(arrays);
    Arrays::create(&path, samples, survey.bands.len(), side).map_err(failed)?;
    write::metadata(&aside.path, &built.rows, survey.system)?;
    let (scale, offset) = scaling.into_iter().unzip();
    let config = Config { bands: &survey.bands, patch_size: side, overlap: request.overlap, scale, offset };
    write::config(&aside.path, &config)?;
    aside.become_folder(&request.to)?;
    let regions: BTreeSet<String> = pairs.iter().map(|pair| pair.region.clone()).collect();
    let [negative_pixels, positive_pixels, ignored_pixels] = built.labels;
    Ok(BuildReport {
        path: request.to.clone(),
        images: pairs.len(),
        samples,
        empty_samples: built.rows.iter().filter(|row| row.empty).count(),
        left_out: survey.patches - samples,
        bands: survey.bands,
        regions: regions.into_iter().collect(),
        positive_pixels,
        negative_pixels,
        ignored_pixels,
        notes: survey.notes,
    })
}

fn check(request: &BuildRequest) -> Result<(), BuildError> {
    let impossible = |option, value: String, remedy| Err(BuildError::Impossible { option, value, remedy });
    let BuildRequest { patch_size, overlap, .. } = *request;
    if !SIDES.contains(&patch_size) {
        return impossible("patch-size", patch_size.to_string(), "give 16 to 8192 pixels");
    }
    if overlap >= patch_size {
        return impossible("overlap", overlap.to_string(), "give less than patch-size");
    }
    if request.images == request.masks && request.image_suffix == request.mask_suffix {
        let suffix = format!("`{}`", request.mask_suffix);
        return impossible("mask-suffix", suffix, "in one folder, tell masks from images by a suffix");
    }
    if request.positive.is_empty() {
        return impossible("positive", "empty".into(), "name the values of a mask that are positive");
    }
    for (option, numbers) in [("scale", &request.scale), ("offset", &request.offset)] {
        if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
            return impossible(option, number.to_string(), "give finite numbers");
        }
    }
    Ok(())
}

/// Factor and summand of each band.
fn scaling(request: &BuildRequest, bands: usize) -> Result<Vec<(f32, f32)>, BuildError> {
    let of = |option, numbers: &[f32], default| match numbers {
        [] => Ok(vec![default; bands]),
        [all] => Ok(vec![*all; bands]),
        each if each.len() == bands => Ok(each.to_vec()),
        each => Err(BuildError::Impossible {
            option,
            value: each.iter().map(f32::to_string).collect::<Vec<_>>().join(" "),
            remedy: "give one number for all bands, or one for each",
        }),
    };
    Ok(of("scale", &request.scale, 1.0)?.into_iter().zip(of("offset", &request.offset, 0.0)?).collect())
}

/// What is known of all pairs before a pixel is read.
struct Survey {
    bands: Vec<String>,
    /// Patches there can be.
    patches: usize,
    system: System,
    notes: Vec<String>,
}

impl Survey {
    /// Opens every pair, so that the last one does not refuse what hours were spent on.
    fn of(pairs: &[Pair], request: &BuildRequest) -> Result<Self, BuildError> {
        let mut bands: Option<Vec<String>> = request.bands.clone();
        let mut patches = 0;
        let mut first: Option<Georeference> = None;
        let (mut placed, mut systems) = (0, 1);
        for pair in pairs {
            let image = Raster::open(&pair.image)?;
            let mask = Raster::open(&pair.mask)?;
            check_mask(&image, &mask)?;
            let bands = bands.get_or_insert_with(|| image.band_names().unwrap_or_default().to_vec());
            check_bands(&image, bands, request)?;
            let (height, width) = image.size();
            let count = |len| starts(len, request.patch_size, request.overlap).len();
            patches += count(height) * count(width);
            if let Some(reference) = image.georeference().filter(|reference| reference.affine().is_some()) {
                placed += 1;
                systems +=
                    usize::from(!first.get_or_insert_with(|| reference.clone()).has_system_of(reference));
            }
        }
        let mut notes = Vec::new();
        let system = match first {
            Some(first) if placed == pairs.len() && systems == 1 => {
                first.epsg().map_or(System::Unnamed, System::Numbered)
            }
            _ => {
                let why = match placed {
                    0 => "no image says where it lies".to_owned(),
                    placed if placed < pairs.len() => {
                        format!(
                            "{} of {} images do not say where they lie",
                            pairs.len() - placed,
                            pairs.len()
                        )
                    }
                    _ => "the images have several reference systems".to_owned(),
                };
                notes.push(format!(
                    "{why}: samples get no geometry, and `engine data validate` can not see patches that overlap between \
                     images"
                ));
                System::NoGeometry
            }
        };
        Ok(Self { bands: bands.unwrap_or_default(), patches, system, notes })
    }
}

fn check_mask(image: &Raster, mask: &Raster) -> Result<(), BuildError> {
    if mask.bands() != 1 {
        return Err(BuildError::MaskBands { bands: mask.bands(), path: mask.path().into() });
    }
    let (path, image_path) = (mask.path().to_owned(), image.path().to_owned());
    if mask.size() != image.size() {
        let (mask_size, image_size) = (mask.size(), image.size());
        return Err(BuildError::Size { mask_size, image_size, path, image: image_path });
    }
    let affine = |raster: &Raster| raster.georeference().and_then(Georeference::affine);
    if let (Some(one), Some(other)) = (affine(image), affine(mask)) {
        let (height, width) = image.size();
        let pixel = one.column[0].hypot(one.column[1]);
        let corners = [(0.0, 0.0), (width as f64, 0.0), (0.0, height as f64)];
        let is_far = |(column, row): &(f64, f64)| {
            let ([ax, ay], [bx, by]) = (one.at(*column, *row), other.at(*column, *row));
            (ax - bx).hypot(ay - by) > SAME_PLACE * pixel
        };
        if corners.iter().any(is_far) {
            return Err(BuildError::Place { path, image: image_path });
        }
    }
    Ok(())
}

/// Whether an image has the bands of the folder; `bands` is empty where nothing names them.
fn check_bands(image: &Raster, bands: &[String], request: &BuildRequest) -> Result<(), BuildError> {
    let refused = |expected: String, remedy| {
        let found = format!("{} band{}", image.bands(), if image.bands() == 1 { "" } else { "s" });
        Err(BuildError::Bands { found, expected, remedy, path: image.path().into() })
    };
    if bands.is_empty() {
        return refused("nothing names them".into(), "name them, in order, by --bands");
    }
    if let Some((_, twice)) = bands.iter().enumerate().find(|(at, band)| bands[..*at].contains(band)) {
        return refused(format!("`{twice}` is named twice"), "name each band once");
    }
    if image.bands() != bands.len() {
        return refused(
            format!("{} are named: {}", bands.len(), bands.join(", ")),
            "name every band, in order",
        );
    }
    // Names that were given are the user's word; without them, files have to agree.
    if request.bands.is_none() && image.band_names() != Some(bands) {
        let names = image.band_names().map_or_else(|| "none".to_owned(), |names| names.join(", "));
        let expected = format!("the first image calls them {}, this one {names}", bands.join(", "));
        return refused(expected, "write all images alike, or name the bands by --bands");
    }
    Ok(())
}

/// What is built so far.
#[derive(Default)]
struct Built {
    rows: Vec<SampleRow>,
    /// Pixels by label.
    labels: [u64; 3],
}

impl Built {
    /// Cuts a pair and stores its patches.
    fn pair(
        &mut self,
        pair: &Pair,
        request: &BuildRequest,
        survey: &Survey,
        (labels, scaling): (&Labels, &[(f32, f32)]),
        arrays: &Arrays,
        failed: &(dyn Fn(Cause) -> DataError + Sync),
    ) -> Result<(), BuildError> {
        let (image, mask) = (Raster::open(&pair.image)?, Raster::open(&pair.mask)?);
        let (height, width) = image.size();
        let side = request.patch_size;
        let channels = (0..survey.bands.len()).collect();
        let mut patches = Patches::new(pair, (&image, channels), &mask, labels, scaling, side)?;
        let affine = image.georeference().and_then(Georeference::affine);
        let affine = affine.filter(|_| survey.system != System::NoGeometry);
        let lefts = starts(width, side, request.overlap);
        for top in starts(height, side, request.overlap) {
            let row = patches.row(top, &lefts)?;
            let first = self.rows.len();
            for Patch { place, y, .. } in &row {
                let mut counts = [0_u64; 3];
                for label in y {
                    // A value that means nothing is told at the end of the image, and nothing is built.
                    if let Some(count) = counts.get_mut(usize::from(*label)) {
                        *count += 1;
                    }
                }
                self.labels.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                let (top, left) = (place.0 as f64, place.1 as f64);
                let (bottom, right) = (top + side as f64, left + side as f64);
                self.rows.push(SampleRow {
                    sample_id: pair.name.clone(),
                    region: pair.region.clone(),
                    empty: counts[1] == 0,
                    place: *place,
                    corners: affine.map(|affine| {
                        let corners = [(left, bottom), (right, bottom), (right, top), (left, top)];
                        corners.map(|(column, row)| affine.at(column, row))
                    }),
                });
            }
            let numbered: Vec<_> = (first..).zip(row).collect();
            numbered
                .into_par_iter()
                .try_for_each(|(number, Patch { x, y, .. })| arrays.store(number, x, y).map_err(failed))?;
        }
        patches.finish()
    }
}
