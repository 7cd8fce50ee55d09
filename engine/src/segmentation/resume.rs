//! The course of a run: all that changes while it trains, which is all that a checkpoint holds.

use std::path::Path;
use std::time::Duration;

use engine_tracking::{MetricPoint, Metrics, RunPlace};
use serde_json::Value;

use super::error::RunError;
use super::held::Held;
use super::history::History;
use super::prepare::{fresh_model, trained_names, untrained};
use super::settings::SegmentationHyperparameters;
use super::setup::Setup;
use super::tally::Sums;
use crate::models::batch_counters;
use crate::training::checkpoint::{
    Checkpoint, Checkpoints, DataOrder, FORMAT_VERSION, ModelShape, OpenRow, Snapshot, State,
};
use crate::training::parallel::{Exchange, gather, share_weights};
use crate::training::{EarlyStopping, Optimizer, Schedule, TopK};
use crate::workload::RunContext;

/// What a run has come to.
pub(super) struct Course {
    pub(super) model: Held,
    pub(super) optimizer: Optimizer,
    pub(super) schedule: Schedule,
    pub(super) early_stopping: EarlyStopping,
    pub(super) top_k: TopK,
    pub(super) order: DataOrder,
    /// Optimizer steps taken.
    pub(super) step: u64,
    /// Sums of the epoch under way.
    pub(super) sums: Sums,
    /// Value of the last validation.
    pub(super) monitored: Option<f64>,
    /// Metrics last logged.
    pub(super) metrics: Metrics,
    /// What was logged last, while its epoch is not over: values of the same step belong to the same row.
    pub(super) open_row: Option<MetricPoint>,
    /// What learning curves are drawn from.
    pub(super) history: History,
    /// The first place that this attempt logs anew; none where the run begins anew.
    pub(super) from: Option<RunPlace>,
    /// Time trained.
    pub(super) elapsed: Duration,
}

impl Course {
    /// Where the run begins: at its own `last` checkpoint if it goes on, else at the checkpoint it was
    /// told to continue, else afresh.
    ///
    /// A `last` that is not whole is left for what it is and the run begins anew: it is its own rubble. A checkpoint the user named must be whole.
    pub(super) fn begin(
        setup: &Setup,
        context: &RunContext,
        shape: &ModelShape,
        checkpoints: &Checkpoints,
        steps_per_epoch: u64,
    ) -> Result<Self, RunError> {
        let last = checkpoints.last();
        if setup.goes_on && last.exists() {
            match Checkpoint::read(&last) {
                Ok(checkpoint) => return Self::resume(setup, context, shape, checkpoint, &last, checkpoints),
                Err(error) => {
                    context.warn(format!("the run begins anew: {error}"));
                }
            }
        }
        match &setup.settings.continue_from_checkpoint {
            Some(path) => Self::resume(setup, context, shape, Checkpoint::read(path)?, path, checkpoints),
            None => Self::fresh(setup, context, shape, checkpoints, steps_per_epoch),
        }
    }

    fn fresh(
        setup: &Setup,
        context: &RunContext,
        shape: &ModelShape,
        checkpoints: &Checkpoints,
        steps_per_epoch: u64,
    ) -> Result<Self, RunError> {
        // Left by an attempt that wrote no whole `last`.
        if setup.is_first() {
            checkpoints.delete_unknown(|_| false)?;
        }
        let model = fresh_model(setup, context, shape)?;
        Ok(Self {
            optimizer: Optimizer::new(setup.hyperparameters.optimizer(), trained_names(&model)),
            model: Held::new(model),
            schedule: Schedule::new(
                &setup.hyperparameters.schedule(),
                setup.settings.max_epochs,
                steps_per_epoch,
            ),
            early_stopping: EarlyStopping::new(setup.settings.early_stopping_patience),
            top_k: TopK::new(setup.kept),
            order: DataOrder { seed: setup.seed(), next_epoch: 0, batches_done: 0 },
            step: 0,
            sums: Sums::default(),
            monitored: None,
            metrics: Metrics::new(),
            open_row: None,
            history: History::default(),
            from: None,
            elapsed: Duration::ZERO,
        })
    }

    /// Goes on from a checkpoint: its schedule, its seed of the data's order and its counters, whatever the
    /// hyperparameters say now. Patience and the number of checkpoints kept are the settings'.
    fn resume(
        setup: &Setup,
        context: &RunContext,
        shape: &ModelShape,
        mut checkpoint: Checkpoint,
        path: &Path,
        checkpoints: &Checkpoints,
    ) -> Result<Self, RunError> {
        check_model(shape, &checkpoint.state.model, path)?;
        // Another run's checkpoints are not this one's to rank or delete; nor is there more to a list than
        // what is on disk.
        let is_own = path.parent() == checkpoints.last().parent();
        let otherwise = TrainedOtherwise::than(setup, &checkpoint.state)?;
        otherwise.tell(is_own, context, path)?;
        let weights = |source| RunError::Weights { path: path.to_owned(), source };
        let model = untrained(setup, shape)?.load_safetensors(&checkpoint.weights).map_err(weights)?;
        let names = trained_names(&model);
        let config = setup.hyperparameters.optimizer();
        let optimizer = match otherwise.optimizer {
            None => Optimizer::restore(config, names, checkpoint.take_optimizer(), &model)?,
            Some(_) => Optimizer::new(config, names),
        };
        let state = checkpoint.state;
        let mut top_k = state.top_k.with_kept(setup.kept);
        top_k.retain(|name| is_own && checkpoints.path(name).is_dir());
        if setup.is_first() {
            checkpoints.delete_unknown(|name| top_k.ranked().iter().any(|ranked| ranked.name == name))?;
        }
        let open_row = state.open_row.filter(|_| is_own).map(|OpenRow { epoch, values }| MetricPoint {
            epoch,
            step: state.step,
            values,
        });
        let from = RunPlace {
            epoch: state.data_order.next_epoch,
            step: if open_row.is_some() { state.step } else { state.step + 1 },
        };
        Ok(Self {
            model: Held::new(model),
            optimizer,
            schedule: state.schedule,
            early_stopping: state.early_stopping.with_patience(setup.settings.early_stopping_patience),
            top_k,
            order: state.data_order,
            step: state.step,
            // They are of all ranks: one of them goes on with them.
            sums: if setup.is_first() { sums(state.epoch_sums, path)? } else { Sums::default() },
            monitored: state.monitored,
            metrics: state.metrics,
            open_row,
            history: History::of(state.history),
            // Another run's records are not this one's.
            from: is_own.then_some(from),
            elapsed: Duration::try_from_secs_f64(state.elapsed_secs).unwrap_or_default(),
        })
    }

    /// Refuses ranks that do not go on from the same point, and gives all of them rank 0's weights.
    pub(super) fn shared(mut self, exchange: &dyn Exchange) -> Result<Self, RunError> {
        let DataOrder { seed, next_epoch, batches_done } = self.order;
        // A seed is more than a double holds: its halves are not.
        let own = [
            self.step as f64,
            f64::from(next_epoch),
            f64::from(batches_done),
            (seed >> 32) as f64,
            (seed & u64::from(u32::MAX)) as f64,
        ];
        let all = gather(exchange, own)?;
        if let Some(rank) = all.iter().position(|other| *other != all[0]) {
            let place = |[step, epoch, batches, ..]: [f64; 5]| {
                format!("step {step}, batch {batches} of epoch {epoch}")
            };
            return Err(RunError::RanksDiffer { rank, theirs: place(all[rank]), ours: place(all[0]) });
        }
        self.model.change(|model| share_weights(exchange, model))?;
        Ok(self)
    }

    /// The course as it is now, in `epoch`: one copy of it on the host.
    pub(super) fn snapshot(
        &self,
        setup: &Setup,
        shape: &ModelShape,
        epoch: u32,
    ) -> Result<Snapshot, RunError> {
        let optimizer = self.optimizer.state(&*self.model)?;
        let open_row = self.open_row.as_ref().filter(|row| row.step == self.step);
        let state = State {
            format_version: FORMAT_VERSION,
            epoch,
            step: self.step,
            data_order: self.order,
            epoch_sums: serde_json::to_value(self.sums).map_err(RunError::Settings)?,
            optimizer_steps: optimizer.steps,
            schedule: self.schedule,
            early_stopping: self.early_stopping,
            top_k: self.top_k.clone(),
            monitored: self.monitored.filter(|value| value.is_finite()),
            metrics: self.metrics.clone(),
            open_row: open_row.map(|row| OpenRow { epoch: row.epoch, values: row.values.clone() }),
            history: self.history.rows().to_vec(),
            elapsed_secs: self.elapsed.as_secs_f64(),
            run: setup.identity(),
            model: shape.clone(),
            hyperparameters: Value::Object(setup.plan.hyperparameters.clone()),
            settings: setup.plan.settings.as_ref().clone(),
        };
        let weights = self.model.state_dict()?;
        let counters = batch_counters(&weights, self.step);
        Ok(Snapshot { weights, counters, optimizer: optimizer.tensors, state })
    }
}

fn sums(value: Value, path: &Path) -> Result<Sums, RunError> {
    if value.is_null() {
        return Ok(Sums::default());
    }
    serde_json::from_value(value).map_err(|reason| {
        RunError::Checkpoint(crate::training::checkpoint::CheckpointError::Damaged {
            path: path.to_owned(),
            file: "state.json",
            reason: reason.to_string(),
        })
    })
}

/// What of a checkpoint's training is not this run's, in words.
struct TrainedOtherwise {
    loss: Option<String>,
    optimizer: Option<String>,
}

impl TrainedOtherwise {
    fn than(setup: &Setup, state: &State) -> Result<Self, RunError> {
        let ours = &setup.hyperparameters;
        let theirs: SegmentationHyperparameters =
            serde_json::from_value(state.hyperparameters.clone()).map_err(RunError::Hyperparameters)?;
        let differ = |is_same: bool, what: &str, theirs: String, ours: String| {
            (!is_same).then(|| format!("{what}: {theirs} there, {ours} here"))
        };
        Ok(Self {
            loss: differ(theirs.loss() == setup.loss, "loss", theirs.loss_text(), ours.loss_text()),
            optimizer: differ(
                theirs.optimizer().keeps_what(&ours.optimizer()),
                "optimizer",
                theirs.optimizer_text(),
                ours.optimizer_text(),
            ),
        })
    }

    /// Refuses a checkpoint that the user named. A run that goes on from its own was forced to by a user who changed what it is: that
    /// is said.
    fn tell(&self, is_own: bool, context: &RunContext, path: &Path) -> Result<(), RunError> {
        let differences: Vec<_> = self.loss.iter().chain(&self.optimizer).map(String::as_str).collect();
        if differences.is_empty() {
            return Ok(());
        }
        let differences = differences.join("; ");
        if !is_own {
            return Err(RunError::TrainedOtherwise { differences, path: path.to_owned() });
        }
        let anew = if self.optimizer.is_some() { "; the optimizer begins anew" } else { "" };
        context.warn(format!("the run goes on otherwise than it was trained ({differences}){anew}"));
        Ok(())
    }
}

/// Refuses a checkpoint of another model, and says what differs.
pub(super) fn check_model(ours: &ModelShape, theirs: &ModelShape, path: &Path) -> Result<(), RunError> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, ours: String, theirs: String| {
        if !ours.eq_ignore_ascii_case(&theirs) {
            differences.push(format!("{what}: `{theirs}` there, `{ours}` here"));
        }
    };
    compare("model_arch", ours.arch.clone(), theirs.arch.clone());
    compare("model_encoder", ours.encoder.clone(), theirs.encoder.clone());
    compare("bands", ours.bands.join(", "), theirs.bands.join(", "));
    if differences.is_empty() {
        return Ok(());
    }
    Err(RunError::OtherModel { differences: differences.join("; "), path: path.to_owned() })
}
