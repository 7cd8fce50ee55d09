//! One message on a pipe: length (u32, little-endian), CRC-32 of the payload (u32, little-endian), payload.
//!
//! The payload is MessagePack with field names, so that floats that are not finite survive and a reader of another
//! build fails on what it does not know instead of misreading it.

use std::io::{self, ErrorKind, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Bytes of payload at the most; a longer length is damage, not a message.
pub const MAX_PAYLOAD_BYTES: usize = 16 * 1024 * 1024;

const HEADER_BYTES: usize = 8;

/// Why a frame was not written or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The pipe failed.
    #[error("the pipe failed")]
    Io(#[from] io::Error),
    /// The message has no MessagePack form.
    #[error("the message can not be encoded")]
    Encode(#[from] rmp_serde::encode::Error),
    /// The payload is whole and no such message.
    #[error("the frame holds no such message: both ends must be of one build")]
    Decode(#[from] rmp_serde::decode::Error),
    /// The payload is longer than a frame may be.
    #[error("a frame of {bytes} bytes is over the limit of {MAX_PAYLOAD_BYTES}: send less at once")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame, {missing} bytes short: the writer died while writing")]
    Torn {
        /// Bytes that did not come.
        missing: usize,
    },
    /// The payload is not what was written.
    #[error("a frame's checksum is {found:08x} and not {expected:08x}: something else wrote to the pipe")]
    Corrupt {
        /// As the header says.
        expected: u32,
        /// As the payload is.
        found: u32,
    },
}

/// Writes one message and flushes.
///
/// # Errors
/// [`FrameError::Encode`] and [`FrameError::TooLarge`] before anything was written; [`FrameError::Io`] after which the
/// stream must not be used.
pub fn write<T: Serialize + ?Sized>(writer: &mut impl Write, message: &T) -> Result<(), FrameError> {
    let payload = rmp_serde::to_vec_named(message)?;
    let length = match u32::try_from(payload.len()) {
        Ok(length) if payload.len() <= MAX_PAYLOAD_BYTES => length,
        _ => return Err(FrameError::TooLarge { bytes: payload.len() }),
    };
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    frame.extend_from_slice(&payload);
    writer.write_all(&frame)?;
    writer.flush()?;
    Ok(())
}

/// Reads one message; `None` at an end between frames.
///
/// # Errors
/// [`FrameError`] for anything else; the stream's place is then unknown and it must not be read on.
pub fn read<T: DeserializeOwned>(reader: &mut impl Read) -> Result<Option<T>, FrameError> {
    let mut header = [0; HEADER_BYTES];
    match fill(reader, &mut header)? {
        0 => return Ok(None),
        HEADER_BYTES => {}
        got => return Err(FrameError::Torn { missing: HEADER_BYTES - got }),
    }
    let [l0, l1, l2, l3, c0, c1, c2, c3] = header;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    if length > MAX_PAYLOAD_BYTES {
        return Err(FrameError::TooLarge { bytes: length });
    }
    let mut payload = vec![0; length];
    let got = fill(reader, &mut payload)?;
    if got < length {
        return Err(FrameError::Torn { missing: length - got });
    }
    let expected = u32::from_le_bytes([c0, c1, c2, c3]);
    let found = crc32fast::hash(&payload);
    if expected != found {
        return Err(FrameError::Corrupt { expected, found });
    }
    Ok(Some(rmp_serde::from_slice(&payload)?))
}

/// Reads until the buffer is full or the stream ends, and says how much came.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Said {
        Beat,
        Text(String),
        Values { values: BTreeMap<String, Option<f64>>, bytes: Vec<u8> },
    }

    fn framed(message: &Said) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, message).unwrap();
        bytes
    }

    fn said() -> impl Strategy<Value = Said> {
        prop_oneof![
            Just(Said::Beat),
            ".{0,40}".prop_map(Said::Text),
            (
                proptest::collection::btree_map("[a-z/]{1,8}", proptest::option::of(-1e9..1e9f64), 0..6),
                proptest::collection::vec(any::<u8>(), 0..64)
            )
                .prop_map(|(values, bytes)| Said::Values { values, bytes }),
        ]
    }

    #[test]
    fn floats_that_are_not_finite_survive() {
        let mut bytes = Vec::new();
        write(&mut bytes, &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0]).unwrap();
        let back: [f64; 4] = read(&mut bytes.as_slice()).unwrap().unwrap();
        assert!(back[0].is_nan() && back[1] == f64::INFINITY && back[2] == f64::NEG_INFINITY);
        assert!(back[3] == 0.0 && back[3].is_sign_negative());
    }

    #[test]
    fn an_oversize_message_is_refused_before_a_byte_is_written() {
        let mut bytes = Vec::new();
        let error = write(&mut bytes, &"x".repeat(MAX_PAYLOAD_BYTES + 1)).unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { .. }));
        assert!(bytes.is_empty());
    }

    #[test]
    fn an_oversize_length_is_refused_without_reading_on() {
        let mut stream = u32::MAX.to_le_bytes().to_vec();
        stream.extend([0; 4]);
        let error = read::<Said>(&mut stream.as_slice()).unwrap_err();
        assert!(matches!(error, FrameError::TooLarge { bytes } if bytes == u32::MAX as usize));
    }

    #[test]
    fn another_type_is_a_decoding_error() {
        let bytes = framed(&Said::Text("word".into()));
        assert!(matches!(read::<Vec<u32>>(&mut bytes.as_slice()), Err(FrameError::Decode(_))));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_in_order(messages in proptest::collection::vec(said(), 0..8)) {
            let stream: Vec<u8> = messages.iter().flat_map(framed).collect();
            let mut rest = stream.as_slice();
            for message in &messages {
                prop_assert_eq!(read::<Said>(&mut rest).unwrap(), Some(message.clone()));
            }
            prop_assert_eq!(read::<Said>(&mut rest).unwrap(), None);
        }

        #[test]
        fn every_cut_but_the_clean_one_is_torn(message in said(), cut in any::<prop::sample::Index>()) {
            let bytes = framed(&message);
            let cut = 1 + cut.index(bytes.len() - 1);
            let error = read::<Said>(&mut &bytes[..cut]).unwrap_err();
            let short = if cut < HEADER_BYTES { HEADER_BYTES } else { bytes.len() } - cut;
            prop_assert!(matches!(error, FrameError::Torn { missing } if missing == short), "{:?}", error);
        }

        #[test]
        fn any_flipped_bit_is_noticed(message in said(), bit in any::<prop::sample::Index>()) {
            let mut bytes = framed(&message);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(read::<Said>(&mut bytes.as_slice()).is_err());
        }
    }
}
