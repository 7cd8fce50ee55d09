//! `c10d/shim.h`, and owners of what it makes.

#![expect(unsafe_code, reason = "calls of the shim over libtorch's C++ interface")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;

use crate::shim::{ErrorText, call};

/// A type of the shim that is only ever pointed to.
macro_rules! opaque {
    ($name:ident) => {
        #[repr(C)]
        struct $name {
            _private: [u8; 0],
        }
    };
}
opaque!(CStore);
opaque!(CGroup);
opaque!(CWork);

unsafe extern "C" {
    fn engine_c10d_store(
        host: *const c_char,
        port: u16,
        listener: c_int,
        serves: bool,
        world: c_int,
        timeout_ms: i64,
        store: *mut *mut CStore,
        error: ErrorText,
    ) -> bool;
    fn engine_c10d_store_free(store: *mut CStore);
    fn engine_c10d_gloo(
        store: *const CStore,
        name: *const c_char,
        rank: c_int,
        world: c_int,
        timeout_ms: i64,
        address: *const c_char,
        interface: *const c_char,
        group: *mut *mut CGroup,
        error: ErrorText,
    ) -> bool;
    #[cfg(engine_nccl)]
    fn engine_c10d_nccl(
        store: *const CStore,
        name: *const c_char,
        rank: c_int,
        world: c_int,
        timeout_ms: i64,
        device: c_int,
        group: *mut *mut CGroup,
        error: ErrorText,
    ) -> bool;
    fn engine_c10d_group_free(group: *mut CGroup);
    fn engine_c10d_all_reduce(
        group: *mut CGroup,
        tensor: *mut c_void,
        op: c_int,
        work: *mut *mut CWork,
        error: ErrorText,
    ) -> bool;
    fn engine_c10d_broadcast(
        group: *mut CGroup,
        tensor: *mut c_void,
        root: c_int,
        work: *mut *mut CWork,
        error: ErrorText,
    ) -> bool;
    fn engine_c10d_barrier(group: *mut CGroup, error: ErrorText) -> bool;
    fn engine_c10d_wait(work: *mut CWork, error: ErrorText) -> bool;
    fn engine_c10d_work_free(work: *mut CWork);
}

/// Which of many, in numbers C takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    pub(super) rank: c_int,
    pub(super) world: c_int,
    pub(super) timeout_ms: i64,
}

/// Runs a call that makes something; what it answers is a text where it failed.
fn make<T>(make: impl FnOnce(*mut *mut T, ErrorText) -> bool) -> Result<NonNull<T>, String> {
    let mut made = std::ptr::null_mut();
    call(|error| make(&raw mut made, error))?;
    NonNull::new(made).ok_or_else(|| "the shim answered with nothing".to_owned())
}

/// A connection to the store of rank 0; on rank 0 the store itself.
#[derive(Debug)]
pub(super) struct Store(NonNull<CStore>);

// SAFETY: a TCPStore locks around each of its operations; the pointer is freed once, by `drop`.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Store {
    pub(super) fn connect(
        host: &CStr,
        port: u16,
        listener: Option<c_int>,
        serves: bool,
        seat: Seat,
    ) -> Result<Self, String> {
        let listener = listener.unwrap_or(-1);
        make(|store, error| {
            // SAFETY: `host` outlives the call, `store` and `error` point to locals of the callers.
            unsafe {
                engine_c10d_store(
                    host.as_ptr(),
                    port,
                    listener,
                    serves,
                    seat.world,
                    seat.timeout_ms,
                    store,
                    error,
                )
            }
        })
        .map(Self)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed nowhere else.
        unsafe { engine_c10d_store_free(self.0.as_ptr()) }
    }
}

/// A process group.
#[derive(Debug)]
pub(super) struct Handle(NonNull<CGroup>);

// SAFETY: a process group may be used from any thread, one at a time: it is not `Sync`.
unsafe impl Send for Handle {}

impl Handle {
    pub(super) fn gloo(
        store: &Store,
        name: &CStr,
        seat: Seat,
        address: Option<&CStr>,
        interface: Option<&CStr>,
    ) -> Result<Self, String> {
        let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
        make(|group, error| {
            // SAFETY: the texts outlive the call, and one of them is given; the group counts its own reference to the
            // store.
            unsafe {
                engine_c10d_gloo(
                    store.0.as_ptr(),
                    name.as_ptr(),
                    seat.rank,
                    seat.world,
                    seat.timeout_ms,
                    pointer(address),
                    pointer(interface),
                    group,
                    error,
                )
            }
        })
        .map(Self)
    }

    #[cfg(engine_nccl)]
    pub(super) fn nccl(store: &Store, name: &CStr, seat: Seat, device: c_int) -> Result<Self, String> {
        make(|group, error| {
            // SAFETY: as for `gloo`.
            unsafe {
                engine_c10d_nccl(
                    store.0.as_ptr(),
                    name.as_ptr(),
                    seat.rank,
                    seat.world,
                    seat.timeout_ms,
                    device,
                    group,
                    error,
                )
            }
        })
        .map(Self)
    }

    pub(super) fn all_reduce(&self, tensor: &mut tch::Tensor, op: c_int) -> Result<Work, String> {
        let tensor = tensor.as_mut_ptr().cast();
        // SAFETY: tch's tensor is a pointer to an `at::Tensor`, of which the work takes a reference of its own.
        make(|work, error| unsafe { engine_c10d_all_reduce(self.0.as_ptr(), tensor, op, work, error) })
            .map(Work)
    }

    pub(super) fn broadcast(&self, tensor: &mut tch::Tensor, root: c_int) -> Result<Work, String> {
        let tensor = tensor.as_mut_ptr().cast();
        // SAFETY: as for `all_reduce`.
        make(|work, error| unsafe { engine_c10d_broadcast(self.0.as_ptr(), tensor, root, work, error) })
            .map(Work)
    }

    pub(super) fn barrier(&self) -> Result<(), String> {
        // SAFETY: the group lives as long as `self`.
        call(|error| unsafe { engine_c10d_barrier(self.0.as_ptr(), error) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed nowhere else.
        unsafe { engine_c10d_group_free(self.0.as_ptr()) }
    }
}

/// An operation under way.
#[derive(Debug)]
pub(super) struct Work(NonNull<CWork>);

// SAFETY: waiting locks the work; it is not `Sync`.
unsafe impl Send for Work {}

impl Work {
    pub(super) fn wait(&self) -> Result<(), String> {
        // SAFETY: the work lives as long as `self`.
        call(|error| unsafe { engine_c10d_wait(self.0.as_ptr(), error) })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed nowhere else.
        unsafe { engine_c10d_work_free(self.0.as_ptr()) }
    }
}
