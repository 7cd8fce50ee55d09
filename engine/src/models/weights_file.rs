//! Weights as safetensors bytes, which smp's `load_state_dict` takes and which cannot execute code.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, View, serialize};

use super::SegmentationModel;
use super::error::ModelError;
use super::state_dict::{BATCHES_TRACKED, NamedTensor};

impl SegmentationModel {
    /// The state dict as safetensors bytes, `num_batches_tracked` included as Python's strict loading asks.
    ///
    /// `batches_tracked` is how many batches trained the normalisations: the optimizer steps so far.
    ///
    /// # Errors
    /// [`ModelError`] if a tensor cannot be read or the file not be laid out.
    pub fn to_safetensors(&self, batches_tracked: u64) -> Result<Vec<u8>, ModelError> {
        let tensors = self.state_dict()?;
        let counters = batch_counters(&tensors, batches_tracked).into_iter();
        let mut entries: Vec<_> = counters.map(|(name, count)| (name, Entry::count(count))).collect();
        for tensor in tensors {
            let bytes = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            entries.push((tensor.name, Entry { dtype: Dtype::F32, shape: tensor.shape, bytes }));
        }
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        serialize(entries, Some(format)).map_err(|error| ModelError::WeightsFile(error.to_string()))
    }

    /// The model with the weights of safetensors bytes; see [`SegmentationModel::load_state_dict`].
    ///
    /// # Errors
    /// [`ModelError`] if the bytes are damaged or the tensors are not the model's.
    pub fn load_safetensors(self, bytes: &[u8]) -> Result<Self, ModelError> {
        self.load_state_dict(read_safetensors(bytes)?)
    }
}

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

/// One tensor on its way into a file.
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Entry {
    fn count(value: u64) -> Self {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        Self { dtype: Dtype::I64, shape: Vec::new(), bytes: value.to_le_bytes().to_vec() }
    }
}

impl View for Entry {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
