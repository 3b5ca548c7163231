//! The functions that the caller gives.

use core::ffi::c_void;
use core::ops::Range;

use hitgate_core::frame::FrameHeader;
use hitgate_core::pipeline::Node as CoreNode;
use hitgate_core::verdict::External;
use hitgate_ring::CacheHooks;

use crate::engine::external_in;
use crate::types::Node;

/// A node whose answers are the caller's functions.
///
/// Invariant *callable*: each that is not null may be called with the context until the path is closed,
/// on the threads that its documentation names.
#[derive(Clone, Copy)]
pub struct Callbacks(Node);

// SAFETY: *callable*: the functions are called on the threads that the caller chose for them.
unsafe impl Send for Callbacks {}
// SAFETY: *callable*, as above.
unsafe impl Sync for Callbacks {}

impl Callbacks {
    /// # Safety
    /// *Callable*.
    pub const unsafe fn new(node: &Node) -> Self {
        Callbacks(*node)
    }

    /// Whether caches need help.
    pub const fn has_cache_hooks(&self) -> bool {
        self.0.before_cpu_read.is_some() || self.0.after_cpu_read.is_some()
    }

    fn hook(
        &self,
        hook: Option<unsafe extern "C" fn(*mut c_void, usize, usize)>,
        range: Range<usize>,
    ) {
        if let Some(hook) = hook {
            // SAFETY: *callable*.
            unsafe { hook(self.0.context, range.start, range.len()) }
        }
    }
}

impl CoreNode for Callbacks {
    fn now_ns(&self) -> u64 {
        match self.0.now_ns {
            // SAFETY: *callable*.
            Some(now_ns) => unsafe { now_ns(self.0.context) },
            None => 0,
        }
    }

    fn external(&mut self, header: &FrameHeader) -> Option<External> {
        let external = self.0.external?;
        // SAFETY: *callable*; the header lives until the function comes back.
        let code = unsafe { external(self.0.context, header) };
        // What nobody understands must not cost a frame.
        external_in(code).unwrap_or(Some(External::Keep))
    }
}

impl CacheHooks for Callbacks {
    fn before_cpu_read(&self, range: Range<usize>) {
        self.hook(self.0.before_cpu_read, range);
    }

    fn after_cpu_read(&self, range: Range<usize>) {
        self.hook(self.0.after_cpu_read, range);
    }
}
