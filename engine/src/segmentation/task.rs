//! Segmentation as the loop trains it.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor};
use engine_tracking::Metrics;

use super::error::RunError;
use super::evaluate::{Evaluating, Evaluation, pixel_logits, to_device};
use super::figures::PassFigures;
use super::prepare::{evaluation_loader, fresh_model, train_loader, untrained};
use super::preview::Shown;
use super::resume::{check_model, goes_on_from};
use super::setup::Setup;
use super::start::Beginning;
use super::tally::{Sums, Waiting, read};
use crate::data::{Batch, DataFolder, Loader, Remainder};
use crate::folds::Division;
use crate::learn::{Draw, LearnError, Monitor, OptimizerGoesOn, Pass, Task, Validated};
use crate::loss::LossSums;
use crate::metrics::{DeviceCounts, RegionCounts};
use crate::models::SegmentationModel;
use crate::nn::TrainingPass;
use crate::training::checkpoint::{ModelShape, State};
use crate::training::{OptimizerConfig, ScheduleConfig};
use crate::workload::RunContext;

/// Metrics that learning curves show: losses first.
pub(super) const SHOWN: [&str; 8] = [
    "train/loss",
    "val/loss",
    "train/JaccardIndex",
    "val/JaccardIndex",
    "val/F1Score",
    "val/Precision",
    "val/Recall",
    "val/AveragePrecision",
];
/// The word for the monitored metric in names of checkpoints.
const LABEL: &str = "val_iou";

/// One run's training: data, model, loss, what is counted and drawn.
pub(super) struct Segmenting<'a> {
    setup: &'a Setup,
    /// Where it trains.
    device: Device,
    folder: &'a Arc<DataFolder>,
    shape: ModelShape,
    division: &'a Division,
    val: Loader,
    /// Validation samples to show; `None` where nothing is ever drawn.
    shown: Option<Shown>,
    /// Where the validation samples lie.
    regions: RegionCounts,
}

/// What the model makes of a batch.
pub(super) struct Output {
    logits: Tensor<3>,
    target: Tensor<3, Int>,
    sums: LossSums,
}

impl<'a> Segmenting<'a> {
    pub(super) fn new(
        setup: &'a Setup,
        folder: &'a Arc<DataFolder>,
        shape: ModelShape,
        division: &'a Division,
    ) -> Result<Self, RunError> {
        let shard = setup.site.shard(Remainder::Leave);
        let val = evaluation_loader(setup, folder, division.val.clone(), shard)?;
        let shown = Shown::choose(setup, folder, &division.val, shard);
        let regions = RegionCounts::new(folder.table(), &division.val);
        let device = setup.site.device.clone().autodiff();
        Ok(Self { setup, device, folder, shape, division, val, shown, regions })
    }

    /// Whether the validation after the epoch is drawn: every so many, and the last. It follows from the epoch alone: a
    /// run that goes on draws as if it had never stopped.
    fn draws(&self, epoch: u32) -> bool {
        let settings = &self.setup.settings;
        let validations = (epoch + 1).div_ceil(settings.check_val_every_n_epoch.max(1));
        let is_due = validations.is_multiple_of(settings.plot_every_n_val_epochs.max(1));
        self.shown.is_some() && (is_due || epoch + 1 == settings.max_epochs)
    }
}

impl Task for Segmenting<'_> {
    type Error = RunError;
    type Model = SegmentationModel;
    type Train = Loader;
    type Batch = Batch;
    type Output = Output;
    type Waiting = Waiting;
    type Counts = DeviceCounts;
    type Sums = Sums;
    type Evaluation = Evaluation;

    fn fresh(&self, context: &RunContext) -> Result<SegmentationModel, RunError> {
        fresh_model(self.setup, context, &self.shape)
    }

    fn untrained(&self) -> Result<SegmentationModel, RunError> {
        untrained(self.setup, &self.shape)
    }

    fn begin_pass(&self, model: &SegmentationModel, pass: TrainingPass) {
        model.begin_pass(pass);
    }

    fn continues_from(&self) -> Option<&Path> {
        self.setup.settings.continue_from_checkpoint.as_deref()
    }

    fn model_shape(&self) -> Option<ModelShape> {
        Some(self.shape.clone())
    }

    fn optimizer(&self) -> OptimizerConfig {
        self.setup.hyperparameters.optimizer()
    }

    fn schedule(&self) -> ScheduleConfig {
        self.setup.hyperparameters.schedule()
    }

    fn monitor(&self) -> &Monitor {
        &self.setup.site.learning.monitor
    }

    fn monitor_label(&self) -> String {
        LABEL.to_owned()
    }

    fn examine(
        &self,
        state: &State,
        is_own: bool,
        path: &Path,
        context: &RunContext,
    ) -> Result<OptimizerGoesOn, RunError> {
        check_model(&self.shape, state.model_shape(path).map_err(LearnError::from)?, path)?;
        goes_on_from(self.setup, state, is_own, path, context)
    }

    fn samples(&self) -> (u64, u64) {
        (self.division.train.len() as u64, self.division.val.len() as u64)
    }

    fn train(&self, seed: u64) -> Result<Loader, RunError> {
        train_loader(self.setup, self.folder, self.division.train.clone(), seed)
    }

    fn batches(&self, train: &Loader) -> usize {
        train.batches_per_epoch()
    }

    fn epoch<'a>(
        &'a self,
        train: &'a Loader,
        epoch: u32,
    ) -> impl Iterator<Item = Result<Batch, RunError>> + 'a {
        train.epoch(epoch).map(|batch| Ok(batch?))
    }

    fn batch_samples(&self, batch: &Batch) -> usize {
        batch.n
    }

    fn forward(&self, model: &SegmentationModel, batch: Batch) -> Output {
        let (x, target) = to_device(batch, &self.device);
        let logits = pixel_logits(model, x, self.setup.settings.precision);
        let sums = self.setup.loss.sums(logits.clone(), target.clone());
        Output { logits, target, sums }
    }

    fn loss(&self, output: &Output) -> Tensor<1> {
        output.sums.mean()
    }

    fn waiting(&self, output: &Output) -> Waiting {
        Waiting::of(&output.sums)
    }

    fn read(&self, waiting: Vec<Waiting>) -> Result<Vec<Sums>, RunError> {
        read(waiting)
    }

    fn mean_loss(&self, sums: &Sums) -> f64 {
        sums.mean_loss(&self.setup.loss)
    }

    fn counts(&self) -> DeviceCounts {
        DeviceCounts::new(&self.device)
    }

    fn count(&self, counts: &mut DeviceCounts, output: Output) -> Result<(), RunError> {
        Ok(counts.add(output.logits, output.target)?)
    }

    fn counted(&self, counts: &mut DeviceCounts) -> Result<Sums, RunError> {
        Ok(Sums::from(counts.take()?))
    }

    fn train_metrics(&self, sums: &Sums, suffix: &str) -> Metrics {
        sums.metrics(&self.setup.loss, suffix)
    }

    fn validate(
        &self,
        model: &SegmentationModel,
        pass: &Pass<'_>,
        is_last_chance: bool,
    ) -> Result<Option<Evaluation>, RunError> {
        let may_be_drawn = self.draws(pass.epoch) || is_last_chance;
        let shown = self.shown.as_ref().filter(|_| may_be_drawn);
        Evaluating::begin(self.setup, model, pass.phase, self.regions.clone(), shown)?.run(pass, &self.val)
    }

    fn val_metrics<'a>(&self, evaluation: &'a Evaluation) -> &'a Metrics {
        &evaluation.metrics
    }

    fn in_history(&self) -> &'static [&'static str] {
        &SHOWN
    }

    fn beginning(&self) -> Result<Option<Draw>, RunError> {
        if self.shown.is_none() {
            return Ok(None);
        }
        let beginning = Beginning::new(self.setup, self.folder, self.division)?;
        Ok(Some(Box::new(move |teller| beginning.perform(teller))))
    }

    fn figures(&self, validated: Validated<'_, Evaluation>) -> Option<Draw> {
        let Validated { epoch, step, evaluation, is_best, is_last, history } = validated;
        let writes_data = is_best && self.setup.site.is_first();
        let is_drawn = self.draws(epoch) || self.shown.is_some() && is_last;
        if !(writes_data || is_drawn) {
            return None;
        }
        let figures = PassFigures {
            run_dir: self.setup.site.plan.run_dir.clone(),
            prefix: "val",
            epoch,
            step,
            evaluation,
            history: Some(history.clone()),
            writes_data,
            is_drawn,
        };
        Some(Box::new(move |teller| figures.perform(teller)))
    }
}
