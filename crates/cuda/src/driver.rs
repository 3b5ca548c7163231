#![allow(
    unsafe_code,
    reason = "the CUDA driver is a C library: this file is all that calls it"
)]
//! A GPU by the CUDA driver, which is looked for when the program runs: its memory, one stream, and recorded launches.

use std::ffi::{CString, c_void};
use std::fmt;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute, CUresult};

use crate::launch::{Launch, THREADS};
use crate::memory::UNIT;

/// The driver's interface that kernels were compiled for, as the driver numbers it: CUDA 13.0.
const DRIVER: i32 = 13_000;
/// The oldest compute capability that kernels were compiled for.
const CAPABILITY: (i32, i32) = (8, 0);

/// All kernels, for every architecture.
static KERNELS: &Aligned<[u8]> = &Aligned(*include_bytes!("../kernels/kernels.fatbin"));

#[repr(align(64))]
struct Aligned<T: ?Sized>(T);

/// Why there is no GPU to run on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no driver library.
    #[error(
        "no CUDA driver on this machine (libcuda.so.1 is not found): install NVIDIA's driver 580 or newer, or run on the CPU"
    )]
    NoDriver,
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
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// What the driver refused, and how it calls that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    call: &'static str,
    status: CUresult,
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { call, status } = self;
        write!(f, "the GPU failed: {call}: {status:?}")
    }
}

impl std::error::Error for Failed {}

fn failed<T>(call: &'static str, status: CUresult) -> Result<T, Failed> {
    Err(Failed { call, status })
}

/// Names the call that a status belongs to.
trait Of<T> {
    fn of(self, call: &'static str) -> Result<T, Failed>;
}

impl<T> Of<T> for Result<T, DriverError> {
    fn of(self, call: &'static str) -> Result<T, Failed> {
        self.map_err(|DriverError(status)| Failed { call, status })
    }
}

/// Launches that were recorded, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded(usize);

/// Memory on this side that the device reads and writes by itself.
struct Pinned {
    at: *mut u8,
    bytes: usize,
}

/// A device with its kernels, and one piece of its memory.
pub struct Gpu {
    name: String,
    multiprocessors: u32,
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
    module: sys::CUmodule,
    memory: sys::CUdeviceptr,
    bytes: u64,
    recorded: Vec<sys::CUgraphExec>,
    /// What goes to the device besides frames, and what comes back.
    pinned: Pinned,
    /// Whether the device did not end in time what it was given.
    late: bool,
}

// SAFETY: the driver's handles may be used from any thread that has made the context its own, which every method does first; nothing
// is shared with another `Gpu` but the context, which the driver locks.
unsafe impl Send for Gpu {}

impl Gpu {
    /// GPU `number`, with memory of so many `bytes` that begins with `constants`, and so many bytes of memory on this side.
    ///
    /// # Errors
    /// [`OpenError`] says what is missing, and what to do.
    pub fn open(
        number: u32,
        constants: &[u8],
        bytes: u64,
        pinned: usize,
    ) -> Result<Self, OpenError> {
        // SAFETY: loads and drops a library, whose initializers are NVIDIA's.
        if !unsafe { sys::is_culib_present() } {
            return Err(OpenError::NoDriver);
        }
        let mut version = 0;
        // SAFETY: the library is there, and `version` outlives the call, which needs no context.
        unsafe { sys::cuDriverGetVersion(&mut version) }
            .result()
            .of("cuDriverGetVersion")?;
        if version < DRIVER {
            return Err(OpenError::OldDriver(version));
        }
        let found = match result::init() {
            Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => 0,
            initialized => {
                initialized.of("cuInit")?;
                result::device::get_count().of("cuDeviceGetCount")?
            }
        };
        let found = u32::try_from(found).unwrap_or(0);
        let Some(ordinal) = i32::try_from(number).ok().filter(|_| number < found) else {
            return Err(OpenError::NoDevice { number, found });
        };
        let device = result::device::get(ordinal).of("cuDeviceGet")?;
        let name = result::device::get_name(device).of("cuDeviceGetName")?;
        let attribute = |attribute| {
            // SAFETY: `device` is one of the driver's.
            unsafe { result::device::get_attribute(device, attribute) }.of("cuDeviceGetAttribute")
        };
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        if (major, minor) < CAPABILITY {
            return Err(OpenError::OldDevice { name, major, minor });
        }
        let multiprocessors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        // SAFETY: `device` is one of the driver's; `Drop` releases the context once.
        let context =
            unsafe { result::primary_ctx::retain(device) }.of("cuDevicePrimaryCtxRetain")?;
        let mut gpu = Gpu {
            name,
            multiprocessors: multiprocessors.max(1) as u32,
            device,
            context,
            stream: std::ptr::null_mut(),
            module: std::ptr::null_mut(),
            memory: 0,
            bytes,
            recorded: Vec::new(),
            pinned: Pinned {
                at: std::ptr::null_mut(),
                bytes: 0,
            },
            late: false,
        };
        gpu.fill(constants, pinned)?;
        Ok(gpu)
    }

    /// Loads the kernels and takes the memory.
    fn fill(&mut self, constants: &[u8], pinned: usize) -> Result<(), Failed> {
        assert!(
            constants.len() as u64 <= self.bytes,
            "constants are a part of the memory"
        );
        self.enter()?;
        let kind = result::stream::StreamKind::NonBlocking;
        self.stream = result::stream::create(kind).of("cuStreamCreate")?;
        // SAFETY: the image is a whole fatbin, which says its own length; the context is this one's. Memory is taken once, and given
        // back in `Drop`; what is copied fits, by the assertion.
        unsafe {
            let image = KERNELS.0.as_ptr().cast::<c_void>();
            self.module = result::module::load_data(image).of("cuModuleLoadData")?;
            self.memory = result::malloc_sync(self.bytes as usize).of("cuMemAlloc")?;
            result::memcpy_htod_sync(self.memory, constants).of("cuMemcpyHtoD")?;
            let at = result::malloc_host(pinned, 0).of("cuMemHostAlloc")?;
            self.pinned = Pinned {
                at: at.cast(),
                bytes: pinned,
            };
            // Nobody reads what was never written.
            std::ptr::write_bytes(self.pinned.at, 0, pinned);
        }
        Ok(())
    }

    /// As the driver calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Multiprocessors.
    pub fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// Makes the context that of this thread.
    fn enter(&self) -> Result<(), Failed> {
        // SAFETY: the context is retained until `Drop`.
        unsafe { result::ctx::set_current(self.context) }.of("cuCtxSetCurrent")
    }

    /// Records `launches`, to be replayed as one.
    ///
    /// # Errors
    /// Where the driver refuses, or has no such kernel.
    pub fn record(&mut self, launches: &[Launch]) -> Result<Recorded, Failed> {
        self.enter()?;
        let mut kernels = Vec::new();
        for launch in launches {
            let name = CString::new(launch.kernel).unwrap_or_default();
            // SAFETY: the module is loaded.
            let kernel = unsafe { result::module::get_function(self.module, name) };
            let kernel = kernel.of("cuModuleGetFunction")?;
            let (mut offset, mut bytes) = (0, 0);
            // SAFETY: the kernel is there, and both outlive the call.
            let status = unsafe { sys::cuFuncGetParamInfo(kernel, 1, &mut offset, &mut bytes) };
            status.result().of("cuFuncGetParamInfo")?;
            if bytes != size_of_val(&*launch.parameters) {
                return failed("cuLaunchKernel", CUresult::CUDA_ERROR_INVALID_VALUE);
            }
            kernels.push(kernel);
        }
        let mode = sys::CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is ours; nothing is launched, only recorded. A kernel's two arguments are copied within the call:
        // the address of the memory, and a struct of as many bytes as the kernel takes, as was seen above. A place beyond the memory
        // is the device's fault, and an error.
        unsafe {
            result::stream::begin_capture(self.stream, mode).of("cuStreamBeginCapture")?;
            let mut launched = Ok(());
            for (launch, kernel) in launches.iter().zip(kernels) {
                let [x, y, z] = launch.grid;
                let mut memory = self.memory;
                let mut words = launch.parameters.clone();
                let arguments = &mut [(&raw mut memory).cast(), words.as_mut_ptr().cast()];
                let (grid, block) = ((x, y, z), (THREADS, 1, 1));
                let one = result::launch_kernel(
                    kernel,
                    grid,
                    block,
                    launch.shared,
                    self.stream,
                    arguments,
                );
                launched = launched.and(one);
            }
            // Ends in any case, or the stream would record for ever.
            let graph = result::stream::end_capture(self.stream);
            launched.of("cuLaunchKernel")?;
            let graph = graph.of("cuStreamEndCapture")?;
            let executable = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            result::graph::destroy(graph).of("cuGraphDestroy")?;
            self.recorded.push(executable.of("cuGraphInstantiate")?);
        }
        Ok(Recorded(self.recorded.len() - 1))
    }

    /// The memory on this side, to look at.
    pub fn pinned_bytes(&self) -> &[u8] {
        // SAFETY: as in `pinned`.
        unsafe { std::slice::from_raw_parts(self.pinned.at, self.pinned.bytes) }
    }

    /// The memory on this side.
    pub fn pinned(&mut self) -> &mut [u8] {
        // SAFETY: so long and initialized since `fill`; the device touches it within `run` alone, which has `self` to itself, unless
        // `run` failed: then nobody may trust the bytes, and any value is a u8.
        unsafe { std::slice::from_raw_parts_mut(self.pinned.at, self.pinned.bytes) }
    }

    /// Sends `frames`, each to its place, and the pinned bytes of `sent`; replays what was recorded; and has the pinned bytes of
    /// `received` filled. A [`Piece`] says which and where. Returns when all that is done.
    ///
    /// # Errors
    /// What the driver refused; `CUDA_ERROR_TIMEOUT` where `late` said so first. The device is lost then.
    pub fn run<'f>(
        &mut self,
        frames: impl Iterator<Item = (u32, &'f [u8])>,
        sent: Piece,
        recorded: Recorded,
        received: &[Piece],
        late: impl Fn() -> bool,
    ) -> Result<(), Failed> {
        self.enter()?;
        for (place, bytes) in frames.filter(|(_, bytes)| !bytes.is_empty()) {
            let to = self.address(place, bytes.len());
            // SAFETY: it fits the memory, by `address`. `bytes` live until this returns; where it returns early the driver has what is not
            // page-locked in a buffer of its own, and what is page-locked stays so while the device reads it.
            unsafe { result::memcpy_htod_async(to, bytes, self.stream) }.of("cuMemcpyHtoDAsync")?;
        }
        let stream = self.stream;
        if sent.bytes > 0 {
            let to = self.address(sent.place, sent.bytes);
            let bytes = &self.pinned()[sent.from..][..sent.bytes];
            // SAFETY: as above; pinned memory lives as long as `self`.
            unsafe { result::memcpy_htod_async(to, bytes, stream) }.of("cuMemcpyHtoDAsync")?;
        }
        let Some(&executable) = self.recorded.get(recorded.0) else {
            return failed("cuGraphLaunch", CUresult::CUDA_ERROR_INVALID_HANDLE);
        };
        // SAFETY: it was instantiated in this context, and lives as long as `self`.
        unsafe { result::graph::launch(executable, stream) }.of("cuGraphLaunch")?;
        for piece in received.iter().filter(|piece| piece.bytes > 0) {
            let from = self.address(piece.place, piece.bytes);
            let bytes = &mut self.pinned()[piece.from..][..piece.bytes];
            // SAFETY: as above.
            unsafe { result::memcpy_dtoh_async(bytes, from, stream) }.of("cuMemcpyDtoHAsync")?;
        }
        loop {
            // SAFETY: the stream is ours.
            match unsafe { sys::cuStreamQuery(stream) } {
                CUresult::CUDA_SUCCESS => return Ok(()),
                CUresult::CUDA_ERROR_NOT_READY if late() => {
                    self.late = true;
                    return failed("cuStreamQuery", CUresult::CUDA_ERROR_TIMEOUT);
                }
                CUresult::CUDA_ERROR_NOT_READY => std::hint::spin_loop(),
                status => return failed("cuStreamQuery", status),
            }
        }
    }

    /// Where so many bytes from a place on lie on the device.
    fn address(&self, place: u32, bytes: usize) -> sys::CUdeviceptr {
        let at = u64::from(place) * UNIT as u64;
        assert!(
            at + bytes as u64 <= self.bytes,
            "places are within the memory"
        );
        self.memory + at
    }
}

/// So many bytes of the pinned memory, and their place on the device.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// The first byte of the pinned memory.
    pub from: usize,
    /// Their place on the device.
    pub place: u32,
    /// How many.
    pub bytes: usize,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // A late device may still write to pinned memory, now or never: waiting for it would stop the path, so that all stays.
        if self.late {
            return;
        }
        // What a lost device refuses is lost with it, and nothing can be done about it here.
        // SAFETY: each was made in this context, and is given back once. The stream is waited for first, so that the device no
        // longer writes to pinned memory.
        unsafe {
            let _ = self.enter();
            if !self.stream.is_null() {
                let _ = result::stream::synchronize(self.stream);
            }
            for executable in self.recorded.drain(..) {
                let _ = result::graph::exec_destroy(executable);
            }
            if !self.pinned.at.is_null() {
                let _ = result::free_host(self.pinned.at.cast());
            }
            if self.memory != 0 {
                let _ = result::free_sync(self.memory);
            }
            if !self.module.is_null() {
                let _ = result::module::unload(self.module);
            }
            if !self.stream.is_null() {
                let _ = result::stream::destroy(self.stream);
            }
            let _ = result::primary_ctx::release(self.device);
        }
    }
}
