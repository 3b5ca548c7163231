//! What vendors' readouts write, through the adapters and on through the path: packets, descriptors, results, timing
//! headers, trailers. Nothing that contradicts itself or is not whole is dropped, and the books balance as far as they count.
#![no_main]

use hitgate_adapters::Shape;
use hitgate_adapters::aes::{
    self, Completion, DMA_READ_DATA_LEN, DmaReadData, EVENT_COUNTER_BITS, Lane, TIMING_HEADER_LEN,
    TimingHeader,
};
use hitgate_adapters::sls::{
    Assembly, BunchId, Detector, Module, PACKET_HEADER_LEN, PACKET_VERSION, PacketHeader,
    PacketMask, Sorted,
};
use hitgate_adapters::trailer::{TRAILER_LEN, Trailer};
use hitgate_adapters::xdma::{self, Behind, C2H_RESULT_LEN, C2hResult, Stream};
use hitgate_core::frame::{Frame, FrameHeader, HEADER_LEN, PixelType, flags};
use hitgate_core::link::LentQueue;
use hitgate_core::pipeline::{Backend, MAX_BATCH, Pipeline, Scored};
use hitgate_core::verdict::Score;
use hitgate_tests::{Collector, IDENTITY, POLICY, put, ring};
use libfuzzer_sys::fuzz_target;

const SHAPE: Shape = Shape {
    rows: 6,
    columns: 8,
    pixel_type: PixelType::U16,
    modules: 1,
};
const PIXELS: usize = SHAPE.bytes();
/// More than a byte of the mask has bits.
const PACKETS: u16 = 12;
/// Of a slot behind the header: what lies before the pixels, and behind.
const ROOM: usize = 64 + PIXELS + TRAILER_LEN;

fuzz_target!(|bytes: &[u8]| {
    let mut slots = Vec::new();
    for wire in [Wire::AsItIs, Wire::Mended] {
        for detector in Detector::ALL {
            packets(bytes, wire, detector.detector_type, &mut slots);
        }
        buffers(bytes, wire, &mut slots);
        for behind in [Behind::Nothing, Behind::Trailer] {
            results(bytes, wire, behind, &mut slots);
        }
    }
    judge(&slots);
});

/// How the bytes came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    AsItIs,
    /// With lengths and constants that fit, so that what is behind them is reached.
    Mended,
}

/// The bytes as packets, each behind a byte that says what happens before it, sorted into frames.
fn packets(bytes: &[u8], wire: Wire, detector_type: u8, slots: &mut Vec<Vec<u8>>) {
    const FINISH: u8 = 1;
    const SILENCE: u8 = 2;
    let module = Module {
        detector: Detector {
            name: "small",
            detector_type,
            rows: SHAPE.rows,
            columns: SHAPE.columns,
            packets: PACKETS,
        },
        id: 1,
        modules: 1,
        pixel_type: SHAPE.pixel_type,
        bunch_id: BunchId::Integer,
        flags: 0,
    };
    let mut assembly = Assembly::new(module);
    let mut came = [false; PACKETS as usize];
    let (mut heard, mut early) = (0, 0);
    for packet in bytes.chunks(1 + PACKET_HEADER_LEN) {
        let (&[before], header) = packet.split_first_chunk().expect("a byte at least");
        let Some(header) = header.first_chunk() else {
            break;
        };
        let mut header = PacketHeader::from_bytes(header);
        let mut len = usize::from(before);
        if wire == Wire::Mended {
            header.version = PACKET_VERSION;
            header.detector_type = detector_type;
            header.module_id = module.id;
            header.packet_number %= u32::from(PACKETS) + 1;
            len = module.detector.packet_bytes();
        }
        if before & FINISH != 0 || assembly.is_complete() {
            slots.extend(finish(&mut assembly, &mut came));
        }
        if before & SILENCE != 0 {
            assembly.forget();
        }
        // The kernel writes there before anybody knows what it is.
        assert!(!came[usize::from(assembly.next())]);
        heard += 1;
        match assembly.sort(&header, len) {
            Sorted::Here(packet) => {
                assert!(!came[usize::from(packet)]);
                came[usize::from(packet)] = true;
            }
            Sorted::Early => early += 1,
            Sorted::Discarded => {}
        }
    }
    slots.extend(finish(&mut assembly, &mut came));
    let counts = assembly.counts();
    let told = counts.placed + counts.repeated + counts.late + counts.foreign;
    assert_eq!(told + early, heard);
}

/// The slot of the open frame, of which these packets came.
fn finish(assembly: &mut Assembly, came: &mut [bool; PACKETS as usize]) -> Option<Vec<u8>> {
    let finished = assembly.finish(0)?;
    let lost = came.iter().filter(|came| !**came).count();
    assert!((0..PACKETS).map(|p| finished.mask.has(p)).eq(*came));
    assert_eq!(
        usize::from(finished.header.packets_received),
        came.len() - lost
    );
    *came = [false; _];
    let slot = slot(&finished.header, finished.mask.bytes());
    assert_eq!(
        PacketMask::of_slot(&finished.header, &slot),
        Some(finished.mask)
    );
    Some(slot)
}

/// The bytes as completions, each with the start of its buffer, told by the driver and by the device itself.
fn buffers(bytes: &[u8], wire: Wire, slots: &mut Vec<Vec<u8>>) {
    let mut lane = Lane::new(SHAPE);
    for told in bytes.chunks(DMA_READ_DATA_LEN + TIMING_HEADER_LEN) {
        let Some((read, buffer)) = told.split_first_chunk() else {
            break;
        };
        let data = DmaReadData::from_bytes(read);
        let descriptor = read.first_chunk().and_then(Completion::from_descriptor);
        let mut buffer = buffer.to_vec();
        if wire == Wire::Mended {
            buffer.resize(TIMING_HEADER_LEN + PIXELS, 0);
        }
        for mut completion in [Some(Completion::from(&data)), descriptor]
            .into_iter()
            .flatten()
        {
            let mut damage = data.is_32 as u16;
            if wire == Wire::Mended {
                completion.size = buffer.len() as u32;
                (completion.error, completion.continued, damage) = (0, false, 0);
            }
            let header = lane.frame(&completion, &buffer, damage, 0);
            let written = buffer.len().min(completion.size as usize);
            assert!(header.payload_len as usize <= written.saturating_sub(TIMING_HEADER_LEN));
            if header.status == 0 {
                let timing = buffer.first_chunk().map(TimingHeader::from_bytes);
                let counted = timing.expect("a whole frame").event_counter;
                assert!(ends_in(header.frame_number, counted, EVENT_COUNTER_BITS));
            }
            let before = [0; aes::DMA_OFFSET - HEADER_LEN];
            slots.push(slot(&header, &[&before[..], &buffer].concat()));
        }
    }
}

/// The bytes as results of a stream, each with what the device wrote last of its frame.
fn results(bytes: &[u8], wire: Wire, behind: Behind, slots: &mut Vec<Vec<u8>>) {
    let mut stream = Stream::new(SHAPE, behind, 3);
    for told in bytes.chunks(C2H_RESULT_LEN + TRAILER_LEN) {
        let Some((result, written)) = told.split_first_chunk() else {
            break;
        };
        let mut result = C2hResult::from_bytes(result);
        let mut buffer = written.to_vec();
        if wire == Wire::Mended {
            let mut block = [0; TRAILER_LEN];
            block[..written.len()].copy_from_slice(written);
            let trailer = Trailer::from_bytes(&block);
            assert_eq!(Trailer::from_bytes(&trailer.to_bytes()), trailer);
            let whole = Trailer {
                bytes_written: trailer.bytes_written.max(PIXELS as u64),
                ..trailer
            };
            buffer = [&[0; PIXELS][..], &whole.to_bytes()].concat();
            buffer.truncate(stream.buffer_bytes());
            result.length = buffer.len() as u32;
            result.status |= xdma::END_OF_PACKET;
            result.status = result.status & 0xFFFF | xdma::WRITE_BACK_MAGIC << 16;
        }
        let Some(header) = stream.frame(&result, &buffer, 0) else {
            continue;
        };
        let written = buffer.len().min(result.length as usize);
        assert!(header.payload_len as usize <= written);
        if header.status == 0 && behind == Behind::Trailer {
            let block = buffer[PIXELS..].first_chunk().map(Trailer::from_bytes);
            let counted = block.expect("a whole frame").frame_number;
            assert!(ends_in(header.frame_number, counted.into(), 16));
        }
        slots.push(slot(&header, &buffer));
    }
}

/// Whether a number is what its counter of so many bits was continued to.
fn ends_in(number: u64, counter: u32, bits: u32) -> bool {
    (number ^ u64::from(counter)) % (1 << bits) == 0
}

/// A slot with what follows its header, as long as that says.
fn slot(header: &FrameHeader, behind: &[u8]) -> Vec<u8> {
    let mut slot = header.seal().to_vec();
    slot.extend(behind);
    slot.resize(slot.len().max(header.slot_len()), 0);
    slot
}

/// The slots through the path, all of whose scores say that there is nothing on them.
fn judge(slots: &[Vec<u8>]) {
    let ring = ring(2, ROOM);
    let mut writer = ring.writer().expect("no other writer");
    let reader = ring.reader().expect("no other reader");
    let mut path = Pipeline::new(reader, Nothing, POLICY, LentQueue::<1>::new(), IDENTITY);
    let mut node = Collector::default();
    for slot in slots {
        let (sealed, rest) = slot.split_first_chunk().expect("a header");
        assert!(put(&mut writer, sealed, rest));
        assert_eq!(path.step(&mut node), Ok(1));
        while path.link.take().is_some() {}
        let header = FrameHeader::from_bytes(sealed);
        let whole = header.status == 0
            && header.payload_len as usize == PIXELS
            && header.packets_received >= header.packets_expected;
        let [record] = node.records[..] else {
            panic!("{} records of a frame", node.records.len());
        };
        assert!(
            record.verdict().keeps() || whole && header.flags & flags::KEEP_RAW == 0,
            "{record:?} of {header:?}"
        );
        node.records.clear();
    }
    let books = path.accounts();
    assert_eq!(books.received, slots.len() as u64);
    assert_eq!(books.kept() + books.dropped(), books.received);
    // Numbers far enough apart are gaps that no counter holds.
    assert!(books.balance() || books.expected == u64::MAX);
}

/// Sees nothing on any frame.
struct Nothing;

impl Backend for Nothing {
    const BATCH: usize = 1;

    fn score(
        &mut self,
        frames: &[Frame<'_>],
        _: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH> {
        let miss = Scored {
            score: Ok(Score {
                hit: 0,
                maybe: 0,
                miss: u16::MAX,
            }),
            in_domain: true,
            decode_ns: 0,
            prep_ns: 0,
            net_ns: 0,
        };
        frames.iter().map(|_| miss).collect()
    }
}
