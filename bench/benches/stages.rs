//! Preparation, network, spot counter and simulator, each alone, on every level of this machine.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hitgate_core::net::{Arena, Model, Plan};
use hitgate_core::prep::Reduce;
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

criterion_group!(benches, network, preparation, spots, simulator);
criterion_main!(benches);
