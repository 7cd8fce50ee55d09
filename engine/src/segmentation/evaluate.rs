//! One pass over a validation or test set.

use burn::tensor::{Device, Int, Tensor, TensorData};
use engine_actors::protocol::{Phase, Progress};
use engine_tracking::Metrics;

use super::error::RunError;
use super::preview::{Preview, Shown};
use super::tally::{Sums, value};
use crate::data::{Batch, Loader};
use crate::loss::FocalLoss;
use crate::metrics::{CurveData, EvaluationCounts, FLAT_COUNTS, probabilities};
use crate::models::SegmentationModel;
use crate::nn::Precision;
use crate::training::parallel::Exchange;
use crate::workload::RunContext;

/// What a pass found.
pub(super) struct Evaluation {
    /// `{prefix}/loss` and the eleven others.
    pub(super) metrics: Metrics,
    /// What its figures are drawn from.
    pub(super) curves: CurveData,
    /// What the model makes of the samples to show, in their order.
    pub(super) previews: Vec<Preview>,
}

/// A pass over a set: what it is of, and how it is told.
pub(super) struct Pass<'a> {
    pub(super) context: &'a RunContext,
    /// With whom the set is shared.
    pub(super) exchange: &'a dyn Exchange,
    pub(super) device: &'a Device,
    pub(super) loss: FocalLoss,
    pub(super) precision: Precision,
    pub(super) phase: Phase,
    pub(super) epoch: u32,
    pub(super) max_epochs: u32,
    /// Samples to show; they are caught on the way. `None` where nothing is drawn.
    pub(super) shown: Option<&'a Shown>,
}

impl Pass<'_> {
    /// Evaluates a model in evaluation mode over every batch of `loader`; `None` if the run was asked to
    /// stop before the end.
    ///
    /// Everything is summed over the pass, and over the ranks that share the set, and divided once: a batch weighs as
    /// much as it has pixels. All ranks come to the same numbers, and all to `None` if one of them was asked to stop.
    pub(super) fn run(
        &self,
        model: &SegmentationModel,
        loader: &Loader,
        prefix: &str,
    ) -> Result<Option<Evaluation>, RunError> {
        let mut counts = EvaluationCounts::default();
        let (mut total, mut pixels) = (0.0, 0.0);
        let mut previews = Vec::new();
        let batches = loader.batches_per_epoch();
        let mut stops = false;
        for (number, batch) in loader.epoch(0).enumerate() {
            stops = self.context.stop_requested();
            if stops {
                break;
            }
            let batch = batch?;
            let labels = batch.y.clone();
            let views = self.shown.map_or_else(Vec::new, |shown| shown.views(&batch));
            let (x, target) = to_device(batch, self.device);
            let logits = pixel_logits(model, x, self.precision);
            let sums = self.loss.sums(logits.clone(), target);
            let probabilities = probabilities(logits)?;
            counts.add_probabilities(&probabilities, &labels)?;
            previews.extend(views.into_iter().map(|view| view.with(&probabilities, &labels)));
            total += value(sums.total)?;
            pixels += value(sums.pixels)?;
            self.context.progress(self.progress(number + 1, batches));
        }
        let mut sums = vec![f64::from(u8::from(stops)), total, pixels];
        sums.extend(counts.to_flat());
        self.exchange.sum(&mut sums)?;
        if sums[0] > 0.0 {
            return Ok(None);
        }
        let [total, pixels] = [sums[1], sums[2]];
        let counts: [f64; FLAT_COUNTS] = std::array::from_fn(|at| sums[3 + at]);
        let counts = EvaluationCounts::from_flat(&counts);
        let mut metrics = counts.metrics(prefix);
        metrics.insert(format!("{prefix}/loss"), Sums::mean_loss(total, pixels));
        previews.sort_by_key(|preview: &Preview| preview.place);
        Ok(Some(Evaluation { metrics, curves: counts.curve_data(), previews }))
    }

    /// Where the pass is.
    pub(super) fn progress(&self, batch: usize, batches: usize) -> Progress {
        Progress {
            epoch: self.epoch,
            max_epochs: self.max_epochs,
            batch: u32::try_from(batch).unwrap_or(u32::MAX),
            batches: u32::try_from(batches).unwrap_or(u32::MAX),
            phase: self.phase,
        }
    }
}

/// A batch as tensors: values `[n, c, h, w]` and labels `[n, h, w]`.
pub(super) fn to_device(batch: Batch, device: &Device) -> (Tensor<4>, Tensor<3, Int>) {
    let Batch { n, c, h, w, x, target, .. } = batch;
    (
        Tensor::from_data(TensorData::new(x, [n, c, h, w]), device),
        Tensor::from_data(TensorData::new(target, [n, h, w]), device),
    )
}

/// What a model says of a batch: logits of the one class, `[n, h, w]`, in 32 bits.
pub(super) fn pixel_logits(model: &SegmentationModel, x: Tensor<4>, precision: Precision) -> Tensor<3> {
    let logits = precision.leave(model.forward(precision.enter(x)));
    let [n, _, h, w] = logits.dims();
    logits.reshape([n, h, w])
}
