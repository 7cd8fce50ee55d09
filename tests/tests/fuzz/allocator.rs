//! Counts what one thread allocates, so that a reader that believes a hostile length is found out.

#![expect(
    unsafe_code,
    reason = "an allocator is unsafe by its interface; this one counts and hands on to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Bytes a call may hold before the next request is refused, which ends the process: rather that than the machine.
const REFUSED_BYTES: isize = 6 << 30;

/// What a call took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes it held.
    live: isize,
    /// The most it held at once.
    pub peak: isize,
}

thread_local! {
    /// `None` while nobody counts. Needs no destructor, so that it is there for as long as the thread allocates.
    static TAKEN: Cell<Option<Taken>> = const { Cell::new(None) };
}

/// What the call takes from the heap on this thread, and what it answers.
pub fn counted<T>(call: impl FnOnce() -> T) -> (T, Taken) {
    TAKEN.set(Some(Taken::default()));
    let answer = call();
    (answer, TAKEN.take().unwrap_or_default())
}

/// Whether this thread is within [`counted`].
pub fn is_counting() -> bool {
    TAKEN.get().is_some()
}

/// The system's allocator, with an account of each thread that wants one.
pub struct Counting;

/// Whether the request may be served.
fn book(bytes: isize) -> bool {
    let Ok(Some(mut taken)) = TAKEN.try_with(Cell::get) else { return true };
    taken.live = taken.live.saturating_add(bytes);
    let may = bytes <= 0 || taken.live < REFUSED_BYTES;
    taken.peak = taken.peak.max(taken.live);
    TAKEN.set(Some(taken));
    may
}

fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

// SAFETY: every request goes to the system's allocator as it came, or is answered with null, which is allowed.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        if book(signed(layout.size())) { unsafe { System.alloc(layout) } } else { std::ptr::null_mut() }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        if book(signed(layout.size())) {
            unsafe { System.alloc_zeroed(layout) }
        } else {
            std::ptr::null_mut()
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        book(-signed(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !book(signed(size).saturating_sub(signed(layout.size()))) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[test]
fn what_a_call_takes_is_counted_and_what_others_take_is_not() {
    let other = std::thread::spawn(|| vec![1_u8; 50 << 20].len());
    let (length, taken) = counted(|| {
        let mut held = vec![0_u8; 10 << 20];
        drop(vec![1_u8; 30 << 20]);
        held.resize(20 << 20, 1);
        held.len()
    });
    assert_eq!((length, other.join().unwrap()), (20 << 20, 50 << 20));
    assert!((40 << 20..41 << 20).contains(&taken.peak), "{taken:?}");
    // Memory of others that is freed meanwhile gives nobody room.
    let before = vec![1_u8; 30 << 20];
    let ((), taken) = counted(|| drop(before));
    assert_eq!(taken.peak, 0);
}
