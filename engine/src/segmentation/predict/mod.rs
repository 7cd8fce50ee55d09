//! Predictions: probabilities and masks for images and data folders, by one model or by the mean of several.
//!
//! An image of any height goes through in rows of tiles: read, computed, blended and written from the top down. What is held
//! grows with its width, never with its height.

mod blend;
mod ensemble;
mod error;
mod output;
mod place;
mod source;
mod tiling;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::trained::Trained;
use crate::config::DeviceConfig;
use crate::data::{DataFolder, Georeference, Raster};
use blend::{Grid, predict_rows};
use ensemble::Ensemble;
pub use ensemble::Flips;
pub use error::PredictError;
pub use output::ProbabilityFormat;
use output::{Counts, Target};
use place::Place;
use source::{ImageRows, SampleRows, Scaling, channels};
use tiling::{Axis, MULTIPLE};

/// What to predict, with what, and how.
#[derive(Debug, Clone)]
pub struct PredictRequest {
    /// GeoTIFFs (PNG and npy as well) and training data folders.
    pub inputs: Vec<PathBuf>,
    /// A checkpoint, a run or a cv.
    pub from: PathBuf,
    /// Folder for what is predicted; made if it is not there.
    pub to: PathBuf,
    /// Height and width of a tile in pixels, a multiple of 32.
    pub tile_size: usize,
    /// Pixels by which tiles overlap, at most half of a tile.
    pub overlap: usize,
    /// Tiles that go through the network at once.
    pub batch_size: usize,
    /// Whether each tile is looked at in all symmetries.
    pub flips: Flips,
    /// A pixel is positive where its probability is greater.
    pub threshold: f32,
    /// How probabilities are written.
    pub format: ProbabilityFormat,
    /// Names of an image's bands in its order; `None` where the file says them, or has them in the network's order.
    pub bands: Option<Vec<String>>,
    /// Factors of an image's values: none, one for all bands, or one for each band of the network.
    pub scale: Vec<f32>,
    /// Added to an image's values after that, in the same way.
    pub offset: Vec<f32>,
    /// Where to compute; the first of its devices does.
    pub device: DeviceConfig,
    /// Backend to compute with; `None` = the best there is.
    pub backend: Option<String>,
}

/// How far a prediction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PredictProgress<'a> {
    /// What is being predicted.
    pub input: &'a Path,
    /// Rows of an image, or samples of a folder, that are finished.
    pub done: usize,
    /// How many there are.
    pub of: usize,
}

/// What was predicted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PredictReport {
    /// Where it was computed, in words.
    pub device: String,
    /// Models whose mean it is.
    pub checkpoints: Vec<PathBuf>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// Every image or sample.
    pub predictions: Vec<Prediction>,
}

/// One image or sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Prediction {
    /// The image or folder.
    pub input: PathBuf,
    /// Id of the sample, in a folder.
    pub sample_id: Option<String>,
    /// Probabilities.
    pub probability: PathBuf,
    /// 0 negative, 1 positive, 2 without data.
    pub mask: PathBuf,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Pixels that are positive.
    pub positive: u64,
    /// Pixels without data.
    pub ignored: u64,
}

/// Predicts every input, one after another, and writes `{name}_probability.tif` and `{name}_mask.tif` for each image, and for
/// each sample of a folder below `{folder}/`. Files that are there already are replaced, each when its successor is whole.
///
/// # Errors
/// [`PredictError`]; inputs that were finished before keep their files.
pub fn predict(
    request: &PredictRequest,
    progress: &mut dyn FnMut(PredictProgress<'_>),
) -> Result<PredictReport, PredictError> {
    check(request)?;
    let names = names(&request.inputs)?;
    let trained = Trained::find(&request.from)?;
    let place = Place::take(&request.device, request.backend.as_deref())?;
    let ensemble = Ensemble::read(&trained, request.flips, &place.device)?;
    tracing::debug!(models = ensemble.len(), device = place.text, "predicting");
    let predictor = Predictor { request, ensemble };
    make_folder(&request.to)?;
    if let Err(error) = engine_tracking::atomic::clear_leftovers(&request.to) {
        tracing::warn!(%error, folder = %request.to.display(), "what a killed prediction left stays");
    }
    let (mut predictions, mut notes) = (Vec::new(), trained.notes);
    for (input, name) in request.inputs.iter().zip(names) {
        if input.is_dir() {
            predictor.folder(input, &request.to.join(name), &mut predictions, &mut notes, progress)?;
        } else {
            predictions.push(predictor.image(input, &name, progress)?);
        }
    }
    Ok(PredictReport { device: place.text, checkpoints: trained.checkpoints, notes, predictions })
}

fn check(request: &PredictRequest) -> Result<(), PredictError> {
    let impossible = |option, value: String, remedy| Err(PredictError::Impossible { option, value, remedy });
    let PredictRequest { tile_size, overlap, batch_size, threshold, .. } = *request;
    if tile_size == 0 || !tile_size.is_multiple_of(MULTIPLE) {
        return impossible("tile-size", tile_size.to_string(), "give a multiple of 32");
    }
    if overlap > tile_size / 2 {
        return impossible("overlap", overlap.to_string(), "give half of tile-size at the most");
    }
    if batch_size == 0 {
        return impossible("batch-size", batch_size.to_string(), "give at least 1");
    }
    if !(0.0..=1.0).contains(&threshold) {
        return impossible("threshold", threshold.to_string(), "give a number from 0 to 1");
    }
    for (option, numbers) in [("scale", &request.scale), ("offset", &request.offset)] {
        if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
            return impossible(option, number.to_string(), "give finite numbers");
        }
    }
    Ok(())
}

/// What the outputs of each input are called.
fn names(inputs: &[PathBuf]) -> Result<Vec<String>, PredictError> {
    if inputs.is_empty() {
        return Err(PredictError::NoInput);
    }
    let mut seen = HashSet::new();
    let name = |input: &PathBuf| {
        // `.` and `..` have no name of their own.
        let whole = std::path::absolute(input).unwrap_or_else(|_| input.clone());
        let part = if input.is_dir() { whole.file_name() } else { whole.file_stem() };
        let name = part.map_or_else(|| "image".to_owned(), |name| name.to_string_lossy().into_owned());
        if seen.insert(name.clone()) {
            Ok(name)
        } else {
            Err(PredictError::SameName { name, path: input.clone() })
        }
    };
    inputs.iter().map(name).collect()
}

fn make_folder(path: &Path) -> Result<(), PredictError> {
    std::fs::create_dir_all(path).map_err(|source| PredictError::Folder { path: path.into(), source })
}

struct Predictor<'a> {
    request: &'a PredictRequest,
    ensemble: Ensemble,
}

impl Predictor<'_> {
    fn grid(&self, (height, width): (usize, usize)) -> Grid {
        let PredictRequest { tile_size, overlap, batch_size, .. } = *self.request;
        Grid {
            rows: Axis::new(height, tile_size, overlap),
            columns: Axis::new(width, tile_size, overlap),
            bands: self.ensemble.bands.len(),
            batch_size,
        }
    }

    fn target<'a>(
        &self,
        folder: &Path,
        name: &str,
        size: (usize, usize),
        georeference: Option<&'a Georeference>,
    ) -> Target<'a> {
        let PredictRequest { format, threshold, .. } = *self.request;
        let path = |what: &str| folder.join(format!("{name}_{what}.tif"));
        Target { probability: path("probability"), mask: path("mask"), size, georeference, format, threshold }
    }

    fn image(
        &self,
        input: &Path,
        name: &str,
        progress: &mut dyn FnMut(PredictProgress<'_>),
    ) -> Result<Prediction, PredictError> {
        let raster = Raster::open(input)?;
        let wanted = &self.ensemble.bands;
        let channels = channels(&raster, wanted, self.request.bands.as_deref())?;
        let scaling = Scaling::new(&self.request.scale, &self.request.offset, wanted.len())?;
        let mut rows = ImageRows::new(&raster, channels, scaling)?;
        let (height, _) = raster.size();
        let grid = self.grid(raster.size());
        let target = self.target(&self.request.to, name, raster.size(), raster.georeference());
        let counts = target.fill(|sink| {
            let mut network = |values, shape| self.ensemble.probabilities(values, shape);
            let mut done = |done| progress(PredictProgress { input, done, of: height });
            predict_rows(&grid, &mut rows, &mut network, sink, &mut done)
        })?;
        Ok(prediction(input, None, &target, counts))
    }

    /// Every sample, one after another: each is a small image.
    fn folder(
        &self,
        input: &Path,
        to: &Path,
        predictions: &mut Vec<Prediction>,
        notes: &mut Vec<String>,
        progress: &mut dyn FnMut(PredictProgress<'_>),
    ) -> Result<(), PredictError> {
        let folder = DataFolder::open(input, Some(&self.ensemble.bands))?;
        let shape @ (_, height, width) = folder.shape();
        let (size, grid) = ((height, width), self.grid((height, width)));
        make_folder(to)?;
        let mut without = 0;
        for row in 0..folder.len() {
            let sample = folder.read(row)?;
            let sample_id = folder.table().sample_id[row].clone();
            let georeference = georeference(&folder, row, size);
            without += usize::from(georeference.is_none());
            let target = self.target(to, &sample_name(row, &sample_id), size, georeference.as_ref());
            let counts = target.fill(|sink| {
                let mut rows = SampleRows { sample: &sample, shape, next: 0 };
                let mut network = |values, shape| self.ensemble.probabilities(values, shape);
                predict_rows(&grid, &mut rows, &mut network, sink, &mut |_| {})
            })?;
            predictions.push(prediction(input, Some(sample_id), &target, counts));
            progress(PredictProgress { input, done: row + 1, of: folder.len() });
        }
        if without > 0 {
            notes.push(format!(
                "{without} of {} samples are not georeferenced, for the folder does not say them as upright rectangles: {}",
                folder.len(),
                input.display()
            ));
        }
        Ok(())
    }
}

/// Where a sample lies, if that is an upright rectangle: of another shape nothing says which corner is which.
fn georeference(folder: &DataFolder, row: usize, size: (usize, usize)) -> Option<Georeference> {
    let footprint = folder.footprints()?.get(row)?.as_ref()?;
    footprint.is_upright().then(|| Georeference::of_rectangle(footprint.bounds(), size, folder.epsg()))
}

/// The row, for ids repeat, then the id without what leads elsewhere.
fn sample_name(row: usize, sample_id: &str) -> String {
    const MOST: usize = 80;
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let id: String = sample_id.chars().take(MOST).map(plain).collect();
    format!("{row:06}_{id}")
}

fn prediction(input: &Path, sample_id: Option<String>, target: &Target<'_>, counts: Counts) -> Prediction {
    let Counts { positive, ignored } = counts;
    let (height, width) = target.size;
    let (probability, mask) = (target.probability.clone(), target.mask.clone());
    Prediction { input: input.into(), sample_id, probability, mask, height, width, positive, ignored }
}
