//! Frames go in by the ring; every one comes out as a record, and the kept ones as their slots.

use half::f16;
use hitgate_core::correct::{Correction, STAGES};
use hitgate_core::frame::{Fault, Frame, FrameHeader, HEADER_LEN, flags};
use hitgate_core::link::{LentQueue, lost_cause};
use hitgate_core::net::{Arena, Model, Plan};
use hitgate_core::pipeline::{Backend, MAX_BATCH, Pipeline, Scored};
use hitgate_core::prep::{Mask, Preparation};
use hitgate_core::verdict::{Score, Verdict, reasons};
use hitgate_host::Ring;
use hitgate_kernels::Level;
use hitgate_ring::Layout;
use hitgate_sim::{Detector, Mix, Simulator};
use hitgate_tests::{
    Collector, Holder, IDENTITY, MODEL, Memory, POLICY, header, pipeline, pixels, preparation, put,
    ring,
};

const COLUMNS: u32 = 60;
const ROWS: u32 = 50;
const BYTES: usize = (COLUMNS * ROWS * 2) as usize;

/// The score of simulated frames, step by step, without ring or pipeline.
fn score_by_hand(model: &Model<'_>, frame: &hitgate_sim::Simulated) -> Result<Score, Fault> {
    let input = model.input();
    let preparation = frame.preparation(input.size, input.reduce);
    let mut words = vec![0; preparation.words()];
    let mut map = vec![0; preparation.map_bytes()];
    let level = Level::by_name("scalar").unwrap();
    preparation.run(level, &frame.as_frame(), &mut words, &mut map)?;
    let memory = Plan::memory(model, level);
    let (mut packed, mut arena) = (vec![0; memory.packed], vec![0; memory.arena]);
    let plan = Plan::new(model, level, &mut packed).unwrap();
    Ok(model.score(plan.infer(&mut Arena::new(&mut arena), &map).unwrap()))
}

#[test]
fn the_path_is_its_steps_on_every_level() {
    let model = Model::parse(MODEL).unwrap();
    let simulator = Simulator::with_detector(5, Mix::Natural, Detector::CspadTile);
    let frames: Vec<_> = (0..12).map(|index| simulator.frame(index)).collect();
    let expected: Vec<_> = frames
        .iter()
        .map(|frame| score_by_hand(&model, frame))
        .collect();
    let preparations = [frames[0].preparation(model.input().size, model.input().reduce)];
    for level in Level::all_available() {
        let ring = ring(4, frames[0].payload.len());
        let mut writer = ring.writer().unwrap();
        let mut memory = Memory::new(&model, level, &preparations);
        let mut path = pipeline(
            &ring,
            memory.cpu(&model, level, &preparations),
            LentQueue::<2>::new(),
        );
        let mut node = Collector::default();
        for (frame, number) in frames.iter().zip(1..) {
            let header = FrameHeader {
                frame_number: number,
                ..frame.as_frame().header
            };
            assert!(put(&mut writer, &header.seal(), &frame.payload));
            path.step(&mut node).unwrap();
            path.link.take();
        }
        let found: Vec<_> = node
            .records
            .iter()
            .map(|record| {
                record
                    .class()
                    .map(|_| Score {
                        hit: record.p_hit,
                        maybe: record.p_maybe,
                        miss: record.p_miss,
                    })
                    .ok_or(Fault::NoValidPixel)
            })
            .collect();
        assert_eq!(found, expected, "{}", level.name());
        assert!(path.accounts().balance());
    }
}

#[test]
fn the_golden_vector_is_exact_on_every_level() {
    let model = Model::parse(MODEL).unwrap();
    let golden = model.golden();
    for level in Level::all_available() {
        let memory = Plan::memory(&model, level);
        let (mut packed, mut arena) = (vec![0; memory.packed], vec![0; memory.arena]);
        let plan = Plan::new(&model, level, &mut packed).unwrap();
        let logits = plan.infer(&mut Arena::new(&mut arena), golden.map).unwrap();
        assert_eq!(logits, golden.logits, "{}", level.name());
        assert_eq!(model.score(logits), golden.score);
    }
}

#[test]
fn a_fault_is_the_frames_own_and_keeps_it() {
    let model = Model::parse(MODEL).unwrap();
    let plain = preparation(&model, COLUMNS, ROWS);
    // Module 1 is masked whole. Module 2 sends raw words of two storage cells with pedestals of their own.
    let every_pixel = [0xFF; (COLUMNS * ROWS).div_ceil(8) as usize];
    let masked = Preparation {
        mask: Mask::new(&every_pixel, COLUMNS, ROWS).expect("a bit for each pixel"),
        ..plain.clone()
    };
    let pedestals = [
        [0_u16; (COLUMNS * ROWS) as usize],
        [4; (COLUMNS * ROWS) as usize],
    ];
    let gains = [f16::ONE; (COLUMNS * ROWS) as usize];
    let cells = pedestals.each_ref().map(|map| {
        Correction::new([map; STAGES], [&gains; STAGES], map.len()).expect("whole maps")
    });
    let raw = Preparation {
        corrections: &cells,
        ..plain.clone()
    };
    let preparations = [plain, masked, raw];
    let level = Level::detect();
    let ring = ring(64, BYTES);
    let mut writer = ring.writer().unwrap();
    let mut memory = Memory::new(&model, level, &preparations);
    let mut path = pipeline(
        &ring,
        memory.cpu(&model, level, &preparations),
        Holder::default(),
    );

    let pixels = pixels(COLUMNS, ROWS, 3);
    let plain = |number| header(COLUMNS, ROWS, number);
    let mut broken = plain(6).seal();
    broken[20] ^= 1;
    let sealed: Vec<(Option<Fault>, [u8; HEADER_LEN])> = vec![
        (None, plain(1).seal()),
        (Some(Fault::Magic), [0; HEADER_LEN]),
        (
            Some(Fault::Damaged),
            FrameHeader {
                status: 4,
                ..plain(2)
            }
            .seal(),
        ),
        (
            Some(Fault::Packets),
            FrameHeader {
                packets_expected: 128,
                packets_received: 127,
                ..plain(3)
            }
            .seal(),
        ),
        (
            Some(Fault::PayloadLength),
            FrameHeader {
                payload_len: u32::MAX,
                ..plain(4)
            }
            .seal(),
        ),
        (
            Some(Fault::PayloadCrc),
            FrameHeader {
                flags: flags::PAYLOAD_CRC,
                ..plain(5)
            }
            .seal(),
        ),
        (
            Some(Fault::UnknownModule),
            FrameHeader {
                module_id: 7,
                ..plain(1)
            }
            .seal(),
        ),
        (Some(Fault::HeaderCrc), broken),
        (Some(Fault::Shape), header(ROWS, COLUMNS, 7).seal()),
        (
            Some(Fault::Version),
            FrameHeader {
                version: 2,
                ..plain(8)
            }
            .seal(),
        ),
        (
            Some(Fault::Flags),
            FrameHeader {
                flags: flags::PREPARED,
                ..plain(9)
            }
            .seal(),
        ),
        (
            Some(Fault::Flags),
            FrameHeader {
                flags: 1 << 15,
                ..plain(10)
            }
            .seal(),
        ),
        (
            Some(Fault::PixelType),
            FrameHeader {
                pixel_type: 6,
                ..plain(11)
            }
            .seal(),
        ),
        (
            Some(Fault::Compressed),
            FrameHeader {
                compression: 2,
                ..plain(12)
            }
            .seal(),
        ),
        (
            Some(Fault::Compressed),
            FrameHeader {
                flags: flags::COMPRESSED,
                ..plain(13)
            }
            .seal(),
        ),
        (
            Some(Fault::NoValidPixel),
            FrameHeader {
                module_id: 1,
                ..plain(1)
            }
            .seal(),
        ),
        (
            Some(Fault::UnknownCell),
            FrameHeader {
                module_id: 2,
                cell_id: 2,
                ..plain(1)
            }
            .seal(),
        ),
        // Cells differ, and it names none.
        (
            Some(Fault::UnknownCell),
            FrameHeader {
                module_id: 2,
                ..plain(2)
            }
            .seal(),
        ),
        (
            None,
            FrameHeader {
                module_id: 2,
                cell_id: 1,
                ..plain(3)
            }
            .seal(),
        ),
        (None, plain(14).seal()),
    ];
    // This ring's slots have room for a header, and this backend answers.
    let elsewhere = [Fault::Short, Fault::Backend];
    for fault in Fault::ALL {
        let here = sealed.iter().any(|(row, _)| *row == Some(fault));
        assert_ne!(here, elsewhere.contains(&fault), "{fault}");
    }

    let mut node = Collector::default();
    for (_, header) in &sealed {
        assert!(put(&mut writer, header, &pixels));
    }
    while path.step(&mut node).unwrap() > 0 {}

    assert_eq!(node.records.len(), sealed.len());
    for (record, (fault, _)) in node.records.iter().zip(&sealed) {
        match fault {
            None => assert!(record.class().is_some() && record.reasons >> 16 == 0),
            Some(fault) => {
                assert_eq!(record.verdict(), Verdict::KeepFault, "{fault}");
                assert_eq!(record.reasons & !0xFFFF, fault.reason_bit(), "{fault}");
            }
        }
    }
    let faults = sealed.iter().filter(|(fault, _)| fault.is_some()).count() as u64;
    assert_eq!(path.accounts().of(Verdict::KeepFault), faults);
    let books = path.accounts();
    assert!(books.balance());
    assert_eq!(books.received, sealed.len() as u64);
    // The two with unreadable numbers fill the places that they left; the blank one is one more.
    assert_eq!((books.expected, books.unidentified), (books.received, 3));
    assert_eq!(path.link.records, node.records, "no frame is told as lost");
    assert_eq!(path.link.kept.len() as u64, books.kept());
    for (record, frame) in &path.link.kept {
        assert_eq!(
            &frame.bytes()[HEADER_LEN..HEADER_LEN + BYTES],
            pixels,
            "kept pixels are untouched"
        );
        assert_eq!(frame.seq().get(), record.seq);
    }
}

/// A backend that has no answer.
struct Silent;

impl Backend for Silent {
    const BATCH: usize = 4;

    fn score(&mut self, _: &[Frame<'_>], _: &impl Fn() -> u64) -> heapless::Vec<Scored, MAX_BATCH> {
        heapless::Vec::new()
    }
}

/// The faults that need another ring, and another backend.
#[test]
fn a_slot_too_short_for_a_header_and_a_frame_without_an_answer_are_kept() {
    const STRIDE: u32 = 64;
    assert!((STRIDE as usize) < HEADER_LEN);
    let short = Ring::anonymous(&Layout::new(4, STRIDE, 4).unwrap(), 1).unwrap();
    short.writer().unwrap().reserve().unwrap().unwrap().commit();
    let whole = ring(4, BYTES);
    assert!(put(
        &mut whole.writer().unwrap(),
        &header(COLUMNS, ROWS, 1).seal(),
        &vec![0; BYTES]
    ));
    for (ring, fault) in [(&short, Fault::Short), (&whole, Fault::Backend)] {
        let reader = ring.reader().unwrap();
        let mut path = Pipeline::new(reader, Silent, POLICY, Holder::default(), IDENTITY);
        let mut node = Collector::default();
        while path.step(&mut node).unwrap() > 0 {}
        let [record] = node.records[..] else {
            panic!("{fault}: {} records", node.records.len())
        };
        assert_eq!(record.verdict(), Verdict::KeepFault, "{fault}");
        assert_eq!(record.reasons, fault.reason_bit(), "{fault}");
        assert_eq!(path.link.kept.len(), 1, "{fault}");
        assert!(path.accounts().balance(), "{fault}");
    }
}

#[test]
fn a_gap_in_the_numbers_is_lost_and_told_to_the_link() {
    let model = Model::parse(MODEL).unwrap();
    let preparations = [preparation(&model, COLUMNS, ROWS)];
    let level = Level::detect();
    let ring = ring(8, BYTES);
    let mut writer = ring.writer().unwrap();
    let mut memory = Memory::new(&model, level, &preparations);
    let mut path = pipeline(
        &ring,
        memory.cpu(&model, level, &preparations),
        Holder::default(),
    );
    for number in [10, 11, 15] {
        assert!(put(
            &mut writer,
            &header(COLUMNS, ROWS, number).seal(),
            &pixels(COLUMNS, ROWS, number)
        ));
    }
    while path.step(&mut Collector::default()).unwrap() > 0 {}
    let lost: Vec<_> = path
        .link
        .records
        .iter()
        .filter(|r| r.verdict() == Verdict::Lost)
        .collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(
        (lost[0].frame_number, lost[0].pulse_key, lost[0].spots),
        (12, 3, lost_cause::SOURCE)
    );
    let books = path.accounts();
    assert_eq!(
        (books.expected, books.received, books.lost_source),
        (6, 3, 3)
    );
    assert!(books.balance());
}

#[test]
fn frames_that_must_be_kept_are() {
    let model = Model::parse(MODEL).unwrap();
    let preparations = [preparation(&model, COLUMNS, ROWS)];
    let level = Level::detect();
    let ring = ring(16, BYTES);
    let mut writer = ring.writer().unwrap();
    let mut memory = Memory::new(&model, level, &preparations);
    let mut path = pipeline(
        &ring,
        memory.cpu(&model, level, &preparations),
        Holder::default(),
    );
    let cases = [
        (
            FrameHeader {
                flags: flags::KEEP_RAW,
                ..header(COLUMNS, ROWS, 1)
            },
            Verdict::KeepForced,
            reasons::KEEP_RAW,
        ),
        (
            FrameHeader {
                flags: flags::CALIBRATION,
                ..header(COLUMNS, ROWS, 2)
            },
            Verdict::KeepForced,
            reasons::CALIBRATION,
        ),
        (
            FrameHeader {
                flags: flags::TEST_PATTERN,
                ..header(COLUMNS, ROWS, 3)
            },
            Verdict::KeepForced,
            reasons::TEST_PATTERN,
        ),
        (
            FrameHeader {
                modules: 8,
                ..header(COLUMNS, ROWS, 4)
            },
            Verdict::KeepPartial,
            reasons::PARTIAL,
        ),
    ];
    for (header, ..) in &cases {
        assert!(put(&mut writer, &header.seal(), &vec![0; BYTES]));
    }
    let mut node = Collector::default();
    while path.step(&mut node).unwrap() > 0 {}
    for (record, (_, verdict, reason)) in node.records.iter().zip(cases) {
        assert_eq!(record.verdict(), verdict);
        assert_ne!(record.reasons & reason, 0);
    }
}

#[test]
fn lent_slots_hold_the_ring_until_they_return() {
    let model = Model::parse(MODEL).unwrap();
    let preparations = [preparation(&model, COLUMNS, ROWS)];
    let level = Level::detect();
    let ring = ring(4, BYTES);
    let mut writer = ring.writer().unwrap();
    let mut memory = Memory::new(&model, level, &preparations);
    let mut path = pipeline(
        &ring,
        memory.cpu(&model, level, &preparations),
        Holder::default(),
    );
    let mut node = Collector::default();
    let mut written = 0;
    let forced = |number| FrameHeader {
        flags: flags::KEEP_RAW,
        ..header(COLUMNS, ROWS, number)
    };
    while put(&mut writer, &forced(written + 1).seal(), &vec![0; BYTES]) {
        written += 1;
    }
    assert_eq!(
        (written, writer.stalls()),
        (4, 1),
        "a full ring refuses, and counts"
    );
    while path.step(&mut node).unwrap() > 0 {}
    assert_eq!(
        node.records.len(),
        2,
        "half of the slots may be lent, beyond that the step waits"
    );
    path.link.kept.clear();
    while path.step(&mut node).unwrap() > 0 {}
    assert_eq!(node.records.len(), 4);
    assert!(put(&mut writer, &forced(5).seal(), &vec![0; BYTES]));
}

/// The header is copied out of the slot; nothing of the parser indexes by what a device wrote.
#[test]
fn no_bytes_make_the_parser_panic() {
    let sealed = header(COLUMNS, ROWS, 1).seal();
    let mut slot = vec![0; HEADER_LEN + BYTES];
    for seed in 0..20_000u64 {
        slot[..HEADER_LEN].copy_from_slice(&sealed);
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        for _ in 0..1 + seed % 4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            slot[(state >> 40) as usize % HEADER_LEN] = (state >> 20) as u8;
        }
        // With a sound checksum, so that the checks behind it are reached.
        let header = FrameHeader::from_bytes(slot.first_chunk().unwrap());
        slot[..HEADER_LEN].copy_from_slice(&header.seal());
        if let Ok(frame) = Frame::parse(&slot) {
            assert!(frame.payload.len() <= BYTES);
        }
    }
}
