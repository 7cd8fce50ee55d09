//! The course of a run: all that changes while it trains, which is all that a checkpoint holds.

use std::path::Path;
use std::time::Duration;

use engine_tracking::{MetricPoint, Metrics, RunPlace};
use serde_json::Value;

use super::error::LearnError;
use super::held::Held;
use super::history::History;
use super::site::Site;
use super::task::{OptimizerGoesOn, Sums, Task};
use crate::models::{batch_counters, load_tensors_by_name, module_tensors, read_safetensors, trained_names};
use crate::training::checkpoint::{
    Checkpoint, CheckpointError, Checkpoints, DataOrder, FORMAT_VERSION, OpenRow, Snapshot, State,
};
use crate::training::parallel::{Exchange, gather, share_weights};
use crate::training::{EarlyStopping, Optimizer, Schedule, TopK};
use crate::workload::RunContext;

/// What a run has come to.
pub(crate) struct Course<T: Task> {
    pub(super) model: Held<T::Model>,
    pub(super) optimizer: Optimizer,
    pub(super) schedule: Schedule,
    pub(super) early_stopping: EarlyStopping,
    pub(super) top_k: TopK,
    pub(super) order: DataOrder,
    /// Optimizer steps taken.
    pub(super) step: u64,
    /// Sums of the epoch under way.
    pub(super) sums: T::Sums,
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

impl<T: Task> Course<T> {
    /// Where the run begins: at its own `last` checkpoint if it goes on, else at the checkpoint it was
    /// told to continue, else afresh.
    ///
    /// A `last` that is not whole is left for what it is and the run begins anew: it is its own rubble. A checkpoint the user
    /// named must be whole.
    pub(super) fn begin(
        task: &T,
        site: &Site,
        context: &RunContext,
        checkpoints: &Checkpoints,
        steps_per_epoch: u64,
    ) -> Result<Self, T::Error> {
        let last = checkpoints.last();
        if site.goes_on && last.exists() {
            match Checkpoint::read(&last) {
                Ok(checkpoint) => return Self::resume(task, site, context, checkpoint, &last, checkpoints),
                Err(error) => {
                    context.warn(format!("the run begins anew: {error}"));
                }
            }
        }
        match task.continues_from() {
            Some(path) => {
                let checkpoint = Checkpoint::read(path).map_err(LearnError::from)?;
                Self::resume(task, site, context, checkpoint, path, checkpoints)
            }
            None => Self::fresh(task, site, context, checkpoints, steps_per_epoch),
        }
    }

    fn fresh(
        task: &T,
        site: &Site,
        context: &RunContext,
        checkpoints: &Checkpoints,
        steps_per_epoch: u64,
    ) -> Result<Self, T::Error> {
        // Left by an attempt that wrote no whole `last`.
        if site.is_first() {
            checkpoints.delete_unknown(|_| false).map_err(LearnError::from)?;
        }
        let model = task.fresh(context)?;
        let limits = &site.learning;
        Ok(Self {
            optimizer: Optimizer::new(task.optimizer(), trained_names(&model)),
            model: Held::new(model),
            schedule: Schedule::new(&task.schedule(), limits.max_epochs, steps_per_epoch),
            early_stopping: EarlyStopping::new(limits.early_stopping_patience),
            top_k: TopK::new(site.kept),
            order: DataOrder { seed: site.seed(), next_epoch: 0, batches_done: 0 },
            step: 0,
            sums: T::Sums::default(),
            monitored: None,
            metrics: Metrics::new(),
            open_row: None,
            history: History::of(task.in_history(), Vec::new()),
            from: None,
            elapsed: Duration::ZERO,
        })
    }

    /// Goes on from a checkpoint: its schedule, its seed of the data's order and its counters, whatever the
    /// hyperparameters say now. Patience and the number of checkpoints kept are the settings'.
    fn resume(
        task: &T,
        site: &Site,
        context: &RunContext,
        mut checkpoint: Checkpoint,
        path: &Path,
        checkpoints: &Checkpoints,
    ) -> Result<Self, T::Error> {
        // Another run's checkpoints are not this one's to rank or delete; nor is there more to a list than
        // what is on disk.
        let is_own = path.parent() == checkpoints.last().parent();
        let goes_on = task.examine(&checkpoint.state, is_own, path, context)?;
        let model = with_weights(task.untrained()?, &checkpoint.weights, path)?;
        let names = trained_names(&model);
        let optimizer = match goes_on {
            OptimizerGoesOn::Yes => {
                let kept = checkpoint.take_optimizer();
                Optimizer::restore(task.optimizer(), names, kept, &model).map_err(LearnError::from)?
            }
            OptimizerGoesOn::No => Optimizer::new(task.optimizer(), names),
        };
        let state = checkpoint.state;
        let mut top_k = state.top_k.with_kept(site.kept);
        top_k.retain(|name| is_own && checkpoints.path(name).is_dir());
        if site.is_first() {
            let is_ranked = |name: &str| top_k.ranked().iter().any(|ranked| ranked.name == name);
            checkpoints.delete_unknown(is_ranked).map_err(LearnError::from)?;
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
            early_stopping: state.early_stopping.with_patience(site.learning.early_stopping_patience),
            top_k,
            order: state.data_order,
            step: state.step,
            // They are of all ranks: one of them goes on with them.
            sums: if site.is_first() { sums(state.epoch_sums, path)? } else { T::Sums::default() },
            monitored: state.monitored,
            metrics: state.metrics,
            open_row,
            history: History::of(task.in_history(), state.history),
            // Another run's records are not this one's.
            from: is_own.then_some(from),
            elapsed: Duration::try_from_secs_f64(state.elapsed_secs).unwrap_or_default(),
        })
    }

    /// Refuses ranks that do not go on from the same point, and gives all of them rank 0's weights.
    pub(super) fn shared(mut self, exchange: &dyn Exchange) -> Result<Self, LearnError> {
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
            return Err(LearnError::RanksDiffer { rank, theirs: place(all[rank]), ours: place(all[0]) });
        }
        self.model.change(|model| share_weights(exchange, model))?;
        Ok(self)
    }

    /// The course as it is now, in `epoch`: one copy of it on the host.
    pub(super) fn snapshot(&self, task: &T, site: &Site, epoch: u32) -> Result<Snapshot, LearnError> {
        let optimizer = self.optimizer.state(&*self.model)?;
        let open_row = self.open_row.as_ref().filter(|row| row.step == self.step);
        let state = State {
            format_version: FORMAT_VERSION,
            epoch,
            step: self.step,
            data_order: self.order,
            epoch_sums: serde_json::to_value(&self.sums).map_err(LearnError::Sums)?,
            optimizer_steps: optimizer.steps,
            schedule: self.schedule,
            early_stopping: self.early_stopping,
            top_k: self.top_k.clone(),
            monitored: self.monitored.filter(|value| value.is_finite()),
            metrics: self.metrics.clone(),
            open_row: open_row.map(|row| OpenRow { epoch: row.epoch, values: row.values.clone() }),
            history: self.history.rows().to_vec(),
            elapsed_secs: self.elapsed.as_secs_f64(),
            run: site.identity(),
            model: task.model_shape(),
            hyperparameters: Value::Object(site.plan.hyperparameters.clone()),
            settings: site.plan.settings.as_ref().clone(),
        };
        task.settle(&self.model);
        let weights = module_tensors(&*self.model)?;
        let counters = batch_counters(&weights, self.step);
        Ok(Snapshot { weights, counters, optimizer: optimizer.tensors, state })
    }
}

/// A model with the weights of a checkpoint.
pub(crate) fn with_weights<M: burn::module::Module>(
    model: M,
    weights: &[u8],
    path: &Path,
) -> Result<M, LearnError> {
    let loaded = read_safetensors(weights).and_then(|tensors| load_tensors_by_name(model, tensors));
    loaded.map_err(|source| LearnError::Weights { path: path.to_owned(), source })
}

fn sums<S: Sums>(value: Value, path: &Path) -> Result<S, LearnError> {
    if value.is_null() {
        return Ok(S::default());
    }
    serde_json::from_value(value).map_err(|reason| {
        LearnError::Checkpoint(CheckpointError::Damaged {
            path: path.to_owned(),
            file: "state.json",
            reason: reason.to_string(),
        })
    })
}
