//! Frames that come compressed: what is decided of them, and that what does not decode is kept as it came.

use std::cell::Cell;

use hitgate_core::frame::{Compression, Fault, FrameHeader, HEADER_LEN, PixelType, flags};
use hitgate_core::link::Record;
use hitgate_core::net::Model;
use hitgate_core::pipeline::{Node, Stages};
use hitgate_core::prep::{Preparation, Window};
use hitgate_core::verdict::{Policy, Verdict};
use hitgate_formats::bitshuffle::{encode, encode_in_blocks, encode_lz4};
use hitgate_kernels::Level;
use hitgate_tests::{
    Collector, Holder, MODEL, Memory, POLICY, header, pipeline, pixels, preparation, put, ring,
};
use proptest::prelude::*;

const COLUMNS: u32 = 300;
const ROWS: u32 = 120;
const BYTES: usize = (COLUMNS * ROWS * 2) as usize;
/// A frame in one block is longer than the memory for a block.
const _: () = assert!(BYTES > 1 << 16);

/// Frames in a corner of which the network looks.
fn announced(model: &Model<'_>) -> Preparation<'static> {
    Preparation {
        window: Window::around(100, 40, 40, model.input().size),
        compressed: true,
        ..preparation(model, COLUMNS, ROWS)
    }
}

/// A header over `payload`, which is compressed so.
fn over(payload: &[u8], compression: Compression, number: u64) -> FrameHeader {
    header(COLUMNS, ROWS, number).with_payload(Some(compression), payload.len() as u32)
}

/// An odd frame is dark, an even one has spots on a background of up to three counts.
fn dark_or_spots(number: u64) -> Vec<u8> {
    let count = |x: u32, y: u32| {
        let noise = (u64::from(y * COLUMNS + x) + number).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let from_spot = (x % 37).abs_diff(18).pow(2) + (y % 41).abs_diff(20).pow(2);
        (noise & noise >> 3 & 3) as u16 + (400 >> from_spot.min(15))
    };
    let places = (0..ROWS).flat_map(|y| (0..COLUMNS).map(move |x| (x, y)));
    let counts = places.map(|(x, y)| {
        if number.is_multiple_of(2) {
            count(x, y)
        } else {
            0
        }
    });
    counts.flat_map(u16::to_le_bytes).collect()
}

/// The records of frames, one after another, and the slots of those that were kept, as far as they were written.
fn judged(
    preparation: Preparation<'_>,
    frames: &[(FrameHeader, Vec<u8>)],
) -> (Vec<Record>, Vec<Vec<u8>>) {
    let model = Model::parse(MODEL).unwrap();
    let (level, modules) = (Level::detect(), [preparation]);
    let mut memory = Memory::new(&model, level, &modules);
    let longest = frames.iter().map(|(_, payload)| payload.len()).max();
    let ring = ring(2, longest.unwrap());
    let mut writer = ring.writer().unwrap();
    let mut path = pipeline(
        &ring,
        memory.cpu(&model, level, &modules),
        Holder::default(),
    );
    let mut node = Collector::default();
    let mut slots = Vec::new();
    for (header, payload) in frames {
        assert!(put(&mut writer, &header.seal(), payload));
        assert_eq!(path.step(&mut node), Ok(1));
        for (_, slot) in path.link.kept.drain(..) {
            slots.push(slot.bytes()[..HEADER_LEN + payload.len()].to_vec());
        }
    }
    assert!(path.accounts().balance());
    (node.records, slots)
}

#[test]
fn a_compressed_frame_is_judged_as_its_pixels_are() {
    let model = Model::parse(MODEL).unwrap();
    let plain: Vec<_> = (1..=20)
        .map(|number| (header(COLUMNS, ROWS, number), dark_or_spots(number)))
        .collect();
    let (expected, _) = judged(preparation(&model, COLUMNS, ROWS), &plain);
    let (cropped, _) = judged(announced(&model), &plain);
    let dropped = |records: &[Record]| records.iter().filter(|r| !r.verdict().keeps()).count();
    assert!((1..20).contains(&dropped(&cropped)), "{cropped:?}");
    type Encode = fn(&[u8]) -> Vec<u8>;
    let encodings: [(Compression, Encode); 4] = [
        (Compression::BitshuffleLz4, |pixels| encode(2, pixels)),
        (Compression::BitshuffleLz4, |pixels| {
            encode_in_blocks(2, 256, pixels)
        }),
        (Compression::Lz4, |pixels| encode_lz4(1000, pixels)),
        (Compression::Lz4, |pixels| encode_lz4(1 << 30, pixels)),
    ];
    for (compression, encode) in encodings {
        let packed = plain.iter().map(|(header, pixels)| {
            let payload = encode(pixels);
            (
                header.with_payload(Some(compression), payload.len() as u32),
                payload,
            )
        });
        let packed: Vec<_> = packed.collect();
        let whole = Preparation {
            compressed: true,
            ..preparation(&model, COLUMNS, ROWS)
        };
        assert_eq!(judged(whole, &packed).0, expected);
        let (records, slots) = judged(announced(&model), &packed);
        assert_eq!(records, cropped);
        // Kept frames leave as they came.
        let kept = records
            .iter()
            .zip(&packed)
            .filter(|(r, _)| r.verdict().keeps());
        for ((_, (header, payload)), slot) in kept.clone().zip(&slots) {
            let mut sent = [&header.seal()[..], payload].concat();
            sent[8..16].copy_from_slice(&slot[8..16]);
            assert!(*slot == sent);
        }
        assert_eq!(kept.count(), slots.len());
    }
}

#[test]
fn what_does_not_decode_is_kept_with_its_reason() {
    let model = Model::parse(MODEL).unwrap();
    let pixels = pixels(COLUMNS, ROWS, 1);
    let bslz4 = encode(2, &pixels);
    let sent = |payload: &[u8]| {
        (
            over(payload, Compression::BitshuffleLz4, 1),
            payload.to_vec(),
        )
    };
    let edited = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut payload = bslz4.clone();
        edit(&mut payload);
        sent(&payload)
    };
    let lies = |edit: &dyn Fn(&mut FrameHeader)| {
        let (mut header, payload) = sent(&bslz4);
        edit(&mut header);
        (header, payload)
    };
    let mut cases = vec![
        ("nothing", sent(&[]), Fault::Compressed),
        ("half a header", sent(&bslz4[..11]), Fault::Compressed),
        ("no block", sent(&bslz4[..12]), Fault::Compressed),
        (
            "half of it",
            sent(&bslz4[..bslz4.len() / 2]),
            Fault::Compressed,
        ),
        (
            "all but a byte",
            sent(&bslz4[..bslz4.len() - 1]),
            Fault::Compressed,
        ),
        (
            "a byte behind it",
            edited(&|p| p.push(0)),
            Fault::Compressed,
        ),
        ("more promised", edited(&|p| p[7] ^= 8), Fault::Compressed),
        ("more than memory", edited(&|p| p[0] = 1), Fault::Compressed),
        ("other blocks", edited(&|p| p[11] = 3), Fault::Compressed),
        ("smaller blocks", edited(&|p| p[10] = 1), Fault::Compressed),
        (
            "a block in the window",
            edited(&|p| p[200..1500].fill(0xA5)),
            Fault::Compressed,
        ),
        (
            "a block too long",
            edited(&|p| p[12] = 0xFF),
            Fault::Compressed,
        ),
        (
            "pixels of another shape",
            sent(&encode(2, &pixels[2..])),
            Fault::Compressed,
        ),
        ("pixels", sent(&pixels), Fault::Compressed),
        // Longer than the memory for a block: it decodes, and not here.
        (
            "blocks of 72,000 bytes",
            sent(&encode_in_blocks(2, BYTES, &pixels)),
            Fault::Compressed,
        ),
        ("no number", lies(&|h| h.compression = 0), Fault::Compressed),
        ("no flag", lies(&|h| h.flags = 0), Fault::Compressed),
        (
            "an unknown number",
            lies(&|h| h.compression = 3),
            Fault::Compressed,
        ),
        ("another shape", lies(&|h| h.rows -= 1), Fault::Shape),
        (
            "another type",
            lies(&|h| h.pixel_type = PixelType::U32 as u8),
            Fault::Shape,
        ),
        (
            "another module",
            lies(&|h| h.module_id = 1),
            Fault::UnknownModule,
        ),
        ("damage", lies(&|h| h.status = 1), Fault::Damaged),
        (
            "another checksum",
            lies(&|h| h.flags |= flags::PAYLOAD_CRC),
            Fault::PayloadCrc,
        ),
        (
            "beyond the slot",
            lies(&|h| h.payload_len = 1 << 24),
            Fault::PayloadLength,
        ),
    ];
    let lz4 = encode_lz4(8192, &pixels);
    for (what, payload) in [
        ("short LZ4", &lz4[..lz4.len() - 1]),
        ("a byte behind LZ4", &[&lz4[..], &[0]].concat()),
        (
            "LZ4 in empty blocks",
            &[&lz4[..8], &[0; 4], &lz4[12..]].concat(),
        ),
    ] {
        let frame = (over(payload, Compression::Lz4, 1), payload.to_vec());
        cases.push((what, frame, Fault::Compressed));
    }
    for (what, frame, fault) in cases {
        let (records, slots) = judged(announced(&model), std::slice::from_ref(&frame));
        let [record] = records[..] else {
            panic!("{what}: {records:?}");
        };
        assert_eq!(record.verdict(), Verdict::KeepFault, "{what}");
        assert_eq!(record.reasons, fault.reason_bit(), "{what}");
        assert!(
            record.class().is_none() && slots[0][HEADER_LEN..] == frame.1,
            "{what}"
        );
    }

    // A module that announced none has no memory for it.
    let (records, _) = judged(preparation(&model, COLUMNS, ROWS), &[sent(&bslz4)]);
    assert_eq!(records[0].reasons, Fault::Compressed.reason_bit());
}

/// A node whose clock goes on by a millisecond whenever it is asked.
#[derive(Default)]
struct Ticking {
    ms: Cell<u64>,
    judged: Vec<(Record, Stages)>,
}

impl Node for Ticking {
    fn now_ns(&self) -> u64 {
        self.ms.set(self.ms.get() + 1);
        self.ms.get() * 1_000_000
    }

    fn judged(&mut self, record: &Record, stages: &Stages) {
        self.judged.push((*record, *stages));
    }
}

#[test]
fn decoding_has_a_time_of_its_own_and_counts_towards_the_deadline() {
    let model = Model::parse(MODEL).unwrap();
    let (level, modules) = (Level::detect(), [announced(&model)]);
    let mut memory = Memory::new(&model, level, &modules);
    let ring = ring(2, BYTES);
    let mut writer = ring.writer().unwrap();
    let mut path = pipeline(
        &ring,
        memory.cpu(&model, level, &modules),
        Holder::default(),
    );
    let pixels = pixels(COLUMNS, ROWS, 1);
    let chunk = encode(2, &pixels);
    let mut node = Ticking::default();
    for (header, payload) in [
        (header(COLUMNS, ROWS, 1), &pixels),
        (over(&chunk, Compression::BitshuffleLz4, 2), &chunk),
    ] {
        assert!(put(&mut writer, &header.seal(), payload));
        path.step(&mut node).unwrap();
    }
    let [(plain, stages), (decoded, with_decoding)] = node.judged[..] else {
        panic!("{:?}", node.judged);
    };
    assert_eq!([stages.decode_ns, with_decoding.decode_ns], [0, 1_000_000]);
    assert_eq!(stages.prep_ns, with_decoding.prep_ns);
    assert_eq!(decoded.latency_ns, plain.latency_ns + 1_000_000);

    // A deadline that only the frame without decoding meets.
    path.link.kept.clear();
    path.policy = Policy {
        deadline_ns: Some(plain.latency_ns),
        ..POLICY
    };
    for (header, payload) in [
        (header(COLUMNS, ROWS, 3), &pixels),
        (over(&chunk, Compression::BitshuffleLz4, 4), &chunk),
    ] {
        assert!(put(&mut writer, &header.seal(), payload));
        path.step(&mut node).unwrap();
    }
    let verdicts = [2, 3].map(|i: usize| node.judged[i].0.verdict());
    assert_ne!(verdicts[0], Verdict::KeepLate);
    assert_eq!(verdicts[1], Verdict::KeepLate);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever one changed byte, or a cut, makes of a frame: it is judged, or kept with a reason.
    #[test]
    fn damage_is_kept_or_decodes(at: prop::sample::Index, to: u8, cut in 0usize..40, plain: bool) {
        let model = Model::parse(MODEL).unwrap();
        let pixels = pixels(COLUMNS, ROWS, 3);
        let (compression, mut payload) = match plain {
            true => (Compression::Lz4, encode_lz4(4096, &pixels)),
            false => (Compression::BitshuffleLz4, encode(2, &pixels)),
        };
        let at = at.index(payload.len());
        payload[at] = to;
        payload.truncate(payload.len() - cut.saturating_sub(20));
        let frame = (over(&payload, compression, 1), payload);
        let (records, _) = judged(announced(&model), &[frame]);
        let fault = Fault::Compressed.reason_bit();
        prop_assert!(records[0].class().is_some() || records[0].reasons == fault);
    }
}
