//! What the process takes from its heap, counted while somebody wants to know.

#![expect(
    unsafe_code,
    reason = "an allocator is unsafe by its interface; this one counts and hands on to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static REQUESTS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, which counts within [`counted`]. A bench makes it its `#[global_allocator]`; where it is not, nothing
/// is ever counted.
#[derive(Debug)]
pub struct Counting;

/// What was asked of the heap. What is given back is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Allocations, and those that grew.
    pub requests: u64,
    /// Bytes asked for in all.
    pub bytes: u64,
}

/// What all threads of the process take while this call lasts. One at a time.
pub fn counted<T>(call: impl FnOnce() -> T) -> (T, Taken) {
    let before = begin();
    let answer = call();
    (answer, end(before))
}

/// As [`counted`], for a call that waits.
pub async fn counted_while<T>(call: impl Future<Output = T>) -> (T, Taken) {
    let before = begin();
    let answer = call.await;
    (answer, end(before))
}

fn now() -> Taken {
    Taken { requests: REQUESTS.load(Ordering::Relaxed), bytes: BYTES.load(Ordering::Relaxed) }
}

fn begin() -> Taken {
    IS_COUNTING.store(true, Ordering::Relaxed);
    now()
}

fn end(before: Taken) -> Taken {
    IS_COUNTING.store(false, Ordering::Relaxed);
    let now = now();
    Taken { requests: now.requests - before.requests, bytes: now.bytes - before.bytes }
}

fn note(bytes: usize) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

// SAFETY: every request goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size.saturating_sub(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }
}
