//! Packets in whatever order → frames, each packet in one place.

use hitgate_adapters::sls::{
    Assembly, BunchId, Counts, Detector, FURTHEST, Finished, Foreign, LATE_FRAMES, Module,
    PACKET_VERSION, PacketHeader, Sorted,
};
use hitgate_adapters::status;
use hitgate_core::frame::PixelType;
use proptest::prelude::*;

const PACKETS: u16 = 50;
const BYTES: usize = 6400;

fn module() -> Module {
    Module {
        detector: Detector::MOENCH,
        id: 2,
        modules: 1,
        pixel_type: PixelType::U16,
        bunch_id: BunchId::Integer,
        flags: 0,
    }
}

fn packet(frame: u64, number: u16) -> PacketHeader {
    PacketHeader {
        frame_number: frame,
        packet_number: number.into(),
        module_id: 2,
        detector_type: 5,
        version: PACKET_VERSION,
        ..PacketHeader::default()
    }
}

/// The frame `number`, whole, as the assembly finishes it.
fn finished(assembly: &mut Assembly, number: u64) -> Finished {
    for of in 0..PACKETS {
        assert_eq!(assembly.sort(&packet(number, of), BYTES), Sorted::Here(of));
    }
    assembly.finish(0).expect("a frame")
}

/// Its number and its status.
fn told(frame: &Finished) -> (u64, u32) {
    (frame.header.frame_number, frame.header.status)
}

/// Number and status of a frame whose number is not believed.
const DOUBTED: (u64, u32) = (0, status::CORRUPTED);

/// The numbers of frames, some of which are missing, and how many are before each.
fn with_losses(first: u64, lost: &[u64]) -> Vec<(u64, u64)> {
    let next = |last: &mut u64, lost: &u64| {
        *last += lost + 1;
        Some((*last, *lost))
    };
    lost.iter().scan(first, next).collect()
}

proptest! {
    /// A number that a wire made up costs its own frame and no other.
    #[test]
    fn a_wild_number_among_losses(
        first in 0u64..1 << 40, lost in prop::collection::vec(0..FURTHEST, 1..12),
        at in any::<prop::sample::Index>(), wild in any::<u64>(), above in any::<bool>(),
    ) {
        let mut assembly = Assembly::new(module());
        finished(&mut assembly, first);
        let frames = with_losses(first, &lost);
        let wild_before = at.index(frames.len());
        let highest = frames.last().unwrap().0;
        let wild = match above || first <= LATE_FRAMES {
            true => (wild >> 1).max(highest + 2 * FURTHEST + 1),
            false => wild % (first - LATE_FRAMES),
        };
        for (i, (number, lost)) in frames.into_iter().enumerate() {
            if i == wild_before {
                let frame = finished(&mut assembly, wild);
                prop_assert_eq!((told(&frame), frame.gap), (DOUBTED, 0));
            }
            let frame = finished(&mut assembly, number);
            prop_assert_eq!(told(&frame), (number, 0));
            // It may be one of those that are missing there.
            prop_assert_eq!(frame.gap, lost.saturating_sub(u64::from(i == wild_before)));
        }
    }

    /// A detector that goes on far ahead is believed by its second frame, and what is missing is counted.
    #[test]
    fn a_source_that_goes_on_far_ahead(
        first in 0u64..1 << 40, far in FURTHEST + 1..1 << 60, lost in prop::collection::vec(0..FURTHEST, 1..12),
    ) {
        let mut assembly = Assembly::new(module());
        finished(&mut assembly, first);
        let again = finished(&mut assembly, first + far);
        prop_assert_eq!((told(&again), again.gap), (DOUBTED, 0));
        // Once more it is late.
        prop_assert_eq!(assembly.sort(&packet(first + far, 0), BYTES), Sorted::Discarded);
        for (i, (number, lost)) in with_losses(first + far, &lost).into_iter().enumerate() {
            let frame = finished(&mut assembly, number);
            prop_assert_eq!(told(&frame), (number, 0));
            let before = if i == 0 { far - 1 } else { 0 };
            prop_assert_eq!(frame.gap, before + lost);
        }
    }

    #[test]
    fn a_frame_in_any_order(order in prop::collection::vec(0..PACKETS, 0..200)) {
        let mut assembly = Assembly::new(module());
        let mut seen = [false; PACKETS as usize];
        for number in order {
            // The place that is guessed is free, so nothing there can be overwritten.
            let guess = assembly.next();
            prop_assert!(assembly.is_complete() || !seen[usize::from(guess)]);
            let sorted = assembly.sort(&packet(9, number), BYTES);
            let new = !std::mem::replace(&mut seen[usize::from(number)], true);
            prop_assert_eq!(sorted, if new { Sorted::Here(number) } else { Sorted::Discarded });
            let all = seen.iter().all(|seen| *seen);
            prop_assert_eq!(assembly.is_complete(), all);
        }
        let came = seen.iter().filter(|seen| **seen).count() as u16;
        match assembly.finish(5) {
            None => prop_assert_eq!(came, 0),
            Some(finished) => {
                prop_assert_eq!(finished.header.packets_received, came);
                prop_assert_eq!(finished.header.packets_expected, PACKETS);
                let missing: Vec<u16> = finished.mask.missing(PACKETS).collect();
                let expected: Vec<u16> = (0..PACKETS).filter(|p| !seen[usize::from(*p)]).collect();
                prop_assert_eq!(missing, expected);
            }
        }
    }

    #[test]
    fn packets_of_any_bytes(heads in prop::collection::vec(any::<[u8; 48]>(), 0..50), len in 0usize..7000) {
        let mut assembly = Assembly::new(module());
        for head in heads {
            assembly.sort(&PacketHeader::from_bytes(&head), len);
        }
        assembly.finish(0);
    }
}

#[test]
fn what_is_not_the_modules_own_is_left_out() {
    let good = packet(1, 3);
    let cases = [
        (good, BYTES - 1, Foreign::Length),
        (good, usize::MAX, Foreign::Length),
        (PacketHeader { version: 1, ..good }, BYTES, Foreign::Version),
        (
            PacketHeader {
                detector_type: 3,
                ..good
            },
            BYTES,
            Foreign::Detector,
        ),
        (
            PacketHeader {
                module_id: 1,
                ..good
            },
            BYTES,
            Foreign::Module,
        ),
        (packet(1, PACKETS), BYTES, Foreign::Number),
        (
            PacketHeader {
                packet_number: 1 << 16,
                ..good
            },
            BYTES,
            Foreign::Number,
        ),
    ];
    let mut assembly = Assembly::new(module());
    for (header, len, why) in cases {
        assert_eq!(module().own(&header, len), Err(why));
        assert_eq!(assembly.sort(&header, len), Sorted::Discarded);
    }
    assert!(!assembly.is_open());
    assert_eq!(assembly.counts().foreign, cases.len() as u64);
    assert_eq!(module().own(&good, BYTES), Ok(3));
}

#[test]
fn beside_a_wild_number_frames_are_early_or_late_as_ever() {
    let mut assembly = Assembly::new(module());
    finished(&mut assembly, 20);
    assert_eq!(assembly.sort(&packet(1 << 60, 0), BYTES), Sorted::Here(0));
    for late in [20 - LATE_FRAMES, 19, 20] {
        assert_eq!(assembly.sort(&packet(late, 0), BYTES), Sorted::Discarded);
    }
    assert_eq!(assembly.sort(&packet(21, 0), BYTES), Sorted::Early);
    assert_eq!(assembly.finish(0).map(|frame| told(&frame)), Some(DOUBTED));
    assert_eq!(told(&finished(&mut assembly, 21)), (21, 0));
}

#[test]
fn other_frames_are_early_or_late() {
    let mut assembly = Assembly::new(module());
    assert_eq!(assembly.sort(&packet(20, 0), BYTES), Sorted::Here(0));
    assert_eq!(assembly.sort(&packet(21, 0), BYTES), Sorted::Early);
    for late in 20 - LATE_FRAMES..20 {
        assert_eq!(assembly.sort(&packet(late, 0), BYTES), Sorted::Discarded);
    }
    // A detector that started again.
    let again = packet(19 - LATE_FRAMES, 0);
    assert_eq!(assembly.sort(&again, BYTES), Sorted::Early);
    assert_eq!(assembly.counts().late, LATE_FRAMES);

    assert_eq!(assembly.finish(0).map(|f| f.gap), Some(0));
    assert_eq!(assembly.sort(&packet(20, 1), BYTES), Sorted::Discarded);
    assert!(assembly.ahead(21) < assembly.ahead(again.frame_number));
    assert_eq!(assembly.sort(&packet(24, 1), BYTES), Sorted::Here(1));
    assert_eq!(assembly.finish(0).map(|f| f.gap), Some(3));
    // After a silence numbers may start again, without a gap or an end to them.
    assembly.forget();
    assert_eq!(assembly.sort(&packet(24, 1), BYTES), Sorted::Here(1));
    assert_eq!(assembly.finish(0).map(|f| f.gap), Some(0));
    let lost = 3 * u64::from(PACKETS - 1);
    let counts = Counts {
        placed: 3,
        late: LATE_FRAMES + 1,
        lost,
        ..Counts::default()
    };
    assert_eq!(assembly.counts(), counts);
    assert_eq!(assembly.finish(0), None);
}
