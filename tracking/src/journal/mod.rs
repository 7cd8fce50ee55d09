//! The journal of a job: checksummed records, appended by one process, read back after whatever ended it.
//!
//! A file begins with eight bytes of magic, a version and a checksum; then records follow, each with a header:
//!
//! | bytes | what, little-endian |
//! |---|---|
//! | 4 | magic |
//! | 4 | bytes of the content |
//! | 8 | bytes of the file that were known to be on the disk when the record was written |
//! | 4 | CRC-32C of the content |
//! | 4 | CRC-32C of the header before it and of the record's place in the file |
//!
//! What a record holds is its writer's affair. Invariants (property tests in `tests.rs`):
//! - JRN-1: what was acknowledged is read back, in order, or the reader says at which byte it is damaged.
//! - JRN-2: a file cut at any byte reads as the records before the cut, with a torn tail.
//! - JRN-3: a record that was known to be on the disk is never dropped as a torn tail while a later one is whole.
//! - JRN-4: two writers never hold one journal.

mod error;
mod frame;
mod reader;
mod writer;

pub use error::JournalError;
pub use reader::{Contents, Entry, TornTail, parse, read};
pub use writer::{Durability, JournalWriter, is_held};

/// Version of the file's form; raised with every change a reader has to know of.
pub const FORMAT_VERSION: u32 = 1;

/// Bytes of one record at the most.
pub const MAX_RECORD_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests;
