//! How the pixels of an image lie in its file, checked before any of them is read.

use super::super::check_row;
use super::super::error::RasterError;
use super::super::sample::SampleKind;
use super::codec::{Compression, Predictor};
use super::directory::Directory;

/// Bytes of a row of tiles at the most, decoded.
const MAX_HELD_BYTES: u64 = 1 << 30;
/// Bands an image may have.
const MAX_BANDS: u64 = 4096;

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const STRIP_PLACES: u16 = 273;
const SAMPLES: u16 = 277;
const ROWS_A_STRIP: u16 = 278;
const STRIP_BYTES: u16 = 279;
const PLANES: u16 = 284;
const PREDICTOR: u16 = 317;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;
const TILE_PLACES: u16 = 324;
const TILE_BYTES: u16 = 325;
const SAMPLE_FORMAT: u16 = 339;

const PALETTE: u64 = 3;
const LARGEST_PLAIN: u64 = 5;

/// The form of the pixels.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) bands: usize,
    pub(super) kind: SampleKind,
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
    /// Whether every band lies by itself.
    pub(super) is_planar: bool,
    pub(super) is_tiled: bool,
    /// Width and height of a chunk: of a tile, or of a strip.
    pub(super) chunk: (usize, usize),
    /// Place and length of each chunk; row by row, plane by plane.
    pub(super) chunks: Vec<(u64, u64)>,
}

impl Layout {
    pub(super) fn read(directory: &Directory) -> Result<Self, RasterError> {
        let source = &directory.source;
        let side = |tag, name: &str| match directory.number(tag)?.map(u32::try_from) {
            Some(Ok(side)) if side > 0 => Ok(side as usize),
            Some(_) => Err(source.damaged(format!("its {name} is no number of pixels"))),
            None => Err(source.damaged(format!("it has no {name}"))),
        };
        let (width, height) = (side(WIDTH, "width")?, side(HEIGHT, "height")?);
        let bands = match directory.number(SAMPLES)?.unwrap_or(1) {
            0 => return Err(source.damaged("it has 0 bands")),
            bands if bands <= MAX_BANDS => bands as usize,
            bands => {
                return Err(source.unsupported(format!("a TIFF of {bands} bands"), "use 4096 at the most"));
            }
        };
        match directory.number(PHOTOMETRIC)? {
            Some(PALETTE) => {
                return Err(source.unsupported(
                    "a TIFF with a palette, whose values are numbers of colours",
                    "convert it to its values, with gdal_translate -expand gray for instance",
                ));
            }
            Some(colours) if colours > LARGEST_PLAIN => {
                return Err(source.unsupported(
                    format!("a TIFF of colours {colours}"),
                    "convert it to plain bands, with gdal_translate for instance",
                ));
            }
            _ => {}
        }
        let kind = kind(directory)?;
        let is_planar = directory.number(PLANES)? == Some(2);
        let is_tiled = directory.has(TILE_PLACES);
        let chunk = if is_tiled {
            (side(TILE_WIDTH, "tile width")?, side(TILE_HEIGHT, "tile height")?)
        } else {
            let rows = directory.number(ROWS_A_STRIP)?.unwrap_or(height as u64);
            if rows == 0 {
                return Err(source.damaged("its strips have 0 rows"));
            }
            (width, usize::try_from(rows).unwrap_or(height).min(height))
        };
        let compression = compression(directory)?;
        let predictor = predictor(directory, kind, compression)?;
        let layout = Self {
            width,
            height,
            bands,
            kind,
            compression,
            predictor,
            is_planar,
            is_tiled,
            chunk,
            chunks: Vec::new(),
        };
        layout.check_held(directory)?;
        let chunks = layout.chunks(directory)?;
        Ok(Self { chunks, ..layout })
    }

    /// Values of a pixel within one chunk.
    pub(super) fn samples(&self) -> usize {
        if self.is_planar { 1 } else { self.bands }
    }

    /// Planes that lie by themselves.
    pub(super) fn planes(&self) -> usize {
        if self.is_planar { self.bands } else { 1 }
    }

    /// Chunks side by side, and one below the other, in a plane.
    pub(super) fn grid(&self) -> (usize, usize) {
        (self.width.div_ceil(self.chunk.0), self.height.div_ceil(self.chunk.1))
    }

    /// Bytes of a row of a chunk.
    pub(super) fn row_bytes(&self) -> usize {
        self.chunk.0 * self.samples() * self.kind.bytes()
    }

    /// Rows of a chunk of this row of chunks that lie in the file.
    pub(super) fn chunk_rows(&self, down: usize) -> usize {
        if self.is_tiled { self.chunk.1 } else { self.chunk.1.min(self.height - down * self.chunk.1) }
    }

    /// Whether what has to be held at once may be: a row, and of a tiled image a row of tiles.
    fn check_held(&self, directory: &Directory) -> Result<(), RasterError> {
        let path = &directory.source.path;
        check_row(path, self.width as u64, self.bands as u64)?;
        if !self.is_tiled {
            return Ok(());
        }
        let (across, _) = self.grid();
        let factors = [across, self.chunk.0, self.chunk.1, self.bands, self.kind.bytes()];
        let bytes = factors.iter().fold(1_u64, |bytes, factor| bytes.saturating_mul(*factor as u64));
        if bytes <= MAX_HELD_BYTES {
            return Ok(());
        }
        Err(RasterError::TooLarge {
            what: "a row of its tiles",
            bytes,
            limit: MAX_HELD_BYTES,
            remedy: "write it in smaller tiles, with gdal_translate -co TILED=YES for instance",
            path: path.clone(),
        })
    }

    /// Places and lengths, each compared with what it is to hold.
    fn chunks(&self, directory: &Directory) -> Result<Vec<(u64, u64)>, RasterError> {
        let source = &directory.source;
        let (place_tag, length_tag) =
            if self.is_tiled { (TILE_PLACES, TILE_BYTES) } else { (STRIP_PLACES, STRIP_BYTES) };
        let missing = || source.damaged("it does not say where its pixels lie");
        let places = directory.numbers(place_tag)?.ok_or_else(missing)?;
        let lengths = directory.numbers(length_tag)?.ok_or_else(missing)?;
        let (across, down) = self.grid();
        let expected = across.checked_mul(down).and_then(|chunks| chunks.checked_mul(self.planes()));
        if expected != Some(places.len()) || places.len() != lengths.len() {
            let (places, lengths) = (places.len(), lengths.len());
            return Err(source.damaged(format!(
                "it gives {places} places and {lengths} lengths for {} chunks",
                expected.unwrap_or(usize::MAX)
            )));
        }
        let ratio = self.compression.largest_ratio();
        let chunks: Vec<_> = places.into_iter().zip(lengths).collect();
        for (number, &(at, length)) in chunks.iter().enumerate() {
            if (at, length) == (0, 0) {
                continue;
            }
            if at.checked_add(length).is_none_or(|end| end > source.len) {
                return Err(
                    source.damaged(format!("chunk {number} lies beyond its end; it may have been cut"))
                );
            }
            let rows = self.chunk_rows(number / across % down);
            let needed = self.row_bytes() as u64 * rows as u64;
            if length.saturating_mul(ratio).saturating_add(ratio) < needed {
                return Err(
                    source.damaged(format!("chunk {number} has {length} bytes for {needed} bytes of pixels"))
                );
            }
        }
        Ok(chunks)
    }
}

fn kind(directory: &Directory) -> Result<SampleKind, RasterError> {
    let source = &directory.source;
    let same = |tag, default, name: &str| match directory.numbers(tag)?.as_deref() {
        None => Ok(default),
        Some([first, rest @ ..]) if rest.iter().all(|other| other == first) => Ok(*first),
        _ => Err(source.unsupported(
            format!("a TIFF whose bands differ in their {name}"),
            "write all bands in one type",
        )),
    };
    let (bits, format) = (same(BITS, 1, "bits")?, same(SAMPLE_FORMAT, 1, "type")?);
    SampleKind::of(bits, format).ok_or_else(|| {
        let name = match format {
            1 => "unsigned",
            2 => "signed",
            3 => "floating-point",
            _ => "other",
        };
        source.unsupported(
            format!("a TIFF of {bits}-bit {name} values"),
            "write integers of 8 bits or more, or floating-point numbers of 32 or 64",
        )
    })
}

fn compression(directory: &Directory) -> Result<Compression, RasterError> {
    let name = match directory.number(COMPRESSION)?.unwrap_or(1) {
        1 => return Ok(Compression::None),
        5 => return Ok(Compression::Lzw),
        8 | 32946 => return Ok(Compression::Deflate),
        32773 => return Ok(Compression::PackBits),
        6 | 7 => "JPEG",
        2..=4 => "fax",
        34887 => "LERC",
        34925 => "LZMA",
        50000 => "ZSTD",
        50001 => "WebP",
        _ => "an unknown method",
    };
    Err(directory.source.unsupported(
        format!("a TIFF compressed by {name}"),
        "compress it anew, with gdal_translate -co COMPRESS=DEFLATE for instance",
    ))
}

fn predictor(
    directory: &Directory,
    kind: SampleKind,
    compression: Compression,
) -> Result<Predictor, RasterError> {
    // Without compression by LZW or Deflate the tag means nothing.
    if !matches!(compression, Compression::Lzw | Compression::Deflate) {
        return Ok(Predictor::None);
    }
    match directory.number(PREDICTOR)?.unwrap_or(1) {
        1 => Ok(Predictor::None),
        2 => Ok(Predictor::Horizontal),
        3 if kind.is_float() => Ok(Predictor::FloatingPoint),
        predictor => Err(directory.source.damaged(format!("its predictor is {predictor}"))),
    }
}
