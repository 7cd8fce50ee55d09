//! Images and masks as files: GeoTIFF, PNG and npy, read row by row as 32-bit floating-point numbers, GeoTIFF written.
//!
//! A file is trusted in nothing: every length is compared with the file's before memory is taken for it, and what is held of
//! an image is one row, or one row of its tiles, however high it is.
//!
//! | kind | what is read |
//! |---|---|
//! | GeoTIFF | classic and BigTIFF, tiles and strips, bands together or apart; integers and floating-point numbers; plain, Deflate, LZW, PackBits, with any predictor; chunks left out by GDAL |
//! | PNG | grey or colour, with or without alpha, up to 16 bits; no palette, not interlaced |
//! | npy | `[height, width]` or `[bands, height, width]` in C order |

mod error;
mod geo;
mod npy;
mod png;
mod sample;
mod tiff;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use error::RasterError;
pub use geo::{Affine, Epsg, Georeference};
pub use tiff::{TiffImage, TiffValue, TiffWriter};

/// Bytes of a row of all bands at the most, as floating-point numbers: more comes from damage, and would take the memory before a
/// pixel is looked at.
pub const MAX_ROW_BYTES: u64 = 256 << 20;

/// Ends of the names of files that are read, in small letters.
pub const ENDINGS: [&str; 4] = ["tif", "tiff", "png", "npy"];

/// An open image: its form is checked, its pixels are not read yet.
#[derive(Debug)]
pub struct Raster {
    path: PathBuf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Tiff(tiff::Tiff),
    Png(png::Png),
    Npy(npy::Npy),
}

impl Raster {
    /// Opens a file by what it begins with, whatever its name.
    ///
    /// # Errors
    /// [`RasterError`] for a file that is not there, damaged, or of a form that is not read.
    pub fn open(path: &Path) -> Result<Self, RasterError> {
        let mut head = Vec::with_capacity(8);
        File::open(path)
            .and_then(|file| file.take(8).read_to_end(&mut head))
            .map_err(|source| RasterError::Io { action: "read the image", path: path.into(), source })?;
        let source = match head.as_slice() {
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => {
                Source::Tiff(tiff::Tiff::open(path)?)
            }
            [0x89, b'P', b'N', b'G', ..] => Source::Png(png::Png::open(path)?),
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Source::Npy(npy::Npy::open(path)?),
            _ => return Err(RasterError::UnknownKind { path: path.into() }),
        };
        Ok(Self { path: path.into(), source })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Height and width in pixels, at least one each.
    pub fn size(&self) -> (usize, usize) {
        match &self.source {
            Source::Tiff(tiff) => tiff.size(),
            Source::Png(png) => png.size(),
            Source::Npy(npy) => npy.size(),
        }
    }

    /// Number of bands, at least one.
    pub fn bands(&self) -> usize {
        match &self.source {
            Source::Tiff(tiff) => tiff.bands(),
            Source::Png(png) => png.bands(),
            Source::Npy(npy) => npy.bands(),
        }
    }

    /// Names of the bands, where the file names all of them, each another.
    pub fn band_names(&self) -> Option<&[String]> {
        match &self.source {
            Source::Tiff(tiff) => tiff.band_names.as_deref(),
            Source::Png(_) | Source::Npy(_) => None,
        }
    }

    /// The value that means "no data".
    pub fn nodata(&self) -> Option<f64> {
        match &self.source {
            Source::Tiff(tiff) => tiff.nodata,
            Source::Png(_) | Source::Npy(_) => None,
        }
    }

    /// Where it lies on the ground.
    pub fn georeference(&self) -> Option<&Georeference> {
        match &self.source {
            Source::Tiff(tiff) => tiff.georeference.as_ref(),
            Source::Png(_) | Source::Npy(_) => None,
        }
    }

    /// Reads these bands, each a number below [`Raster::bands`], from the first row on.
    ///
    /// # Errors
    /// [`RasterError`] if the file can not be opened again.
    pub fn rows(&self, channels: Vec<usize>) -> Result<RasterRows, RasterError> {
        let (_, width) = self.size();
        let nodata = self.nodata().map(|value| value as f32);
        let values = width * channels.len();
        let rows = match &self.source {
            Source::Tiff(tiff) => Rows::Tiff(tiff.rows(channels)),
            Source::Png(png) => Rows::Png(Box::new(png.rows(channels)?)),
            Source::Npy(npy) => Rows::Npy(npy.rows(channels)),
        };
        Ok(RasterRows { rows, width, nodata, values })
    }
}

/// Whether a row of so many values may be held.
fn check_row(path: &Path, width: u64, bands: u64) -> Result<(), RasterError> {
    let bytes = width.saturating_mul(bands).saturating_mul(size_of::<f32>() as u64);
    if bytes <= MAX_ROW_BYTES {
        return Ok(());
    }
    Err(RasterError::TooLarge {
        what: "a row of its pixels",
        bytes,
        limit: MAX_ROW_BYTES,
        remedy: "cut it, with gdal_translate -srcwin for instance",
        path: path.into(),
    })
}

/// The rows of an image, from the top.
#[derive(Debug)]
pub struct RasterRows {
    rows: Rows,
    width: usize,
    nodata: Option<f32>,
    /// Values of a row: bands times width.
    values: usize,
}

#[derive(Debug)]
enum Rows {
    Tiff(tiff::TiffRows),
    Png(Box<png::PngRows>),
    Npy(npy::NpyRows),
}

impl RasterRows {
    /// The same rows, where what has no data is given as it is: only values that are not finite are ignored.
    #[must_use]
    pub fn with_nodata(self) -> Self {
        Self { nodata: None, ..self }
    }

    /// Reads the next row: of each band its pixels, one band after another. A pixel that has no data in one of the bands, or
    /// no finite value, is `ignored`, and 0 in all of them.
    ///
    /// # Shapes
    /// - `values`: `[bands, width]`
    /// - `ignored`: `[width]`
    ///
    /// # Errors
    /// [`RasterError`] for pixels that do not decode.
    pub fn next_row(&mut self, values: &mut [f32], ignored: &mut [bool]) -> Result<(), RasterError> {
        let values = &mut values[..self.values];
        match &mut self.rows {
            Rows::Tiff(rows) => rows.next_row(values)?,
            Rows::Png(rows) => rows.next_row(values)?,
            Rows::Npy(rows) => rows.next_row(values)?,
        }
        ignored.fill(false);
        for band in values.chunks_exact(self.width) {
            for (ignored, value) in ignored.iter_mut().zip(band) {
                *ignored |= !value.is_finite() || self.nodata == Some(*value);
            }
        }
        if ignored.contains(&true) {
            for band in values.chunks_exact_mut(self.width) {
                let pixels = band.iter_mut().zip(ignored.iter());
                pixels.filter(|(_, ignored)| **ignored).for_each(|(value, _)| *value = 0.0);
            }
        }
        Ok(())
    }
}
