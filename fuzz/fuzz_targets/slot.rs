//! A slot of a ring, header and payload, through the whole path: one record comes out, and only a frame that was
//! scored is dropped.
#![no_main]

use hitgate_core::correct::Correction;
use hitgate_core::frame::{HEADER_LEN, PixelType};
use hitgate_core::link::LentQueue;
use hitgate_core::net::Model;
use hitgate_core::prep::{Mask, Preparation, Window};
use hitgate_fuzz::{MODEL, sealed_slot};
use hitgate_kernels::Level;
use hitgate_tests::{Collector, Memory, pipeline, preparation, put, ring};
use libfuzzer_sys::fuzz_target;

const COLUMNS: u32 = 40;
const ROWS: u32 = 33;
const PIXELS: usize = (COLUMNS * ROWS) as usize;
const ROOM: usize = 4 * PIXELS;

fuzz_target!(|bytes: &[u8]| {
    through_the_path(bytes);
    through_the_path(&sealed_slot(bytes));
});

fn through_the_path(bytes: &[u8]) {
    let model = Model::parse(MODEL).expect("a sound model");
    let plain = Preparation {
        compressed: true,
        ..preparation(&model, COLUMNS, ROWS)
    };
    // Compressed frames that nobody announced. Bad pixels, values that mean nothing, a window that leaves the panel.
    let bad = [0x81; PIXELS.div_ceil(8)];
    let mut masked = Preparation {
        mask: Mask::new(&bad, COLUMNS, ROWS).expect("a bit a pixel"),
        compressed: false,
        window: Window::around(30, 10, 24, model.input().size),
        ..plain.clone()
    };
    masked.mask_values.extend([0xFFFF, 3]);
    // Raw words of an integrating detector.
    let (pedestals, gains) = ([100; PIXELS], [half::f16::ONE; PIXELS]);
    let cells = [Correction::new([&pedestals; 3], [&gains; 3], PIXELS).expect("a number a pixel")];
    let raw = Preparation {
        corrections: &cells,
        ..plain.clone()
    };
    // A window in a corner: most blocks are passed over.
    let corner = Preparation {
        window: Window::around(38, 2, 6, model.input().size),
        ..plain.clone()
    };
    let of_each_type = (1..=u8::MAX).map_while(PixelType::from_code);
    let of_each_type = of_each_type.map(|pixel_type| Preparation {
        pixel_type,
        ..plain.clone()
    });
    let modules: Vec<_> = of_each_type.chain([masked, raw, corner]).collect();

    let level = Level::detect();
    let mut memory = Memory::new(&model, level, &modules);
    let ring = ring(2, ROOM);
    let mut writer = ring.writer().expect("no other writer");
    let mut header = [0; HEADER_LEN];
    let (told, payload) = bytes.split_at(bytes.len().min(HEADER_LEN));
    header[..told.len()].copy_from_slice(told);
    assert!(put(
        &mut writer,
        &header,
        &payload[..payload.len().min(ROOM)]
    ));
    let cpu = memory.cpu(&model, level, &modules);
    let mut path = pipeline(&ring, cpu, LentQueue::<1>::new());
    let mut node = Collector::default();
    assert_eq!(path.step(&mut node), Ok(1));
    let [record] = node.records[..] else {
        panic!("{} records of a frame", node.records.len());
    };
    assert!(
        record.class().is_some() || record.verdict().keeps(),
        "{record:?}"
    );
    assert!(path.accounts().balance());
}
