//! The container: header, directory, values of tags. Classic and BigTIFF, either byte order.
//!
//! # Sources
//! TIFF 6.0 (Adobe 1992), section 2; the BigTIFF proposal as libtiff reads it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::error::RasterError;

/// Bytes the value of one tag may take: places of four million tiles. More is damage; what lies beyond the file's end is never
/// read at all.
const MAX_VALUE_BYTES: u64 = 64 << 20;

/// How numbers lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endian {
    Little,
    Big,
}

impl Endian {
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        if self == Self::Little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        if self == Self::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    }

    pub(super) fn u64(self, bytes: [u8; 8]) -> u64 {
        if self == Self::Little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) }
    }
}

/// An open file that any number of readers read from at their own places.
#[derive(Debug, Clone)]
pub(super) struct Source {
    file: Arc<File>,
    pub(super) len: u64,
    pub(super) path: PathBuf,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, RasterError> {
        let io = |source| RasterError::Io { action: "open the image", path: path.into(), source };
        let file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        Ok(Self { file: Arc::new(file), len, path: path.into() })
    }

    /// As many bytes as there are from a place on, at most those asked for.
    pub(super) fn read_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
        self.file.read_at(buffer, at)
    }

    fn exact<const N: usize>(&self, at: u64) -> Result<[u8; N], RasterError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, at)?;
        Ok(bytes)
    }

    fn fill(&self, bytes: &mut [u8], at: u64) -> Result<(), RasterError> {
        let end = at.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(self.damaged(format!("it ends at byte {}, before byte {at}", self.len)));
        }
        self.file.read_exact_at(bytes, at).map_err(|source| RasterError::Io {
            action: "read the image",
            path: self.path.clone(),
            source,
        })
    }

    pub(super) fn damaged(&self, reason: impl Into<String>) -> RasterError {
        RasterError::Damaged { format: "TIFF", reason: reason.into(), path: self.path.clone() }
    }

    pub(super) fn unsupported(&self, what: impl Into<String>, remedy: &'static str) -> RasterError {
        RasterError::Unsupported { what: what.into(), remedy, path: self.path.clone() }
    }
}

/// One tag: its type, how many values it has, and the values or their place.
#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: u16,
    count: u64,
    inline: [u8; 8],
}

/// The first directory of a file: the image itself. Others are its overviews and masks, which nothing here needs.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) source: Source,
    pub(super) endian: Endian,
    is_big: bool,
    entries: BTreeMap<u16, Entry>,
}

impl Directory {
    pub(super) fn read(source: Source) -> Result<Self, RasterError> {
        let head: [u8; 4] = source.exact(0)?;
        let endian = match head {
            [b'I', b'I', ..] => Endian::Little,
            [b'M', b'M', ..] => Endian::Big,
            _ => return Err(source.damaged("it does not begin as one")),
        };
        let (is_big, at) = match endian.u16([head[2], head[3]]) {
            42 => (false, u64::from(endian.u32(source.exact(4)?))),
            43 if endian.u16(source.exact(4)?) == 8 => (true, endian.u64(source.exact(8)?)),
            version => return Err(source.damaged(format!("its version is {version}"))),
        };
        let (count, mut at, entry_bytes) = match is_big {
            true => (endian.u64(source.exact(at)?), at.saturating_add(8), 20),
            false => (u64::from(endian.u16(source.exact(at)?)), at.saturating_add(2), 12),
        };
        // Tags are numbered by two bytes: there are no more of them.
        if count > u64::from(u16::MAX) {
            return Err(source.damaged(format!("its directory has {count} entries")));
        }
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let (tag, entry) = match is_big {
                true => {
                    let bytes: [u8; 20] = source.exact(at)?;
                    let [t0, t1, k0, k1, rest @ ..] = bytes;
                    let (count, inline) = rest.split_at(8);
                    let fixed = |bytes: &[u8]| bytes.try_into().unwrap_or_default();
                    let entry = Entry {
                        kind: endian.u16([k0, k1]),
                        count: endian.u64(fixed(count)),
                        inline: fixed(inline),
                    };
                    (endian.u16([t0, t1]), entry)
                }
                false => {
                    let [t0, t1, k0, k1, c0, c1, c2, c3, inline @ ..]: [u8; 12] = source.exact(at)?;
                    let mut place = [0; 8];
                    place[..4].copy_from_slice(&inline);
                    let count = u64::from(endian.u32([c0, c1, c2, c3]));
                    (endian.u16([t0, t1]), Entry { kind: endian.u16([k0, k1]), count, inline: place })
                }
            };
            entries.entry(tag).or_insert(entry);
            at = at.saturating_add(entry_bytes);
        }
        Ok(Self { source, endian, is_big, entries })
    }

    pub(super) fn has(&self, tag: u16) -> bool {
        self.entries.contains_key(&tag)
    }

    /// Bytes of a tag's values in the file's order, and the type of its values.
    fn bytes(&self, tag: u16) -> Result<Option<(u16, Vec<u8>)>, RasterError> {
        let Some(entry) = self.entries.get(&tag) else { return Ok(None) };
        let size = match entry.kind {
            1 | 2 | 6 | 7 => 1_u64,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            kind => return Err(self.source.damaged(format!("tag {tag} has values of type {kind}"))),
        };
        let len = entry.count.checked_mul(size).filter(|len| *len <= MAX_VALUE_BYTES.min(self.source.len));
        let Some(len) = len else {
            let count = entry.count;
            return Err(self
                .source
                .damaged(format!("tag {tag} has {count} values, more than the file holds")));
        };
        let inline_bytes = if self.is_big { 8 } else { 4 };
        if len <= inline_bytes {
            return Ok(Some((entry.kind, entry.inline[..len as usize].to_vec())));
        }
        let [a, b, c, d, ..] = entry.inline;
        let at = if self.is_big {
            self.endian.u64(entry.inline)
        } else {
            u64::from(self.endian.u32([a, b, c, d]))
        };
        if at.checked_add(len).is_none_or(|end| end > self.source.len) {
            return Err(self.source.damaged(format!("the values of tag {tag} lie beyond its end")));
        }
        let mut bytes = vec![0; len as usize];
        self.source.fill(&mut bytes, at)?;
        Ok(Some((entry.kind, bytes)))
    }

    /// Whole numbers of a tag; `None` if it is not there.
    pub(super) fn numbers(&self, tag: u16) -> Result<Option<Vec<u64>>, RasterError> {
        let Some((kind, bytes)) = self.bytes(tag)? else { return Ok(None) };
        let endian = self.endian;
        Ok(Some(match kind {
            1 | 7 => bytes.into_iter().map(u64::from).collect(),
            3 => bytes.as_chunks().0.iter().map(|bytes| u64::from(endian.u16(*bytes))).collect(),
            4 | 13 => bytes.as_chunks().0.iter().map(|bytes| u64::from(endian.u32(*bytes))).collect(),
            16 | 18 => bytes.as_chunks().0.iter().map(|bytes| endian.u64(*bytes)).collect(),
            kind => {
                return Err(self
                    .source
                    .damaged(format!("tag {tag} is of type {kind}, not of whole numbers")));
            }
        }))
    }

    /// The one whole number of a tag.
    pub(super) fn number(&self, tag: u16) -> Result<Option<u64>, RasterError> {
        match self.numbers(tag)?.as_deref() {
            None => Ok(None),
            Some([number, ..]) => Ok(Some(*number)),
            Some([]) => Err(self.source.damaged(format!("tag {tag} has no value"))),
        }
    }

    /// Floating-point numbers of a tag; a tag of another type is as good as none.
    pub(super) fn doubles(&self, tag: u16) -> Result<Option<Vec<f64>>, RasterError> {
        let Some((12, bytes)) = self.bytes(tag)? else { return Ok(None) };
        let numbers = bytes.as_chunks().0.iter().map(|bytes| f64::from_bits(self.endian.u64(*bytes)));
        Ok(Some(numbers.collect()))
    }

    /// Bytes of a text, what ends it included; a tag of another type is as good as none.
    pub(super) fn text(&self, tag: u16) -> Result<Option<Vec<u8>>, RasterError> {
        Ok(self.bytes(tag)?.filter(|(kind, _)| *kind == 2).map(|(_, bytes)| bytes))
    }
}
