//! An allocator that counts, for tests that claim to allocate nothing.
//!
//! Counts are kept per thread, so tests that run beside each other do not disturb each other.
//! Threads that the measured code starts are not counted.
//!
//! ```
//! use hitgate_testkit::alloc::{Counting, Counts, count};
//!
//! #[global_allocator]
//! static ALLOCATOR: Counting = Counting;
//!
//! hitgate_testkit::alloc::prove_installed();
//! assert_eq!(count(|| 1 + 1).1, Counts::default());
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

/// The system's allocator, counted. Install it with `#[global_allocator]`.
pub struct Counting;

/// What a thread asked of the allocator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks allocated.
    pub allocs: u64,
    /// Blocks resized.
    pub reallocs: u64,
    /// Blocks freed.
    pub frees: u64,
}

thread_local! {
    // Const and without a destructor, so that reading it never allocates.
    static COUNTS: Cell<Counts> = const {
        Cell::new(Counts { allocs: 0, reallocs: 0, frees: 0 })
    };
}

/// What `work` asks of the allocator on this thread, beside its result.
pub fn count<T>(work: impl FnOnce() -> T) -> (T, Counts) {
    let before = COUNTS.get();
    let result = work();
    let after = COUNTS.get();
    let counts = Counts {
        allocs: after.allocs - before.allocs,
        reallocs: after.reallocs - before.reallocs,
        frees: after.frees - before.frees,
    };
    (result, counts)
}

/// Panics unless [`Counting`] is this program's allocator and sees each kind of request. A test that
/// counts nothing would pass without it.
pub fn prove_installed() {
    let (_, seen) = count(|| {
        let mut block = black_box(Vec::<u8>::with_capacity(16));
        block.reserve_exact(black_box(4096));
        drop(black_box(block));
    });
    let expected = Counts {
        allocs: 1,
        reallocs: 1,
        frees: 1,
    };
    assert_eq!(
        seen, expected,
        "the counting allocator is not installed: declare it as #[global_allocator]"
    );
}

fn add(change: impl FnOnce(&mut Counts)) {
    let mut counts = COUNTS.get();
    change(&mut counts);
    COUNTS.set(counts);
}

// SAFETY: *passed on*: every request goes to `System` as it came; counting touches a `Cell` of this thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(|counts| counts.allocs += 1);
        // SAFETY: *passed on*.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(|counts| counts.allocs += 1);
        // SAFETY: *passed on*.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(|counts| counts.reallocs += 1);
        // SAFETY: *passed on*.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        add(|counts| counts.frees += 1);
        // SAFETY: *passed on*.
        unsafe { System.dealloc(block, layout) }
    }
}
