//! Memory that the device reads by itself.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute};

use super::{Context, Failed, Of};

/// Memory of this process that stays where it is while this lives, so that frames in it go to the device by DMA: the driver
/// copies what is not registered once more, on a core.
///
/// It borrows the memory, which cannot go before it: a ring has to outlive its registration.
#[derive(Debug)]
pub struct Registered<'m> {
    context: Arc<Context>,
    at: *mut c_void,
    memory: PhantomData<&'m [UnsafeCell<u8>]>,
}

impl<'m> Registered<'m> {
    /// Registers `memory`, of which nothing is read or written here; for reading alone, where the device knows that.
    ///
    /// # Errors
    /// Where the driver refuses, as it does for memory that is a device's own. Frames there are sent all the same.
    pub fn new(context: &Arc<Context>, memory: &'m [UnsafeCell<u8>]) -> Result<Self, Failed> {
        let _entered = context.enter()?;
        let reads = Attribute::CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED;
        let flags = match context.attribute(reads)? {
            0 => 0,
            _ => sys::CU_MEMHOSTREGISTER_READ_ONLY,
        };
        let at = memory.as_ptr().cast_mut().cast();
        // SAFETY: *waited for*: the memory is mapped for `'m`, which this does not outlive, and `Drop` ends it once. The device reads of
        // it what `Gpu::run` says.
        unsafe { sys::cuMemHostRegister_v2(at, memory.len(), flags) }
            .result()
            .of("cuMemHostRegister")?;
        let from = at.addr();
        context.add_registered(from..from + memory.len());
        Ok(Registered {
            context: Arc::clone(context),
            at,
            memory: PhantomData,
        })
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.context.remove_registered(self.at.addr());
        // A late device may still read: the driver holds the pages, wherever the mapping goes.
        if self.context.is_late() {
            return;
        }
        if let Ok(_entered) = self.context.enter() {
            // SAFETY: *of the driver*, *waited for*: it was registered in this context, and nobody copies from it now.
            let _ = unsafe { sys::cuMemHostUnregister(self.at) };
        }
    }
}
