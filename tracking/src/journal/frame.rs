//! Bytes of the file's head and of a record.

use super::{FORMAT_VERSION, MAX_RECORD_BYTES};

const FILE_MAGIC: [u8; 8] = *b"\x89engjrn\n";
const MAGIC: [u8; 4] = *b"\xc3jr\x01";

/// Bytes before the first record.
pub(super) const FILE_HEAD: usize = 16;
/// Bytes of a record before its content.
pub(super) const HEAD: usize = 24;

/// The first bytes of a file.
pub(super) fn file_head() -> [u8; FILE_HEAD] {
    let mut head = [0; FILE_HEAD];
    head[..8].copy_from_slice(&FILE_MAGIC);
    head[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    let check = crc32c::crc32c(&head[..12]);
    head[12..].copy_from_slice(&check.to_le_bytes());
    head
}

/// The version in a file's first bytes; `None` if they are not those of a journal.
pub(super) fn version(bytes: &[u8]) -> Option<u32> {
    let head = bytes.get(..FILE_HEAD)?;
    let check = u32_at(head, 12)?;
    (head[..8] == FILE_MAGIC && check == crc32c::crc32c(&head[..12])).then(|| u32_at(head, 8)).flatten()
}

/// Adds a record that is to stand at `at`, while `synced` bytes of the file are known to be on the disk.
pub(super) fn push(into: &mut Vec<u8>, content: &[u8], at: u64, synced: u64) {
    let begin = into.len();
    into.extend(MAGIC);
    // The writer refuses what is longer than a reader takes, which fits.
    into.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
    into.extend(synced.to_le_bytes());
    into.extend(crc32c::crc32c(content).to_le_bytes());
    let check = head_check(&into[begin..], at);
    into.extend(check.to_le_bytes());
    into.extend(content);
}

/// A record that stands whole in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) content: &'a [u8],
    pub(super) synced: u64,
    /// Where the next one begins.
    pub(super) end: usize,
}

/// The record at `at`; else what is wrong with what stands there.
pub(super) fn at(file: &[u8], at: usize) -> Result<Found<'_>, &'static str> {
    let Some(head) = file.get(at..at + HEAD) else { return Err("its header is cut") };
    if head[..4] != MAGIC {
        return Err("no record begins there");
    }
    if u32_at(head, 20) != Some(head_check(&head[..20], at as u64)) {
        return Err("its header's checksum is wrong");
    }
    let length = u32_at(head, 4).map_or(usize::MAX, |length| length as usize);
    if length > MAX_RECORD_BYTES {
        return Err("it is longer than records are");
    }
    let begin = at + HEAD;
    let Some(content) = file.get(begin..begin + length) else { return Err("its content is cut") };
    if u32_at(head, 16) != Some(crc32c::crc32c(content)) {
        return Err("its content's checksum is wrong");
    }
    let synced = u64::from(u32_at(head, 8).unwrap_or(0)) | u64::from(u32_at(head, 12).unwrap_or(0)) << 32;
    Ok(Found { content, synced, end: begin + length })
}

/// The next place at or behind `from` where a record may begin.
pub(super) fn next_magic(file: &[u8], from: usize) -> Option<usize> {
    let rest = file.get(from..)?;
    rest.windows(MAGIC.len()).position(|window| window == MAGIC).map(|ahead| from + ahead)
}

fn head_check(head: &[u8], at: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), &at.to_le_bytes())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}
