//! What the engine runs on: devices, leases, placement, and the workers that are held to them.
//!
//! - [`inventory`]: what there is, and which of it the user asked for
//! - [`placement`]: how many cvs and cells run at once, and who holds the lease
//! - [`lease`]: the book of leases, synchronous and pure
//! - [`lock`]: locks against the other engine processes of the machine
//! - [`rank`]: which process of a data-parallel run this is
//! - [`allocation`]: which of the processes that `srun` or `torchrun` started this is
//! - `c10d`: the exchanges of such a run (feature `tch`)
//! - [`usage`]: how busy machine and workers are
//! - [`frame`]: one message on a pipe
//! - [`threads`]: threads that are used again
//! - [`worker`]: child processes and named threads behind one interface
//!
//! No actor, no async runtime and no file format belongs here.

pub mod allocation;
#[cfg(feature = "tch")]
pub mod c10d;
pub mod frame;
pub mod inventory;
pub mod lease;
pub mod lock;
pub mod placement;
pub mod rank;
#[cfg(feature = "tch")]
pub mod shim;
pub mod suggest;
pub mod threads;
pub mod usage;
pub mod worker;

pub use allocation::{Allocation, AllocationError};
pub use inventory::{Accelerator, DeviceId, DeviceInfo, DeviceKind, InventoryError, select, select_among};
pub use lease::{
    DeviceUse, Grant, LeaseBook, LeaseEffect, LeaseEvent, LeaseId, LeaseSnapshot, LeaseUse, Place,
    RefuseReason, Share, Ticket, Want,
};
pub use lock::{DeviceLock, DeviceLocks, LockError, WorkerLock};
pub use placement::{
    LeasedBy, Placement, PlacementError, RunTakes, RunsPerDevice, Strategy, check_combination,
};
pub use worker::{
    AfterWork, AttachError, EventSink, Exit, ExitReport, FollowError, Follower, GroupLauncher, Heard, Judge,
    Launch, LaunchError, Launcher, Lead, Patience, PortError, ProcessLauncher, Program, ProgramEnd,
    ProgramError, ReservedPort, SendError, SessionError, ThreadLauncher, WarmLauncher, Whose, Worker,
    WorkerEvent, WorkerPort, WorkerReceiver, WorkerSender, attach_process, is_worker_process,
};
