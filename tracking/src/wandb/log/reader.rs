//! Reading a log, also one that grows or is damaged.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use prost::Message as _;

use super::frame::{HEAD_BYTES, Head, Part, head_at, left_in_block, next_block};
use super::{BLOCK_BYTES, FILE_HEADER, FIRST_RECORD, LogError, MAX_RECORD_BYTES, Position};
use crate::wandb::record::Record;

/// What a reader finds next.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A record, and where the next one begins.
    Record(Box<Record>, Position),
    /// Bytes that are no record; reading goes on behind them. Told once for each stretch.
    Damage {
        /// First bad byte.
        from: Position,
        /// Where reading goes on.
        to: Position,
    },
    /// Nothing more that is whole; `next` may find more once the file has grown. A torn last record is this too.
    End,
}

/// Reads records from a log that may still grow.
///
/// Holds one block and the record at hand, whatever the length of the file.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    file: File,
    /// Where the next record begins.
    position: Position,
    block: Block,
    /// The last thing told was damage: what hangs together with it is not told again.
    is_behind_damage: bool,
    /// Whether the file is known to be a log.
    is_known: bool,
}

/// The bytes of one block that were read so far.
#[derive(Debug, Default)]
struct Block {
    start: Position,
    bytes: Vec<u8>,
}

/// What stands where a chunk is to be.
enum Chunk {
    /// A chunk, its payload within the block at hand, and where the next one is looked for.
    Whole(Part, Range<usize>, Position),
    /// Something else.
    Bad,
    /// Less than a chunk: the end of the file, or a write under way.
    Cut,
}

/// What became of one try to read a record.
enum Step {
    Found(Found),
    /// More of a stretch of damage that is told already.
    Passed,
}

impl LogReader {
    /// Opens a log at a position (0: its beginning).
    ///
    /// # Errors
    /// [`LogError`] if the file can not be read, is none of ours, or ends before the position.
    pub fn open(path: &Path, at: Position) -> Result<Self, LogError> {
        let failed = |source| LogError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        // Damage in the last block lets reading go on at the next, which may not be there yet.
        if at > bytes.max(FIRST_RECORD) && at != bytes.next_multiple_of(BLOCK_BYTES) {
            return Err(LogError::Shorter { path: path.to_owned(), bytes, at });
        }
        let mut reader = Self {
            path: path.to_owned(),
            file,
            position: at.max(FIRST_RECORD),
            block: Block::default(),
            is_behind_damage: false,
            is_known: false,
        };
        reader.check_header()?;
        Ok(reader)
    }

    /// Where the next record begins. Bytes of the file behind it, once [`Found::End`] was told, are a torn record.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next record, read from the file in blocks: memory does not grow with the file.
    ///
    /// # Errors
    /// [`LogError`] if the file can not be read.
    #[expect(
        clippy::should_implement_trait,
        reason = "a growing file has no last item, and reading it fails"
    )]
    pub fn next(&mut self) -> Result<Found, LogError> {
        if !self.is_known {
            self.check_header()?;
            if !self.is_known {
                return Ok(Found::End);
            }
        }
        loop {
            if let Step::Found(found) = self.step()? {
                return Ok(found);
            }
        }
    }

    /// Whether the file begins as a log does; left open while it is shorter than that.
    fn check_header(&mut self) -> Result<(), LogError> {
        self.fill(0, FILE_HEADER.len())?;
        let found = &self.block.bytes[..self.block.bytes.len().min(FILE_HEADER.len())];
        if !FILE_HEADER.starts_with(found) {
            return Err(LogError::NotALog { path: self.path.clone() });
        }
        self.is_known = found.len() == FILE_HEADER.len();
        self.block.bytes.clear();
        Ok(())
    }

    /// Tries to read the record at the position.
    fn step(&mut self) -> Result<Step, LogError> {
        let start = self.position;
        let mut at = start;
        let mut record = Vec::new();
        let mut is_begun = false;
        loop {
            let head = head_at(at);
            let (part, payload, next) = match self.chunk(head)? {
                Chunk::Whole(part, payload, next) => (part, payload, next),
                Chunk::Bad => return Ok(self.damage(start, next_block(head))),
                Chunk::Cut => {
                    // What is there may be written anew: it is read again next time.
                    self.block.bytes.clear();
                    return Ok(Step::Found(Found::End));
                }
            };
            match (is_begun, part.is_start()) {
                // A record begins before the last one has ended.
                (true, true) => return Ok(self.damage(start, head)),
                // The rest of a record whose beginning is lost.
                (false, false) => return Ok(self.damage(start, next)),
                (true, false) | (false, true) => {}
            }
            if record.len() + payload.len() > MAX_RECORD_BYTES {
                return Ok(self.damage(start, next));
            }
            record.extend_from_slice(&self.block.bytes[payload]);
            if part.is_end() {
                return Ok(self.decode(&record, start, next));
            }
            is_begun = true;
            at = next;
        }
    }

    fn decode(&mut self, record: &[u8], start: Position, next: Position) -> Step {
        match Record::decode(record) {
            Ok(record) => {
                self.position = next;
                self.is_behind_damage = false;
                Step::Found(Found::Record(Box::new(record), next))
            }
            Err(_) => self.damage(start, next),
        }
    }

    fn damage(&mut self, from: Position, to: Position) -> Step {
        self.position = to;
        if self.is_behind_damage {
            return Step::Passed;
        }
        self.is_behind_damage = true;
        Step::Found(Found::Damage { from, to })
    }

    /// Looks at the chunk whose head is at a position.
    fn chunk(&mut self, head: Position) -> Result<Chunk, LogError> {
        let block = head - head % BLOCK_BYTES;
        let begin = (head - block) as usize;
        self.fill(block, begin + HEAD_BYTES)?;
        let Some(bytes) = self.block.bytes.get(begin..).and_then(<[u8]>::first_chunk) else {
            return Ok(Chunk::Cut);
        };
        let Some(found) = Head::parse(*bytes, left_in_block(head)) else { return Ok(Chunk::Bad) };
        let payload = begin + HEAD_BYTES..begin + HEAD_BYTES + found.payload_bytes;
        self.fill(block, payload.end)?;
        let next = block + payload.end as u64;
        match self.block.bytes.get(payload.clone()) {
            None => Ok(Chunk::Cut),
            Some(bytes) if found.fits(bytes) => Ok(Chunk::Whole(found.part, payload, next)),
            Some(_) => Ok(Chunk::Bad),
        }
    }

    /// Reads on in a block until so many bytes of it are at hand, or the file ends.
    fn fill(&mut self, block: Position, wanted: usize) -> Result<(), LogError> {
        if self.block.start != block {
            self.block.start = block;
            self.block.bytes.clear();
        }
        while self.block.bytes.len() < wanted {
            let had = self.block.bytes.len();
            let at = block + had as u64;
            self.block.bytes.resize(BLOCK_BYTES as usize, 0);
            let read = self.file.read_at(&mut self.block.bytes[had..], at);
            self.block.bytes.truncate(had + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(LogError::Read { path: self.path.clone(), at, source }),
            }
        }
        Ok(())
    }
}
