//! What of safetensors bytes are weights, and what else loaders ask for.

use safetensors::tensor::{Dtype, SafeTensors};

use super::error::ModelError;
use super::state_dict::{BATCHES_TRACKED, NamedTensor};

/// The batch counters that Python's strict loading asks for beside these tensors: one for each normalisation.
pub(crate) fn batch_counters(tensors: &[NamedTensor], batches: u64) -> Vec<(String, u64)> {
    let layers = tensors.iter().filter_map(|tensor| tensor.name.strip_suffix("running_var"));
    layers.map(|layer| (format!("{layer}{BATCHES_TRACKED}"), batches)).collect()
}

/// Every float tensor of safetensors bytes; batch counters are left out.
///
/// # Errors
/// [`ModelError`] if the bytes are damaged or a tensor is no 32-bit float.
pub fn read_safetensors(bytes: &[u8]) -> Result<Vec<NamedTensor>, ModelError> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| ModelError::WeightsFile(error.to_string()))?;
    let mut tensors = Vec::with_capacity(file.len());
    for (name, view) in file.iter().filter(|(name, _)| !name.ends_with(BATCHES_TRACKED)) {
        if view.dtype() != Dtype::F32 {
            return Err(ModelError::TensorType {
                name: name.to_owned(),
                dtype: format!("{:?}", view.dtype()),
            });
        }
        let (values, _) = view.data().as_chunks::<4>();
        let values = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        tensors.push(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), values });
    }
    Ok(tensors)
}
