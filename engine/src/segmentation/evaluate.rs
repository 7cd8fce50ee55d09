//! One pass over a validation or test set.

use burn::tensor::{Device, Int, Tensor, TensorData};
use engine_actors::protocol::Phase;
use engine_tracking::Metrics;

use super::error::RunError;
use super::instances::Counting;
use super::preview::{Preview, Shown};
use super::setup::Setup;
use super::tally::totals;
use crate::data::{Batch, Loader};
use crate::learn::{Evaluator, Pass};
use crate::loss::{FLAT_TOTALS, LossTotals};
use crate::metrics::{
    CurveData, EvaluationCounts, FLAT_COUNTS, InstanceEvaluation, MetricsError, RegionCounts, RegionTable,
    probabilities,
};
use crate::models::SegmentationModel;
use crate::nn::Precision;

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

/// What a pass over a validation or test set counts.
pub(super) struct Evaluating<'a> {
    setup: &'a Setup,
    model: &'a SegmentationModel,
    prefix: &'static str,
    /// Samples to show; they are caught on the way. `None` where nothing is drawn.
    shown: Option<&'a Shown>,
    regions: RegionCounts,
    counts: EvaluationCounts,
    /// Of a test, which is one rank's.
    instances: Option<Counting>,
    losses: LossTotals,
    previews: Vec<Preview>,
}

impl<'a> Evaluating<'a> {
    /// Begins with a model in evaluation mode. Instances are counted in a test alone.
    pub(super) fn begin(
        setup: &'a Setup,
        model: &'a SegmentationModel,
        phase: Phase,
        regions: RegionCounts,
        shown: Option<&'a Shown>,
    ) -> Result<Self, RunError> {
        let is_test = phase == Phase::Test;
        Ok(Self {
            setup,
            model,
            prefix: if is_test { "test" } else { "val" },
            shown,
            regions,
            counts: EvaluationCounts::default(),
            instances: is_test.then(Counting::begin).transpose()?,
            losses: LossTotals::default(),
            previews: Vec::new(),
        })
    }

    /// Evaluates every batch of `loader`; `None` if the run was asked to stop before the end. A batch weighs as much as it has
    /// pixels.
    pub(super) fn run(self, pass: &Pass<'_>, loader: &Loader) -> Result<Option<Evaluation>, RunError> {
        pass.run(self, loader.batches_per_epoch(), loader.epoch(0).map(|batch| Ok(batch?)))
    }
}

impl Evaluator for Evaluating<'_> {
    type Batch = Batch;
    type Error = RunError;
    type Evaluation = Evaluation;

    fn add(&mut self, batch: Batch) -> Result<(), RunError> {
        let (labels, rows, size) = (batch.y.clone(), batch.rows.clone(), (batch.h, batch.w));
        let views = self.shown.map_or_else(Vec::new, |shown| shown.views(&batch));
        let (x, target) = to_device(batch, &self.setup.site.device);
        let logits = pixel_logits(self.model, x, self.setup.settings.precision);
        let sums = self.setup.loss.sums(logits.clone(), target);
        let probabilities = probabilities(logits)?;
        add_by_sample(&mut self.counts, &mut self.regions, &rows, (&probabilities, &labels))?;
        self.previews.extend(views.into_iter().map(|view| view.with(&probabilities, &labels)));
        if let Some(instances) = &self.instances {
            instances.add(probabilities, labels, size);
        }
        self.losses.add(&totals(sums)?);
        Ok(())
    }

    fn to_flat(&self) -> Vec<f64> {
        let mut flat = self.losses.to_flat().to_vec();
        flat.extend(self.counts.to_flat());
        flat.extend(self.regions.to_flat());
        flat
    }

    fn finish(self, flat: &[f64]) -> Result<Evaluation, RunError> {
        let Self { setup, prefix, mut regions, instances, mut previews, .. } = self;
        let (of_losses, others) = flat.split_at(FLAT_TOTALS);
        let (of_pixels, of_regions) = others.split_at(FLAT_COUNTS);
        let losses = LossTotals::from_flat(std::array::from_fn(|at| of_losses[at]));
        let counts: [f64; FLAT_COUNTS] = std::array::from_fn(|at| of_pixels[at]);
        let counts = EvaluationCounts::from_flat(&counts);
        regions.set_flat(of_regions);
        let instances = instances.map(Counting::finish).transpose()?;
        let mut metrics = counts.metrics(prefix);
        metrics.insert(format!("{prefix}/loss"), setup.loss.mean(&losses));
        metrics.extend(instances.iter().flat_map(|instances| instances.metrics(prefix)));
        previews.sort_by_key(|preview: &Preview| preview.place);
        let (curves, regions) = (counts.curve_data(), regions.table());
        Ok(Evaluation { metrics, curves, regions, instances, previews })
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
