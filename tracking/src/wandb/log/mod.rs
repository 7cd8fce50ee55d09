//! The log file under a journal: LevelDB's framing with W&B's header and checksums.
//!
//! A file begins with `FILE_HEADER` and goes on in blocks of 32 KiB, the header being part of the first. A record is one
//! chunk, or several where it crosses the end of a block; the last 0 to 6 bytes of a block, too few for a chunk's head,
//! are zeros. Whoever lost the thread finds it again at the next block.
//!
//! # Sources
//! The log format of LevelDB (`doc/log_format.md`); header, checksum and version as the official client 0.31.0 writes them.

mod error;
mod frame;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use error::LogError;
pub use reader::{Found, LogReader};
pub(super) use writer::LogWriter;

/// Offset of a byte behind whole records: where reading can go on.
pub type Position = u64;

/// First bytes of every log: `:W&B`, a magic number, version 0.
const FILE_HEADER: [u8; 7] = [0x3A, 0x57, 0x26, 0x42, 0xE1, 0xBE, 0x00];

/// Where the first record begins.
const FIRST_RECORD: Position = FILE_HEADER.len() as u64;

/// Bytes of a block.
const BLOCK_BYTES: u64 = 32 * 1024;

/// Longest record, in bytes. The protocol takes rows of 10 MiB; a length above this comes from damage, and is not worth the
/// memory.
const MAX_RECORD_BYTES: usize = 64 * 1024 * 1024;
