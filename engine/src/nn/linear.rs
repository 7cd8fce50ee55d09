//! The linear layer.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::linear;

use super::init::{Initializer, WeightInit};
use super::precision::cast;

/// `torch.nn.Linear` with a bias, over the last dimension.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Linear {
    /// Draws the weight `[outputs, inputs]`; the bias starts at zero.
    pub fn new(inputs: usize, outputs: usize, weight: WeightInit, init: &mut Initializer) -> Self {
        Self { weight: init.weight([outputs, inputs], weight), bias: init.constant(outputs, 0.0) }
    }

    /// Computes in the type of `x`.
    ///
    /// # Shapes
    /// - `x`: `[…, inputs]`
    /// - returns `[…, outputs]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let mut shape = x.dims();
        let [outputs, inputs] = self.weight.dims();
        let rows = shape[..D - 1].iter().product();
        let weight = cast(self.weight.val(), x.dtype()).swap_dims(0, 1);
        let bias = cast(self.bias.val(), x.dtype());
        shape[D - 1] = outputs;
        // One product over all rows, whatever the dimensions before.
        linear(x.reshape([rows, inputs]), weight, Some(bias)).reshape(shape)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::backend::{BackendName, ComputeDevice};

    #[test]
    fn each_output_is_a_row_of_the_weight_times_the_last_dimension() {
        for device in BackendName::ALL.into_iter().filter_map(|name| name.device(ComputeDevice::Cpu).ok()) {
            let mut layer = Linear::new(2, 3, WeightInit::XavierUniform, &mut Initializer::new(0, &device));
            let filled = |values: Vec<f32>, shape: Vec<usize>| TensorData::new(values, shape);
            layer.weight = layer
                .weight
                .map(|_| Tensor::from_data(filled(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], vec![3, 2]), &device));
            layer.bias =
                layer.bias.map(|_| Tensor::from_data(filled(vec![0.5, 0.0, -1.0], vec![3]), &device));
            let x = Tensor::<3>::from_data(filled(vec![1.0, 0.0, 0.0, 1.0], vec![2, 1, 2]), &device);
            let y = layer.forward(x);
            assert_eq!(y.dims(), [2, 1, 3]);
            assert_eq!(y.into_data().try_into_vec::<f32>().unwrap(), [1.5, 3.0, 4.0, 2.5, 4.0, 5.0]);
        }
    }
}
