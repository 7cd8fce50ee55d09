//! One pass over a validation or test set.

use burn::tensor::{Device, Int, Tensor, TensorData};
use engine_actors::protocol::{Phase, Progress};
use engine_tracking::Metrics;

use super::error::RunError;
use super::instances::Counting;
use super::preview::{Preview, Shown};
use super::tally::totals;
use crate::data::{Batch, Loader};
use crate::loss::{FLAT_TOTALS, Loss, LossTotals};
use crate::metrics::{
    CurveData, EvaluationCounts, FLAT_COUNTS, InstanceEvaluation, MetricsError, RegionCounts, RegionTable,
    probabilities,
};
use crate::models::SegmentationModel;
use crate::nn::Precision;
use crate::training::parallel::Exchange;
use crate::workload::RunContext;

/// What a pass found.
pub(super) struct Evaluation {
    /// `{prefix}/loss` and the ten others; of a test those of instances too.
    pub(super) metrics: Metrics,
    /// What its figures are drawn from.
    pub(super) curves: CurveData,
    /// The set by region.
    pub(super) regions: RegionTable,
    /// Counts of instances, of a test.
    pub(super) instances: Option<InstanceEvaluation>,
    /// What the model makes of the samples to show, in their order.
    pub(super) previews: Vec<Preview>,
}

/// A pass over a set: what it is of, and how it is told.
pub(super) struct Pass<'a> {
    pub(super) context: &'a RunContext,
    /// With whom the set is shared.
    pub(super) exchange: &'a dyn Exchange,
    pub(super) device: &'a Device,
    pub(super) loss: &'a Loss,
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
    /// much as it has pixels. Instances are counted in a test alone, which is one rank's. All ranks come to the same numbers, and all
    /// to `None` if one of them was asked to stop.
    pub(super) fn run(
        &self,
        model: &SegmentationModel,
        loader: &Loader,
        prefix: &str,
        mut regions: RegionCounts,
    ) -> Result<Option<Evaluation>, RunError> {
        let mut counts = EvaluationCounts::default();
        let instances = (self.phase == Phase::Test).then(Counting::begin).transpose()?;
        let mut losses = LossTotals::default();
        let mut previews = Vec::new();
        let batches = loader.batches_per_epoch();
        let mut stops = false;
        for (number, batch) in loader.epoch(0).enumerate() {
            stops = self.context.stop_requested();
            if stops {
                break;
            }
            let batch = batch?;
            let (labels, rows, size) = (batch.y.clone(), batch.rows.clone(), (batch.h, batch.w));
            let views = self.shown.map_or_else(Vec::new, |shown| shown.views(&batch));
            let (x, target) = to_device(batch, self.device);
            let logits = pixel_logits(model, x, self.precision);
            let sums = self.loss.sums(logits.clone(), target);
            let probabilities = probabilities(logits)?;
            add_by_sample(&mut counts, &mut regions, &rows, (&probabilities, &labels))?;
            previews.extend(views.into_iter().map(|view| view.with(&probabilities, &labels)));
            if let Some(instances) = &instances {
                instances.add(probabilities, labels, size);
            }
            losses.add(&totals(sums)?);
            self.context.progress(self.progress(number + 1, batches));
        }
        let mut sums = vec![f64::from(u8::from(stops))];
        sums.extend(losses.to_flat());
        sums.extend(counts.to_flat());
        sums.extend(regions.to_flat());
        self.exchange.sum(&mut sums)?;
        if sums[0] > 0.0 {
            return Ok(None);
        }
        let (of_losses, others) = sums[1..].split_at(FLAT_TOTALS);
        let (of_pixels, of_regions) = others.split_at(FLAT_COUNTS);
        let losses = LossTotals::from_flat(std::array::from_fn(|at| of_losses[at]));
        let counts: [f64; FLAT_COUNTS] = std::array::from_fn(|at| of_pixels[at]);
        let counts = EvaluationCounts::from_flat(&counts);
        regions.set_flat(of_regions);
        let instances = instances.map(Counting::finish).transpose()?;
        let mut metrics = counts.metrics(prefix);
        metrics.insert(format!("{prefix}/loss"), self.loss.mean(&losses));
        metrics.extend(instances.iter().flat_map(|instances| instances.metrics(prefix)));
        previews.sort_by_key(|preview: &Preview| preview.place);
        let (curves, regions) = (counts.curve_data(), regions.table());
        Ok(Some(Evaluation { metrics, curves, regions, instances, previews }))
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

/// Counts a batch, sample by sample for their regions.
fn add_by_sample(
    counts: &mut EvaluationCounts,
    regions: &mut RegionCounts,
    rows: &[usize],
    (probabilities, labels): (&[f32], &[u8]),
) -> Result<(), MetricsError> {
    let pixels = (labels.len() / rows.len().max(1)).max(1);
    for (row, (probabilities, labels)) in
        rows.iter().zip(probabilities.chunks(pixels).zip(labels.chunks(pixels)))
    {
        let mut sample = EvaluationCounts::default();
        sample.add_probabilities(probabilities, labels)?;
        regions.add(*row, sample.confusion);
        *counts += &sample;
    }
    Ok(())
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
