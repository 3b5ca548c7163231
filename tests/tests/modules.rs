//! Modules vote, frames are judged: a hit that is cut into modules is kept whole.

use hitgate_core::frame::{FrameHeader, pulse_kind};
use hitgate_core::net::Model;
use hitgate_core::prep::{Mask, Preparation, Window};
use hitgate_core::verdict::{Verdict, reasons};
use hitgate_kernels::Level;
use hitgate_sim::{Detector, Mix, Simulated, Simulator};
use hitgate_tests::{Collector, Holder, MODEL, Memory, pipeline, put, ring};

const MODULES: usize = 8;

/// A simulated frame of twelve spots, none of whose modules has ten.
fn twelve_spots() -> Simulated {
    let simulator = Simulator::with_detector(3, Mix::Border, Detector::JungfrauModule);
    let is_it = |frame: &Simulated| {
        let rows = f64::from(frame.rows) / MODULES as f64;
        let on = |module: usize| {
            let spots = frame.spots.iter();
            spots.filter(|[_, y]| (y / rows) as usize == module).count()
        };
        frame.truth.spots == 12 && (0..MODULES).all(|module| on(module) < 4)
    };
    (0..500)
        .map(|index| simulator.frame(index))
        .find(is_it)
        .expect("such a frame among so many")
}

/// What the path says of the frame cut into modules of whole rows, whose headers say that there are `modules` of
/// them: verdicts and reasons, and the payloads that went to the link.
fn cut(frame: &Simulated, modules: u16) -> (Vec<(Verdict, u32)>, Vec<Vec<u8>>) {
    let model = Model::parse(MODEL).unwrap();
    let level = Level::detect();
    let rows = frame.rows / MODULES as u32;
    let mask_bytes = frame.mask.len() / MODULES;
    let preparations: Vec<_> = (0..MODULES)
        .map(|module| Preparation {
            rows,
            window: Window::whole(frame.columns, rows, model.input().size),
            mask: Mask::new(
                &frame.mask[module * mask_bytes..][..mask_bytes],
                frame.columns,
                rows,
            )
            .unwrap_or(Mask::NONE),
            ..frame.preparation(model.input().size, model.input().reduce)
        })
        .collect();
    let parts = frame.payload.chunks(frame.payload.len() / MODULES);
    let ring = ring(2 * MODULES as u32, frame.payload.len() / MODULES);
    let mut writer = ring.writer().unwrap();
    for (part, module_id) in parts.zip(0..) {
        let header = FrameHeader {
            module_id,
            modules,
            frame_number: 1,
            pulse_key: 77,
            pulse_kind: pulse_kind::SERIES,
            ..FrameHeader::new(rows as u16, frame.columns as u16, frame.pixel_type)
        };
        assert!(put(&mut writer, &header.seal(), part));
    }
    let mut memory = Memory::new(&model, level, &preparations);
    let cpu = memory.cpu(&model, level, &preparations);
    let mut path = pipeline(&ring, cpu, Holder::default());
    let mut node = Collector::default();
    while path.step(&mut node).unwrap() > 0 {}
    assert!(path.accounts().balance());
    let verdicts = (node.records.iter()).map(|record| (record.verdict(), record.reasons));
    let payload = |bytes: &[u8]| {
        let header = FrameHeader::from_bytes(bytes.first_chunk().unwrap());
        bytes[header.slot_len() - header.payload_len as usize..header.slot_len()].to_vec()
    };
    let kept = path.link.kept.iter().map(|(_, slot)| payload(slot.bytes()));
    (verdicts.collect(), kept.collect())
}

#[test]
fn a_frame_of_twelve_spots_that_is_cut_into_eight_modules_is_kept_whole() {
    let frame = twelve_spots();
    let (verdicts, kept) = cut(&frame, MODULES as u16);
    assert_eq!(verdicts.len(), MODULES);
    for (verdict, told) in verdicts {
        assert_eq!(verdict, Verdict::KeepPartial);
        assert_ne!(told & reasons::PARTIAL, 0);
    }
    assert_eq!(kept.concat(), frame.payload, "every pixel went on");

    // What they would have come to as frames of their own: some would be gone.
    let (alone, kept) = cut(&frame, 1);
    assert!(
        alone
            .iter()
            .any(|(verdict, _)| *verdict == Verdict::DropMiss)
    );
    assert!(kept.len() < MODULES);
}
