//! Data and model of a run.

use std::sync::Arc;

use engine_actors::plan::RunTask;

use super::error::RunError;
use super::setup::Setup;
use super::weights;
use crate::augment::Pipeline;
use crate::data::{DataFolder, Loader, LoaderConfig, Remainder, Shard, divide, divide_without_folds};
use crate::folds::Division;
use crate::models::SegmentationModel;
use crate::training::checkpoint::ModelShape;
use crate::workload::RunContext;

/// Batches that wait for the training thread beyond one a loading thread: decoding jitters.
const SPARE_BATCHES: usize = 2;

/// Opens the run's data with the bands it uses.
pub(super) fn open_data(setup: &Setup, bands: Option<&[String]>) -> Result<Arc<DataFolder>, RunError> {
    Ok(Arc::new(DataFolder::open(&setup.settings.train_data_dir, bands)?))
}

/// Rows to train, validate and test on.
///
/// A run that trains for the test has no folds: it trains and validates on every row that is not held out,
/// as fold method `none` does, so that early stopping and the best checkpoint follow the train set itself.
pub(super) fn divide_rows(setup: &Setup, folder: &DataFolder) -> Result<Division, RunError> {
    let refused = |source| folder.undividable(source);
    let division = match setup.site.plan.task {
        RunTask::Fit => {
            divide(folder.table(), &setup.settings, setup.site.plan.cell.fold).map_err(refused)?
        }
        RunTask::FitAndTest | RunTask::Test { .. } => {
            let division = divide_without_folds(folder.table(), &setup.settings).map_err(refused)?;
            Division { val: division.train.clone(), ..division }
        }
    };
    if division.test.is_empty() && !matches!(setup.site.plan.task, RunTask::Fit) {
        return Err(RunError::NoTestSplit);
    }
    Ok(division)
}

/// Batches to train on: this process's share of the samples, shuffled and augmented by the run's seed, the last short
/// batch left out.
pub(super) fn train_loader(
    setup: &Setup,
    folder: &Arc<DataFolder>,
    rows: Vec<usize>,
    seed: u64,
) -> Result<Loader, RunError> {
    let batch_size = setup.batch_size();
    let (world, samples) = (setup.site.world(), rows.len());
    if batch_size.saturating_mul(world) > samples {
        return Err(match world {
            1 => RunError::BatchLargerThanTrainSet { batch_size, samples },
            _ => RunError::BatchesLargerThanTrainSet { batch_size, world, samples },
        });
    }
    let augment = match setup.hyperparameters.augment.as_deref() {
        None | Some([]) => None,
        Some(names) => {
            let pipeline = Pipeline::parse(names)?;
            let (_, height, width) = folder.shape();
            pipeline.check_size(height, width)?;
            Some(Arc::new(pipeline))
        }
    };
    let shard = setup.site.shard(Remainder::Repeat);
    let config = LoaderConfig {
        shuffle: Some(seed),
        drop_last: true,
        augment,
        augment_seed: seed,
        ..in_order(setup, shard)
    };
    Ok(Loader::new(Arc::clone(folder), rows, config)?)
}

/// Batches to validate or test on: every row of the share, or all of them, in order, as it is.
pub(super) fn evaluation_loader(
    setup: &Setup,
    folder: &Arc<DataFolder>,
    rows: Vec<usize>,
    shard: Option<Shard>,
) -> Result<Loader, RunError> {
    Ok(Loader::new(Arc::clone(folder), rows, in_order(setup, shard))?)
}

fn in_order(setup: &Setup, shard: Option<Shard>) -> LoaderConfig {
    let workers = setup.loading_threads();
    LoaderConfig {
        batch_size: setup.batch_size(),
        shuffle: None,
        drop_last: false,
        workers,
        in_memory: setup.settings.in_memory,
        augment: None,
        augment_seed: 0,
        ahead: workers + SPARE_BATCHES,
        shard,
    }
}

/// What the run's model is, by hyperparameters and data; refused if it can not be trained on them.
pub(super) fn model_shape(setup: &Setup, folder: &DataFolder) -> Result<ModelShape, RunError> {
    let shape = ModelShape {
        arch: setup.hyperparameters.model_arch.clone(),
        encoder: setup.hyperparameters.model_encoder.clone(),
        bands: folder.bands().to_vec(),
        in_channels: folder.bands().len(),
    };
    check_images(&shape, folder)?;
    SegmentationModel::check_batch(&shape.arch, setup.batch_size())?;
    Ok(shape)
}

/// Refuses data whose images the model does not take.
pub(super) fn check_images(shape: &ModelShape, folder: &DataFolder) -> Result<(), RunError> {
    let (_, height, width) = folder.shape();
    SegmentationModel::check_image(&shape.arch, [height, width])?;
    Ok(SegmentationModel::check_encoder_image(&shape.arch, &shape.encoder, [height, width])?)
}

/// A model with the weights a fresh run begins with, ready to train.
pub(super) fn fresh_model(
    setup: &Setup,
    context: &RunContext,
    shape: &ModelShape,
) -> Result<SegmentationModel, RunError> {
    weights::load(untrained(setup, shape)?, &setup.settings, &setup.hyperparameters, context)
}

/// A model with weights drawn from the run's seed, ready to train.
pub(super) fn untrained(setup: &Setup, shape: &ModelShape) -> Result<SegmentationModel, RunError> {
    let device = setup.site.device.clone().autodiff();
    Ok(SegmentationModel::build(&shape.arch, &shape.encoder, shape.in_channels, setup.site.seed(), &device)?)
}
