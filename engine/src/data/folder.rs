//! A training data folder, open.

use std::path::{Path, PathBuf};

use super::config::FolderConfig;
use super::division::{DivisionError, SampleTable};
use super::error::DataError;
use super::geometry::Footprint;
use super::metadata::Metadata;
use super::raster::Epsg;
use super::zarr::SampleArray;
use crate::augment::Symmetry;

/// Largest label: 0 negative, 1 positive, 2 ignored.
const MAX_LABEL: u8 = 2;

/// One decoded sample.
///
/// # Shapes
/// - `x`: `[bands, height, width]`, the selected bands in the order asked for
/// - `y`: `[height, width]`, 0 negative, 1 positive, 2 ignored
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Values.
    pub x: Vec<f32>,
    /// Labels.
    pub y: Vec<u8>,
}

impl Sample {
    /// How many values of x are not finite.
    pub(super) fn not_finite(&self) -> u64 {
        not_finite(&self.x)
    }

    /// The first label that means nothing, and how many such labels there are.
    pub(super) fn bad_labels(&self) -> Option<(u8, u64)> {
        bad_labels(&self.y)
    }
}

/// How many values are not finite. Where all are, no value is looked at by itself.
fn not_finite(x: &[f32]) -> u64 {
    /// Of a value that is not finite all bits of the exponent are set: one more carries into the sign's place.
    const EXPONENT: u32 = 0x7f80_0000;
    const ONE: u32 = 0x0080_0000;
    let carried = x.iter().fold(0, |carried, value| carried | ((value.to_bits() & EXPONENT) + ONE));
    if carried >> 31 == 0 {
        return 0;
    }
    x.iter().filter(|value| !value.is_finite()).count() as u64
}

/// The first label that means nothing, and how many such labels there are.
fn bad_labels(y: &[u8]) -> Option<(u8, u64)> {
    if y.iter().fold(0, |largest: u8, label| largest.max(*label)) <= MAX_LABEL {
        return None;
    }
    let bad = || y.iter().copied().filter(|label| *label > MAX_LABEL);
    bad().next().map(|first| (first, bad().count() as u64))
}

/// An open training data folder: its form is checked, its samples are read one by one.
///
/// Any number of threads may read at once; decoding takes no common lock.
#[derive(Debug)]
pub struct DataFolder {
    root: PathBuf,
    bands: Vec<String>,
    channels: Vec<usize>,
    patch_size: Option<u64>,
    shape: (usize, usize, usize),
    x: SampleArray,
    y: SampleArray,
    metadata: Metadata,
}

impl DataFolder {
    /// Opens a folder to read the named bands, in the order named; `None` reads all.
    ///
    /// # Errors
    /// What is missing or does not fit together, with its file. Values are not looked at here.
    pub fn open(path: impl AsRef<Path>, bands: Option<&[String]>) -> Result<Self, DataError> {
        let root = path.as_ref().to_path_buf();
        if !root.is_dir() {
            return Err(DataError::Missing {
                what: "the training data folder",
                remedy: "point train-data-dir at a folder with config.toml, data.zarr and metadata.parquet",
                path: root,
            });
        }
        let config_path = root.join("config.toml");
        let config = FolderConfig::read(&config_path)?;
        let channels = config.select(bands, &config_path)?;
        let group = root.join("data.zarr");
        if !group.is_dir() {
            return Err(DataError::Missing {
                what: "data.zarr",
                remedy: "run preprocessing again, it writes the arrays x and y",
                path: group,
            });
        }
        let x = SampleArray::open(&group, "x", "float32", &["samples", "bands", "height", "width"])?;
        let y = SampleArray::open(&group, "y", "uint8", &["samples", "height", "width"])?;
        check_forms(&x, &y, &config)?;
        let metadata_path = root.join("metadata.parquet");
        let metadata = Metadata::read(&metadata_path)?;
        let (shape, rows) = (x.shape(), metadata.table.sample_id.len());
        if rows != shape[0] {
            return Err(DataError::RowCount { metadata_rows: rows, samples: shape[0], path: metadata_path });
        }
        if rows == 0 {
            return Err(DataError::Empty { path: group });
        }
        let bands = channels.iter().map(|channel| config.bands[*channel].clone()).collect();
        let shape = (channels.len(), shape[2], shape[3]);
        Ok(Self { root, bands, channels, patch_size: config.patch_size, shape, x, y, metadata })
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// That its samples can not be divided as asked.
    pub(crate) fn undividable(&self, source: DivisionError) -> DataError {
        DataError::Folds { path: self.root.clone(), source }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.metadata.table.sample_id.len()
    }

    /// Never: a folder without samples does not open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of the selected bands, in order.
    pub fn bands(&self) -> &[String] {
        &self.bands
    }

    /// Channel numbers of the selected bands in `data.zarr`, in order.
    pub fn channels(&self) -> &[usize] {
        &self.channels
    }

    /// Selected bands, height, width of every sample.
    pub fn shape(&self) -> (usize, usize, usize) {
        self.shape
    }

    /// Height and width that `config.toml` notes; the arrays decide.
    pub(super) fn noted_patch_size(&self) -> Option<u64> {
        self.patch_size
    }

    /// Sample id, region and emptiness of every sample.
    pub fn table(&self) -> &SampleTable {
        &self.metadata.table
    }

    /// Where each sample lies on the ground, if the folder says so.
    pub fn footprints(&self) -> Option<&[Option<Footprint>]> {
        self.metadata.footprints.as_deref()
    }

    /// The reference system of the footprints, where the folder numbers it.
    pub fn epsg(&self) -> Option<Epsg> {
        self.metadata.epsg
    }

    /// Decodes and checks one sample.
    ///
    /// # Errors
    /// A damaged chunk, a value of x that is not finite, a label other than 0, 1, 2, a row that is not there.
    pub fn read(&self, row: usize) -> Result<Sample, DataError> {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        self.append(row, Symmetry::IDENTITY, &mut x, &mut y)?;
        Ok(Sample { x, y })
    }

    /// Decodes and checks one sample, and appends it moved by a symmetry: its bytes are touched once.
    ///
    /// # Errors
    /// As [`DataFolder::read`]; what was appended then is no sample.
    pub(super) fn append(
        &self,
        row: usize,
        symmetry: Symmetry,
        x: &mut Vec<f32>,
        y: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        let (first_x, first_y) = (x.len(), y.len());
        self.append_unchecked(row, symmetry, x, y)?;
        let values = not_finite(&x[first_x..]);
        if values > 0 {
            return Err(self.not_finite(values, 1, row));
        }
        if let Some((label, values)) = bad_labels(&y[first_y..]) {
            return Err(self.bad_labels(values, 1, label, row));
        }
        Ok(())
    }

    /// Decodes one sample and leaves its values to the caller to check.
    pub(super) fn read_unchecked(&self, row: usize) -> Result<Sample, DataError> {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        self.append_unchecked(row, Symmetry::IDENTITY, &mut x, &mut y)?;
        Ok(Sample { x, y })
    }

    fn append_unchecked(
        &self,
        row: usize,
        symmetry: Symmetry,
        x: &mut Vec<f32>,
        y: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        if row >= self.len() {
            return Err(DataError::RowOutOfRange { row, samples: self.len(), path: self.root.clone() });
        }
        let damaged = |(path, source)| DataError::Chunk { row, sample_id: self.sample_id(row), path, source };
        let (_, height, width) = self.shape;
        let bytes = self.x.read(row).map_err(damaged)?;
        let (values, _) = bytes.as_chunks();
        let pixels = height * width;
        x.reserve(self.channels.len() * pixels);
        for channel in &self.channels {
            let plane = &values[channel * pixels..(channel + 1) * pixels];
            symmetry.append(plane, height, width, x, f32::from_ne_bytes);
        }
        drop(bytes);
        symmetry.append(&self.y.read(row).map_err(damaged)?, height, width, y, |label| label);
        Ok(())
    }

    pub(super) fn not_finite(&self, values: u64, samples: u64, first: usize) -> DataError {
        let sample_id = self.sample_id(first);
        DataError::NotFinite { values, samples, first, sample_id, path: self.x.path() }
    }

    pub(super) fn bad_labels(&self, values: u64, samples: u64, label: u8, first: usize) -> DataError {
        let sample_id = self.sample_id(first);
        DataError::Label { values, samples, label, first, sample_id, path: self.y.path() }
    }

    fn sample_id(&self, row: usize) -> String {
        self.table().sample_id[row].clone()
    }
}

/// Whether the two arrays and `config.toml` speak of the same samples.
fn check_forms(x: &SampleArray, y: &SampleArray, config: &FolderConfig) -> Result<(), DataError> {
    let (xs, ys) = (x.shape(), y.shape());
    if xs[1] != config.bands.len() {
        let expected = format!("of the {} bands that config.toml names", config.bands.len());
        return Err(x.wrong_form(format!("of {} bands", xs[1]), expected));
    }
    let expected = [xs[0], xs[2], xs[3]];
    if ys != expected {
        return Err(y.wrong_form(format!("{ys:?}"), format!("{expected:?} as x has it")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{bad_labels, not_finite};

    #[test]
    fn every_value_that_is_not_finite_is_counted_wherever_it_stands() {
        let finite = [0.0, -0.0, 1.5, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, -3.0];
        assert_eq!(not_finite(&finite), 0);
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7f80_0001)] {
            for place in 0..finite.len() {
                let mut values = finite;
                values[place] = bad;
                assert_eq!(not_finite(&values), 1, "{bad} at {place}");
            }
            assert_eq!(not_finite(&[bad, 0.0, bad]), 2);
        }
    }

    #[test]
    fn the_first_bad_label_is_told_with_their_number() {
        assert_eq!(bad_labels(&[0, 1, 2, 2, 1]), None);
        assert_eq!(bad_labels(&[0, 3, 255, 2]), Some((3, 2)));
        assert_eq!(bad_labels(&[]), None);
    }
}
