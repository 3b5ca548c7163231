//! An instrument that drifts until the model fails: the filter disarms itself before its bound is passed.

use hitgate_core::frame::FrameHeader;
use hitgate_core::interlock::{Disarmed, Rules};
use hitgate_core::link::LentQueue;
use hitgate_core::net::Model;
use hitgate_core::verdict::{Class, Policy, Sampling};
use hitgate_kernels::Level;
use hitgate_sim::{Detector, Mix, Simulated, Simulator};
use hitgate_tests::{Collector, MODEL, Memory, POLICY, pipeline, put, ring};

/// One hit in ten may be lost, looking back on 4,000 frames.
const RULES: Rules = Rules {
    max_loss: 6_554,
    window: 4_000,
    strays: 64,
};
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

#[test]
fn a_drifting_run_disarms_itself_before_the_bound_is_passed() {
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
        .map(|frame| frame.preparation(input.size, input.reduce))
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
    path.interlock.guard(RULES);
    let mut node = Collector::default();
    let (mut armed_at, mut disarmed_at, mut hits, mut lost) = (None, None, 0, 0);
    for number in 1..=FRAMES {
        let frame = &frames[number as usize % frames.len()];
        // Nothing at first, then 1, 2, 4, …
        let drift = match number / STEADY {
            0 => 0,
            doublings => 1 << (doublings - 1),
        };
        let header = FrameHeader {
            frame_number: number,
            module_id: (number as usize % frames.len()) as u16,
            ..frame.as_frame().header
        };
        let pixels = drifted(frame, drift, number);
        assert!(put(&mut writer, &header.seal(), &pixels));
        path.step(&mut node).unwrap();
        path.link.take();

        let record = node.records.pop().unwrap();
        let is_hit = frame.truth.class == Class::Hit;
        if path.interlock.state().is_ok() {
            hits += u64::from(is_hit);
            lost += u64::from(is_hit && !record.verdict().keeps());
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
            Err(why) if armed_at.is_some() && disarmed_at.is_none() => {
                assert!(matches!(why, Disarmed::Loss { .. }), "{why}");
                disarmed_at = Some(number);
            }
            Err(_) => {}
        }
        if disarmed_at.is_some_and(|at| at < number) {
            assert!(record.verdict().keeps(), "dropped while disarmed");
        }
    }
    let (armed_at, disarmed_at) = (armed_at.unwrap(), disarmed_at.unwrap());
    println!(
        "armed at {armed_at}, disarmed at {disarmed_at}; {lost} of {hits} hits lost while armed"
    );
    assert!(armed_at < STEADY && disarmed_at > STEADY);
    assert!(lost * 10 <= hits);
    // Of what came after, many a hit is a miss to the model: that is what was kept from being dropped.
    let after = path.interlock.total();
    assert!(after.missed.hits > 100, "{after:?}");
}
