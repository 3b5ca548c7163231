//! Packets over the loopback into slots. The detector is a small one, so that no kernel loses any.

use std::net::UdpSocket;
use std::time::Duration;

use hitgate_adapters::sls::{
    BunchId, Detector, Module, PACKET_HEADER_LEN, PACKET_VERSION, PAYLOAD_OFFSET, PacketHeader,
    PacketMask,
};
use hitgate_core::frame::{Fault, Frame, FrameHeader, PixelType};
use hitgate_host::{HostError, Ring, SlsReceiver};
use hitgate_ring::{Layout, RECORD_LEN};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const PACKETS: u16 = 4;
/// Bytes of pixels in a packet.
const BYTES: usize = 32;
const PATIENCE: Duration = Duration::from_millis(50);

fn module() -> Module {
    Module {
        detector: Detector {
            name: "small",
            detector_type: 3,
            rows: 8,
            columns: 8,
            packets: PACKETS,
        },
        id: 7,
        modules: 1,
        pixel_type: PixelType::U16,
        bunch_id: BunchId::Integer,
        flags: 0,
    }
}

/// A byte that tells packet and frame.
fn mark(frame: u64, packet: u16) -> u8 {
    // Never what lost packets are filled with.
    (frame.wrapping_mul(4) as u8).wrapping_add(packet as u8) & 0x7F
}

fn packet(frame: u64, number: u16) -> Vec<u8> {
    let header = PacketHeader {
        frame_number: frame,
        packet_number: number.into(),
        module_id: 7,
        detector_type: 3,
        version: PACKET_VERSION,
        ..PacketHeader::default()
    };
    let mut bytes = header.to_bytes().to_vec();
    bytes.resize(48 + BYTES, mark(frame, number));
    bytes
}

/// A frame as a reader finds it: number, packets that came, and whether the filter would take it.
type Found = (u64, Vec<u16>, bool);

struct Bench {
    receiver: SlsReceiver,
    sender: UdpSocket,
    ring: Ring,
    gaps: u64,
}

impl Bench {
    fn new() -> Self {
        let receiver = SlsReceiver::bind(([127, 0, 0, 1], 0).into(), module(), PATIENCE).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.address().unwrap()).unwrap();
        let stride = module().slot_bytes().next_multiple_of(64) as u32;
        let ring = Ring::anonymous(&Layout::new(4, stride, 4).unwrap(), 1).unwrap();
        Bench {
            receiver,
            sender,
            ring,
            gaps: 0,
        }
    }

    fn send(&self, packets: impl IntoIterator<Item = (u64, u16)>) -> &Self {
        for (frame, number) in packets {
            self.sender.send(&packet(frame, number)).unwrap();
        }
        self
    }

    /// Every frame until nothing comes, each pixel of it checked.
    fn frames(&mut self) -> Vec<Found> {
        let ring = self.ring.reopen().unwrap();
        let mut writer = ring.writer().unwrap();
        let mut reader = ring.reader().unwrap();
        let mut found = Vec::new();
        loop {
            let mut slot = writer.reserve().unwrap().expect("a free slot");
            let Some(gap) = self.receiver.receive(&mut slot).unwrap() else {
                return found;
            };
            slot.commit();
            self.gaps = self.gaps.saturating_add(gap);
            let mut batch = reader.read(1).unwrap();
            found.push(examine(batch.front().unwrap().bytes()));
            batch.settle(&[0; RECORD_LEN]);
        }
    }
}

fn examine(slot: &[u8]) -> Found {
    let (header, whole) = match Frame::parse(slot) {
        Ok(frame) => (frame.header, true),
        // Of a frame whose number is not believed the pixels still say which it was.
        Err((Fault::Packets | Fault::Damaged, header)) => (header, false),
        Err((fault, _)) => panic!("{fault}"),
    };
    let mask = PacketMask::of_slot(&header, slot).expect("a mask");
    let mut came = Vec::new();
    let first = (0..PACKETS).find(|number| mask.has(*number)).unwrap();
    let of_first = slot[PAYLOAD_OFFSET + usize::from(first) * BYTES];
    for number in 0..PACKETS {
        let start = PAYLOAD_OFFSET + usize::from(number) * BYTES;
        let pixels = &slot[start..start + BYTES];
        let expected = match mask.has(number) {
            true => {
                came.push(number);
                match header.status {
                    0 => mark(header.frame_number, number),
                    _ => of_first.wrapping_add((number - came[0]) as u8) & 0x7F,
                }
            }
            false => 0xFF,
        };
        assert!(pixels.iter().all(|byte| *byte == expected), "{number}");
    }
    let FrameHeader {
        packets_expected,
        packets_received,
        ..
    } = header;
    assert_eq!(
        (packets_expected, usize::from(packets_received)),
        (PACKETS, came.len())
    );
    (header.frame_number, came, whole)
}

fn whole(number: u64) -> Found {
    (number, vec![0, 1, 2, 3], true)
}

fn all(frame: u64) -> [(u64, u16); 4] {
    [0, 1, 2, 3].map(|packet| (frame, packet))
}

#[test]
fn packets_in_order_are_never_moved() {
    let mut bench = Bench::new();
    bench.send((1..=9).flat_map(all));
    assert_eq!(bench.frames(), (1..=9).map(whole).collect::<Vec<_>>());
    assert_eq!(bench.receiver.traffic(), Default::default());
    assert_eq!(bench.receiver.counts().placed, 36);
}

#[test]
fn packets_in_any_order_and_twice_make_the_same_frame() {
    let mut bench = Bench::new();
    bench.send([(1, 3), (1, 0), (1, 0), (1, 2), (1, 3), (1, 1)]);
    assert_eq!(bench.frames(), [whole(1)]);
    assert_eq!(bench.receiver.counts().repeated, 2);
    assert!(bench.receiver.traffic().moved > 0);
}

#[test]
fn a_lost_packet_leaves_a_frame_that_is_kept_and_says_which() {
    let mut bench = Bench::new();
    // An earlier frame's pixels are in the slot that the short one gets.
    bench.send((1..=4).flat_map(all));
    assert_eq!(bench.frames().len(), 4);
    bench.send([(5, 0), (5, 1), (5, 3)]);
    bench.send((6..=11).flat_map(all));
    let found = bench.frames();
    assert_eq!(found[0], (5, vec![0, 1, 3], false));
    assert_eq!(found[1..], (6..=11).map(whole).collect::<Vec<_>>());
    let counts = bench.receiver.counts();
    assert_eq!((counts.lost, counts.late), (1, 0));
    assert_eq!(bench.receiver.traffic().aside, 16, "then the frame ends");
}

#[test]
fn a_frame_at_the_end_is_finished_by_silence() {
    let mut bench = Bench::new();
    bench.send([(1, 0), (1, 2)]);
    assert_eq!(bench.frames(), [(1, vec![0, 2], false)]);
}

#[test]
fn a_packet_that_the_next_frame_overtook_is_not_lost() {
    let mut bench = Bench::new();
    bench.send([(1, 0), (1, 1), (1, 2), (2, 0), (3, 1), (1, 3)]);
    bench.send([(2, 1), (2, 2), (2, 3), (3, 0), (3, 2), (3, 3)]);
    assert_eq!(bench.frames(), [whole(1), whole(2), whole(3)]);
    assert_eq!(bench.receiver.traffic().aside, 2);
    assert_eq!(bench.receiver.counts().lost, 0);
}

#[test]
fn frames_of_which_nothing_came_are_told() {
    let mut bench = Bench::new();
    bench.send([1, 2, 6, 7].into_iter().flat_map(all));
    assert_eq!(bench.frames().len(), 4);
    assert_eq!(bench.gaps, 3);
}

#[test]
fn a_number_that_the_wire_made_up_makes_no_frames_missing() {
    let mut bench = Bench::new();
    bench.send([1, 2, 1 << 60, 3, 6].into_iter().flat_map(all));
    let found = bench.frames();
    let numbers = found.iter().map(|(number, ..)| *number);
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 0, 3, 6]);
    assert_eq!(bench.gaps, 2);
}

#[test]
fn late_packets_open_no_frame_until_there_was_a_silence() {
    let mut bench = Bench::new();
    bench
        .send(all(5))
        .send(all(6))
        .send([(5, 2), (6, 1)])
        .send(all(7));
    assert_eq!(bench.frames(), [whole(5), whole(6), whole(7)]);
    assert_eq!(bench.receiver.counts().late, 2);
    // `frames` ended with a silence: the detector may start again.
    bench.send(all(1)).send(all(2));
    assert_eq!(bench.frames(), [whole(1), whole(2)]);
}

#[test]
fn what_is_no_packet_of_the_module_changes_nothing() {
    let mut bench = Bench::new();
    let good = packet(1, 1);
    let mut other_module = good.clone();
    other_module[32] = 8;
    let mut longer = good.clone();
    longer.push(0);
    bench.send([(1, 0)]);
    for odd in [&[][..], &good[..47], &good[..79], &longer, &other_module] {
        bench.sender.send(odd).unwrap();
    }
    bench.send([(1, 1), (1, 2), (1, 3)]);
    assert_eq!(bench.frames(), [whole(1)]);
    assert_eq!(bench.receiver.counts().foreign, 5);
}

#[test]
fn whatever_the_network_does_every_packet_has_one_place() {
    const FRAMES: u64 = 24;
    for seed in 0..20 {
        let mut draw = ChaCha8Rng::seed_from_u64(seed);
        // Each packet gets a time; what is lost gets none.
        let mut sent: Vec<(u64, (u64, u16))> = Vec::new();
        for (at, packet) in (1..=FRAMES).flat_map(all).enumerate() {
            for _ in 0..1 + u8::from(draw.random_bool(0.1)) {
                let late = if draw.random_bool(0.2) {
                    draw.random_range(0..8)
                } else {
                    0
                };
                if !draw.random_bool(0.1) {
                    sent.push((2 * (at as u64 + late), packet));
                }
            }
        }
        sent.sort_by_key(|(at, _)| *at);
        let mut bench = Bench::new();
        bench.send(sent.iter().map(|(_, packet)| *packet));
        let found = bench.frames();
        let counts = bench.receiver.counts();
        assert_eq!(
            counts.placed + counts.repeated + counts.late + counts.foreign,
            sent.len() as u64,
            "seed {seed}: {counts:?}"
        );
        let frames = found.len() as u64;
        assert_eq!(counts.placed + counts.lost, frames * u64::from(PACKETS));
        let numbers: Vec<u64> = found.iter().map(|(number, ..)| *number).collect();
        assert!(numbers.is_sorted(), "seed {seed}: {numbers:?}");
        let last = numbers.last().copied().unwrap_or(0);
        let first = numbers.first().copied().unwrap_or(1);
        assert_eq!(frames + bench.gaps, last - first + 1, "seed {seed}");
        assert!(counts.lost > 0 && found.iter().any(|(.., whole)| *whole));
    }
}

#[test]
fn hostile_datagrams_end_in_frames_of_what_came() {
    const SENT: u64 = 100;
    for seed in 0..20 {
        let mut draw = ChaCha8Rng::seed_from_u64(seed);
        let mut bench = Bench::new();
        for _ in 0..SENT {
            let numbers = [0, 1, 2, 11, 1 << 63, u64::MAX - 1, u64::MAX, draw.random()];
            let frame = numbers[draw.random_range(0..numbers.len())];
            let mut datagram = packet(frame, draw.random_range(0..PACKETS + 1));
            if draw.random_bool(0.2) {
                datagram[draw.random_range(0..PACKET_HEADER_LEN)] = draw.random();
            }
            // Its pixels are those of the packet that it now says it is.
            let (header, pixels) = datagram.split_first_chunk_mut().expect("a header");
            let header = PacketHeader::from_bytes(header);
            pixels.fill(mark(header.frame_number, header.packet_number as u16));
            if draw.random_bool(0.2) {
                datagram.resize(draw.random_range(0..200), 0);
            }
            bench.sender.send(&datagram).unwrap();
        }
        // It examines each.
        let frames = bench.frames().len() as u64;
        let counts = bench.receiver.counts();
        assert_eq!(
            counts.placed + counts.repeated + counts.late + counts.foreign,
            SENT,
            "seed {seed}: {counts:?}"
        );
        assert_eq!(counts.placed + counts.lost, frames * u64::from(PACKETS));
        assert!(counts.placed > 0 && counts.foreign > 0, "seed {seed}");
    }
}

#[test]
fn an_address_that_is_taken_and_a_slot_that_is_too_small_are_told() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = SlsReceiver::bind(address, module(), PATIENCE).unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");

    let mut receiver = SlsReceiver::bind(([127, 0, 0, 1], 0).into(), module(), PATIENCE).unwrap();
    let ring = Ring::anonymous(&Layout::new(2, 256, 2).unwrap(), 1).unwrap();
    let mut writer = ring.writer().unwrap();
    let mut slot = writer.reserve().unwrap().unwrap();
    let error = receiver.receive(&mut slot).unwrap_err();
    assert!(
        matches!(error, HostError::SmallSlot { stride: 256, .. }),
        "{error}"
    );
}
