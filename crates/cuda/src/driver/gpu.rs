//! One piece of a device's memory, and recorded launches that work in it.

use std::ffi::{CString, c_void};
use std::fmt;
use std::sync::Arc;

use cudarc::driver::result;
use cudarc::driver::sys::{self, CUresult};

use super::pinned::Pinned;
use super::rows::{Rows, Seen};
use super::{Context, Failed, Of};
use crate::launch::{Launch, THREADS};
use crate::memory::UNIT;

/// All kernels, for every architecture.
static KERNELS: &Aligned<[u8]> = &Aligned(*include_bytes!("../../kernels/kernels.fatbin"));

#[repr(align(64))]
struct Aligned<T: ?Sized>(T);

/// Launches that were recorded, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded(usize);

/// Launches that are replayed as one.
struct Replay {
    graph: sys::CUgraphExec,
    /// What they wait for is on the device.
    arrived: sys::CUevent,
}

/// Moments of a batch.
struct Moments {
    began: sys::CUevent,
    prepared: sys::CUevent,
    ended: sys::CUevent,
}

/// Memory of a device, and what is replayed in it.
///
/// Two of the device's streams take turns at a batch. One, `copies`, sends the frames one after another; the other, `works`,
/// prepares some once they are there, while the next ones come, and runs the network when all are. Nothing of a batch is under way
/// when [`Gpu::run`] returns: the next batch may write wherever it likes.
pub struct Gpu {
    context: Arc<Context>,
    copies: sys::CUstream,
    works: sys::CUstream,
    module: sys::CUmodule,
    memory: sys::CUdeviceptr,
    bytes: u64,
    recorded: Vec<Replay>,
    moments: Moments,
    /// What goes to the device besides frames, and what comes back.
    pinned: Pinned,
    /// Why nothing that it says can be believed any more.
    lost: Option<Failed>,
}

// SAFETY: *any thread*: nothing is shared with another `Gpu` but the context.
unsafe impl Send for Gpu {}

/// A frame, and what is done once it is on the device, with all those before it.
#[derive(Clone, Copy, Debug)]
pub struct Step<'f> {
    /// Its place on the device.
    pub place: u32,
    /// Its bytes. Those of [`Registered`](super::Registered) memory are not copied on this side.
    pub bytes: &'f [u8],
    /// What of them is sent.
    pub seen: &'f Seen,
    /// What is replayed then; `None` where it waits for the next frame.
    pub then: Option<Recorded>,
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

/// How long a batch took, by the device's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Until all steps were done, in ns.
    pub steps_ns: u64,
    /// What came after them, in ns.
    pub last_ns: u64,
}

impl Gpu {
    /// Memory of so many `bytes` that begins with `constants`, and so many bytes of memory on this side.
    ///
    /// # Errors
    /// What the driver refused: too much memory, mostly.
    ///
    /// # Panics
    /// If the constants are more than the memory.
    pub fn new(
        context: &Arc<Context>,
        constants: &[u8],
        bytes: u64,
        pinned: usize,
    ) -> Result<Self, Failed> {
        assert!(
            constants.len() as u64 <= bytes,
            "constants are a part of the memory"
        );
        let mut gpu = Gpu {
            context: Arc::clone(context),
            copies: std::ptr::null_mut(),
            works: std::ptr::null_mut(),
            module: std::ptr::null_mut(),
            memory: 0,
            bytes,
            recorded: Vec::new(),
            moments: Moments {
                began: std::ptr::null_mut(),
                prepared: std::ptr::null_mut(),
                ended: std::ptr::null_mut(),
            },
            pinned: Pinned::new(context, pinned)?,
            lost: None,
        };
        gpu.fill(constants)?;
        Ok(gpu)
    }

    /// Loads the kernels and takes the memory.
    fn fill(&mut self, constants: &[u8]) -> Result<(), Failed> {
        let _entered = self.context.enter()?;
        for stream in [&mut self.copies, &mut self.works] {
            let kind = result::stream::StreamKind::NonBlocking;
            *stream = result::stream::create(kind).of("cuStreamCreate")?;
        }
        let Moments {
            began,
            prepared,
            ended,
        } = &mut self.moments;
        for moment in [began, prepared, ended] {
            *moment = event(sys::CUevent_flags_enum::CU_EVENT_DEFAULT)?;
        }
        // SAFETY: *of the driver*: the image is a whole fatbin, which says its own length; memory is taken once, and given back in
        // `Drop`.
        unsafe {
            let image = KERNELS.0.as_ptr().cast::<c_void>();
            self.module = result::module::load_data(image).of("cuModuleLoadData")?;
            self.memory = result::malloc_sync(self.bytes as usize).of("cuMemAlloc")?;
        }
        // As a batch's first bytes go, for which all its kernels wait: a copy of no stream may end after the call, and after them.
        self.send(Rows::one(constants, 0))
    }

    /// The device.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Records `launches`, to be replayed as one.
    ///
    /// # Errors
    /// Where the driver refuses, or has no such kernel.
    pub fn record(&mut self, launches: &[Launch]) -> Result<Recorded, Failed> {
        let _entered = self.context.enter()?;
        let mut kernels = Vec::new();
        // Whether each waits for the one before it, of which it may then see the end: those that are made of PTX do not.
        let mut waits = true;
        for launch in launches {
            let name = CString::new(launch.kernel).unwrap_or_default();
            // SAFETY: *of the driver*: the module is loaded.
            let kernel = unsafe { result::module::get_function(self.module, name) };
            let kernel = kernel.of("cuModuleGetFunction")?;
            let (mut offset, mut bytes) = (0, 0);
            // SAFETY: *of the driver*: the kernel is; both words outlive the call.
            let status = unsafe { sys::cuFuncGetParamInfo(kernel, 1, &mut offset, &mut bytes) };
            status.result().of("cuFuncGetParamInfo")?;
            if bytes != size_of_val(&*launch.parameters) {
                return Failed::at("cuLaunchKernelEx", CUresult::CUDA_ERROR_INVALID_VALUE);
            }
            let mut compiled_for = 0;
            let which = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_PTX_VERSION;
            // SAFETY: *of the driver*: the kernel is; the number outlives the call.
            let status = unsafe { sys::cuFuncGetAttribute(&raw mut compiled_for, which, kernel) };
            status.result().of("cuFuncGetAttribute")?;
            waits &= compiled_for >= 90;
            kernels.push(kernel);
        }
        let mode = sys::CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: *of the driver*: nothing is launched, only recorded. *on the device*: a kernel's two arguments are copied within the
        // call, the address of the memory, and a struct of as many bytes as the kernel takes, as was seen above.
        let graph = unsafe {
            result::stream::begin_capture(self.works, mode).of("cuStreamBeginCapture")?;
            let mut launched = Ok(());
            for (i, (launch, kernel)) in launches.iter().zip(kernels).enumerate() {
                let [x, y, z] = launch.grid;
                let mut memory = self.memory;
                let mut words = launch.parameters.clone();
                let arguments = &mut [(&raw mut memory).cast(), words.as_mut_ptr().cast()];
                let mut early = begins_early();
                let config = sys::CUlaunchConfig {
                    gridDimX: x,
                    gridDimY: y,
                    gridDimZ: z,
                    blockDimX: THREADS,
                    blockDimY: 1,
                    blockDimZ: 1,
                    sharedMemBytes: launch.shared,
                    hStream: self.works,
                    attrs: &raw mut early,
                    // The first comes behind what is no launch.
                    numAttrs: u32::from(i > 0 && waits),
                };
                let arguments = arguments.as_mut_ptr();
                let status = sys::cuLaunchKernelEx(
                    &raw const config,
                    kernel,
                    arguments,
                    std::ptr::null_mut(),
                );
                launched = launched.and(status.result());
            }
            // Ends in any case, or the stream would record for ever.
            let graph = result::stream::end_capture(self.works).of("cuStreamEndCapture");
            let launched = launched.of("cuLaunchKernelEx");
            let executable = launched.and(graph).and_then(|graph| {
                let flags = sys::CUgraphInstantiate_flags(0);
                result::graph::instantiate(graph, flags).of("cuGraphInstantiate")
            });
            if let Ok(graph) = graph {
                // What it would refuse was refused before.
                let _ = result::graph::destroy(graph);
            }
            executable?
        };
        // Now, and not with the first batch of its kind.
        // SAFETY: *of the driver*: it was instantiated just now.
        let uploaded = unsafe { result::graph::upload(graph, self.works) }.of("cuGraphUpload");
        // Nobody asks when, which is cheaper.
        let arrived = event(sys::CUevent_flags_enum::CU_EVENT_DISABLE_TIMING);
        self.recorded.push(Replay {
            graph,
            arrived: arrived.unwrap_or(std::ptr::null_mut()),
        });
        let recorded = Recorded(self.recorded.len() - 1);
        uploaded.and(arrived).map(|_| recorded)
    }

    /// The memory on this side, to look at.
    ///
    /// # Errors
    /// Why the device was lost, once it is: it may still write there.
    pub fn pinned_bytes(&self) -> Result<&[u8], Failed> {
        self.usable()?;
        Ok(self.pinned.bytes())
    }

    /// The memory on this side.
    ///
    /// # Errors
    /// As [`Gpu::pinned_bytes`].
    pub fn pinned(&mut self) -> Result<&mut [u8], Failed> {
        self.usable()?;
        Ok(self.pinned.bytes_mut())
    }

    fn usable(&self) -> Result<(), Failed> {
        self.lost.map_or(Ok(()), Err)
    }

    /// Sends the pinned bytes of `sent`; then takes `steps`, each while the next one's bytes come; replays `last`; and has the
    /// pinned bytes of `received` filled. Returns when all that is done.
    ///
    /// `late` is asked whenever a step was given, and then until the end. It does not bound a call of the driver itself, which
    /// may wait for the device where a step's bytes are not [`Registered`](super::Registered).
    ///
    /// # Errors
    /// What the driver refused; `CUDA_ERROR_TIMEOUT` where `late` said so first. The device is lost then, and so it answers ever after.
    pub fn run<'f>(
        &mut self,
        sent: Piece,
        steps: impl Iterator<Item = Step<'f>>,
        last: Recorded,
        received: &[Piece],
        late: impl Fn() -> bool,
    ) -> Result<Times, Failed> {
        self.usable()?;
        let entered = self.context.enter();
        let ran = entered.and_then(|_entered| {
            let begun = self.begin(sent, steps, last, received, &late);
            // What is under way reads the caller's frames, also of a batch that was cut short.
            let [copied, worked] = [self.copies, self.works].map(|stream| self.wait(stream, &late));
            begun.and(copied).and(worked)?;
            self.times()
        });
        self.lost = ran.err();
        ran
    }

    /// Waits until `stream` has done all that it was given.
    fn wait(&self, stream: sys::CUstream, late: &impl Fn() -> bool) -> Result<(), Failed> {
        loop {
            // SAFETY: *of the driver*: the stream is.
            match unsafe { sys::cuStreamQuery(stream) } {
                CUresult::CUDA_SUCCESS => return Ok(()),
                CUresult::CUDA_ERROR_NOT_READY if late() => {
                    self.context.set_late();
                    return Failed::at("cuStreamQuery", CUresult::CUDA_ERROR_TIMEOUT);
                }
                CUresult::CUDA_ERROR_NOT_READY => std::hint::spin_loop(),
                status => return Failed::at("cuStreamQuery", status),
            }
        }
    }

    /// Gives the device a batch.
    fn begin<'f>(
        &mut self,
        sent: Piece,
        steps: impl Iterator<Item = Step<'f>>,
        last: Recorded,
        received: &[Piece],
        late: &impl Fn() -> bool,
    ) -> Result<(), Failed> {
        self.happens(self.moments.began, self.copies)?;
        let sent_bytes = &self.pinned_bytes()?[sent.from..][..sent.bytes];
        self.send(Rows::one(sent_bytes, byte(sent.place)))?;
        self.wait_for_copies(last)?;
        let registered = |all| self.context.reads(all);
        let mut rows: Option<Rows<'_>> = None;
        for step in steps {
            let next = Rows::seen(step.bytes, byte(step.place), step.seen, registered);
            let all = rows.and_then(|rows| rows.with(next, registered));
            if let Some(rows) = rows.filter(|_| all.is_none()) {
                self.send(rows)?;
            }
            rows = all.or(Some(next));
            if let Some(then) = step.then {
                rows.take().map_or(Ok(()), |rows| self.send(rows))?;
                self.wait_for_copies(then)?;
                self.replay(then)?;
            }
            if late() {
                return Failed::at("cuGraphLaunch", CUresult::CUDA_ERROR_TIMEOUT);
            }
        }
        rows.map_or(Ok(()), |rows| self.send(rows))?;
        self.happens(self.moments.prepared, self.works)?;
        self.replay(last)?;
        self.happens(self.moments.ended, self.works)?;
        for piece in received.iter().filter(|piece| piece.bytes > 0) {
            let (from, stream) = (self.address(byte(piece.place), piece.bytes), self.works);
            let bytes = &mut self.pinned()?[piece.from..][..piece.bytes];
            // SAFETY: *on the device*, by `address`; *waited for*: pinned memory lives as long as `self`.
            unsafe { result::memcpy_dtoh_async(bytes, from, stream) }.of("cuMemcpyDtoHAsync")?;
        }
        Ok(())
    }

    /// Copies to the device, behind what is being copied.
    fn send(&self, rows: Rows<'_>) -> Result<(), Failed> {
        let Rows {
            first,
            to,
            rows,
            apart,
            apart_there,
        } = rows;
        if first.is_empty() {
            return Ok(());
        }
        let bytes = (rows - 1) * apart_there + first.len();
        let dst = self.address(to, bytes);
        if rows == 1 {
            // SAFETY: *on the device*, by `address`; *waited for* where the bytes are page-locked: others the driver has taken when the
            // call returns.
            let copied = unsafe { result::memcpy_htod_async(dst, first, self.copies) };
            return copied.of("cuMemcpyHtoDAsync");
        }
        let copy = sys::CUDA_MEMCPY2D {
            srcXInBytes: 0,
            srcY: 0,
            srcMemoryType: sys::CUmemorytype::CU_MEMORYTYPE_HOST,
            srcHost: first.as_ptr().cast(),
            srcDevice: 0,
            srcArray: std::ptr::null_mut(),
            srcPitch: apart,
            dstXInBytes: 0,
            dstY: 0,
            dstMemoryType: sys::CUmemorytype::CU_MEMORYTYPE_DEVICE,
            dstHost: std::ptr::null_mut(),
            dstDevice: dst,
            dstArray: std::ptr::null_mut(),
            dstPitch: apart_there,
            WidthInBytes: first.len(),
            Height: rows,
        };
        // SAFETY: *on the device*, by `address`; *waited for*: each row is bytes that the caller lent, of registered memory.
        let status = unsafe { sys::cuMemcpy2DAsync_v2(&raw const copy, self.copies) };
        status.result().of("cuMemcpy2DAsync")
    }

    /// What is replayed from now on waits until all that was sent is there.
    fn wait_for_copies(&self, before: Recorded) -> Result<(), Failed> {
        let arrived = self.of(before)?.arrived;
        self.happens(arrived, self.copies)?;
        let flags = sys::CUevent_wait_flags_enum::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: *of the driver*: stream and event are.
        unsafe { result::stream::wait_event(self.works, arrived, flags) }.of("cuStreamWaitEvent")
    }

    /// Notes `event` once `stream` has come so far.
    fn happens(&self, event: sys::CUevent, stream: sys::CUstream) -> Result<(), Failed> {
        // SAFETY: *of the driver*: stream and event are.
        unsafe { result::event::record(event, stream) }.of("cuEventRecord")
    }

    fn replay(&self, recorded: Recorded) -> Result<(), Failed> {
        let graph = self.of(recorded)?.graph;
        // SAFETY: *of the driver*: it lives as long as `self`.
        unsafe { result::graph::launch(graph, self.works) }.of("cuGraphLaunch")
    }

    fn of(&self, recorded: Recorded) -> Result<&Replay, Failed> {
        match self.recorded.get(recorded.0) {
            Some(replay) => Ok(replay),
            None => Failed::at("cuGraphLaunch", CUresult::CUDA_ERROR_INVALID_HANDLE),
        }
    }

    fn times(&self) -> Result<Times, Failed> {
        let Moments {
            began,
            prepared,
            ended,
        } = self.moments;
        let between = |start, end| {
            // SAFETY: *of the driver*: the events are, and are over.
            let ms = unsafe { result::event::elapsed(start, end) }.of("cuEventElapsedTime")?;
            Ok((ms * 1e6) as u64)
        };
        Ok(Times {
            steps_ns: between(began, prepared)?,
            last_ns: between(prepared, ended)?,
        })
    }

    /// Where so many bytes from `at` on lie on the device.
    fn address(&self, at: u64, bytes: usize) -> sys::CUdeviceptr {
        assert!(
            at + bytes as u64 <= self.bytes,
            "places are within the memory"
        );
        self.memory + at
    }
}

/// A place, in bytes.
fn byte(place: u32) -> u64 {
    u64::from(place) * UNIT as u64
}

/// A launch begins while the one before it ends, for which it waits by itself.
fn begins_early() -> sys::CUlaunchAttribute {
    let id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    let mut value = sys::CUlaunchAttributeValue { pad: [0; 64] };
    value.programmaticStreamSerializationAllowed = 1;
    let pad = [0; 4];
    sys::CUlaunchAttribute { id, pad, value }
}

fn event(flags: sys::CUevent_flags_enum) -> Result<sys::CUevent, Failed> {
    result::event::create(flags).of("cuEventCreate")
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // Waiting for a late device would stop the path, so that all stays.
        if self.context.is_late() {
            return;
        }
        let Moments {
            began,
            prepared,
            ended,
        } = self.moments;
        let of_replays = self.recorded.iter().map(|replay| replay.arrived);
        let events = of_replays.chain([began, prepared, ended]);
        let streams = [self.copies, self.works];
        // What a lost device refuses is lost with it, and nothing can be done about it here.
        // SAFETY: *of the driver*: each was made in this context, and is given back once. *waited for*: the streams come first.
        unsafe {
            let _entered = self.context.enter();
            for stream in streams.into_iter().filter(|stream| !stream.is_null()) {
                let _ = result::stream::synchronize(stream);
            }
            for event in events.filter(|event| !event.is_null()) {
                let _ = result::event::destroy(event);
            }
            for replay in &self.recorded {
                let _ = result::graph::exec_destroy(replay.graph);
            }
            if self.memory != 0 {
                let _ = result::free_sync(self.memory);
            }
            if !self.module.is_null() {
                let _ = result::module::unload(self.module);
            }
            for stream in streams.into_iter().filter(|stream| !stream.is_null()) {
                let _ = result::stream::destroy(stream);
            }
        }
    }
}
