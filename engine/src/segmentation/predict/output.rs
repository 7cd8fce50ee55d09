//! What is written of a prediction: probabilities and a mask, side by side, both whole or not there.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use engine_tracking::atomic::{self, AtomicError};

use super::blend::Sink;
use super::error::PredictError;
use crate::data::{Georeference, TiffImage, TiffValue, TiffWriter};

/// Mask of a pixel that has no data.
const IGNORED: u8 = 2;
/// Scaled probability of a pixel that has no data.
const NO_DATA: u8 = 255;
/// Scaled probability of 1.
const SCALED_ONE: f32 = 254.0;

/// How probabilities are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProbabilityFormat {
    /// 32-bit floating-point numbers; not a number where there are no data.
    #[default]
    Float,
    /// 0 to 254 for 0 to 1, and 255 where there are no data.
    Scaled,
}

/// Where a prediction goes.
pub(super) struct Target<'a> {
    pub(super) probability: PathBuf,
    pub(super) mask: PathBuf,
    pub(super) size: (usize, usize),
    pub(super) georeference: Option<&'a Georeference>,
    pub(super) format: ProbabilityFormat,
    pub(super) threshold: f32,
}

/// Pixels of a mask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) positive: u64,
    pub(super) ignored: u64,
}

type Tiff<'a, T> = TiffWriter<BufWriter<&'a mut File>, T>;

enum Probabilities<'a> {
    Float(Tiff<'a, f32>),
    Scaled(Tiff<'a, u8>),
}

struct Files<'a> {
    target: &'a Target<'a>,
    probabilities: Probabilities<'a>,
    mask: Tiff<'a, u8>,
    floats: Vec<f32>,
    bytes: Vec<u8>,
    counts: Counts,
}

impl Target<'_> {
    /// Has both files filled, and puts them in place.
    pub(super) fn fill(
        &self,
        fill: impl FnOnce(&mut dyn Sink) -> Result<(), PredictError>,
    ) -> Result<Counts, PredictError> {
        atomic::write(&self.probability, |probability| {
            atomic::write(&self.mask, |mask| {
                let probabilities = match self.format {
                    ProbabilityFormat::Float => Probabilities::Float(self.begin(
                        probability,
                        &self.probability,
                        "nan",
                        "probability",
                    )?),
                    ProbabilityFormat::Scaled => Probabilities::Scaled(self.begin(
                        probability,
                        &self.probability,
                        "255",
                        "probability",
                    )?),
                };
                let mask = self.begin(mask, &self.mask, "2", "mask")?;
                let (floats, bytes) = (Vec::new(), Vec::new());
                let mut files =
                    Files { target: self, probabilities, mask, floats, bytes, counts: Counts::default() };
                fill(&mut files)?;
                files.finish()
            })
        })
    }

    fn begin<'a, T: TiffValue>(
        &self,
        file: &'a mut File,
        path: &Path,
        nodata: &str,
        band: &str,
    ) -> Result<Tiff<'a, T>, PredictError> {
        let (height, width) = self.size;
        let image = TiffImage { height, width, georeference: self.georeference, nodata, band };
        written(path, TiffWriter::new(BufWriter::new(file), &image))
    }
}

impl Files<'_> {
    fn finish(self) -> Result<Counts, PredictError> {
        let Self { target, probabilities, mask, counts, .. } = self;
        match probabilities {
            Probabilities::Float(tiff) => drop(written(&target.probability, tiff.finish())?),
            Probabilities::Scaled(tiff) => drop(written(&target.probability, tiff.finish())?),
        }
        drop(written(&target.mask, mask.finish())?);
        Ok(counts)
    }
}

impl Sink for Files<'_> {
    fn put(&mut self, probabilities: &[f32], ignored: &[bool]) -> Result<(), PredictError> {
        let pixels = || probabilities.iter().zip(ignored);
        match &mut self.probabilities {
            Probabilities::Float(tiff) => {
                let value =
                    |(probability, ignored): (&f32, &bool)| if *ignored { f32::NAN } else { *probability };
                self.floats.clear();
                self.floats.extend(pixels().map(value));
                written(&self.target.probability, tiff.row(&self.floats))?;
            }
            Probabilities::Scaled(tiff) => {
                // Saturating: a probability is within its range but for rounding.
                let scaled = |probability: f32| ((probability * SCALED_ONE).round() as u8).min(NO_DATA - 1);
                let value = |(probability, ignored): (&f32, &bool)| {
                    if *ignored { NO_DATA } else { scaled(*probability) }
                };
                self.bytes.clear();
                self.bytes.extend(pixels().map(value));
                written(&self.target.probability, tiff.row(&self.bytes))?;
            }
        }
        let threshold = self.target.threshold;
        let label = |(probability, ignored): (&f32, &bool)| match ignored {
            true => IGNORED,
            false => u8::from(*probability > threshold),
        };
        self.bytes.clear();
        self.bytes.extend(pixels().map(label));
        self.counts.positive += self.bytes.iter().filter(|label| **label == 1).count() as u64;
        self.counts.ignored += self.bytes.iter().filter(|label| **label == IGNORED).count() as u64;
        written(&self.target.mask, self.mask.row(&self.bytes))
    }
}

fn written<T>(path: &Path, answer: io::Result<T>) -> Result<T, PredictError> {
    answer.map_err(|source| AtomicError::Write { path: path.to_owned(), source }.into())
}
