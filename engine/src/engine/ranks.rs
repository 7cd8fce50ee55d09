//! Runs that are trained by several processes at once: on the devices of one machine, or of several.

use std::sync::Arc;

use engine_actors::outcome::Cause;
use engine_actors::ports::WorkerLauncher;
use engine_actors::protocol::{FromWorker, ToWorker};
use engine_devices::{
    Allocation, DeviceInfo, DeviceKind, GroupLauncher, Heard, Lead, PlacementError, ProcessLauncher,
    Strategy, WarmLauncher, Whose,
};

use super::builder::EngineBuilder;
use super::error::EngineError;

/// Folder in the artifact folder by which the processes of several machines follow one of them.
const RANKS_DIR: &str = ".ranks";

/// What this process is among those that `srun` or `torchrun` started for one job.
pub enum Part {
    /// The one that does what the command says; the only one where nobody started several.
    Lead(EngineBuilder),
    /// One that has nothing to do but to start its worker when the leading one says so.
    Follow(Box<Follower>),
}

/// A process that follows the one of rank 0.
#[derive(Debug)]
pub struct Follower {
    follower: engine_devices::Follower,
    processes: ProcessLauncher,
}

impl Follower {
    /// Its number among all processes of the job.
    #[must_use]
    pub fn rank(&self) -> u32 {
        self.follower.rank()
    }

    /// Trains its part of every run that rank 0's process starts, and returns when that one has ended. No worker is
    /// left then. Blocks; to be called instead of building an engine.
    ///
    /// # Errors
    /// [`EngineError::Follow`] if rank 0's process does not come, or is gone without a word.
    pub fn follow(&self) -> Result<(), EngineError> {
        Ok(self.follower.follow::<ToWorker, FromWorker>(&self.processes, judge)?)
    }
}

impl EngineBuilder {
    /// Finds out what this process is in its job: where [`EngineBuilder::num_nodes`] is above 1, or a data-parallel
    /// run's processes were started by `srun` or `torchrun`.
    ///
    /// The process of rank 0 makes a folder in the artifact folder by which the others follow, and tells them to
    /// leave when the engine that is built, or the builder itself, is dropped. Call it before anything that takes
    /// long: the others wait.
    ///
    /// # Errors
    /// [`EngineError`] if the devices are not there, the job has another shape than the settings, or the folder can
    /// not be made.
    pub fn join(mut self) -> Result<Part, EngineError> {
        if self.lead.is_some() {
            return Ok(Part::Lead(self));
        }
        let devices = self.select()?;
        let Some(allocation) = self.allocation()? else {
            self.check_ranks(&devices, devices.len())?;
            return Ok(Part::Lead(self));
        };
        allocation.check(self.num_nodes, devices.len())?;
        self.check_ranks(&devices, allocation.world_size as usize)?;
        let ranks_dir = self.artifact_dir.join(RANKS_DIR);
        if allocation.rank > 0 {
            let place = own_device(&devices, &allocation)?.place();
            let follower = engine_devices::Follower::new(&ranks_dir, allocation, place);
            let processes = ProcessLauncher::current_exe()?;
            return Ok(Part::Follow(Box::new(Follower { follower, processes })));
        }
        self.lead = Some(Arc::new(Lead::open(&ranks_dir, allocation)?));
        Ok(Part::Lead(self))
    }

    /// What the launcher of a job says; `None` if this process is alone.
    fn allocation(&self) -> Result<Option<Allocation>, EngineError> {
        let nodes = self.num_nodes;
        if nodes <= 1 && !self.strategy.is_data_parallel() {
            return Ok(None);
        }
        if nodes > 1 && !self.strategy_in_effect().is_data_parallel() {
            return Err(EngineError::OneRunOnNodes { nodes, strategy: self.strategy });
        }
        match Allocation::from_env()? {
            None if nodes > 1 => Err(PlacementError::NoRanks { nodes }.into()),
            found => Ok(found),
        }
    }

    /// `auto` on several machines is one run on all of them.
    pub(super) fn strategy_in_effect(&self) -> Strategy {
        match self.strategy {
            Strategy::Auto if self.num_nodes > 1 => Strategy::Ddp,
            strategy => strategy,
        }
    }

    /// Whether these devices can be the ranks of one run.
    fn check_ranks(&self, devices: &[DeviceInfo], ranks: usize) -> Result<(), EngineError> {
        if !self.strategy_in_effect().is_data_parallel() || ranks <= 1 {
            return Ok(());
        }
        if !self.has_process_workers() {
            return Err(EngineError::RanksAreProcesses);
        }
        match devices.iter().find(|device| device.kind == DeviceKind::Mps || device.mig_parent.is_some()) {
            Some(device) => Err(EngineError::NoRanks { device: device.id.clone() }),
            None => Ok(()),
        }
    }
}

/// The devices of this process's own leases: all that were chosen, or the one of its rank.
pub(super) fn own_devices(
    devices: Vec<DeviceInfo>,
    lead: Option<&Lead>,
) -> Result<Vec<DeviceInfo>, EngineError> {
    match lead {
        None => Ok(devices),
        Some(lead) => Ok(vec![own_device(&devices, lead.allocation())?.clone()]),
    }
}

fn own_device<'a>(devices: &'a [DeviceInfo], allocation: &Allocation) -> Result<&'a DeviceInfo, EngineError> {
    // The job's shape has been checked: there is one for each local rank.
    Ok(devices.get(allocation.local_rank as usize).ok_or(PlacementError::NoDevice)?)
}

/// Whether a process may do another run after one that ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// A run of the same job, on the same slice of the cores.
    WithinJob,
    Never,
}

/// Workers as processes: one for each run, or one for each rank of a run.
pub(super) fn process_launcher(
    reuse: Reuse,
    lead: Option<&Arc<Lead>>,
) -> Result<Arc<WorkerLauncher>, EngineError> {
    let processes = ProcessLauncher::current_exe()?;
    let launcher = match reuse {
        Reuse::Never => GroupLauncher::new(processes, judge),
        Reuse::WithinJob => {
            let warm = WarmLauncher::new(processes.clone());
            GroupLauncher::new(processes, judge).alone_by(Arc::new(warm))
        }
    };
    Ok(match lead {
        Some(lead) => Arc::new(launcher.leading(Arc::clone(lead))),
        None => Arc::new(launcher),
    })
}

/// What a rank's word is to its group. A rank that could not reach the others says `Lost`; every other failure is its
/// own.
fn judge(rank: u32, word: &FromWorker) -> Heard {
    match word {
        FromWorker::Failed(failure) if failure.cause == Cause::Lost => Heard::Failure(Whose::Peers),
        FromWorker::Failed(_) => Heard::Failure(Whose::Own),
        _ if rank == 0 => Heard::Pass,
        _ => Heard::Drop,
    }
}

#[cfg(test)]
#[cfg(feature = "segmentation")]
mod tests {
    use engine_actors::outcome::Failure;
    use engine_actors::protocol::RunSummary;

    use super::*;
    use crate::engine::Engine;
    use crate::segmentation::SegmentationWorkload;

    #[test]
    fn of_ranks_other_than_0_only_failures_are_heard() {
        let failed =
            |cause| FromWorker::Failed(Failure { cause, message: "it".into(), stderr_tail: Vec::new() });
        let finished = FromWorker::Finished(RunSummary::default());
        assert_eq!(judge(0, &finished), Heard::Pass);
        assert_eq!(judge(3, &finished), Heard::Drop);
        assert_eq!(judge(3, &FromWorker::Beat), Heard::Drop);
        for rank in [0, 3] {
            assert_eq!(judge(rank, &failed(Cause::Lost)), Heard::Failure(Whose::Peers));
            assert_eq!(judge(rank, &failed(Cause::Diverged)), Heard::Failure(Whose::Own));
        }
    }

    fn two_on_the_cpu() -> EngineBuilder {
        Engine::builder(SegmentationWorkload)
            .accelerator(engine_devices::Accelerator::Cpu)
            .devices(["0", "1"])
            .strategy(Strategy::DdpFork)
    }

    fn refused(builder: EngineBuilder) -> String {
        match builder.join() {
            Err(error) => error.to_string(),
            Ok(_) => "joined".to_owned(),
        }
    }

    #[test]
    fn ranks_are_processes() {
        assert!(refused(two_on_the_cpu()).contains("process_workers()"));
        assert_eq!(refused(two_on_the_cpu().process_workers()), "joined");
        assert_eq!(refused(two_on_the_cpu().devices(["0"])), "joined", "one rank is no group");
    }

    #[test]
    fn several_nodes_do_one_run_and_need_a_launcher() {
        let nodes = || two_on_the_cpu().process_workers().num_nodes(2);
        assert!(refused(nodes()).contains("this process is no rank of such a job"));
        assert!(refused(nodes().strategy(Strategy::Auto)).contains("this process is no rank of such a job"));
        let error = refused(nodes().strategy(Strategy::CvParallel));
        assert!(error.contains("`cv-parallel`") && error.contains("`num-nodes` 2"), "{error}");
    }
}
