//! The path neither allocates nor frees once it runs.

use hitgate_core::frame::{Compression, Fault};
use hitgate_core::link::{LentQueue, Record};
use hitgate_core::net::Model;
use hitgate_core::pipeline::{Node, Stages};
use hitgate_core::prep::Preparation;
use hitgate_formats::bitshuffle::encode;
use hitgate_host::DmaBuffer;
use hitgate_kernels::Level;
use hitgate_ring::CacheHooks;
use hitgate_testkit::alloc::{Counting, Counts, count, prove_installed};
use hitgate_tests::{MODEL, Memory, header, pipeline, pixels, preparation, put, ring};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts frames, and those that did not decode, without a vector to put them in.
struct Still(u64, u64);

impl Node for Still {
    fn now_ns(&self) -> u64 {
        0
    }
    fn judged(&mut self, record: &Record, _: &Stages) {
        self.0 += 1;
        self.1 += u64::from(record.reasons & Fault::Compressed.reason_bit() != 0);
    }
}

#[test]
fn frames_allocate_and_free_nothing_on_any_level() {
    for level in Level::all_available() {
        // The plain level is the slowest by far, and some frames show what a frame does.
        let best = level == Level::detect();
        let frames = if best { 10_000 } else { 200 };
        allocate_and_free_nothing(level, frames);
    }
}

/// So many frames on this level.
fn allocate_and_free_nothing(level: Level, frames: u64) {
    let (columns, rows) = (48, 40);
    let model = Model::parse(MODEL).unwrap();
    let preparations = [Preparation {
        compressed: true,
        ..preparation(&model, columns, rows)
    }];
    let mut memory = Memory::new(&model, level, &preparations);
    let ring = ring(8, (columns * rows * 2) as usize);
    let mut writer = ring.writer().unwrap();
    let mut path = pipeline(
        &ring,
        memory.cpu(&model, level, &preparations),
        LentQueue::<4>::new(),
    );
    let contents: Vec<_> = (0..16).map(|seed| pixels(columns, rows, seed)).collect();
    let chunks: Vec<_> = contents.iter().map(|pixels| encode(2, pixels)).collect();
    let mut node = Still(0, 0);

    prove_installed();
    let ((), counts) = count(|| {
        for number in 1..=frames {
            let mut header = header(columns, rows, number);
            // Faults and forced frames go the same way.
            header.status = u32::from(number % 5 == 0);
            header.flags = if number % 3 == 0 {
                hitgate_core::frame::flags::KEEP_RAW
            } else {
                0
            };
            let at = number as usize % contents.len();
            let payload = match number % 4 {
                0 => {
                    let compression = Some(Compression::BitshuffleLz4);
                    header = header.with_payload(compression, chunks[at].len() as u32);
                    &chunks[at]
                }
                _ => &contents[at],
            };
            assert!(put(&mut writer, &header.seal(), payload));
            path.step(&mut node).unwrap();
            while let Some(kept) = path.link.take() {
                drop(kept);
            }
        }
    });
    let name = level.name();
    assert_eq!(
        (counts, node.0, node.1),
        (Counts::default(), frames, 0),
        "{name}"
    );
    assert!(
        path.accounts().balance() && path.accounts().kept() > frames / 4,
        "{name}"
    );
}

#[test]
fn looking_after_the_caches_of_a_dma_buffer_allocates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("size", "65536"),
        ("phys_addr", "0x1f700000"),
        ("dma_coherent", "0"),
        ("sync_for_cpu", ""),
        ("sync_for_device", ""),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let caches = DmaBuffer::in_folder(folder.path()).unwrap();
    prove_installed();
    let ((), counts) = count(|| {
        for slot in 0..16 {
            caches.before_cpu_read(slot * 4096..(slot + 1) * 4096);
            caches.after_cpu_read(slot * 4096..(slot + 1) * 4096);
        }
    });
    assert_eq!(counts, Counts::default());
    assert!(caches.check().is_ok());
}
