//! A run as it was at one step, on its way to the disk.

use std::path::Path;

use super::error::CheckpointError;
use super::folder::{Fill, write_file};
use super::state::{OPTIMIZER, STATE, State, WEIGHTS, damaged};
use crate::models::NamedTensor;
use crate::training::TensorFile;

/// All that a checkpoint holds, copied to the host: what is trained meanwhile changes nothing of it.
///
/// It is let go of piece by piece as it is written.
#[derive(Debug)]
pub struct Snapshot {
    /// Parameters and buffers.
    pub weights: Vec<NamedTensor>,
    /// Whole numbers that loaders ask for beside the weights.
    pub counters: Vec<(String, u64)>,
    /// What the optimizer keeps of each parameter.
    pub optimizer: Vec<NamedTensor>,
    /// Everything else.
    pub state: State,
}

impl Fill for Snapshot {
    fn fill(self, folder: &Path) -> Result<(), CheckpointError> {
        let Self { weights, counters, optimizer, state } = self;
        let lay_out = |file, tensors, counters| {
            TensorFile::lay_out(tensors, counters).map_err(|error| damaged(folder, file, &error))
        };
        let weights = lay_out(WEIGHTS, weights, counters)?;
        write_file(&folder.join(WEIGHTS), |file| weights.write(file))?;
        let optimizer = lay_out(OPTIMIZER, optimizer, Vec::new())?;
        write_file(&folder.join(OPTIMIZER), |file| optimizer.write(file))?;
        let state = state.to_json(folder)?;
        write_file(&folder.join(STATE), |file| std::io::Write::write_all(file, &state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{BackendName, ComputeDevice};
    use crate::models::{SegmentationModel, batch_counters};

    #[test]
    fn the_file_of_a_models_weights_is_the_one_it_makes_itself() {
        let backend = BackendName::best(ComputeDevice::Cpu).unwrap();
        let device = backend.device(ComputeDevice::Cpu).unwrap();
        let model = SegmentationModel::build("unet", "resnet18", 2, 1, &device).unwrap();
        let weights = model.state_dict().unwrap();
        let counters = batch_counters(&weights, 12);
        assert!(counters.len() > 10);
        let mut written = Vec::new();
        TensorFile::lay_out(weights, counters).unwrap().write(&mut written).unwrap();
        assert!(written == model.to_safetensors(12).unwrap());
    }
}
