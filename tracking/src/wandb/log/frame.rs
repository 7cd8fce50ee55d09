//! Chunks: how a record's bytes lie in the blocks of a file. Knows no file.

use super::{BLOCK_BYTES, Position};

/// Bytes before a chunk's payload: checksum (4), length (2), kind (1).
pub(super) const HEAD_BYTES: usize = 7;

/// Which part of a record a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Full = 1,
    /// The beginning.
    First = 2,
    /// Something between.
    Middle = 3,
    /// The end.
    Last = 4,
}

impl Part {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Full, Self::First, Self::Middle, Self::Last].into_iter().find(|part| *part as u8 == byte)
    }

    /// Whether a record begins with it.
    pub(super) fn is_start(self) -> bool {
        matches!(self, Self::Full | Self::First)
    }

    /// Whether a record ends with it.
    pub(super) fn is_end(self) -> bool {
        matches!(self, Self::Full | Self::Last)
    }

    fn of(is_start: bool, is_end: bool) -> Self {
        match (is_start, is_end) {
            (true, true) => Self::Full,
            (true, false) => Self::First,
            (false, false) => Self::Middle,
            (false, true) => Self::Last,
        }
    }
}

/// The head of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) checksum: u32,
    pub(super) payload_bytes: usize,
    pub(super) part: Part,
}

impl Head {
    /// Reads a head; `None` if no chunk of this kind or length can stand with so many bytes left in its block.
    pub(super) fn parse(bytes: [u8; HEAD_BYTES], left_in_block: usize) -> Option<Self> {
        let [c0, c1, c2, c3, l0, l1, kind] = bytes;
        let payload_bytes = usize::from(u16::from_le_bytes([l0, l1]));
        let part = Part::from_byte(kind)?;
        let checksum = u32::from_le_bytes([c0, c1, c2, c3]);
        (HEAD_BYTES + payload_bytes <= left_in_block).then_some(Self { checksum, payload_bytes, part })
    }

    /// Whether the payload is what was written.
    pub(super) fn fits(&self, payload: &[u8]) -> bool {
        self.checksum == checksum(self.part, payload)
    }
}

/// Bytes from a position to the end of its block.
pub(super) fn left_in_block(at: Position) -> usize {
    (BLOCK_BYTES - at % BLOCK_BYTES) as usize
}

/// Where the next chunk's head lies: here, or at the next block where too little is left of this one.
pub(super) fn head_at(at: Position) -> Position {
    if left_in_block(at) < HEAD_BYTES { next_block(at) } else { at }
}

/// The beginning of the block behind that of a byte.
pub(super) fn next_block(at: Position) -> Position {
    (at / BLOCK_BYTES + 1) * BLOCK_BYTES
}

/// A record's bytes as they are written at a position, with the zeros that fill a block before it.
pub(super) fn frame(record: &[u8], at: Position) -> Vec<u8> {
    let blocks = record.len() / (BLOCK_BYTES as usize - HEAD_BYTES) + 2;
    let mut framed = Vec::with_capacity(record.len() + blocks * HEAD_BYTES);
    let mut left = left_in_block(at);
    let mut rest = record;
    let mut is_start = true;
    loop {
        if left < HEAD_BYTES {
            framed.resize(framed.len() + left, 0);
            left = BLOCK_BYTES as usize;
        }
        let (payload, behind) = rest.split_at(rest.len().min(left - HEAD_BYTES));
        let part = Part::of(is_start, behind.is_empty());
        push_chunk(&mut framed, part, payload);
        if part.is_end() {
            return framed;
        }
        // A part that is not the last fills its block.
        left = 0;
        rest = behind;
        is_start = false;
    }
}

fn push_chunk(framed: &mut Vec<u8>, part: Part, payload: &[u8]) {
    debug_assert!(payload.len() <= BLOCK_BYTES as usize - HEAD_BYTES, "a chunk stays within its block");
    framed.extend(checksum(part, payload).to_le_bytes());
    framed.extend((payload.len() as u16).to_le_bytes());
    framed.push(part as u8);
    framed.extend(payload);
}

/// CRC-32 (IEEE) of the kind and the payload. Plain LevelDB takes CRC-32C and masks it.
fn checksum(part: Part, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[part as u8]);
    hasher.update(payload);
    hasher.finalize()
}
