//! Pretrained weights of an encoder alone.

use super::SegmentationModel;
use super::error::ModelError;
use super::state_dict::{BATCHES_TRACKED, NamedTensor};

/// Prefix of an encoder's tensors in a whole model.
const PREFIX: &str = "encoder.";
/// Parts of published encoders that a segmentation model has no use for.
const CLASSIFIERS: [&str; 4] = ["fc.", "classifier.", "last_linear.", "head."];

impl SegmentationModel {
    /// The model with its encoder's weights replaced, and the names of the tensors it had no use for: the
    /// classifier of a published encoder, the rest of a whole model.
    ///
    /// Names may carry the prefix `encoder.` or not. Where the first convolution has another number of
    /// input channels, smp's rule adapts it: for one channel its sum over the inputs, else its inputs
    /// repeated in turn and scaled by theirs / ours.
    ///
    /// # Errors
    /// [`ModelError::StateDictMismatch`] names all that is missing, unexpected or of another shape.
    pub fn load_encoder_weights(self, tensors: Vec<NamedTensor>) -> Result<(Self, Vec<String>), ModelError> {
        let whole = tensors.iter().any(|tensor| tensor.name.starts_with(PREFIX));
        let (used, left_out): (Vec<_>, Vec<_>) = tensors
            .into_iter()
            .filter(|tensor| !tensor.name.ends_with(BATCHES_TRACKED))
            .partition(|tensor| match whole {
                true => tensor.name.starts_with(PREFIX),
                false => !CLASSIFIERS.iter().any(|part| tensor.name.starts_with(part)),
            });
        let mut used: Vec<NamedTensor> = used
            .into_iter()
            .map(|tensor| match whole {
                true => tensor,
                false => NamedTensor { name: format!("{PREFIX}{}", tensor.name), ..tensor },
            })
            .collect();
        let infos = self.parameter_infos();
        let of_encoder: Vec<_> = infos.into_iter().filter(|info| info.name.starts_with(PREFIX)).collect();
        if let Some(first) = of_encoder.iter().find(|info| info.shape.len() == 4)
            && let Some(tensor) = used.iter_mut().find(|tensor| tensor.name == first.name)
        {
            adapt_inputs(tensor, first.shape[1]);
        }
        let model = self.load_tensors(&of_encoder, used)?;
        Ok((model, left_out.into_iter().map(|tensor| tensor.name).collect()))
    }
}

/// Gives a kernel `[out, inputs, height, width]` another number of inputs by smp's rule.
///
/// # Sources
/// segmentation_models_pytorch 0.6, `encoders._utils.patch_first_conv`.
fn adapt_inputs(kernel: &mut NamedTensor, inputs: usize) {
    let [outputs, theirs, height, width] = kernel.shape[..] else { return };
    if theirs == inputs || theirs == 0 || inputs == 0 {
        return;
    }
    let area = height * width;
    let mut values = Vec::with_capacity(outputs * inputs * area);
    for filter in kernel.values.chunks_exact(theirs * area) {
        if inputs == 1 {
            values.extend((0..area).map(|at| filter.iter().skip(at).step_by(area).sum::<f32>()));
        } else {
            let scale = theirs as f32 / inputs as f32;
            let channel = |input: usize| &filter[(input % theirs) * area..][..area];
            values.extend((0..inputs).flat_map(channel).map(|value| value * scale));
        }
    }
    kernel.shape = vec![outputs, inputs, height, width];
    kernel.values = values;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{BackendName, ComputeDevice};

    fn kernel() -> NamedTensor {
        let values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        NamedTensor { name: "conv1.weight".into(), shape: vec![1, 3, 1, 2], values }
    }

    #[test]
    fn one_channel_takes_the_sum_over_the_inputs() {
        let mut kernel = kernel();
        adapt_inputs(&mut kernel, 1);
        assert_eq!((kernel.shape, kernel.values), (vec![1, 1, 1, 2], vec![9.0, 12.0]));
    }

    #[test]
    fn more_channels_repeat_the_inputs_scaled_down() {
        let mut kernel = kernel();
        adapt_inputs(&mut kernel, 4);
        let expected = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1.0, 2.0].map(|value: f32| value * 0.75);
        assert_eq!((kernel.shape, kernel.values), (vec![1, 4, 1, 2], expected.to_vec()));
    }

    #[test]
    fn an_encoder_of_three_channels_goes_into_a_model_of_four() {
        let device = BackendName::best(ComputeDevice::Cpu).unwrap().device(ComputeDevice::Cpu).unwrap();
        let published = SegmentationModel::build("unet", "resnet18", 3, 1, &device).unwrap();
        let mut weights: Vec<NamedTensor> = published.state_dict().unwrap();
        weights.retain_mut(|tensor| match tensor.name.strip_prefix(PREFIX).map(str::to_owned) {
            Some(name) => {
                tensor.name = name;
                true
            }
            None => false,
        });
        weights.push(NamedTensor { name: "fc.bias".into(), shape: vec![1], values: vec![0.0] });

        let model = SegmentationModel::build("unet", "resnet18", 4, 2, &device).unwrap();
        let (decoder_before, _) = split(model.state_dict().unwrap());
        let (model, left_out) = model.load_encoder_weights(weights.clone()).unwrap();
        assert_eq!(left_out, ["fc.bias"]);
        let (decoder, encoder) = split(model.state_dict().unwrap());
        assert!(decoder == decoder_before, "the decoder was touched");
        assert_eq!(encoder[0].shape, [64, 4, 7, 7]);
        assert!(encoder.iter().skip(1).zip(weights.iter().skip(1)).all(|(a, b)| a.values == b.values));

        weights.remove(5);
        let error = model.load_encoder_weights(weights).unwrap_err();
        assert!(error.to_string().contains("missing: encoder.layer1.0.conv1.weight"), "{error}");
    }

    fn split(tensors: Vec<NamedTensor>) -> (Vec<NamedTensor>, Vec<NamedTensor>) {
        tensors.into_iter().partition(|tensor| !tensor.name.starts_with(PREFIX))
    }
}
