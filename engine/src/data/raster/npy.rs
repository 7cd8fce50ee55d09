//! npy: one array of NumPy, in C order.
//!
//! # Sources
//! NumPy, `numpy.lib.format`, versions 1 to 3.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check_row;
use super::error::RasterError;
use super::sample::{self, SampleKind};

/// Bytes of the header at the most; that of a plain array takes less than two hundred.
const MAX_HEADER_BYTES: u64 = 1 << 16;

/// An open npy file.
#[derive(Debug)]
pub(super) struct Npy {
    path: PathBuf,
    file: Arc<File>,
    height: usize,
    width: usize,
    bands: usize,
    kind: SampleKind,
    is_swapped: bool,
    /// Where the values begin.
    first: u64,
}

impl Npy {
    pub(super) fn open(path: &Path) -> Result<Self, RasterError> {
        let io = |source| RasterError::Io { action: "read the image", path: path.into(), source };
        let damaged = |reason: String| RasterError::Damaged { format: "npy", reason, path: path.into() };
        let file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        let mut head = [0; 12];
        if len < 12 {
            return Err(damaged("it ends within its header".into()));
        }
        file.read_exact_at(&mut head, 0).map_err(io)?;
        let [.., version, _, a, b, c, d] = head;
        let (begin, header_bytes) = match version {
            1 => (10, u64::from(u16::from_le_bytes([a, b]))),
            2 | 3 => (12, u64::from(u32::from_le_bytes([a, b, c, d]))),
            _ => return Err(damaged(format!("its version is {version}"))),
        };
        if header_bytes > MAX_HEADER_BYTES || begin + header_bytes > len {
            return Err(damaged(format!("its header is said to be of {header_bytes} bytes")));
        }
        let mut header = vec![0; header_bytes as usize];
        file.read_exact_at(&mut header, begin).map_err(io)?;
        let header = String::from_utf8_lossy(&header).into_owned();
        let form = Form::of(&header, path)?;
        let (bands, height, width) = match *form.shape.as_slice() {
            [height, width] => (1, height, width),
            [bands, height, width] => (bands, height, width),
            _ => {
                return Err(RasterError::Unsupported {
                    what: format!("an array of shape {:?}", form.shape),
                    remedy: "save [height, width] or [bands, height, width]",
                    path: path.into(),
                });
            }
        };
        if [bands, height, width].contains(&0) {
            return Err(damaged(format!("its shape {:?} holds no pixel", form.shape)));
        }
        let item = form.kind.bytes() as u64;
        let product =
            |factors: &[u64]| factors.iter().try_fold(item, |bytes, factor| bytes.checked_mul(*factor));
        let first = begin + header_bytes;
        if product(&[bands, height, width])
            .and_then(|bytes| bytes.checked_add(first))
            .is_none_or(|end| end > len)
        {
            return Err(damaged(format!("it is too short for its shape {:?}", form.shape)));
        }
        check_row(path, width, bands)?;
        Ok(Self {
            path: path.into(),
            file: Arc::new(file),
            // All of them lie in the file, whose length is a u64 that was compared.
            height: height as usize,
            width: width as usize,
            bands: bands as usize,
            kind: form.kind,
            is_swapped: form.is_swapped,
            first,
        })
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    pub(super) fn bands(&self) -> usize {
        self.bands
    }

    pub(super) fn rows(&self, channels: Vec<usize>) -> NpyRows {
        NpyRows {
            path: self.path.clone(),
            file: Arc::clone(&self.file),
            channels,
            height: self.height,
            width: self.width,
            kind: self.kind,
            is_swapped: self.is_swapped,
            first: self.first,
            next: 0,
            row: vec![0; self.width * self.kind.bytes()],
        }
    }
}

/// What the header says.
struct Form {
    kind: SampleKind,
    is_swapped: bool,
    shape: Vec<u64>,
}

impl Form {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (6, 128, 128), }`.
    fn of(header: &str, path: &Path) -> Result<Self, RasterError> {
        let damaged = |what: &str| RasterError::Damaged {
            format: "npy",
            reason: format!("its header names no {what}"),
            path: path.into(),
        };
        let unsupported = |what: String, remedy| RasterError::Unsupported { what, remedy, path: path.into() };
        let after = |key: &str| {
            let (_, rest) = header.split_once(&format!("'{key}'"))?;
            Some(rest.trim_start().strip_prefix(':')?.trim_start())
        };
        let descr = after("descr").ok_or_else(|| damaged("type"))?;
        let name = descr.strip_prefix('\'').and_then(|rest| rest.split('\'').next()).unwrap_or("a structure");
        let order = after("fortran_order").ok_or_else(|| damaged("order"))?;
        if order.starts_with("True") {
            return Err(unsupported(
                "an array in Fortran's order".into(),
                "save numpy.ascontiguousarray of it",
            ));
        }
        let (endian, kind) = name.split_at_checked(1).unwrap_or_default();
        let kind = match kind {
            "b1" | "u1" => SampleKind::U8,
            "i1" => SampleKind::I8,
            "u2" => SampleKind::U16,
            "i2" => SampleKind::I16,
            "u4" => SampleKind::U32,
            "i4" => SampleKind::I32,
            "u8" => SampleKind::U64,
            "i8" => SampleKind::I64,
            "f4" => SampleKind::F32,
            "f8" => SampleKind::F64,
            _ => {
                return Err(unsupported(
                    format!("an array of {name}"),
                    "save integers or floating-point numbers of 32 or 64 bits",
                ));
            }
        };
        let native = if cfg!(target_endian = "little") { "<" } else { ">" };
        let is_swapped = ["<", ">"].contains(&endian) && endian != native;
        let shape = after("shape").and_then(|rest| rest.strip_prefix('(')?.split(')').next());
        let shape = shape.ok_or_else(|| damaged("shape"))?;
        let extents = shape.split(',').map(str::trim).filter(|extent| !extent.is_empty());
        let shape: Result<Vec<u64>, _> = extents.map(str::parse).collect();
        Ok(Self { kind, is_swapped, shape: shape.map_err(|_| damaged("shape of whole numbers"))? })
    }
}

/// Rows of an array, from the top.
#[derive(Debug)]
pub(super) struct NpyRows {
    path: PathBuf,
    file: Arc<File>,
    channels: Vec<usize>,
    height: usize,
    width: usize,
    kind: SampleKind,
    is_swapped: bool,
    first: u64,
    next: usize,
    row: Vec<u8>,
}

impl NpyRows {
    pub(super) fn next_row(&mut self, into: &mut [f32]) -> Result<(), RasterError> {
        for (channel, into) in self.channels.iter().zip(into.chunks_exact_mut(self.width)) {
            let row = (channel * self.height + self.next) as u64;
            let at = self.first + row * self.row.len() as u64;
            self.file.read_exact_at(&mut self.row, at).map_err(|source| RasterError::Io {
                action: "read the image",
                path: self.path.clone(),
                source,
            })?;
            if self.is_swapped {
                self.row.chunks_exact_mut(self.kind.bytes()).for_each(<[u8]>::reverse);
            }
            sample::to_floats(&self.row, self.kind, (0, 1), into);
        }
        self.next += 1;
        Ok(())
    }
}
