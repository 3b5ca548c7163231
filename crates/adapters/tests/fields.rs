//! Every field of a vendor's header against a table that is written down here a second time: offset and
//! size in the vendor's bytes, and what it becomes in ours.

use hitgate_adapters::aes::{self, Completion, DmaReadData, Lane};
use hitgate_adapters::sls::{BunchId, Detector, Module, PacketHeader, PacketMask};
use hitgate_adapters::trailer::TRAILER_LEN;
use hitgate_adapters::xdma::{Behind, C2hResult, Stream};
use hitgate_adapters::{Shape, aes::TimingHeader, status};
use hitgate_core::frame::{Fault, Frame, FrameHeader, NO_CELL, PixelType, flags, pulse_kind};
use proptest::prelude::*;

/// An integer of `size` bytes at `offset`, little endian.
fn little(bytes: &[u8], offset: usize, size: usize) -> u64 {
    (0..size).fold(0, |sum, i| sum | u64::from(bytes[offset + i]) << (8 * i))
}

/// An integer of `size` bytes at `offset`, big endian.
fn big(bytes: &[u8], offset: usize, size: usize) -> u64 {
    (0..size).fold(0, |sum, i| sum << 8 | u64::from(bytes[offset + i]))
}

/// The fields of a header that were named, and no other: the rest has to be as in `fresh`.
#[track_caller]
fn only(found: FrameHeader, expected: FrameHeader) {
    assert_eq!(found, expected);
}

fn sls_module(detector: Detector, bunch_id: BunchId) -> Module {
    Module {
        detector,
        id: 5,
        modules: 8,
        pixel_type: PixelType::U16,
        bunch_id,
        flags: flags::CALIBRATION,
    }
}

fn shape() -> Shape {
    Shape {
        rows: 16,
        columns: 24,
        pixel_type: PixelType::U16,
        modules: 1,
    }
}

const PIXELS: usize = 16 * 24 * 2;

proptest! {
    #[test]
    fn an_sls_packet(bytes in any::<[u8; 48]>(), received in 0u16..128, arrival in any::<u64>()) {
        let packet = PacketHeader::from_bytes(&bytes);
        prop_assert_eq!(packet.to_bytes(), bytes);
        for (detector, is_jungfrau, is_eiger) in [
            (Detector::JUNGFRAU, true, false),
            (Detector::EIGER, false, true),
            (Detector::MOENCH, false, false),
        ] {
            let packet = PacketHeader { detector_type: detector.detector_type, ..packet };
            for (bunch_id, kind) in [
                (BunchId::Integer, pulse_kind::SLS_U64),
                (BunchId::Double, pulse_kind::SLS_F64),
            ] {
                let module = sls_module(detector, bunch_id);
                let header = module.frame(&packet, received, arrival);
                let word = little(&bytes, 40, 4);
                only(header, FrameHeader {
                    flags: flags::CALIBRATION,
                    frame_number: little(&bytes, 0, 8),
                    pulse_key: little(&bytes, 16, 8),
                    pulse_kind: kind,
                    cell_id: if is_jungfrau { (word >> 8 & 15) as u16 } else { NO_CELL },
                    module_id: little(&bytes, 32, 2) as u16,
                    module_row: little(&bytes, 34, 2) as u16,
                    module_column: little(&bytes, 36, 2) as u16,
                    modules: 8,
                    detector_type: detector.detector_type,
                    source_ticks: little(&bytes, 24, 8),
                    tick_10ps: 10_000,
                    exposure_ticks: if is_eiger { 0 } else { little(&bytes, 8, 4) as u32 },
                    arrival_ns: arrival,
                    payload_offset_64: 3,
                    packets_expected: detector.packets,
                    packets_received: received,
                    source_word: word as u32,
                    source_aux: little(&bytes, 16, 8),
                    packet_mask_offset: 128,
                    ..FrameHeader::new(detector.rows, detector.columns, PixelType::U16)
                });
            }
        }
    }

    /// What an emulated module sends is what its frame said.
    #[test]
    fn an_sls_packet_and_back(
        number in any::<u64>(), key in any::<u64>(), ticks in any::<u64>(), exposure in any::<u32>(),
        word in any::<u32>(), place in any::<[u16; 2]>(), packet in 0u16..128,
    ) {
        let module = sls_module(Detector::JUNGFRAU, BunchId::Integer);
        let frame = FrameHeader {
            frame_number: number,
            pulse_key: key,
            source_ticks: ticks,
            exposure_ticks: exposure,
            source_word: word,
            module_row: place[0],
            module_column: place[1],
            ..FrameHeader::new(512, 1024, PixelType::U16)
        };
        let sent = module.packet(&frame, packet);
        prop_assert_eq!(module.own(&sent, 8192), Ok(packet));
        let back = module.frame(&sent, 128, 0);
        prop_assert_eq!(
            (back.frame_number, back.pulse_key, back.source_ticks, back.exposure_ticks),
            (number, key, ticks, exposure)
        );
        prop_assert_eq!(
            (back.source_word, back.module_row, back.module_column, back.module_id),
            (word, place[0], place[1], 5)
        );
        prop_assert_eq!(back.cell_id, (word >> 8 & 15) as u16);
    }

    #[test]
    fn a_dma_buffer_of_aes_stream_drivers(
        timing in any::<[u8; 32]>(), read in any::<[u8; 36]>(), damage in any::<u16>(),
        short in 0usize..40, arrival in any::<u64>(),
    ) {
        // The driver says how much it wrote, which is not always all.
        let size = 32 + PIXELS - short;
        let mut padded = [0; 40];
        padded[..36].copy_from_slice(&read);
        padded[24..28].copy_from_slice(&(size as u32).to_le_bytes());
        let data = DmaReadData::from_bytes(&padded);
        let mut buffer = timing.to_vec();
        buffer.resize(32 + PIXELS, 7);

        let header = Lane::new(shape()).frame(&Completion::from(&data), &buffer, damage, arrival);
        let dest = little(&read, 8, 4);
        let continued = little(&read, 12, 4) >> 16 & 1;
        let failed = little(&read, 32, 4) >> 31;
        let error = (little(&read, 20, 4) & 15) | failed << 3;
        let pulse = little(&timing, 0, 8);
        let (control, env) = (pulse >> 56, little(&timing, 16, 4));
        let status = (u64::from(damage) & 0x7F)
            | error << 7
            | continued
            | u64::from(control & 0x80 != 0) << 3
            | u64::from(short > 0) << 8;
        let keep = env >> 22 & 1 == 1 || control & 15 != 12;
        only(header, FrameHeader {
            frame_number: if status == 0 { little(&timing, 20, 3) } else { 0 },
            pulse_key: pulse & 0x00FF_FFFF_FFFF_FFFF,
            pulse_kind: pulse_kind::LCLS,
            module_id: dest.min(0xFFFF) as u16,
            lane: dest as u32,
            buffer_index: little(&read, 16, 4) as u32,
            flags: if keep { flags::KEEP_RAW } else { 0 },
            source_ticks: little(&timing, 12, 4) * 1_000_000_000 + little(&timing, 8, 4),
            tick_10ps: 100,
            source_word: env as u32,
            readout_groups: (env & 0xFFFF) as u32,
            source_aux: pulse,
            arrival_ns: arrival,
            status: status as u32,
            payload_offset_64: 3,
            payload_len: (PIXELS - short) as u32,
            ..FrameHeader::new(16, 24, PixelType::U16)
        });
    }

    /// The same by the descriptor that the device writes.
    #[test]
    fn a_descriptor_of_aes_stream_drivers(words in any::<[u32; 4]>()) {
        let mut bytes = [0; 16];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let [control, index, size, from] = words;
        let expected = (from != 0).then_some(Completion {
            index,
            size,
            dest: (from >> 8 & 15) * 256 + (from & 255),
            error: if size == 0 { 1 } else { control & 7 },
            continued: control & 8 != 0,
        });
        prop_assert_eq!(Completion::from_descriptor(&bytes), expected);
    }

    #[test]
    fn a_timing_header_and_back(pulse in 0u64..1 << 56, ticks in 0u64..1 << 62, number in any::<u64>(),
        groups in any::<u16>(), keep in any::<bool>()) {
        let frame = FrameHeader {
            pulse_key: pulse,
            source_ticks: ticks,
            frame_number: number,
            readout_groups: groups.into(),
            flags: if keep { flags::KEEP_RAW } else { 0 },
            ..FrameHeader::new(16, 24, PixelType::U16)
        };
        let timing: TimingHeader = aes::timing_header(&frame);
        let mut buffer = timing.to_bytes().to_vec();
        buffer.resize(32 + PIXELS, 0);
        let done = Completion { index: 3, size: buffer.len() as u32, dest: 0, error: 0, continued: false };
        let back = Lane::new(shape()).frame(&done, &buffer, 0, 0);
        prop_assert_eq!((back.pulse_key, back.flags, back.status), (pulse, frame.flags, 0));
        prop_assert_eq!((back.readout_groups, back.frame_number), (groups.into(), number & 0xFF_FFFF));
        // Seconds are 32 bits on the wire.
        prop_assert_eq!(back.source_ticks, ticks % ((1 << 32) * 1_000_000_000));
    }

    #[test]
    fn a_frame_of_a_stream_with_its_trailer(
        block in any::<[u8; 48]>(), end in any::<bool>(), channel in 0u16..8, arrival in any::<u64>(),
    ) {
        let mut buffer = vec![1; PIXELS];
        buffer.extend(block);
        buffer.resize(PIXELS + TRAILER_LEN, 0xEE);
        let result = C2hResult {
            status: 0x52B4 << 16 | u32::from(end),
            length: buffer.len() as u32,
            ..C2hResult::default()
        };
        let mut stream = Stream::new(shape(), Behind::Trailer, channel);
        let header = stream.frame(&result, &buffer, arrival).expect("the engine wrote it");
        let seconds = big(&block, 12, 8);
        let cut = !end || big(&block, 24, 8) < PIXELS as u64;
        only(header, FrameHeader {
            flags: flags::METADATA_AFTER,
            frame_number: if cut { 0 } else { big(&block, 34, 2) },
            module_id: channel,
            lane: channel.into(),
            source_ticks: seconds.wrapping_mul(1_000_000_000).wrapping_add(big(&block, 20, 4)),
            tick_10ps: 100,
            source_word: big(&block, 0, 4) as u32,
            source_aux: big(&block, 4, 4) << 32 | big(&block, 8, 4),
            arrival_ns: arrival,
            status: if cut { status::TRUNCATED } else { 0 },
            ..FrameHeader::new(16, 24, PixelType::U16)
        });
    }

    /// Nothing panics, whatever the bytes and however long they are, and what is made of them is a
    /// header that the filter can read.
    #[test]
    fn hostile_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..1200), read in any::<[u8; 40]>(),
        result in any::<[u8; 32]>(), descriptor in any::<[u8; 16]>(), claim in any::<u32>(),
    ) {
        let mut lane = Lane::new(shape());
        let data = DmaReadData { size: claim, ..DmaReadData::from_bytes(&read) };
        let completions = [Some(Completion::from(&data)), Completion::from_descriptor(&descriptor)];
        let mut made: Vec<FrameHeader> = Vec::new();
        for done in completions.into_iter().flatten() {
            made.push(lane.frame(&done, &bytes, claim as u16, 1));
        }
        for behind in [Behind::Trailer, Behind::Nothing] {
            let mut stream = Stream::new(shape(), behind, 0);
            let result = C2hResult { status: 0x52B4 << 16 | claim & 1, ..C2hResult::from_bytes(&result) };
            made.extend(stream.frame(&result, &bytes, 1));
        }
        for header in made {
            let mut slot = header.seal().to_vec();
            slot.resize(192 + PIXELS, 0);
            match Frame::parse(&slot) {
                Ok(frame) => prop_assert_eq!(frame.payload.len(), PIXELS),
                Err((fault, _)) => prop_assert!(
                    matches!(fault, Fault::PayloadLength | Fault::Damaged), "{}", fault
                ),
            }
        }
        if let Some(bytes) = bytes.first_chunk() {
            let packet = PacketHeader::from_bytes(bytes);
            let module = sls_module(Detector::JUNGFRAU, BunchId::Double);
            let _ = module.own(&packet, claim as usize);
            let header = module.frame(&packet, claim as u16, 0);
            let _ = PacketMask::of_slot(&FrameHeader { packet_mask_offset: claim, ..header }, &read);
        }
    }
}

#[test]
fn counters_go_on_over_their_ends() {
    let mut lane = Lane::new(shape());
    let numbers = [0xFF_FFFE_u64, 0xFF_FFFF, 0x100_0000, 0x100_0001].map(|number| {
        let frame = FrameHeader {
            frame_number: number,
            ..FrameHeader::new(16, 24, PixelType::U16)
        };
        let mut buffer = aes::timing_header(&frame).to_bytes().to_vec();
        buffer.resize(32 + PIXELS, 0);
        let data = DmaReadData {
            size: buffer.len() as u32,
            ..DmaReadData::default()
        };
        let header = lane.frame(&Completion::from(&data), &buffer, 0, 0);
        header.frame_number
    });
    assert_eq!(numbers, [0xFF_FFFE, 0xFF_FFFF, 0x100_0000, 0x100_0001]);
}

#[test]
fn a_result_that_is_not_there_yet_is_no_frame() {
    let mut stream = Stream::new(shape(), Behind::Nothing, 0);
    let buffer = vec![0; PIXELS];
    assert_eq!(stream.frame(&C2hResult::default(), &buffer, 0), None);
    for number in 1..4 {
        let result = hitgate_adapters::xdma::result(PIXELS as u32);
        let header = stream.frame(&result, &buffer, 0).expect("a frame");
        assert_eq!((header.frame_number, header.status), (number, 0));
    }
}

#[test]
fn a_short_frame_is_cut_at_what_came() {
    let buffer = vec![0; PIXELS];
    for (behind, came) in [(Behind::Nothing, 100), (Behind::Trailer, PIXELS)] {
        let mut stream = Stream::new(shape(), behind, 0);
        let result = hitgate_adapters::xdma::result(came as u32);
        let header = stream.frame(&result, &buffer, 0).expect("a frame");
        assert_eq!(header.payload_len as usize, came);
        assert_eq!(header.status, status::LENGTH);
    }
    let mut lane = Lane::new(shape());
    let data = DmaReadData {
        size: 10,
        index: 77,
        ..DmaReadData::default()
    };
    let header = lane.frame(&Completion::from(&data), &buffer, 0, 0);
    assert_eq!((header.payload_len, header.buffer_index), (0, 77));
    assert_eq!(header.status, status::LENGTH);
}

/// Sizes and counts of packets, as `slsDetectorPackage` has them.
#[test]
fn packets_of_each_detector() {
    let found = Detector::ALL.map(|of| (of.name, of.packets, 48 + of.packet_bytes(), of.bytes()));
    assert_eq!(
        found,
        [
            ("jungfrau", 128, 8240, 1 << 20),
            ("eiger", 64, 4144, 256 * 512 * 2),
            ("moench", 50, 6448, 400 * 400 * 2),
        ]
    );
}
