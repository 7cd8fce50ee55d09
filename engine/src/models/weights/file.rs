//! A file of weights, looked at.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::{WeightsError, WeightsFault};
use super::layout::{Layout, LeftOut, read_at};
use super::matching::{Fit, Part, fit};
use super::{pytorch, safetensors};
use crate::models::encoder_weights::adapt_inputs;
use crate::models::state_dict::{NamedTensor, ParameterInfo};
use crate::models::{ModelError, SegmentationModel};

/// Files that the folder of a model has, the first that is there: a checkpoint's, an export's.
const OF_FOLDERS: [&str; 2] = ["weights.safetensors", "model.safetensors"];
/// Bytes by which a format is told.
const BEGINNING_BYTES: u64 = 16;

/// A file of weights whose tensors are known, but not read.
#[derive(Debug)]
pub struct WeightsFile {
    path: PathBuf,
    file: File,
    length: u64,
    layout: Layout,
}

impl WeightsFile {
    /// Opens a file, or that of a folder, and looks at the names and shapes of its tensors.
    ///
    /// # Errors
    /// [`WeightsError`] if it can not be read, is damaged, or holds no tensors by name.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let path = Self::in_folder(path);
        let open = || -> Result<(File, u64, Layout), WeightsFault> {
            let mut file = File::open(&path)?;
            let about = file.metadata()?;
            if !about.is_file() {
                return Err(WeightsFault::Kind);
            }
            let layout = Self::look(&mut file, about.len(), &path)?.checked(about.len())?;
            Ok((file, about.len(), layout))
        };
        match open() {
            Ok((file, length, layout)) => Ok(Self { path, file, length, layout }),
            Err(fault) => Err(fault.at(&path)),
        }
    }

    /// The file of weights that a folder has; what is no such folder is the file itself.
    fn in_folder(path: &Path) -> PathBuf {
        let files = OF_FOLDERS.map(|name| path.join(name));
        files.into_iter().find(|file| file.is_file()).unwrap_or_else(|| path.to_owned())
    }

    fn look(file: &mut File, length: u64, path: &Path) -> Result<Layout, WeightsFault> {
        let beginning = read_at(file, 0, length.min(BEGINNING_BYTES), length)?;
        let is_safetensors = path.extension().is_some_and(|extension| extension == "safetensors");
        // The length of the description, then its bracket.
        if is_safetensors || beginning.get(8) == Some(&b'{') {
            safetensors::layout(file, length)
        } else if beginning.starts_with(pytorch::MAGIC) {
            pytorch::layout(file, length)
        } else if pytorch::is_legacy(&beginning) {
            pytorch::legacy_layout(file, length)
        } else {
            Err(WeightsFault::Kind)
        }
    }

    /// The file: that within the folder, where a folder was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names and shapes of its tensors of floats.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.layout.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()))
    }

    /// What it holds beside tensors of floats. Batch counters are not told of.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.layout.left_out
    }

    /// Reads every tensor of floats.
    ///
    /// # Errors
    /// [`WeightsError`] if the file is damaged or a value is not finite.
    pub fn read(&mut self) -> Result<Vec<NamedTensor>, WeightsError> {
        let all = self.layout.tensors.iter().map(|tensor| tensor.name.clone()).enumerate().collect();
        self.read_as(all)
    }

    /// Reads tensors by their numbers, under the names given.
    fn read_as(&mut self, wanted: Vec<(usize, String)>) -> Result<Vec<NamedTensor>, WeightsError> {
        let numbers: Vec<usize> = wanted.iter().map(|(number, _)| *number).collect();
        let mut values = vec![Vec::new(); self.layout.tensors.len()];
        self.layout
            .read(&mut self.file, self.length, &numbers, |number, read| values[number] = read)
            .map_err(|fault| fault.at(&self.path))?;
        let tensors = wanted.into_iter().map(|(number, name)| NamedTensor {
            name,
            shape: self.layout.tensors[number].shape.clone(),
            values: std::mem::take(&mut values[number]),
        });
        Ok(tensors.collect())
    }

    /// Length and checksum of the file, to tell whether it is the one it was.
    ///
    /// # Errors
    /// [`WeightsError`] if it can not be read.
    pub fn checksum(&self) -> Result<(u64, u32), WeightsError> {
        let mut part = vec![0; 1 << 20];
        let mut checksum = 0;
        let mut sum = || -> Result<(u64, u32), WeightsFault> {
            let mut file = File::open(&self.path)?;
            loop {
                match file.read(&mut part)? {
                    0 => return Ok((self.length, checksum)),
                    read => checksum = crc32c::crc32c_append(checksum, &part[..read]),
                }
            }
        };
        sum().map_err(|fault| fault.at(&self.path))
    }

    fn fit(&self, part: Part, model: &[ParameterInfo]) -> Result<Fit, WeightsError> {
        let tensors: Vec<_> = self.tensors().collect();
        let mut fit =
            fit(part, model, &tensors).map_err(|error| WeightsFault::Model(error).at(&self.path))?;
        fit.left_out.extend(self.layout.left_out.iter().cloned());
        Ok(fit)
    }
}

impl SegmentationModel {
    /// Whether a part of the model would take a file's weights, by names and shapes alone; and what of the file it would not.
    ///
    /// # Errors
    /// [`WeightsFault::Model`] names all that is missing, unexpected or of another shape.
    pub fn check_weights(&self, part: Part, file: &WeightsFile) -> Result<Vec<LeftOut>, WeightsError> {
        Ok(file.fit(part, &part.of(self.parameter_infos()))?.left_out)
    }

    /// The model with a part of its weights taken from a file, and what of the file was not taken.
    ///
    /// Names may have something before them, the same for all: `model.`, `module.`. For the encoder, the file may be that of a
    /// published encoder, whose classifier is left out, or of a whole model. Where the first convolution of the encoder
    /// has another number of input channels, smp's rule adapts it: for one channel its sum over the inputs, else its inputs repeated
    /// in turn and scaled by theirs / ours.
    ///
    /// # Errors
    /// As [`SegmentationModel::check_weights`] and [`WeightsFile::read`].
    pub fn load_weights(
        self,
        part: Part,
        file: &mut WeightsFile,
    ) -> Result<(Self, Vec<LeftOut>), WeightsError> {
        let expected = part.of(self.parameter_infos());
        let Fit { used, left_out, adapted } = file.fit(part, &expected)?;
        let mut tensors = file.read_as(used)?;
        if let Some(info) = adapted
            && let Some(kernel) = tensors.iter_mut().find(|tensor| tensor.name == info.name)
        {
            adapt_inputs(kernel, info.shape[1]);
        }
        let loaded = self.load_tensors(&expected, tensors);
        let model = loaded.map_err(|error: ModelError| WeightsFault::Model(error).at(&file.path))?;
        Ok((model, left_out))
    }
}

#[cfg(test)]
mod tests;
