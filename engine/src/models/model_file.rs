//! A model's weights as safetensors bytes, which smp's `load_state_dict` takes and which cannot execute code.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::tensor::{Dtype, View, serialize};

use super::error::ModelError;
use super::{SegmentationModel, batch_counters, read_safetensors};

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
