//! What can be wrong with an engine or a job before anything runs.

use engine_actors::system::{JobError, StartError};
use engine_devices::{InventoryError, LaunchError, PlacementError};
use thiserror::Error;

use crate::artifacts::ArtifactError;
use crate::names::NameError;

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
