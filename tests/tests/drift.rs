//! An instrument that drifts until the model fails, or fails itself: the filter disarms itself before its bound is passed.

use hitgate_core::frame::FrameHeader;
use hitgate_core::interlock::{Disarmed, Evidence, Rules};
use hitgate_core::link::LentQueue;
use hitgate_core::net::Model;
use hitgate_core::verdict::{Class, Policy, Sampling, reasons};
use hitgate_kernels::Level;
use hitgate_sim::{Detector, Mix, Simulated, Simulator};
use hitgate_tests::{Collector, MODEL, Memory, POLICY, pipeline, put, ring};

/// One hit in ten may be lost, looking back on 4,000 frames.
const RULES: Rules = Rules {
    max_loss: 6_554,
    window: 4_000,
    strays: 16,
};
/// What the detector says where it measured nothing.
const NO_PIXEL: u16 = 0xFFFF;
/// Frames until the drift is twice as strong.
const STEADY: u64 = 2_500;
const FRAMES: u64 = 7_000;

/// The frame after so much drift: photons are lost, the background rises, the beam moves.
fn drifted(frame: &Simulated, drift: u32, number: u64) -> Vec<u8> {
    let pixels = frame.payload.as_chunks::<2>().0;
    let mut state = number;
    let shifted = (0..pixels.len()).map(|i| {
        let from = pixels[(i + drift as usize) % pixels.len()];
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let noise = (state >> 33) as u32 % (4 * drift + 1);
        (u32::from(u16::from_le_bytes(from)) / (1 + drift) + noise).min(30_000) as u16
    });
    match drift {
        0 => frame.payload.clone(),
        _ => shifted.flat_map(u16::to_le_bytes).collect(),
    }
}

/// What became of a run.
struct Run {
    armed_at: u64,
    disarmed_at: u64,
    why: Disarmed,
    /// Hits that came while it was armed, and those of them that were dropped.
    hits: u32,
    lost: u32,
    /// Frames that the model's statistics call strange.
    strays: u32,
    seen: Evidence,
}

/// A path that is guarded, over hits and misses in turn, as an instrument makes `pixels` of them.
fn run(frames_in_all: u64, pixels: impl Fn(&Simulated, u64) -> Vec<u8>) -> Run {
    let model = Model::parse(MODEL).unwrap();
    let simulator = Simulator::with_detector(11, Mix::Natural, Detector::CspadTile);
    let class = |index: &u64| simulator.truth(*index).class;
    let of = |wanted| (0..).filter(move |index| class(index) == wanted).take(12);
    let indices = of(Class::Hit).zip(of(Class::Miss));
    let frames: Vec<_> = indices
        .flat_map(|(hit, miss)| [hit, miss])
        .map(|index| simulator.frame(index))
        .collect();
    assert_eq!(frames[0].pixel_type.size(), 2);
    let input = model.input();
    let preparations: Vec<_> = frames
        .iter()
        .map(|frame| {
            let mut preparation = frame.preparation(input.size, input.reduce);
            preparation.mask_values.push(i64::from(NO_PIXEL)).unwrap();
            preparation
        })
        .collect();

    let level = Level::detect();
    let ring = ring(4, frames[0].payload.len());
    let mut writer = ring.writer().unwrap();
    let mut memory = Memory::new(&model, level, &preparations);
    let cpu = memory.cpu(&model, level, &preparations);
    let mut path = pipeline(&ring, cpu, LentQueue::<2>::new());
    path.policy = Policy {
        sampling: Sampling { seed: 3, one_in: 3 },
        ..POLICY
    };
    path.guard(RULES);
    let mut node = Collector::default();
    let (mut armed_at, mut disarmed, mut hits, mut lost, mut strays) = (None, None, 0, 0, 0);
    for number in 1..=frames_in_all {
        let frame = &frames[number as usize % frames.len()];
        let header = FrameHeader {
            frame_number: number,
            module_id: (number as usize % frames.len()) as u16,
            ..frame.as_frame().header
        };
        assert!(put(&mut writer, &header.seal(), &pixels(frame, number)));
        let was_armed = path.interlock.state().is_ok();
        path.step(&mut node).unwrap();
        path.link.take();

        let record = node.records.pop().unwrap();
        let is_hit = frame.truth.class == Class::Hit;
        strays += u32::from(record.reasons & reasons::DOMAIN != 0);
        if was_armed {
            hits += u32::from(is_hit);
            lost += u32::from(is_hit && !record.verdict().keeps());
        }
        path.interlock.looked(&record, is_hit);
        if armed_at.is_none() && path.interlock.arm().is_ok() {
            armed_at = Some(number);
        }
        match path.interlock.state() {
            Ok(()) => {
                let bound = path.interlock.loss_bound();
                assert!(bound <= u32::from(RULES.max_loss), "{bound} at {number}");
            }
            Err(why) if armed_at.is_some() && disarmed.is_none() => disarmed = Some((number, why)),
            Err(_) => {}
        }
        if disarmed.is_some_and(|(at, _)| at < number) {
            assert!(record.verdict().keeps(), "dropped while disarmed");
        }
    }
    let (armed_at, (disarmed_at, why)) = (armed_at.unwrap(), disarmed.unwrap());
    println!(
        "armed at {armed_at}, disarmed at {disarmed_at}: {why}; {lost} of {hits} hits lost while armed, {strays} strays"
    );
    Run {
        armed_at,
        disarmed_at,
        why,
        hits,
        lost,
        strays,
        seen: path.interlock.total(),
    }
}

/// The model's statistics do not see it: `peaks` measures a cell by its neighbourhood, and maps of noise have the mean and
/// the zeros of maps of frames. So it is the second looks that notice.
#[test]
fn a_drifting_run_disarms_itself_before_the_bound_is_passed() {
    let run = run(FRAMES, |frame, number| {
        // Nothing at first, then 1, 2, 4, …
        let drift = match number / STEADY {
            0 => 0,
            doublings => 1 << (doublings - 1),
        };
        drifted(frame, drift, number)
    });
    assert!(matches!(run.why, Disarmed::Loss { .. }), "{}", run.why);
    assert_eq!(run.strays, 0);
    assert!(run.armed_at < STEADY && run.disarmed_at > STEADY);
    assert!(run.lost * 10 <= run.hits);
    // Of what came after, many a hit is a miss to the model: that is what was kept from being dropped.
    assert!(run.seen.missed.hits > 100, "{:?}", run.seen);
}

/// Nor do they see pixels that are no longer measured: valid cells are of any number in training. Second looks do.
#[test]
fn a_detector_that_fails_from_its_edges_disarms_before_the_bound_is_passed() {
    let run = run(STEADY + 200, |frame, number| {
        // Within 30 frames, until a strip in the middle is left. A frame without a pixel would be a fault.
        let failing = number.saturating_sub(STEADY).min(30) as usize;
        let mut pixels = frame.payload.clone();
        let failed = pixels.len() * failing / 64 / 2 * 2;
        let whole = failed..pixels.len() - failed;
        for (i, pixel) in pixels.as_chunks_mut().0.iter_mut().enumerate() {
            if !whole.contains(&(2 * i)) {
                *pixel = NO_PIXEL.to_le_bytes();
            }
        }
        pixels
    });
    assert!(matches!(run.why, Disarmed::Loss { .. }), "{}", run.why);
    assert_eq!(run.strays, 0);
    assert!(run.armed_at < STEADY && run.disarmed_at > STEADY);
    assert!(run.lost * 10 <= run.hits, "{} of {}", run.lost, run.hits);
}
