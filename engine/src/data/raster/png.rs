//! PNG, through the crate png.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use png::{BitDepth, ColorType, Decoder, Limits, Reader, Transformations};

use super::error::RasterError;
use super::sample::{self, SampleKind};
use super::{MAX_ROW_BYTES, check_row};

/// Bytes the decoder may take beside its rows, for texts and profiles.
const DECODER_BYTES: usize = 64 << 20;
/// Rows it holds.
const DECODER_ROWS: usize = 2;

/// An open PNG.
#[derive(Debug)]
pub(super) struct Png {
    path: PathBuf,
    height: usize,
    width: usize,
    bands: usize,
    depth: BitDepth,
}

impl Png {
    pub(super) fn open(path: &Path) -> Result<Self, RasterError> {
        let mut decoder = decoder(path)?;
        let info = decoder.read_header_info().map_err(|error| damaged(path, &error))?;
        let unsupported =
            |what: &str, remedy| RasterError::Unsupported { what: what.into(), remedy, path: path.into() };
        let bands = match info.color_type {
            ColorType::Indexed => {
                return Err(unsupported(
                    "a PNG with a palette, whose values are numbers of colours",
                    "save it as grey or colour",
                ));
            }
            color => color.samples(),
        };
        if info.interlaced {
            return Err(unsupported("an interlaced PNG", "save it without interlacing"));
        }
        check_row(path, info.width.into(), bands as u64)?;
        let (height, width) = (info.height as usize, info.width as usize);
        Ok(Self { path: path.into(), height, width, bands, depth: info.bit_depth })
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    pub(super) fn bands(&self) -> usize {
        self.bands
    }

    pub(super) fn rows(&self, channels: Vec<usize>) -> Result<PngRows, RasterError> {
        let path = self.path.clone();
        let mut decoder = decoder(&path)?;
        // Values as they are: no palette, no gamma, no dropped bits.
        decoder.set_transformations(Transformations::IDENTITY);
        let reader = decoder.read_info().map_err(|error| damaged(&path, &error))?;
        let (width, bands, depth) = (self.width, self.bands, self.depth);
        Ok(PngRows { path, reader, channels, width, bands, depth, row: Vec::new() })
    }
}

fn decoder(path: &Path) -> Result<Decoder<BufReader<File>>, RasterError> {
    let file = File::open(path).map_err(|source| RasterError::Io {
        action: "open the image",
        path: path.into(),
        source,
    })?;
    let limits = Limits { bytes: DECODER_BYTES + DECODER_ROWS * MAX_ROW_BYTES as usize };
    Ok(Decoder::new_with_limits(BufReader::new(file), limits))
}

fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> RasterError {
    RasterError::Damaged { format: "PNG", reason: reason.to_string(), path: path.into() }
}

/// Rows of a PNG, from the top.
pub(super) struct PngRows {
    path: PathBuf,
    reader: Reader<BufReader<File>>,
    channels: Vec<usize>,
    width: usize,
    bands: usize,
    depth: BitDepth,
    row: Vec<u8>,
}

impl PngRows {
    pub(super) fn next_row(&mut self, into: &mut [f32]) -> Result<(), RasterError> {
        let row = match self.reader.next_row() {
            Ok(Some(row)) => row,
            Ok(None) => return Err(damaged(&self.path, &"it has fewer rows than its height")),
            Err(error) => return Err(damaged(&self.path, &error)),
        };
        self.row.clear();
        let kind = match self.depth {
            BitDepth::Sixteen => {
                let values = row.data().as_chunks().0.iter().map(|bytes| u16::from_be_bytes(*bytes));
                self.row.extend(values.flat_map(u16::to_ne_bytes));
                SampleKind::U16
            }
            BitDepth::Eight => {
                self.row.extend_from_slice(row.data());
                SampleKind::U8
            }
            // Several pixels a byte, the first in the highest bits.
            depth => {
                let bits = depth as u8;
                let places = (0..8 / bits).rev().map(|place| place * bits);
                let mask = (1_u8 << bits) - 1;
                for byte in row.data() {
                    self.row.extend(places.clone().map(|shift| byte >> shift & mask));
                }
                SampleKind::U8
            }
        };
        if self.row.len() < self.width * self.bands * kind.bytes() {
            return Err(damaged(&self.path, &"a row is too short"));
        }
        for (channel, into) in self.channels.iter().zip(into.chunks_exact_mut(self.width)) {
            sample::to_floats(&self.row, kind, (*channel, self.bands), into);
        }
        Ok(())
    }
}

impl std::fmt::Debug for PngRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PngRows").field("path", &self.path).finish()
    }
}
