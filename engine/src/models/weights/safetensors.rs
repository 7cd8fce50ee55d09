//! Files of the safetensors library: a description in JSON, then the tensors.

use std::io::{Read, Seek};

use safetensors::tensor::{Dtype, Metadata};

use super::element::Element;
use super::error::WeightsFault;
use super::layout::{LaidTensor, Layout, LeftOut, Stretch, read_at, row_major};
use crate::models::state_dict::BATCHES_TRACKED;

/// Bytes of the length that a file begins with.
const LENGTH_BYTES: u64 = 8;
/// Longest description that is read: a hundred thousand tensors.
const DESCRIPTION_BYTES: u64 = 16 << 20;

/// Where the tensors of a file lie.
pub(super) fn layout(file: &mut (impl Read + Seek), length: u64) -> Result<Layout, WeightsFault> {
    let described = read_at(file, 0, LENGTH_BYTES, length)?;
    let described = described.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if described > DESCRIPTION_BYTES {
        return Err(WeightsFault::damaged(format!("its description is said to be {described} bytes long")));
    }
    let description = read_at(file, LENGTH_BYTES, described, length)?;
    let metadata: Metadata = serde_json::from_slice(&description)
        .map_err(|error| WeightsFault::damaged(format!("its description can not be read: {error}")))?;
    let begin = LENGTH_BYTES + described;
    let said = begin.checked_add(metadata.data_len() as u64);
    if said != Some(length) {
        return Err(WeightsFault::damaged(format!("it has {length} bytes and describes another number")));
    }
    let mut layout = Layout::default();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let element = match info.dtype {
            Dtype::F32 => Element::F32,
            Dtype::F64 => Element::F64,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::BF16,
            _ if name.ends_with(BATCHES_TRACKED) => continue,
            other => {
                layout.left_out.push(LeftOut { name, reason: format!("{other:?}, no weights") });
                continue;
            }
        };
        let (from, to) = info.data_offsets;
        let shape = info.shape.clone();
        let strides = row_major(&shape)
            .ok_or_else(|| WeightsFault::tensor(&name, "has more elements than can be counted"))?;
        // Offsets rise, and the last is within the file.
        layout.stretches.push(Stretch {
            offset: begin + from as u64,
            bytes: (to - from) as u64,
            crc32: None,
        });
        let stretch = layout.stretches.len() - 1;
        let tensor = LaidTensor { name, shape, element, stretch, first: 0, strides };
        layout.tensors.push(tensor.within((to - from) as u64 / element.bytes() as u64)?);
    }
    Ok(layout)
}
