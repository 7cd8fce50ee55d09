//! Weights of an encoder for another number of input channels.

use super::state_dict::NamedTensor;

/// Gives a kernel `[out, inputs, height, width]` another number of inputs by smp's rule.
///
/// # Sources
/// segmentation_models_pytorch 0.6, `encoders._utils.patch_first_conv`.
pub(super) fn adapt_inputs(kernel: &mut NamedTensor, inputs: usize) {
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
}
