//! What a chunk of pixels went through on its way into the file, undone: compression as a stream, the predictor row by row.
//!
//! A stream gives no more bytes than it is asked for, so that a small file can not fill the memory.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::ZlibDecoder;
use weezl::{BitOrder, LzwStatus};

use super::directory::{Endian, Source};

/// How chunks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
}

impl Compression {
    /// What a compressed byte can become at the most; more would be damage.
    ///
    /// # Sources
    /// zlib, Technical Details: 1032 to 1. An LZW code of 9 bits at the least stands for 4096 bytes at the most. PackBits: 2
    /// bytes for 128.
    pub(super) fn largest_ratio(self) -> u64 {
        match self {
            Self::None => 1,
            Self::Lzw => 4096,
            Self::Deflate => 1040,
            Self::PackBits => 64,
        }
    }
}

/// The bytes of a chunk before compression.
pub(super) fn stream(source: &Source, compression: Compression, at: u64, len: u64) -> Box<dyn Read + Send> {
    let raw = BufReader::new(Part { source: source.clone(), at, left: len });
    match compression {
        Compression::None => Box::new(raw),
        Compression::Deflate => Box::new(ZlibDecoder::new(raw)),
        Compression::Lzw => {
            Box::new(Lzw { raw, decoder: weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8) })
        }
        Compression::PackBits => Box::new(PackBits { raw, run: Run::Literal(0) }),
    }
}

/// A part of a file.
struct Part {
    source: Source,
    at: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.source.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

struct Lzw<R> {
    raw: R,
    decoder: weezl::decode::Decoder,
}

impl<R: BufRead> Read for Lzw<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let done = self.decoder.decode_bytes(self.raw.fill_buf()?, buffer);
            self.raw.consume(done.consumed_in);
            let status = done.status.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if done.consumed_out > 0 || done.consumed_in == 0 || matches!(status, LzwStatus::Done) {
                return Ok(done.consumed_out);
            }
        }
    }
}

/// What is left of a run of bytes.
enum Run {
    Literal(usize),
    Repeated(usize, u8),
}

struct PackBits<R> {
    raw: R,
    run: Run,
}

impl<R: BufRead> PackBits<R> {
    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.raw.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

impl<R: BufRead> Read for PackBits<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.run {
                Run::Literal(0) | Run::Repeated(0, _) => {}
                Run::Literal(left) => {
                    let most = buffer.len().min(*left);
                    let count = self.raw.read(&mut buffer[..most])?;
                    *left -= count;
                    return Ok(count);
                }
                Run::Repeated(left, byte) => {
                    let count = buffer.len().min(*left);
                    buffer[..count].fill(*byte);
                    *left -= count;
                    return Ok(count);
                }
            }
            if self.raw.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.run = match self.byte()?.cast_signed() {
                -128 => Run::Literal(0),
                count @ 0.. => Run::Literal(usize::from(count.cast_unsigned()) + 1),
                count => Run::Repeated(usize::from(count.unsigned_abs()) + 1, self.byte()?),
            };
        }
    }
}

/// What was done to a row before compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    /// Each value is the difference to the one of the pixel before.
    Horizontal,
    /// Bytes of floating-point numbers by their weight, then differences.
    FloatingPoint,
}

/// Puts a row into this machine's order and undoes the predictor.
///
/// `size` is bytes a value, `samples` values a pixel. `spare` is as long as the row.
///
/// # Sources
/// TIFF 6.0, section 14; Adobe Photoshop TIFF Technical Note 3 (predictor 3).
pub(super) fn undo(
    row: &mut [u8],
    spare: &mut Vec<u8>,
    (size, samples): (usize, usize),
    predictor: Predictor,
    endian: Endian,
) {
    if predictor == Predictor::FloatingPoint {
        for at in samples..row.len() {
            row[at] = row[at].wrapping_add(row[at - samples]);
        }
        spare.clear();
        spare.extend_from_slice(row);
        let values = row.len() / size;
        for (number, value) in row.chunks_exact_mut(size).enumerate() {
            for (place, byte) in value.iter_mut().enumerate() {
                // The heaviest bytes of all values come first.
                let weight = if cfg!(target_endian = "little") { size - 1 - place } else { place };
                *byte = spare[weight * values + number];
            }
        }
        return;
    }
    if (endian == Endian::Little) != cfg!(target_endian = "little") {
        row.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if predictor == Predictor::Horizontal {
        match size {
            1 => accumulate::<1>(row, samples, |a, b| [a[0].wrapping_add(b[0])]),
            2 => accumulate(row, samples, |a, b| {
                u16::from_ne_bytes(a).wrapping_add(u16::from_ne_bytes(b)).to_ne_bytes()
            }),
            4 => accumulate(row, samples, |a, b| {
                u32::from_ne_bytes(a).wrapping_add(u32::from_ne_bytes(b)).to_ne_bytes()
            }),
            _ => accumulate(row, samples, |a, b| {
                u64::from_ne_bytes(a).wrapping_add(u64::from_ne_bytes(b)).to_ne_bytes()
            }),
        }
    }
}

fn accumulate<const N: usize>(row: &mut [u8], samples: usize, sum: impl Fn([u8; N], [u8; N]) -> [u8; N]) {
    let (values, _) = row.as_chunks_mut::<N>();
    for at in samples..values.len() {
        values[at] = sum(values[at], values[at - samples]);
    }
}

/// Does to a row of 32-bit floating-point numbers what predictor 3 undoes; one value a pixel.
pub(super) fn predict_floats(row: &[f32], into: &mut Vec<u8>) {
    let first = into.len();
    for weight in 0..size_of::<f32>() {
        into.extend(row.iter().map(|value| value.to_be_bytes()[weight]));
    }
    let bytes = &mut into[first..];
    for at in (1..bytes.len()).rev() {
        bytes[at] = bytes[at].wrapping_sub(bytes[at - 1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(bytes: &[u8]) -> (tempfile::TempDir, Source) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        std::fs::write(&path, bytes).unwrap();
        let source = Source::open(&path).unwrap();
        (folder, source)
    }

    fn unpacked(compression: Compression, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let (_folder, source) = part(bytes);
        let mut out = Vec::new();
        stream(&source, compression, 0, bytes.len() as u64).read_to_end(&mut out).map(|_| out)
    }

    /// The example of TIFF 6.0, section 9.
    #[test]
    fn packed_bits_are_unpacked() {
        let packed =
            [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let mut expected =
            vec![0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22];
        expected.extend([0xaa; 10]);
        assert_eq!(unpacked(Compression::PackBits, &packed).unwrap(), expected);
        assert!(unpacked(Compression::PackBits, &[0xfe]).is_err(), "the byte to repeat is missing");
    }

    #[test]
    fn lzw_of_more_than_one_table_is_unpacked_and_a_cut_one_ends_early() {
        let plain: Vec<u8> = (0..200_000_u32).map(|at| (at.wrapping_mul(at) / 7 % 251) as u8).collect();
        let packed = weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(&plain).unwrap();
        assert_eq!(unpacked(Compression::Lzw, &packed).unwrap(), plain);
        let cut = unpacked(Compression::Lzw, &packed[..packed.len() / 2]);
        assert!(cut.map_or(true, |bytes| bytes.len() < plain.len()));
    }

    #[test]
    fn differences_are_summed_in_every_width_and_order() {
        let values: Vec<u16> = vec![10, 1000, 20, 65_535, 5, 3];
        let mut row: Vec<u8> = Vec::new();
        for (at, value) in values.iter().enumerate() {
            let before = if at < 2 { 0 } else { values[at - 2] };
            row.extend(value.wrapping_sub(before).to_be_bytes());
        }
        undo(&mut row, &mut Vec::new(), (2, 2), Predictor::Horizontal, Endian::Big);
        let found: Vec<u16> = row.as_chunks().0.iter().map(|bytes| u16::from_ne_bytes(*bytes)).collect();
        assert_eq!(found, values);
    }

    #[test]
    fn floats_come_back_bit_for_bit() {
        let values = [0.0_f32, -1.5, f32::NAN, 1e-30, 7.25e12, -0.0];
        let mut row = Vec::new();
        predict_floats(&values, &mut row);
        undo(&mut row, &mut Vec::new(), (4, 1), Predictor::FloatingPoint, Endian::Little);
        let found: Vec<u32> = row.as_chunks().0.iter().map(|bytes| u32::from_ne_bytes(*bytes)).collect();
        assert_eq!(found, values.map(f32::to_bits));
    }
}
