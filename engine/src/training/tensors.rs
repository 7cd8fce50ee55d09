//! Named tensors as safetensors bytes: numbers and names, nothing that can run.

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use crate::models::NamedTensor;

/// Why a tensor file could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorFileError {
    /// The bytes are no safetensors file, or a shape does not fit its values.
    #[error("not a whole safetensors file: {0}")]
    Format(#[from] SafeTensorError),
    /// A tensor has another type than expected.
    #[error("tensor `{name}` is {found:?}, expected 32-bit floats")]
    Type {
        /// The tensor.
        name: String,
        /// Its type in the file.
        found: Dtype,
    },
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
        .collect::<Result<Vec<_>, SafeTensorError>>()?;
    // Loaders of the Python world ask for this entry.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(safetensors::serialize(views, Some(format))?)
}

/// Reads every tensor of a file, sorted by name.
///
/// # Errors
/// [`TensorFileError`] if the bytes are cut or damaged, or a tensor is not of 32-bit floats.
pub fn decode_tensors(bytes: &[u8]) -> Result<Vec<NamedTensor>, TensorFileError> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut tensors = file
        .iter()
        .map(|(name, view)| {
            if view.dtype() != Dtype::F32 {
                return Err(TensorFileError::Type { name: name.to_owned(), found: view.dtype() });
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
    fn a_file_cut_anywhere_is_refused() {
        let whole = encode_tensors(&tensors()).unwrap();
        for length in 0..whole.len() {
            assert!(decode_tensors(&whole[..length]).is_err(), "{length} of {} bytes were read", whole.len());
        }
    }
}
