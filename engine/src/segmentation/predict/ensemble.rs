//! The models that predict together, and the symmetries each of them looks at.

use burn::module::Module;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;

use super::super::error::RunError;
use super::super::evaluate::pixel_logits;
use super::super::trained::Trained;
use super::error::PredictError;
use crate::learn::LearnError;
use crate::metrics::MetricsError;
use crate::models::SegmentationModel;
use crate::nn::Precision;
use crate::training::checkpoint::Checkpoint;

/// What of a run's settings says how its network computes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Computing {
    precision: Precision,
}

/// One transposition or none, one flip of rows or none, one of columns or none.
#[derive(Debug, Clone, Copy)]
struct Turn {
    transpose: bool,
    rows: bool,
    columns: bool,
}

/// Models whose probabilities are averaged.
pub(super) struct Ensemble {
    models: Vec<(SegmentationModel, Precision)>,
    turns: Vec<Turn>,
    device: Device,
    /// Bands they take, in order.
    pub(super) bands: Vec<String>,
}

/// Whether a network also looks at an image turned and mirrored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flips {
    /// Only as it is.
    #[default]
    Off,
    /// In the eight symmetries of the square; the mean is taken.
    D4,
}

impl Ensemble {
    /// Reads the checkpoints, one after another.
    pub(super) fn read(trained: &Trained, flips: Flips, device: &Device) -> Result<Self, PredictError> {
        let mut models = Vec::with_capacity(trained.checkpoints.len());
        let mut bands: Option<Vec<String>> = None;
        for path in &trained.checkpoints {
            let Checkpoint { weights, state, .. } = Checkpoint::read(path)?;
            let shape = state.model_shape(path)?;
            let first = bands.get_or_insert_with(|| shape.bands.clone());
            if *first != shape.bands {
                let (first, second) = (first.join(", "), shape.bands.join(", "));
                return Err(PredictError::Differ { first, second, path: path.clone() });
            }
            // A plan of before precision was a setting has none: then it was the default.
            let computing: Computing =
                serde_json::from_value(state.settings.clone()).map_err(RunError::Settings)?;
            let device = device.clone().autodiff();
            let model = SegmentationModel::build(
                &shape.arch,
                &shape.encoder,
                shape.in_channels,
                state.run.seed,
                &device,
            )
            .map_err(RunError::from)?
            .load_safetensors(&weights)
            .map_err(|source| RunError::from(LearnError::Weights { path: path.clone(), source }))?;
            models.push((model.valid(), computing.precision));
        }
        let turns = (0..if flips == Flips::D4 { 8 } else { 1 }).map(|number| Turn {
            transpose: number & 4 != 0,
            rows: number & 2 != 0,
            columns: number & 1 != 0,
        });
        Ok(Self { models, turns: turns.collect(), device: device.clone(), bands: bands.unwrap_or_default() })
    }

    /// Number of models.
    pub(super) fn len(&self) -> usize {
        self.models.len()
    }

    /// Mean probability over models and symmetries: `[n, bands, height, width]` in, `[n, height, width]` out.
    pub(super) fn probabilities(
        &self,
        values: Vec<f32>,
        shape: [usize; 4],
    ) -> Result<Vec<f32>, PredictError> {
        let x: Tensor<4> = Tensor::from_data(TensorData::new(values, shape), &self.device);
        let mut sum: Option<Tensor<3>> = None;
        for (model, precision) in &self.models {
            for turn in &self.turns {
                let logits = pixel_logits(model, turn.of(x.clone()), *precision);
                let probabilities = turn.undone(sigmoid(logits));
                sum = Some(match sum {
                    Some(sum) => sum.add(probabilities),
                    None => probabilities,
                });
            }
        }
        let Some(sum) = sum else { return Ok(Vec::new()) };
        let count = self.models.len() * self.turns.len();
        // Of a single one as it is, to the last bit.
        let mean = if count == 1 { sum } else { sum.div_scalar(count as f32) };
        let data = mean.into_data().convert::<f32>().try_into_vec::<f32>();
        let unreadable = |error| RunError::from(MetricsError::Unreadable(format!("{error:?}")));
        Ok(data.map_err(unreadable)?)
    }
}

impl Turn {
    fn of(self, x: Tensor<4>) -> Tensor<4> {
        let x = if self.transpose { x.swap_dims(2, 3) } else { x };
        let x = if self.rows { x.flip([2]) } else { x };
        if self.columns { x.flip([3]) } else { x }
    }

    fn undone(self, y: Tensor<3>) -> Tensor<3> {
        let y = if self.columns { y.flip([2]) } else { y };
        let y = if self.rows { y.flip([1]) } else { y };
        if self.transpose { y.swap_dims(1, 2) } else { y }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{BackendName, ComputeDevice};

    #[test]
    fn every_turn_is_another_and_is_undone() {
        let device = BackendName::best(ComputeDevice::Cpu).unwrap().device(ComputeDevice::Cpu).unwrap();
        let values: Vec<f32> = (0..2 * 3 * 5).map(|value| value as f32).collect();
        let x: Tensor<4> = Tensor::from_data(TensorData::new(values.clone(), [2, 1, 3, 5]), &device);
        let mut seen = Vec::new();
        for number in 0..8 {
            let turn = Turn { transpose: number & 4 != 0, rows: number & 2 != 0, columns: number & 1 != 0 };
            let turned = turn.of(x.clone());
            let [n, _, h, w] = turned.dims();
            seen.push((h, turned.clone().into_data().try_into_vec::<f32>().unwrap()));
            let back = turn.undone(turned.reshape([n, h, w]));
            assert_eq!(back.dims(), [2, 3, 5]);
            assert_eq!(back.into_data().try_into_vec::<f32>().unwrap(), values, "turn {number}");
        }
        assert!((1..8).all(|at| !seen[..at].contains(&seen[at])));
    }
}
