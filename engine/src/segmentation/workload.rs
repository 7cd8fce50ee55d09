//! The segmentation workload itself: what a run does for each of its tasks.

use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use engine_actors::outcome::Failure;
use engine_actors::plan::RunTask;
use engine_actors::protocol::{Phase, RunOrder, RunSummary};
use engine_tracking::MetricPoint;

use super::error::RunError;
use super::evaluate::Evaluating;
use super::figures::PassFigures;
use super::prepare::{check_images, divide_rows, evaluation_loader, model_shape, open_data, untrained};
use super::preview::Shown;
use super::setup::Setup;
use super::task::Segmenting;
use crate::data::DataFolder;
use crate::learn::{self, Fitted, Pass, with_weights};
use crate::metrics::RegionCounts;
use crate::training::checkpoint::Checkpoint;
use crate::training::parallel::Alone;
use crate::workload::{RunContext, Workload};

/// Trains, validates and tests segmentation models.
///
/// Expects [`SegmentationSettings`](super::SegmentationSettings) in the plan's settings and
/// [`SegmentationHyperparameters`](super::SegmentationHyperparameters) in its hyperparameters.
#[derive(Debug, Clone, Copy, Default)]
pub struct SegmentationWorkload;

impl Workload for SegmentationWorkload {
    fn run(&self, order: &RunOrder, context: &RunContext) -> Result<RunSummary, Failure> {
        let setup = Setup::read(order)?;
        // Of the ranks of a data-parallel run, the first speaks.
        let muted = (!setup.site.is_first()).then(|| context.muted());
        let context = muted.as_ref().unwrap_or(context);
        let result = match &order.plan.task {
            RunTask::Fit => fit(&setup, context),
            RunTask::FitAndTest => fit_and_test(&setup, context),
            // A test is one rank's.
            RunTask::Test { .. } if !setup.site.is_first() => Ok(RunSummary::default()),
            RunTask::Test { checkpoint } => test(&setup, context, checkpoint),
        };
        Ok(result?)
    }
}

fn fit(setup: &Setup, context: &RunContext) -> Result<RunSummary, RunError> {
    let folder = open_data(setup, setup.hyperparameters.bands.as_deref())?;
    let division = divide_rows(setup, &folder)?;
    let shape = model_shape(setup, &folder)?;
    let exchange = setup.site.join()?;
    let task = Segmenting::new(setup, &folder, shape, &division)?;
    Ok(learn::fit(&task, &setup.site, context, exchange.as_ref())?.summary)
}

/// Trains without folds, then tests the best weights; the last ones where no checkpoint is ranked. Of several ranks,
/// the first tests.
fn fit_and_test(setup: &Setup, context: &RunContext) -> Result<RunSummary, RunError> {
    let folder = open_data(setup, setup.hyperparameters.bands.as_deref())?;
    let division = divide_rows(setup, &folder)?;
    let shape = model_shape(setup, &folder)?;
    let exchange = setup.site.join()?;
    let task = Segmenting::new(setup, &folder, shape, &division)?;
    let Fitted { summary, checkpoint: path } = learn::fit(&task, &setup.site, context, exchange.as_ref())?;
    if summary.stopped || !setup.site.is_first() {
        return Ok(summary);
    }
    drop((task, exchange));
    let checkpoint = Checkpoint::read(&path)?;
    let tested = test_checkpoint(setup, context, &folder, division.test, &checkpoint, &path)?;
    let mut metrics = summary.metrics;
    metrics.extend(tested.metrics);
    Ok(RunSummary { metrics, stopped: tested.stopped, ..summary })
}

/// Tests a checkpoint. Model, bands and loss are the checkpoint's; data, split and batch size the plan's.
fn test(setup: &Setup, context: &RunContext, path: &Path) -> Result<RunSummary, RunError> {
    let checkpoint = Checkpoint::read(path)?;
    let folder = open_data(setup, Some(&checkpoint.state.model_shape(path)?.bands))?;
    let division = divide_rows(setup, &folder)?;
    let mut setup = setup.clone();
    let trained_with = checkpoint.state.hyperparameters.clone();
    let trained_with: super::SegmentationHyperparameters =
        serde_json::from_value(trained_with).map_err(RunError::Hyperparameters)?;
    setup.loss = trained_with.loss();
    test_checkpoint(&setup, context, &folder, division.test, &checkpoint, path)
}

fn test_checkpoint(
    setup: &Setup,
    context: &RunContext,
    folder: &Arc<DataFolder>,
    rows: Vec<usize>,
    checkpoint: &Checkpoint,
    path: &Path,
) -> Result<RunSummary, RunError> {
    let state = &checkpoint.state;
    let shape = state.model_shape(path)?;
    check_images(shape, folder)?;
    let model = with_weights(untrained(setup, shape)?, &checkpoint.weights, path)?.valid();
    let samples = rows.len() as u64;
    let shown = Shown::choose(setup, folder, &rows, None);
    let regions = RegionCounts::new(folder.table(), &rows);
    let loader = evaluation_loader(setup, folder, rows, None)?;
    if let RunTask::Test { .. } = setup.site.plan.task {
        let parameters = model.parameter_count() as u64;
        context.prepared(0, samples, parameters, setup.site.device_text.clone());
    }
    let pass = Pass {
        context,
        exchange: &Alone,
        phase: Phase::Test,
        epoch: state.epoch,
        max_epochs: setup.settings.max_epochs,
    };
    let mut summary = RunSummary {
        best_checkpoint: Some(path.to_owned()),
        epochs: state.data_order.next_epoch,
        steps: state.step,
        ..RunSummary::default()
    };
    let evaluating = Evaluating::begin(setup, &model, pass.phase, regions, shown.as_ref())?;
    let Some(evaluation) = evaluating.run(&pass, &loader)? else {
        return Ok(RunSummary { stopped: true, ..summary });
    };
    let values = evaluation.metrics.clone();
    context.log(MetricPoint { epoch: state.epoch, step: state.step, values: values.clone() });
    let figures = PassFigures {
        run_dir: setup.site.plan.run_dir.clone(),
        prefix: "test",
        epoch: state.epoch,
        step: state.step,
        evaluation,
        history: None,
        writes_data: true,
        is_drawn: shown.is_some(),
    };
    figures.perform(&context.figure_teller());
    summary.metrics = values;
    Ok(summary)
}
