//! What can be wrong with an engine or a job before anything runs.

use engine_actors::journal::HistoryError;
use engine_actors::system::{JobError, StartError};
use engine_devices::{
    AllocationError, DeviceId, FollowError, InventoryError, LaunchError, PlacementError, SessionError,
    Strategy,
};
use thiserror::Error;

use crate::artifacts::ArtifactError;
use crate::names::NameError;
use crate::resume::ResumeError;

/// Why an engine could not be built or a job not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The devices asked for can not be had.
    #[error(transparent)]
    Devices(#[from] InventoryError),
    /// The strategy can not be followed.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// This program can not be started again as a worker.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// Data parallelism on threads.
    #[error(
        "data parallelism needs a process for each device: call process_workers() on the builder, and \
         worker::run_if_worker first thing in main"
    )]
    RanksAreProcesses,
    /// Devices that can not train one run together.
    #[error("{device} can not train a run together with others: use one device, or another --accelerator")]
    NoRanks {
        /// The device.
        device: DeviceId,
    },
    /// Several machines with a strategy that gives each run one device.
    #[error(
        "`num-nodes` {nodes} trains one run on all nodes, and `{strategy}` places runs side by side: use `ddp`, or \
         start one engine on each node"
    )]
    OneRunOnNodes {
        /// Machines asked for.
        nodes: u32,
        /// The strategy.
        strategy: Strategy,
    },
    /// What the launcher of the job says.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    /// The folder by which the other ranks follow.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// This process was to follow another.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// An engine was to be built in a process that follows another.
    #[error("this process is rank {rank} of a job and follows rank 0: call join() and follow()")]
    Follows {
        /// The rank.
        rank: u32,
    },
    /// The actors did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Something about the artifact folder.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// A name that can not be a folder's.
    #[error("--name {name:?} can not be used: it {source}")]
    Name {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// The folder of a job.
    #[error("the folder of the job can not be made; check access rights and free space: {}", path.display())]
    Folder {
        /// The folder.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The journal of a job, or what it says.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The job is not gone on with.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// A job that no journal can hold.
    #[error("the job can not be written to its journal ({reason}): check its settings and hyperparameters")]
    Unkeepable {
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused a thread.
    #[error("no thread for the journal: raise the limit on processes (ulimit -u)")]
    Thread(#[source] std::io::Error),
    /// A setting that can not be as it is.
    #[error("`{field}` {reason}")]
    Setting {
        /// Name of the setting: the method of the builder.
        field: &'static str,
        /// What is wrong with it, and what to do.
        reason: &'static str,
    },
    /// A cv or tune without cells.
    #[error("there is no cell to train: give at least one fold and one seed")]
    NoCells,
    /// A tune without trials.
    #[error("there is no configuration to try: n-trials must be at least 1")]
    NoTrials,
    /// The job was not taken or is lost.
    #[error(transparent)]
    Job(#[from] JobError),
}

impl EngineError {
    /// The setting that is wrong: a method of [`EngineBuilder`](crate::EngineBuilder), or a field of the request. `None` where it is
    /// none: the system refuses a thread, or what lies on the disk is damaged.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Devices(error) => Some(of_inventory(error)),
            Self::NoRanks { .. } | Self::Start(StartError::NoDevice) => Some("devices"),
            Self::Placement(error) => Some(of_placement(error)),
            Self::OneRunOnNodes { .. } | Self::Allocation(_) => Some("num_nodes"),
            Self::Launch(_) | Self::RanksAreProcesses => Some("process_workers"),
            Self::Session(_) | Self::Folder { .. } => Some("artifact_dir"),
            Self::Start(StartError::NoSlot) => Some("runs_per_device"),
            Self::Start(StartError::Locks(_)) => Some("lock_dir"),
            Self::Artifacts(error) => of_artifacts(error),
            Self::Name { .. } => Some("name"),
            Self::Resume(_) => Some("keeping"),
            Self::Unkeepable { .. } => Some("settings"),
            Self::Setting { field, .. } => Some(field),
            Self::NoCells => Some("cells"),
            Self::NoTrials => Some("n_trials"),
            Self::Follow(_) | Self::Follows { .. } | Self::Start(_) | Self::History(_) => None,
            Self::Thread(_) | Self::Job(_) => None,
        }
    }
}

fn of_inventory(error: &InventoryError) -> &'static str {
    use InventoryError as Wrong;
    match error {
        Wrong::UnknownAccelerator { .. }
        | Wrong::NoGpu { .. }
        | Wrong::NoMps
        | Wrong::NoTpu
        | Wrong::Nothing => "accelerator",
        Wrong::Unsupported { .. } => "supported",
        _ => "devices",
    }
}

fn of_placement(error: &PlacementError) -> &'static str {
    match error {
        PlacementError::Packed { .. } => "runs_per_device",
        PlacementError::NoRanks { .. } => "num_nodes",
        PlacementError::NoDevice => "devices",
        _ => "strategy",
    }
}

fn of_artifacts(error: &ArtifactError) -> Option<&'static str> {
    match error {
        ArtifactError::Exists { .. } => Some("name"),
        ArtifactError::Randomness { .. } => None,
        _ => Some("artifact_dir"),
    }
}
