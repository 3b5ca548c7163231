//! The whole backend on a stand-in for the CUDA driver (`driver.cpp`), whose kernels run on the CPU: the order of its calls, what
//! waits for what, what is answered when the device is lost. That the real driver takes the same calls it cannot show.
//!
//! Each test is a process of its own, as a driver is loaded once.

use std::cell::{Cell, UnsafeCell};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use half::f16;
use hitgate_core::correct::Correction;
use hitgate_core::cpu::{Buffers, Cpu};
use hitgate_core::frame::{Fault, Frame, FrameHeader, PixelType};
use hitgate_core::net::{Arena, Model, Plan};
use hitgate_core::pipeline::{Backend, MAX_BATCH};
use hitgate_core::prep::{Mask, MaskValues, Preparation, Window};
use hitgate_cuda::Launch;
use hitgate_cuda::cuda::{Cuda, CudaError, Options};
use hitgate_cuda::driver::{Context, Gpu, OpenError, Piece, Registered};
use hitgate_cuda::fallback::{Counts, Device, Fallback};
use hitgate_cuda::maps::Maps;
use hitgate_import::random;
use hitgate_kernels::Level;
use hitgate_testkit::alloc::{self, Counting, count};
use hitgate_testkit::cxx;
use libtest_mimic::{Arguments, Failed, Trial};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const FILE: &[u8] = include_bytes!("../../../../models/mobilenet-v1-025-224/model.hgm");

/// Name, what the stand-in is told, and what is done there.
const TESTS: [(&str, &str, fn()); 20] = [
    (
        "frames_are_scored_as_on_the_cpu_when_copies_are_late",
        "copies-last",
        scores_equal_the_cpus,
    ),
    (
        "frames_are_scored_as_on_the_cpu_when_copies_are_early",
        "copies-first",
        scores_equal_the_cpus,
    ),
    ("scoring_allocates_nothing", "", scoring_allocates_nothing),
    (
        "many_maps_are_judged_as_on_the_cpu",
        "copies-last",
        many_maps,
    ),
    // What is made of PTX when it is loaded does not wait for the launch before it.
    (
        "many_maps_are_judged_by_a_gpu_that_is_newer_than_the_kernels",
        "capability=100",
        many_maps,
    ),
    (
        "many_maps_that_are_judged_otherwise_are_refused",
        "skips=1",
        many_wrong_maps,
    ),
    // The network is proved for each of six sizes of a batch, then each place of one, four together; two replays are a batch.
    (
        "a_lost_device_keeps_its_frames_and_the_cpu_goes_on",
        "loses=19",
        lost_device,
    ),
    (
        "a_device_that_hangs_is_late_and_nothing_of_it_is_given_back",
        "hangs=19",
        hanging_device,
    ),
    (
        "a_device_is_late_also_while_it_is_given_work",
        "loses=17",
        late_while_given_work,
    ),
    (
        "a_device_that_hangs_in_its_proof_is_late",
        "hangs=1",
        hanging_proof,
    ),
    (
        "a_network_that_is_wrong_in_large_batches_alone_is_refused",
        "skips=6",
        wrong_network,
    ),
    // Where the frames of the proof have memory of their own.
    (
        "a_device_that_hangs_in_the_proof_of_its_preparation_is_late",
        "hangs=7",
        hanging_proof_of_preparation,
    ),
    (
        "a_preparation_that_is_wrong_is_refused",
        "skips=8",
        wrong_preparation,
    ),
    (
        "a_lost_device_lends_no_memory_and_is_not_asked_again",
        "loses=1",
        lost_gpu,
    ),
    ("what_cannot_be_recorded_leaves_nothing", "", refused_launch),
    (
        "a_driver_that_is_too_old_is_told",
        "version=12080",
        old_driver,
    ),
    ("a_driver_without_a_device_is_told", "no-device", no_device),
    ("a_stub_of_the_driver_is_told", "init=34", stub),
    ("a_driver_that_fails_is_told", "init=999", failing_driver),
    (
        "a_device_that_is_too_old_is_told",
        "capability=75",
        old_device,
    ),
];
/// Tells a process of this program which test it is.
const NAME: &str = "HITGATE_STAND_IN_TEST";
/// Where the stand-in tells what became of memory.
const LOG: &str = "HITGATE_STAND_IN_LOG";

fn told() -> String {
    std::fs::read_to_string(std::env::var(LOG).expect("a place")).unwrap_or_default()
}

fn main() {
    if let Ok(name) = std::env::var(NAME) {
        let test = TESTS.iter().find(|(other, ..)| *other == name);
        return test.expect("a test of that name").2();
    }
    let trial = |(name, words, _)| Trial::test(name, move || in_a_process(name, words));
    libtest_mimic::run(&Arguments::from_args(), TESTS.map(trial).into()).exit();
}

fn in_a_process(name: &str, words: &str) -> Result<(), Failed> {
    static FOLDER: LazyLock<PathBuf> =
        LazyLock::new(|| cxx::stand_in(Path::new(env!("CARGO_TARGET_TMPDIR"))));
    let log = FOLDER.join(name);
    let _ = std::fs::remove_file(&log);
    let output = Command::new(std::env::current_exe()?)
        .env(NAME, name)
        .env("LD_LIBRARY_PATH", &*FOLDER)
        .env("HITGATE_STAND_IN", words)
        .env(LOG, &log)
        .output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into()),
    }
}

/// Modules of several kinds, and what they borrow.
struct Modules {
    mask: Vec<u8>,
    pedestals: Vec<u16>,
    gains: Vec<f16>,
}

const SIDES: [(u32, u32); 4] = [(300, 200), (64, 48), (97, 61), (40, 30)];

impl Modules {
    fn new() -> Self {
        Modules {
            mask: (0..300 * 200 / 8).map(|i| (i % 7 == 0) as u8).collect(),
            pedestals: (0..97 * 61 + 5).map(|i| 3900 + i as u16 % 100).collect(),
            gains: vec![f16::from_f32(0.03); 97 * 61],
        }
    }

    /// Of two storage cells.
    fn corrections(&self) -> [Correction<'_>; 2] {
        let pixels = 97 * 61;
        [0, 5].map(|cell| {
            let pedestals = &self.pedestals[cell..][..pixels];
            Correction::new([pedestals; 3], [&self.gains; 3], pixels).expect("maps of one size")
        })
    }

    fn preparations<'m>(
        &'m self,
        model: &Model<'_>,
        corrections: &'m [Correction<'m>],
    ) -> Vec<Preparation<'m>> {
        let (size, reduce) = (model.input().size, model.input().reduce);
        let whole = |(columns, rows), pixel_type| {
            Preparation::plain(
                columns,
                rows,
                pixel_type,
                Window::whole(columns, rows, size),
                reduce,
            )
        };
        let [counts, signed, raw, nothing] = SIDES;
        vec![
            Preparation {
                window: Window::around(140, 110, 200, size),
                mask: Mask::new(&self.mask, counts.0, counts.1).expect("a mask"),
                saturation: 900,
                ..whole(counts, PixelType::U16)
            },
            Preparation {
                mask_values: MaskValues::from_slice(&[-1, -2]).expect("two values"),
                ..whole(signed, PixelType::I32)
            },
            Preparation {
                corrections,
                ..whole(raw, PixelType::U16)
            },
            Preparation {
                mask_values: MaskValues::from_slice(&[7]).expect("a value"),
                ..whole(nothing, PixelType::U8)
            },
        ]
    }
}

/// Header and pixels.
type Made = (FrameHeader, PixelType, Vec<u8>);

/// Frames of all modules, some of which are none of theirs.
fn frames() -> Vec<Made> {
    let mut state = 1_u64;
    let mut number = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u32
    };
    let types = [
        PixelType::U16,
        PixelType::I32,
        PixelType::U16,
        PixelType::U8,
    ];
    (0..36_u16)
        .map(|i| {
            // Neighbours of a ring may go together.
            let module = i / 2 % 4;
            let (columns, rows) = SIDES[usize::from(module)];
            let pixel_type = types[usize::from(module)];
            let mut pixel = || match (module, number()) {
                (0, n) if n % 211 == 0 => 600 + n % 900,
                (0, n) => n % 5,
                (1, n) => (n % 9).wrapping_sub(2),
                (2, n) => n % 0x4000 + 0x4000 * (n >> 14 & 3),
                // Nowhere a measurement.
                _ => 7,
            };
            let pixels = (0..columns * rows)
                .flat_map(|_| pixel().to_le_bytes().into_iter().take(pixel_type.size()))
                .collect();
            let header = FrameHeader {
                module_id: if i == 21 { 4 } else { module },
                cell_id: (i / 8 + i % 2) % 3,
                ..FrameHeader::new(rows as u16 + u16::from(i == 20), columns as u16, pixel_type)
            };
            (header, pixel_type, pixels)
        })
        .collect()
}

fn views(made: &[Made]) -> Vec<Frame<'_>> {
    made.iter()
        .map(|(header, pixel_type, payload)| Frame {
            header: *header,
            pixel_type: *pixel_type,
            payload,
        })
        .collect()
}

/// Gives `work` a GPU and a CPU of the same modules.
fn on_both(limit_ns: u64, work: impl for<'m> FnOnce(Cuda<'m>, Cpu<'m>)) {
    let model = Model::parse(FILE).expect("the built-in model");
    let modules = Modules::new();
    let corrections = modules.corrections();
    let preparations = modules.preparations(&model, &corrections);
    let level = Level::detect();
    let needs = Cpu::memory(&model, level, &preparations);
    let [mut packed, mut arena, mut map] =
        [needs.packed, needs.arena, needs.map].map(|bytes| vec![0; bytes]);
    let mut scratch = vec![0; needs.scratch];
    let buffers = Buffers {
        packed: &mut packed,
        arena: &mut arena,
        map: &mut map,
        scratch: &mut scratch,
    };
    let cpu = Cpu::new(&model, level, &preparations, buffers).expect("a CPU");
    let context = Context::open(0).expect("the stand-in");
    assert_eq!(context.name(), "Stand-in");
    let options = Options {
        limit_ns,
        proof_ns: u64::MAX,
        maps: true,
    };
    let cuda = Cuda::new(&context, &model, &preparations, options).expect("a GPU");
    work(cuda, cpu);
}

/// Batches of sizes that a network is recorded for, and of others, from changing places on.
fn scores_equal_the_cpus() {
    on_both(u64::MAX, |mut cuda, mut cpu| {
        let made = frames();
        let pageable = views(&made);
        let alone: Vec<_> = pageable
            .iter()
            .map(|frame| {
                let scored = cpu.score(&[*frame], &|| 0)[0];
                (scored.score, scored.in_domain, cpu.map().to_vec())
            })
            .collect();
        let faults: Vec<_> = alone.iter().filter_map(|(score, ..)| score.err()).collect();
        for fault in [
            Fault::Shape,
            Fault::UnknownModule,
            Fault::UnknownCell,
            Fault::NoValidPixel,
        ] {
            assert!(faults.contains(&fault), "{fault:?} is tried");
        }
        assert!(made.len() - faults.len() >= 8, "and most are whole");
        let slots = Slots::of(&made);
        let registered = Registered::new(cuda.context(), slots.memory()).expect("whole pages");
        let in_slots = slots.views(&made);
        let mut first = 0;
        let lengths = [1, 2, 3, 4, 5, 8, 9, 16, 17, MAX_BATCH - 1, MAX_BATCH, 3, 1];
        for (n, frames) in lengths
            .iter()
            .flat_map(|&n| [(n, &in_slots), (n, &pageable)])
        {
            let at = |i: usize| (first + i) % frames.len();
            let batch: Vec<_> = (0..n).map(|i| frames[at(i)]).collect();
            let scored = cuda.score(&batch, &|| 0).expect("no failure");
            assert_eq!(scored.len(), n);
            for (i, scored) in scored.iter().enumerate() {
                let (score, in_domain, map) = &alone[at(i)];
                assert_eq!(
                    (scored.score, scored.in_domain),
                    (*score, *in_domain),
                    "frame {} as number {i} of {n}",
                    at(i)
                );
                if score.is_ok() {
                    assert!(cuda.map_of(i) == Some(map), "the map of frame {}", at(i));
                    assert!(scored.prep_ns > 0 && scored.net_ns > 0, "both are timed");
                }
            }
            first += n;
        }
        assert_eq!(cuda.score(&[], &|| 0).expect("nothing to do").len(), 0);
        // The driver copies what it does not know any more, a frame at a time: of rows it would refuse it.
        drop(registered);
        for (i, scored) in (cuda
            .score(&in_slots[..8], &|| 0)
            .expect("no failure")
            .iter())
        .enumerate()
        {
            assert_eq!(scored.score, alone[i].0, "frame {i}");
        }
    });
    // Frames of each kind have gone as such: whole ones by themselves, several together, windows; and several or windows of the proof.
    let told = told();
    let number = |of: &str| -> usize {
        let found = told.lines().find_map(|line| line.strip_prefix(of));
        found.expect("it is told").parse().expect("a number")
    };
    for of in ["staged ", "by-dma ", "in-rows ", "in-windows ", "proved "] {
        assert!(number(of) > 0, "{told}");
    }
}

/// Frames as a ring has them, equally far apart in whole pages.
struct Slots(Vec<UnsafeCell<u8>>);

impl Slots {
    const PAGE: usize = 4096;
    const SLOT: usize = 30 * Self::PAGE;
    /// What stands before the pixels.
    const HEADER: usize = 64;

    fn of(made: &[Made]) -> Self {
        let bytes = made.len() * Self::SLOT;
        let mut slots = Slots(
            (0..bytes + Self::PAGE)
                .map(|_| UnsafeCell::new(0))
                .collect(),
        );
        let first = slots.first();
        for ((_, _, pixels), slot) in made.iter().zip(slots.0[first..].chunks_mut(Self::SLOT)) {
            for (to, from) in slot[Self::HEADER..].iter_mut().zip(pixels) {
                *to.get_mut() = *from;
            }
        }
        slots
    }

    fn first(&self) -> usize {
        self.0.as_ptr().addr().next_multiple_of(Self::PAGE) - self.0.as_ptr().addr()
    }

    fn memory(&self) -> &[UnsafeCell<u8>] {
        &self.0[self.first()..][..self.0.len() - Self::PAGE]
    }

    fn views(&self, made: &[Made]) -> Vec<Frame<'_>> {
        let slots = self.memory().chunks(Self::SLOT);
        made.iter()
            .zip(slots)
            .map(|((header, pixel_type, pixels), slot)| {
                let payload = &slot[Self::HEADER..][..pixels.len()];
                Frame {
                    header: *header,
                    pixel_type: *pixel_type,
                    // SAFETY: nobody writes there any more.
                    payload: unsafe {
                        std::slice::from_raw_parts(payload.as_ptr().cast(), payload.len())
                    },
                }
            })
            .collect()
    }
}

fn scoring_allocates_nothing() {
    alloc::prove_installed();
    on_both(u64::MAX, |mut cuda, _| {
        let made = frames();
        let frames = views(&made);
        let slots = Slots::of(&made);
        let _registered = Registered::new(cuda.context(), slots.memory()).expect("whole pages");
        for frames in [frames, slots.views(&made)] {
            for n in [1, 5, MAX_BATCH] {
                let (scored, counts) = count(|| cuda.score(&frames[..n], &|| 0).map(|s| s.len()));
                assert_eq!(scored.expect("no failure"), n);
                assert_eq!(counts, alloc::Counts::default(), "of {n} frames");
            }
        }
    });
}

/// More than a path's batch has, and fewer than there is room for.
fn many_maps() {
    let model = Model::parse(FILE).expect("the built-in model");
    let context = Context::open(0).expect("the stand-in");
    let mut maps = Maps::new(&context, &model, 40, u64::MAX).expect("a GPU");
    let bytes = model.input().bytes();
    let made: Vec<u8> = (0..35)
        .flat_map(|i| random::map(model.input().size, model.input().channels, i))
        .collect();
    let memory = Plan::memory(&model, Level::detect());
    let (mut packed, mut arena) = (vec![0; memory.packed], vec![0; memory.arena]);
    let plan = Plan::new(&model, Level::detect(), &mut packed).expect("room");
    let mut arena = Arena::new(&mut arena);
    let expected: Vec<_> = (made.chunks(bytes))
        .map(|map| plan.infer(&mut arena, map).expect("a whole map"))
        .collect();
    assert_ne!(expected[0], expected[1], "the answer hangs on the map");
    let found: Vec<_> = maps.logits(&made).expect("no failure").collect();
    assert_eq!(found, expected);
    assert!(maps.time().expect("no failure") > 0);
    // Those beyond what there is room for are nobody's.
    let twice = made.repeat(2);
    let found: Vec<_> = maps.logits(&twice).expect("no failure").collect();
    assert_eq!(found.len(), 40);
    assert_eq!(found[..35], expected);
}

fn many_wrong_maps() {
    let model = Model::parse(FILE).expect("the built-in model");
    let context = Context::open(0).expect("the stand-in");
    let why = Maps::new(&context, &model, 3, u64::MAX).expect_err("a GPU that is wrong");
    assert!(matches!(why, CudaError::Golden { .. }), "{why}");
}

fn lost_device() {
    on_both(u64::MAX, |cuda, cpu| {
        let made = frames();
        let frames = views(&made);
        let mut both = Fallback::new(cuda, cpu);
        assert_eq!(both.batch(), MAX_BATCH);
        let first = both.score(&frames[..3], &|| 0);
        assert!(first.iter().all(|scored| scored.score.is_ok()));
        assert_eq!(both.fallen_back(), 0);

        let second = both.score(&frames[..3], &|| 0);
        assert!(
            second
                .iter()
                .all(|scored| scored.score == Err(Fault::Backend))
        );
        let why = both.lost().expect("it is lost").to_string();
        assert!(why.contains("CUDA_ERROR_LAUNCH_FAILED"), "{why}");
        assert_eq!((both.batch(), both.fallen_back()), (1, 3));

        let third = both.score(&frames[..3], &|| 0);
        let scores = |of: &[hitgate_core::pipeline::Scored]| {
            of.iter().map(|scored| scored.score).collect::<Vec<_>>()
        };
        assert_eq!(scores(&third), scores(&first), "the same bits");
        let (device, lost, cpu) = (3, 3, 3);
        assert_eq!(both.counts(), Counts { device, lost, cpu });
    });
    let told = told();
    assert!(told.contains("left-pinned 0\nreleased 1"), "{told}");
}

fn hanging_device() {
    // A clock that goes on whenever somebody looks.
    on_both(1000, |cuda, cpu| {
        let (made, clock) = (frames(), Cell::new(0));
        let tick = || {
            clock.set(clock.get() + 1);
            clock.get()
        };
        let frames = views(&made);
        let mut both = Fallback::new(cuda, cpu);
        let first = both.score(&frames[..3], &tick);
        assert!(first.iter().all(|scored| scored.score.is_ok()));
        let second = both.score(&frames[..3], &tick);
        assert!(
            second
                .iter()
                .all(|scored| scored.score == Err(Fault::Backend))
        );
        let why = both.lost().expect("it is lost").to_string();
        assert!(why.contains("CUDA_ERROR_TIMEOUT"), "{why}");
        assert!(clock.get() > 1000, "not before its time");
        assert!(both.score(&frames[..1], &tick)[0].score.is_ok());
    });
    // Neither the context nor what is pinned: the device may still write there.
    assert_eq!(told(), "");
}

/// What a device says that does not pass its proof.
fn unproved(proof_ns: u64, some: Range<usize>) -> CudaError {
    let model = Model::parse(FILE).expect("the built-in model");
    let modules = Modules::new();
    let corrections = modules.corrections();
    let preparations = modules.preparations(&model, &corrections);
    let options = Options {
        limit_ns: u64::MAX,
        proof_ns,
        maps: false,
    };
    let context = Context::open(0).expect("the stand-in");
    Cuda::new(&context, &model, &preparations[some], options).expect_err("a GPU that is wrong")
}

fn hanging_proof() {
    let why = unproved(1, 0..4).to_string();
    assert!(why.contains("CUDA_ERROR_TIMEOUT"), "{why}");
    assert_eq!(told(), "", "nothing is given back");
}

fn hanging_proof_of_preparation() {
    let why = unproved(10_000_000_000, 0..1).to_string();
    assert!(why.contains("CUDA_ERROR_TIMEOUT"), "{why}");
    assert_eq!(told(), "", "nothing is given back");
}

fn wrong_network() {
    let why = unproved(u64::MAX, 0..4);
    assert!(matches!(why, CudaError::Golden { .. }), "{why}");
}

fn wrong_preparation() {
    // Of the second four frames, those of the second module.
    let why = unproved(u64::MAX, 1..4);
    assert!(matches!(why, CudaError::Map(1)), "{why}");
}

fn late_while_given_work() {
    on_both(10, |mut cuda, _| {
        let made = frames();
        // Late once the first four were given to be prepared, and the fifth waits for the sixth; the device would fail with what
        // comes next.
        let looks = Cell::new(0);
        let jumps = || {
            looks.set(looks.get() + 1);
            if looks.get() > 5 { 100 } else { 0 }
        };
        let late = cuda.score(&views(&made)[..6], &jumps).unwrap_err();
        assert!(late.to_string().contains("CUDA_ERROR_TIMEOUT"), "{late}");
        assert_eq!(
            cuda.score(&views(&made)[..1], &|| 0).unwrap_err(),
            late,
            "for good"
        );
        assert_eq!(cuda.map_of(0), None);
    });
}

fn lost_gpu() {
    let context = Context::open(0).expect("the stand-in");
    let mut gpu = Gpu::new(&context, &[], 4096, 256).expect("memory");
    let nothing = gpu.record(&[]).expect("a graph of nothing");
    assert_eq!(gpu.pinned().map(|bytes| bytes.len()), Ok(256));
    let sent = Piece {
        from: 0,
        place: 0,
        bytes: 0,
    };
    let mut run = || gpu.run(sent, std::iter::empty(), nothing, &[], || false);
    let lost = run().unwrap_err();
    assert_eq!(run().unwrap_err(), lost);
    assert_eq!(gpu.pinned_bytes(), Err(lost));
    assert_eq!(gpu.pinned().map(|bytes| bytes.len()), Err(lost));
}

fn refused_launch() {
    let context = Context::open(0).expect("the stand-in");
    let mut gpu = Gpu::new(&context, &[], 4096, 256).expect("memory");
    // No blocks at all.
    let launch = Launch {
        kernel: "hitgate_peaks",
        grid: [0, 1, 1],
        shared: 0,
        parameters: vec![0; 12].into(),
    };
    let refused = gpu.record(&[launch]).unwrap_err().to_string();
    assert!(refused.contains("cuLaunchKernelEx: "), "{refused}");
    drop(gpu);
    drop(context);
    let told = told();
    assert!(told.contains("left-graphs 0\nleft-current 0\n"), "{told}");
}

fn open() -> Result<Arc<Context>, OpenError> {
    Context::open(0)
}

fn old_driver() {
    assert_eq!(open().unwrap_err(), OpenError::OldDriver(12_080));
}

fn no_device() {
    let (number, found) = (0, 0);
    assert_eq!(open().unwrap_err(), OpenError::NoDevice { number, found });
}

fn stub() {
    assert_eq!(open().unwrap_err(), OpenError::Stub);
}

fn failing_driver() {
    let error = open().unwrap_err();
    assert!(matches!(error, OpenError::Failed(_)), "{error}");
    let said = error.to_string();
    assert!(said.contains("cuInit: CUDA_ERROR_UNKNOWN"), "{said}");
}

fn old_device() {
    let OpenError::OldDevice { major, minor, .. } = open().unwrap_err() else {
        panic!("another lack");
    };
    assert_eq!((major, minor), (7, 5));
}
