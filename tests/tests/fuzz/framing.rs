//! Lengths and checksums around contents, so that a changed content is read and not refused for its checksum.
//!
//! An input of several records is a row of lengths (16 bits, little-endian) and contents; a length that is too long takes
//! what there is.

/// The records of an input.
fn records(mut input: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while let Some((length, rest)) = input.split_first_chunk::<2>() {
        let (record, rest) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(*length))));
        records.push(record);
        input = rest;
    }
    records
}

/// An input of these records.
pub fn joined<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut input = Vec::new();
    for record in records {
        input.extend(u16::try_from(record.len()).unwrap().to_le_bytes());
        input.extend(record);
    }
    input
}

/// As `engine_devices::frame` writes them.
pub fn frames(input: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    for payload in records(input) {
        stream.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
        stream.extend(crc32fast::hash(payload).to_le_bytes());
        stream.extend(payload);
    }
    stream
}

/// Bytes of a frame before its payload.
pub const FRAME_HEAD: usize = 8;

/// First bytes of a W&B journal.
const WANDB_HEAD: [u8; 7] = [0x3A, 0x57, 0x26, 0x42, 0xE1, 0xBE, 0x00];
const WANDB_BLOCK: usize = 32 * 1024;
const WANDB_CHUNK_HEAD: usize = 7;

/// A journal in W&B's offline format: LevelDB's log with checksums of its own.
pub fn wandb_log(input: &[u8]) -> Vec<u8> {
    let mut log = WANDB_HEAD.to_vec();
    for record in records(input) {
        let mut rest = record;
        let mut is_first = true;
        loop {
            let left = WANDB_BLOCK - log.len() % WANDB_BLOCK;
            if left < WANDB_CHUNK_HEAD {
                log.resize(log.len() + left, 0);
                continue;
            }
            let (payload, behind) = rest.split_at(rest.len().min(left - WANDB_CHUNK_HEAD));
            let kind: u8 = match (is_first, behind.is_empty()) {
                (true, true) => 1,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            let mut checksum = crc32fast::Hasher::new();
            checksum.update(&[kind]);
            checksum.update(payload);
            log.extend(checksum.finalize().to_le_bytes());
            log.extend(u16::try_from(payload.len()).unwrap().to_le_bytes());
            log.push(kind);
            log.extend(payload);
            if behind.is_empty() {
                break;
            }
            (rest, is_first) = (behind, false);
        }
    }
    log
}

/// The records of a W&B journal that hold no more than a chunk each.
pub fn wandb_records(log: &[u8]) -> Vec<u8> {
    let mut contents = Vec::new();
    let mut at = WANDB_HEAD.len();
    while let Some(head) = log.get(at..at + WANDB_CHUNK_HEAD) {
        let length = usize::from(u16::from_le_bytes([head[4], head[5]]));
        contents.push(&log[at + WANDB_CHUNK_HEAD..at + WANDB_CHUNK_HEAD + length]);
        at += WANDB_CHUNK_HEAD + length;
    }
    joined(contents)
}

/// As `engine_tracking::journal` writes it. The first byte of a record says how far behind its place the disk was.
pub fn job_journal(input: &[u8]) -> Vec<u8> {
    let mut journal = b"\x89engjrn\n\x01\0\0\0".to_vec();
    journal.extend(crc32c::crc32c(&journal).to_le_bytes());
    for record in records(input) {
        let (begin, at) = (journal.len(), journal.len() as u64);
        let behind = record.first().map_or(0, |first| u64::from(*first));
        journal.extend(b"\xc3jr\x01");
        journal.extend(u32::try_from(record.len()).unwrap().to_le_bytes());
        journal.extend(at.saturating_sub(behind).to_le_bytes());
        journal.extend(crc32c::crc32c(record).to_le_bytes());
        let check = crc32c::crc32c_append(crc32c::crc32c(&journal[begin..]), &at.to_le_bytes());
        journal.extend(check.to_le_bytes());
        journal.extend(record);
    }
    journal
}
