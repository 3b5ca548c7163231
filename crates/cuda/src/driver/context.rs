//! The device, and what all that use it share.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute, CUresult};

use super::{Failed, Of};

/// The driver's interface that kernels were compiled for, as the driver numbers it: CUDA 13.0.
const DRIVER: i32 = 13_000;
/// The oldest compute capability that kernels were compiled for.
const CAPABILITY: (i32, i32) = (8, 0);

/// Why there is no GPU to run on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// This program is a static one.
    #[error(
        "this program is linked statically and cannot load the CUDA driver: take one that is not, or run on the CPU"
    )]
    Static,
    /// There is no driver library.
    #[error(
        "no CUDA driver on this machine (libcuda.so.1 is not found): install NVIDIA's driver 580 or newer, or run on the CPU"
    )]
    NoDriver,
    /// What was found is the toolkit's stand-in for the driver, for linking alone.
    #[error(
        "the libcuda.so that is found is the CUDA toolkit's stub, which is no driver: take its folder out of LD_LIBRARY_PATH, or run on the CPU"
    )]
    Stub,
    /// The driver is older than the kernels.
    #[error(
        "the CUDA driver is too old: it knows CUDA {}.{}, and 13.0 is needed: install NVIDIA's driver 580 or newer, or run on the CPU",
        .0 / 1000, .0 % 1000 / 10
    )]
    OldDriver(i32),
    /// There is no such device.
    #[error(
        "the CUDA driver finds no GPU {number} (there are {found}): see nvidia-smi, or run on the CPU"
    )]
    NoDevice {
        /// The one that was asked for.
        number: u32,
        /// How many there are.
        found: u32,
    },
    /// The device is older than the kernels.
    #[error("{name} has compute capability {major}.{minor}, and 8.0 is needed: run on the CPU")]
    OldDevice {
        /// As the driver calls it.
        name: String,
        /// The first half of its capability.
        major: i32,
        /// The second half.
        minor: i32,
    },
    /// The driver refused.
    #[error("{0}: see nvidia-smi, or run on the CPU")]
    Failed(#[from] Failed),
}

/// A device that kernels can run on.
pub struct Context {
    name: String,
    multiprocessors: u32,
    device: sys::CUdevice,
    context: sys::CUcontext,
    /// Whether the device did not end in time what it was given.
    late: AtomicBool,
    /// Addresses of this process that the device reads by itself.
    registered: RwLock<Vec<Range<usize>>>,
}

// SAFETY: *any thread*.
unsafe impl Send for Context {}
// SAFETY: *any thread*.
unsafe impl Sync for Context {}

impl Context {
    /// GPU `number`, from 0.
    ///
    /// # Errors
    /// [`OpenError`] says what is missing, and what to do.
    pub fn open(number: u32) -> Result<Arc<Self>, OpenError> {
        if cfg!(target_feature = "crt-static") {
            return Err(OpenError::Static);
        }
        // SAFETY: *of the driver*: loads and drops its library, whose initializers are NVIDIA's.
        if !unsafe { sys::is_culib_present() } {
            return Err(OpenError::NoDriver);
        }
        let mut version = 0;
        // SAFETY: *of the driver*: the library is there, and `version` outlives the call, which needs no context.
        unsafe { sys::cuDriverGetVersion(&mut version) }
            .result()
            .of("cuDriverGetVersion")
            .map_err(refused)?;
        if version < DRIVER {
            return Err(OpenError::OldDriver(version));
        }
        let found = match result::init() {
            Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => 0,
            initialized => {
                initialized.of("cuInit").map_err(refused)?;
                result::device::get_count().of("cuDeviceGetCount")?
            }
        };
        let found = u32::try_from(found).unwrap_or(0);
        let Some(ordinal) = i32::try_from(number).ok().filter(|_| number < found) else {
            return Err(OpenError::NoDevice { number, found });
        };
        let device = result::device::get(ordinal).of("cuDeviceGet")?;
        let name = result::device::get_name(device).of("cuDeviceGetName")?;
        let [major, minor, multiprocessors] = [
            Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
            Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
        ]
        .map(|which| attribute(device, which));
        let (major, minor) = (major?, minor?);
        if (major, minor) < CAPABILITY {
            return Err(OpenError::OldDevice { name, major, minor });
        }
        let multiprocessors = multiprocessors?.max(1) as u32;
        // SAFETY: *of the driver*: `device` is; `Drop` releases the context once.
        let context =
            unsafe { result::primary_ctx::retain(device) }.of("cuDevicePrimaryCtxRetain")?;
        Ok(Arc::new(Context {
            name,
            multiprocessors,
            device,
            context,
            late: AtomicBool::new(false),
            registered: RwLock::default(),
        }))
    }

    /// As the driver calls the device.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Multiprocessors of the device.
    pub fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// Makes the context that of this thread, for as long as what comes back lives.
    pub(super) fn enter(&self) -> Result<Entered, Failed> {
        // SAFETY: *of the driver*: the context is retained until `Drop`.
        unsafe { sys::cuCtxPushCurrent_v2(self.context) }
            .result()
            .of("cuCtxPushCurrent")?;
        Ok(Entered(PhantomData))
    }

    pub(super) fn attribute(&self, which: Attribute) -> Result<i32, Failed> {
        attribute(self.device, which)
    }

    /// Whether the device reads all these addresses of this process by itself, as of one registration.
    pub(super) fn reads(&self, all: Range<usize>) -> bool {
        let holds = |of: &Range<usize>| of.start <= all.start && all.end <= of.end;
        let registered = self
            .registered
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        registered.iter().any(holds)
    }

    /// From now on the device reads these by itself.
    pub(super) fn add_registered(&self, addresses: Range<usize>) {
        self.registered().push(addresses);
    }

    /// From now on it does not read those that begin there.
    pub(super) fn remove_registered(&self, start: usize) {
        let mut registered = self.registered();
        if let Some(i) = registered.iter().position(|of| of.start == start) {
            registered.swap_remove(i);
        }
    }

    fn registered(&self) -> RwLockWriteGuard<'_, Vec<Range<usize>>> {
        // A list is whole between two of its calls.
        self.registered
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the device did not end in time: what it may still read or write is never given back.
    pub(super) fn set_late(&self) {
        self.late.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }
}

/// A thread is in the context; then it is back where it was, which may be another library's.
#[must_use]
pub(super) struct Entered(PhantomData<*const ()>);

impl Drop for Entered {
    fn drop(&mut self) {
        let mut left = std::ptr::null_mut();
        // SAFETY: *of the driver*: this thread pushed it, and `left` outlives the call.
        let _ = unsafe { sys::cuCtxPopCurrent_v2(&mut left) };
    }
}

/// A stub answers everything with a word of its own. It is found before the driver, as a library without a version is looked for first.
fn refused(failed: Failed) -> OpenError {
    match failed.status {
        CUresult::CUDA_ERROR_STUB_LIBRARY => OpenError::Stub,
        _ => OpenError::Failed(failed),
    }
}

fn attribute(device: sys::CUdevice, which: Attribute) -> Result<i32, Failed> {
    // SAFETY: *of the driver*: `device` is.
    unsafe { result::device::get_attribute(device, which) }.of("cuDeviceGetAttribute")
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // Waiting for a late device would stop whoever drops this.
        if !self.is_late() {
            // What a lost device refuses is lost with it.
            // SAFETY: *of the driver*: it was retained once, and nobody uses it any more.
            let _ = unsafe { result::primary_ctx::release(self.device) };
        }
    }
}
