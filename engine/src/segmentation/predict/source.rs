//! What is predicted: an image, or a sample of a data folder, as rows.

use std::path::Path;

use super::blend::Rows;
use super::error::PredictError;
use crate::data::{Raster, RasterRows, Sample};

/// How values of an image become those that the network was trained on: `value * scale + offset`, by band.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scaling(Vec<(f32, f32)>);

impl Scaling {
    /// One number for all bands, or one for each, in the order of the network's bands.
    pub(super) fn new(scale: &[f32], offset: &[f32], bands: usize) -> Result<Self, PredictError> {
        let of = |option: &'static str, numbers: &[f32], default: f32| match numbers {
            [] => Ok(vec![default; bands]),
            [all] => Ok(vec![*all; bands]),
            each if each.len() == bands => Ok(each.to_vec()),
            each => Err(PredictError::Impossible {
                option,
                value: each.iter().map(f32::to_string).collect::<Vec<_>>().join(" "),
                remedy: "give one number for all bands, or one for each band of the network",
            }),
        };
        let pairs = of("scale", scale, 1.0)?.into_iter().zip(of("offset", offset, 0.0)?);
        Ok(Self(pairs.collect()))
    }
}

/// Rows of an image file.
pub(super) struct ImageRows {
    rows: RasterRows,
    scaling: Scaling,
}

impl ImageRows {
    pub(super) fn new(raster: &Raster, channels: Vec<usize>, scaling: Scaling) -> Result<Self, PredictError> {
        Ok(Self { rows: raster.rows(channels)?, scaling })
    }
}

impl Rows for ImageRows {
    fn next(&mut self, values: &mut [f32], ignored: &mut [bool]) -> Result<(), PredictError> {
        self.rows.next_row(values, ignored)?;
        for (band, (scale, offset)) in values.chunks_exact_mut(ignored.len()).zip(&self.scaling.0) {
            if (*scale, *offset) == (1.0, 0.0) {
                continue;
            }
            let pixels = band.iter_mut().zip(ignored.iter()).filter(|(_, ignored)| !**ignored);
            pixels.for_each(|(value, _)| *value = *value * scale + offset);
        }
        Ok(())
    }
}

/// Rows of a sample; what its labels ignore is ignored.
pub(super) struct SampleRows<'a> {
    pub(super) sample: &'a Sample,
    /// Bands, height, width.
    pub(super) shape: (usize, usize, usize),
    pub(super) next: usize,
}

/// The label of a pixel that does not count.
const IGNORED: u8 = 2;

impl Rows for SampleRows<'_> {
    fn next(&mut self, values: &mut [f32], ignored: &mut [bool]) -> Result<(), PredictError> {
        let (_, height, width) = self.shape;
        for (band, plane) in values.chunks_exact_mut(width).zip(self.sample.x.chunks_exact(height * width)) {
            band.copy_from_slice(&plane[self.next * width..(self.next + 1) * width]);
        }
        let labels = &self.sample.y[self.next * width..(self.next + 1) * width];
        for (ignored, label) in ignored.iter_mut().zip(labels) {
            *ignored = *label == IGNORED;
        }
        self.next += 1;
        Ok(())
    }
}

/// Which bands of an image are those of the network: by the names given, else by those in the file, else in their order.
///
/// A file that names its bands otherwise than the network is taken in order as well, where it has as many; one that knows
/// some of the names and lacks others is refused.
pub(super) fn channels(
    raster: &Raster,
    wanted: &[String],
    given: Option<&[String]>,
) -> Result<Vec<usize>, PredictError> {
    let path: &Path = raster.path();
    let refused = |found: String, expected: String, remedy| {
        Err(PredictError::Bands { found, expected, remedy, path: path.to_owned() })
    };
    let count = |bands: usize| format!("{bands} band{}", if bands == 1 { "" } else { "s" });
    if let Some(given) = given.filter(|given| given.len() != raster.bands()) {
        let expected = format!("{} are named: {}", given.len(), given.join(", "));
        return refused(
            count(raster.bands()),
            expected,
            "name every band of the image, in order, by --bands",
        );
    }
    let is_known = |names: &&[String]| given.is_some() || names.iter().any(|name| wanted.contains(name));
    let Some(names) = given.or(raster.band_names()).filter(is_known) else {
        if raster.bands() == wanted.len() {
            return Ok((0..wanted.len()).collect());
        }
        let expected = format!("the network takes {} ({})", wanted.len(), wanted.join(", "));
        return refused(count(raster.bands()), expected, "name the image's bands, in order, by --bands");
    };
    let place = |band: &String| names.iter().position(|name| name == band);
    match wanted.iter().map(|band| place(band).ok_or(band)).collect::<Result<Vec<_>, _>>() {
        Ok(channels) => Ok(channels),
        Err(band) => {
            let found = format!("bands {}", names.join(", "));
            refused(
                found,
                format!("the network takes `{band}`"),
                "name the image's bands by --bands, as it knows them",
            )
        }
    }
}
