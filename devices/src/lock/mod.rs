//! Locks that keep the engine processes of one machine off each other's devices.
//!
//! A device is known by its UUID. In the lock folder, which all users of the machine share:
//!
//! - `UUID.lock` is locked exclusively by a run that has the device alone, and shared by runs that are packed on it;
//! - `UUID.SLOT.lock` is locked exclusively by each packed run, for one slot number;
//! - `UUID.worker.lock` and `UUID.SLOT.worker.lock` are locked by the worker processes themselves. An engine that is
//!   killed loses its own locks first and its workers a moment later; the device is free when both are gone.
//!
//! The kernel frees a lock when its process ends, however it ends, so nothing has to be cleaned up after a crash. Each
//! locked file holds one line for people: who holds it, since when, and how much memory it needs.
//!
//! The folder belongs on a file system of the machine itself: a lock on a network file system may bind other machines,
//! or nobody.
//!
//! # Sources
//! flock(2); for what is opened how, `protected_regular` and `protected_symlinks` in proc_sys_fs(5).

mod error;
mod file;
mod holders;
mod locks;
mod note;

pub use error::LockError;
pub use holders::{Held, holders};
pub use locks::{Attempt, DeviceLock, DeviceLocks, WorkerLock};
