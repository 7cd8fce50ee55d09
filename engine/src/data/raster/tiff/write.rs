//! A GeoTIFF of one band, written from the top down: what is held is one row of tiles, whatever the height.

use std::io::{self, Seek, SeekFrom, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use rayon::prelude::*;

use super::super::geo::{Georeference, tags};
use super::codec::predict_floats;
use super::{METADATA, NODATA};

/// Height and width of a tile. A multiple of 16, as TIFF asks.
const TILE: usize = 256;
/// Effort of the compression: further effort takes twice the time for some hundredths of the size.
const LEVEL: u32 = 6;
/// Bytes up to which offsets of 32 bits do, with room for tables and tiles that do not shrink.
const CLASSIC_BYTES: u64 = 3 << 30;

/// A type of value that is written.
pub trait TiffValue: Copy + Default + Sync {
    /// Bits, sample format and predictor, as TIFF numbers them.
    const FORM: (u16, u16, u16);

    /// Appends a row of a tile, ready for compression.
    fn lay(row: &[Self], into: &mut Vec<u8>);
}

impl TiffValue for u8 {
    const FORM: (u16, u16, u16) = (8, 1, 1);

    fn lay(row: &[Self], into: &mut Vec<u8>) {
        into.extend_from_slice(row);
    }
}

impl TiffValue for f32 {
    const FORM: (u16, u16, u16) = (32, 3, 3);

    fn lay(row: &[Self], into: &mut Vec<u8>) {
        predict_floats(row, into);
    }
}

/// What is written.
#[derive(Debug, Clone)]
pub struct TiffImage<'a> {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Where it lies.
    pub georeference: Option<&'a Georeference>,
    /// The value that means "no data", in words: `nan`, `255`.
    pub nodata: &'a str,
    /// Name of the band.
    pub band: &'a str,
}

/// Writes rows in order, compressed by Deflate in tiles of 256 pixels; BigTIFF where that is needed.
#[derive(Debug)]
pub struct TiffWriter<W, T> {
    out: W,
    is_big: bool,
    height: usize,
    width: usize,
    /// Rows of the tiles under way, one after another.
    rows: Vec<T>,
    written: usize,
    /// Bytes written so far.
    at: u64,
    places: Vec<u64>,
    lengths: Vec<u64>,
    tags: Vec<Tag>,
}

/// Offsets of 32 bits, or of 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Classic,
    Big,
}

/// A tag with its values as bytes.
#[derive(Debug)]
struct Tag {
    number: u16,
    kind: u16,
    count: u64,
    bytes: Vec<u8>,
}

impl Tag {
    fn shorts(number: u16, values: &[u16]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { number, kind: 3, count: values.len() as u64, bytes }
    }

    fn long(number: u16, value: usize) -> Self {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        Self { number, kind: 4, count: 1, bytes: value.to_le_bytes().to_vec() }
    }

    fn doubles(number: u16, values: &[f64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { number, kind: 12, count: values.len() as u64, bytes }
    }

    fn text(number: u16, bytes: Vec<u8>) -> Self {
        Self { number, kind: 2, count: bytes.len() as u64, bytes }
    }

    /// Places or lengths, as wide as the form of the file asks.
    fn places(number: u16, values: &[u64], is_big: bool) -> Self {
        let count = values.len() as u64;
        if is_big {
            return Self {
                number,
                kind: 16,
                count,
                bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            };
        }
        let narrow = |value: &u64| u32::try_from(*value).unwrap_or(u32::MAX).to_le_bytes();
        Self { number, kind: 4, count, bytes: values.iter().flat_map(narrow).collect() }
    }
}

impl<W: Write + Seek, T: TiffValue> TiffWriter<W, T> {
    /// Begins a file.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(out: W, image: &TiffImage<'_>) -> io::Result<Self> {
        let padded = |side: usize| side.div_ceil(TILE) as u64 * TILE as u64;
        let pixels = padded(image.height).saturating_mul(padded(image.width));
        let is_big = pixels.saturating_mul(size_of::<T>() as u64) > CLASSIC_BYTES;
        Self::begin(out, image, if is_big { Form::Big } else { Form::Classic })
    }

    pub(super) fn begin(mut out: W, image: &TiffImage<'_>, form: Form) -> io::Result<Self> {
        let TiffImage { height, width, georeference, nodata, band } = *image;
        let is_big = form == Form::Big;
        // The place of the directory is put in at the end.
        let head: &[u8] = if is_big { b"II\x2b\0\x08\0\0\0\0\0\0\0\0\0\0\0" } else { b"II\x2a\0\0\0\0\0" };
        out.write_all(head)?;
        let (bits, format, predictor) = T::FORM;
        let name = band.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let described = format!(
            "<GDALMetadata>\n  <Item name=\"DESCRIPTION\" sample=\"0\" role=\"description\">{name}</Item>\n</GDALMetadata>\n\0"
        );
        let mut tags = vec![
            Tag::long(256, width),
            Tag::long(257, height),
            Tag::shorts(258, &[bits]),
            Tag::shorts(259, &[8]),
            Tag::shorts(262, &[1]),
            Tag::shorts(277, &[1]),
            Tag::shorts(284, &[1]),
            Tag::shorts(317, &[predictor]),
            Tag::shorts(322, &[TILE as u16]),
            Tag::shorts(323, &[TILE as u16]),
            Tag::shorts(339, &[format]),
            Tag::text(METADATA, described.into_bytes()),
            Tag::text(NODATA, format!("{nodata}\0").into_bytes()),
        ];
        tags.extend(georeference.into_iter().flat_map(reference_tags));
        Ok(Self {
            out,
            is_big,
            height,
            width,
            rows: Vec::with_capacity(width * TILE),
            written: 0,
            at: head.len() as u64,
            places: Vec::new(),
            lengths: Vec::new(),
            tags,
        })
    }

    /// Appends a row; rows beyond the height are left out.
    ///
    /// # Errors
    /// What the output says.
    pub fn row(&mut self, row: &[T]) -> io::Result<()> {
        if self.written == self.height {
            return Ok(());
        }
        self.rows.extend_from_slice(&row[..self.width]);
        self.written += 1;
        if self.rows.len() == self.width * TILE || self.written == self.height {
            self.put_tiles()
        } else {
            Ok(())
        }
    }

    /// Writes the directory.
    ///
    /// # Errors
    /// What the output says; [`io::ErrorKind::InvalidInput`] if rows are missing.
    pub fn finish(mut self) -> io::Result<W> {
        if self.written < self.height {
            let missing = format!("{} of {} rows were written", self.written, self.height);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, missing));
        }
        let mut tags = std::mem::take(&mut self.tags);
        tags.push(Tag::places(324, &self.places, self.is_big));
        tags.push(Tag::places(325, &self.lengths, self.is_big));
        tags.sort_by_key(|tag| tag.number);
        let inline = if self.is_big { 8 } else { 4 };
        let mut entries = Vec::new();
        for tag in &tags {
            entries.extend(tag.number.to_le_bytes());
            entries.extend(tag.kind.to_le_bytes());
            self.offset(tag.count, &mut entries)?;
            if tag.bytes.len() <= inline {
                entries.extend_from_slice(&tag.bytes);
                entries.resize(entries.len() + inline - tag.bytes.len(), 0);
            } else {
                self.align()?;
                self.offset(self.at, &mut entries)?;
                self.put(&tag.bytes)?;
            }
        }
        self.align()?;
        let directory = self.at;
        let count = tags.len() as u64;
        match self.is_big {
            true => self.put(&count.to_le_bytes())?,
            false => self.put(&(count as u16).to_le_bytes())?,
        }
        self.put(&entries)?;
        self.put(&[0; 8][..inline])?;
        let mut place = Vec::new();
        self.offset(directory, &mut place)?;
        self.out.seek(SeekFrom::Start(if self.is_big { 8 } else { 4 }))?;
        self.out.write_all(&place)?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Compresses and writes a row of tiles, side by side; beyond the image they are full of the default value.
    fn put_tiles(&mut self) -> io::Result<()> {
        let (width, rows) = (self.width, &self.rows);
        let tile = |column: usize| -> io::Result<Vec<u8>> {
            let first = column * TILE;
            let end = width.min(first + TILE);
            let (mut plain, mut padded) =
                (Vec::with_capacity(TILE * TILE * size_of::<T>()), vec![T::default(); TILE]);
            for row in rows.chunks(width) {
                padded[..end - first].copy_from_slice(&row[first..end]);
                T::lay(&padded, &mut plain);
            }
            padded.fill(T::default());
            for _ in rows.len() / width..TILE {
                T::lay(&padded, &mut plain);
            }
            let mut packed = ZlibEncoder::new(Vec::new(), Compression::new(LEVEL));
            packed.write_all(&plain)?;
            packed.finish()
        };
        let tiles: Vec<_> = (0..width.div_ceil(TILE)).into_par_iter().map(tile).collect::<io::Result<_>>()?;
        for tile in tiles {
            self.places.push(self.at);
            self.lengths.push(tile.len() as u64);
            self.put(&tile)?;
        }
        self.rows.clear();
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// What tags point to begins at an even place.
    fn align(&mut self) -> io::Result<()> {
        if self.at.is_multiple_of(2) { Ok(()) } else { self.put(&[0]) }
    }

    /// Appends a place or count, as wide as the form of the file asks.
    fn offset(&self, value: u64, into: &mut Vec<u8>) -> io::Result<()> {
        if self.is_big {
            into.extend(value.to_le_bytes());
            return Ok(());
        }
        let value = u32::try_from(value).map_err(|_| {
            io::Error::new(io::ErrorKind::FileTooLarge, "tiles did not shrink as they should")
        })?;
        into.extend(value.to_le_bytes());
        Ok(())
    }
}

fn reference_tags(reference: &Georeference) -> Vec<Tag> {
    let Georeference { pixel_scale, tie_points, transformation, keys, doubles, texts } = reference;
    let numbers = [
        (tags::PIXEL_SCALE, pixel_scale),
        (tags::TIE_POINTS, tie_points),
        (tags::TRANSFORMATION, transformation),
        (tags::DOUBLE_PARAMETERS, doubles),
    ];
    let numbers = numbers.into_iter().filter_map(|(tag, values)| Some(Tag::doubles(tag, values.as_deref()?)));
    let keys = keys.iter().map(|keys| Tag::shorts(tags::KEY_DIRECTORY, keys));
    let texts = texts.iter().map(|text| Tag::text(tags::TEXT_PARAMETERS, text.clone()));
    numbers.chain(keys).chain(texts).collect()
}
