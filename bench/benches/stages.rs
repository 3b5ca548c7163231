//! Decoder, preparation, network, spot counter and simulator, each alone, on every level of this machine.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::f16;
use hitgate_core::correct::Correction;
use hitgate_core::frame::{Frame, FrameHeader, PixelType};
use hitgate_core::net::{Arena, Model, Plan};
use hitgate_core::prep::{Preparation, Reduce};
use hitgate_formats::bitshuffle::{Decoder, encode};
use hitgate_kernels::Level;
use hitgate_sim::{Detector, Mix, Simulator};
use hitgate_spots::{Beam, Buffers, Counter, Ring, Settings};

static MODEL: &[u8] = include_bytes!("../../models/mobilenet-v1-025-224/model.hgm");
const INPUT: u32 = 224;

fn network(c: &mut Criterion) {
    let model = Model::parse(MODEL).expect("the committed model is sound");
    let map = model.golden().map;
    let mut group = c.benchmark_group("network, width 0.25");
    group.throughput(Throughput::Elements(model.multiply_adds()));
    for level in Level::all_available() {
        let memory = Plan::memory(&model, level);
        let (mut packed, mut arena) = (vec![0; memory.packed], vec![0; memory.arena]);
        let plan = Plan::new(&model, level, &mut packed).expect("the memory is as asked for");
        let mut arena = Arena::new(&mut arena);
        group.bench_function(level.name(), |b| {
            b.iter(|| {
                plan.infer(&mut arena, black_box(map))
                    .expect("the map fits")
            });
        });
    }
    group.finish();
}

/// On a warm frame; beside a read pass and cold it is the bench `prep`.
fn preparation(c: &mut Criterion) {
    let mut group = c.benchmark_group("preparation");
    for detector in [Detector::JungfrauModule, Detector::Eiger1M] {
        let frame = Simulator::with_detector(1, Mix::Natural, detector).frame(1);
        let preparation = frame.preparation(INPUT, Reduce::Peaks);
        let mut words = vec![0; preparation.words()];
        let mut map = vec![0; preparation.map_bytes()];
        group.throughput(Throughput::Bytes(frame.payload.len() as u64));
        for level in Level::all_available() {
            group.bench_function(format!("{}, {}", detector.name(), level.name()), |b| {
                let frame = frame.as_frame();
                b.iter(|| preparation.run(level, black_box(&frame), &mut words, &mut map));
            });
        }
    }
    group.finish();
}

/// The preparation of raw words, with pedestals and gains on the way; a word in a thousand is of G1.
fn raw_words(c: &mut Criterion) {
    let frame = Simulator::with_detector(1, Mix::Natural, Detector::JungfrauModule).frame(1);
    let pixels = (frame.columns * frame.rows) as usize;
    let pedestals = [4000, 60_000, 60_000].map(|quarters| vec![quarters; pixels]);
    let gains = [0.25, -2.0, -8.0].map(|gain| vec![f16::from_f32(gain); pixels]);
    let maps = (
        pedestals.each_ref().map(Vec::as_slice),
        gains.each_ref().map(Vec::as_slice),
    );
    let correction = Correction::new(maps.0, maps.1, pixels).expect("a number for each pixel");
    let word = |i: usize| match i % 1000 {
        0 => 0b01 << 14 | 14_000,
        _ => 1000 + (i * i % 7) as u16,
    };
    let payload: Vec<u8> = (0..pixels).flat_map(|i| word(i).to_le_bytes()).collect();
    let words = Frame {
        header: FrameHeader::new(frame.rows as u16, frame.columns as u16, PixelType::U16),
        pixel_type: PixelType::U16,
        payload: &payload,
    };
    let preparation = Preparation {
        pixel_type: PixelType::U16,
        saturation: u32::MAX,
        corrections: &[correction],
        ..frame.preparation(INPUT, Reduce::Peaks)
    };
    let mut memory = vec![0; preparation.words()];
    let mut map = vec![0; preparation.map_bytes()];
    let mut group = c.benchmark_group("preparation of raw words");
    group.throughput(Throughput::Bytes(payload.len() as u64));
    for level in Level::all_available() {
        group.bench_function(level.name(), |b| {
            b.iter(|| preparation.run(level, black_box(&words), &mut memory, &mut map));
        });
    }
    group.finish();
}

/// Bitshuffle-LZ4, as an EIGER sends it, u16 and u32; throughput in bytes of pixels.
fn decoder(c: &mut Criterion) {
    let mut group = c.benchmark_group("decoder");
    for detector in [Detector::Eiger4M, Detector::Eiger9M] {
        let frame = Simulator::with_detector(1, Mix::Natural, detector).frame(1);
        let size = frame.pixel_type.size();
        let chunk = encode(size, &frame.payload);
        let (mut decoder, mut values) = (Decoder::default(), vec![0; frame.payload.len()]);
        group.throughput(Throughput::Bytes(values.len() as u64));
        group.bench_function(detector.name(), |b| {
            b.iter(|| decoder.decode(size, black_box(&chunk), &mut values));
        });
        assert!(values == frame.payload);
    }
    group.finish();
}

/// The classical counter on the same frames; rings are made once for a module.
fn spots(c: &mut Criterion) {
    let mut group = c.benchmark_group("spots");
    group.sample_size(20);
    for detector in [Detector::JungfrauModule, Detector::Eiger4M] {
        let frame = Simulator::with_detector(1, Mix::Natural, detector).frame(1);
        let preparation = frame.preparation(INPUT, Reduce::Peaks);
        let beam = Beam::of_panel(frame.columns, frame.rows);
        let needs = Counter::memory(&preparation, &beam);
        let mut of = vec![0; needs.pixels];
        let mut rings = vec![Ring::default(); needs.rings];
        let mut counts = vec![0; needs.pixels];
        let buffers = Buffers {
            of: &mut of,
            rings: &mut rings,
            counts: &mut counts,
        };
        let mut counter =
            Counter::new(&preparation, &beam, buffers).expect("the memory is as asked for");
        let settings = Settings::default();
        group.throughput(Throughput::Elements(needs.pixels as u64));
        group.bench_function(detector.name(), |b| {
            b.iter(|| {
                counter.count(
                    &preparation,
                    black_box(&frame.as_frame()),
                    &settings,
                    &mut [],
                )
            });
        });
    }
    group.finish();
}

/// Throughput in pixels: the design asks for 40 Mpx/s a core.
fn simulator(c: &mut Criterion) {
    let mut group = c.benchmark_group("simulator, maps");
    group.sample_size(20);
    for detector in [Detector::Eiger1M, Detector::Eiger4M] {
        let simulator = Simulator::with_detector(1, Mix::Natural, detector);
        let mut scratch = hitgate_sim::Scratch::default();
        let mut map = vec![0; (INPUT * INPUT * Reduce::Peaks.channels()) as usize];
        let made = simulator.map(0, INPUT, Reduce::Peaks, &mut map, &mut scratch);
        group.throughput(Throughput::Elements(made.pixels));
        let mut index = 0;
        group.bench_function(detector.name(), |b| {
            b.iter(|| {
                index += 1;
                simulator.map(index % 16, INPUT, Reduce::Peaks, &mut map, &mut scratch)
            });
        });
    }
    group.finish();
}

criterion_group!(
    benches,
    network,
    preparation,
    raw_words,
    decoder,
    spots,
    simulator
);
criterion_main!(benches);
