//! Named tensors as safetensors bytes: numbers and names, nothing that can run.

use std::collections::HashMap;
use std::io::{self, Write};

use safetensors::tensor::{Metadata, TensorInfo, TensorView};
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use crate::models::NamedTensor;

/// Bytes that are laid out before they are handed to the system.
const PART_BYTES: usize = 1 << 20;
/// What a header is filled up to a multiple of.
const HEADER_ALIGNMENT: usize = 8;

/// Why a tensor file could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorFileError {
    /// The bytes are no safetensors file, or a shape does not fit its values.
    #[error("not a whole safetensors file: {0}")]
    Format(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A tensor has another type than expected.
    #[error("tensor `{name}` is {found}, expected 32-bit floats")]
    Type {
        /// The tensor.
        name: String,
        /// Its type in the file.
        found: String,
    },
}

fn not_whole(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TensorFileError {
    TensorFileError::Format(error.into())
}

/// Lays tensors out as safetensors bytes.
///
/// # Errors
/// [`TensorFileError::Format`] if a shape does not fit its values.
pub fn encode_tensors(tensors: &[NamedTensor]) -> Result<Vec<u8>, TensorFileError> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|tensor| tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|(tensor, data)| Ok((&tensor.name, TensorView::new(Dtype::F32, tensor.shape.clone(), data)?)))
        .collect::<Result<Vec<_>, SafeTensorError>>()
        .map_err(not_whole)?;
    safetensors::serialize(views, Some(written_by())).map_err(not_whole)
}

/// Tensors laid out as a safetensors file that is still to be written.
#[derive(Debug)]
pub struct TensorFile {
    header: Vec<u8>,
    /// In the order of the file, before the tensors.
    counters: Vec<u64>,
    /// In the order of the file.
    tensors: Vec<NamedTensor>,
}

impl TensorFile {
    /// Lays out tensors, and single whole numbers by their names.
    ///
    /// # Errors
    /// [`TensorFileError::Format`] if a shape does not fit its values.
    pub fn lay_out(
        mut tensors: Vec<NamedTensor>,
        mut counters: Vec<(String, u64)>,
    ) -> Result<Self, TensorFileError> {
        // The order of the safetensors library: the wider type first, then by name.
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        counters.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut end = 0;
        let mut place = |bytes: usize| {
            let begin = end;
            end += bytes;
            (begin, end)
        };
        let counted = counters.iter().map(|(name, counter)| {
            let data_offsets = place(size_of_val(counter));
            (name.clone(), TensorInfo { dtype: Dtype::I64, shape: Vec::new(), data_offsets })
        });
        let mut infos: Vec<_> = counted.collect();
        infos.extend(tensors.iter().map(|tensor| {
            let data_offsets = place(size_of_val(tensor.values.as_slice()));
            (tensor.name.clone(), TensorInfo { dtype: Dtype::F32, shape: tensor.shape.clone(), data_offsets })
        }));
        let metadata = Metadata::new(Some(written_by()), infos).map_err(not_whole)?;
        let mut json = serde_json::to_vec(&metadata).map_err(not_whole)?;
        json.resize(json.len().next_multiple_of(HEADER_ALIGNMENT), b' ');
        let mut header = (json.len() as u64).to_le_bytes().to_vec();
        header.append(&mut json);
        Ok(Self { header, counters: counters.into_iter().map(|(_, counter)| counter).collect(), tensors })
    }

    /// Writes the file. Each tensor is let go of once it is written: the whole is never held twice.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.header)?;
        let counters: Vec<u8> = self.counters.into_iter().flat_map(u64::to_le_bytes).collect();
        to.write_all(&counters)?;
        let mut part = vec![[0; size_of::<f32>()]; PART_BYTES / size_of::<f32>()];
        for NamedTensor { values, .. } in self.tensors {
            for values in values.chunks(part.len()) {
                part.iter_mut().zip(values).for_each(|(bytes, value)| *bytes = value.to_le_bytes());
                to.write_all(part[..values.len()].as_flattened())?;
            }
        }
        Ok(())
    }
}

/// Loaders of the Python world ask for this entry.
fn written_by() -> HashMap<String, String> {
    HashMap::from([("format".to_owned(), "pt".to_owned())])
}

/// Reads every tensor of a file, sorted by name.
///
/// # Errors
/// [`TensorFileError`] if the bytes are cut or damaged, or a tensor is not of 32-bit floats.
pub fn decode_tensors(bytes: &[u8]) -> Result<Vec<NamedTensor>, TensorFileError> {
    let file = SafeTensors::deserialize(bytes).map_err(not_whole)?;
    let mut tensors = file
        .iter()
        .map(|(name, view)| {
            if view.dtype() != Dtype::F32 {
                return Err(TensorFileError::Type {
                    name: name.to_owned(),
                    found: format!("{:?}", view.dtype()),
                });
            }
            let (quads, _) = view.data().as_chunks::<4>();
            let values = quads.iter().map(|quad| f32::from_le_bytes(*quad)).collect();
            Ok(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), values })
        })
        .collect::<Result<Vec<_>, _>>()?;
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors() -> Vec<NamedTensor> {
        vec![
            NamedTensor { name: "a".into(), shape: vec![2, 2], values: vec![1.0, -0.0, f32::NAN, 1e-40] },
            NamedTensor { name: "b".into(), shape: vec![], values: vec![3.5] },
        ]
    }

    #[test]
    fn every_bit_survives_the_file() {
        let read = decode_tensors(&encode_tensors(&tensors()).unwrap()).unwrap();
        for (ours, theirs) in tensors().iter().zip(&read) {
            assert_eq!((&ours.name, &ours.shape), (&theirs.name, &theirs.shape));
            let bits = |tensor: &NamedTensor| tensor.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(ours), bits(theirs));
        }
    }

    #[test]
    fn a_file_written_piece_by_piece_is_the_one_the_library_makes() {
        // More than one part, and not a whole number of them.
        let values: Vec<f32> = (0..PART_BYTES / 4 + 3).map(|value| value as f32).collect();
        let mut tensors = tensors();
        tensors.insert(0, NamedTensor { name: "z".into(), shape: vec![values.len()], values });
        let mut written = Vec::new();
        TensorFile::lay_out(tensors.clone(), Vec::new()).unwrap().write(&mut written).unwrap();
        assert!(written == encode_tensors(&tensors).unwrap());
    }

    #[test]
    fn a_shape_that_does_not_fit_its_values_is_refused_before_anything_is_written() {
        let mut tensors = tensors();
        tensors[0].shape = vec![2, 3];
        TensorFile::lay_out(tensors, Vec::new()).unwrap_err();
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let whole = encode_tensors(&tensors()).unwrap();
        for length in 0..whole.len() {
            assert!(decode_tensors(&whole[..length]).is_err(), "{length} of {} bytes were read", whole.len());
        }
    }
}
