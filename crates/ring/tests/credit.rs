//! The credit policy, one property a test.

#![cfg(not(loom))]

mod common;

use common::{play_earlier_frames, record, ring};
use hitgate_ring::{AttachError, LayoutError, RingError, Seq, State};

#[test]
fn frames_arrive_in_order_with_their_bytes() {
    let (mut memory, _) = ring(4, 64, 8);
    let (mut writer, mut reader) = memory.ends();
    for lap in 0..10u8 {
        for i in 0..3 {
            let mut slot = writer.reserve().unwrap().unwrap();
            slot.body().unwrap().fill(lap * 3 + i);
            slot.commit();
        }
        let mut seen = 0;
        while seen < 3 {
            let mut batch = reader.read(2).unwrap();
            assert!(!batch.is_empty());
            for frame in batch.frames() {
                let number = u64::from(lap) * 3 + seen + 1;
                assert_eq!(frame.seq(), Seq::new(number).unwrap());
                assert_eq!(frame.bytes()[8..16], number.to_le_bytes());
                assert!(
                    frame.bytes()[16..]
                        .iter()
                        .all(|b| u64::from(*b) == number - 1)
                );
                seen += 1;
            }
            while batch.settle(&record(0)).is_some() {}
        }
    }
    assert_eq!(
        (writer.produced(), reader.taken(), writer.stalls()),
        (30, 30, 0)
    );
}

#[test]
fn a_full_ring_stalls_and_counts_each_frame_once() {
    let (mut memory, _) = ring(2, 64, 2);
    let (mut writer, mut reader) = memory.ends();
    for _ in 0..2 {
        writer.reserve().unwrap().unwrap().commit();
    }
    for _ in 0..5 {
        assert!(writer.reserve().unwrap().is_none());
    }
    assert_eq!(writer.stalls(), 1);
    drop(reader.read(1).unwrap().settle(&record(0)));
    writer.reserve().unwrap().unwrap().commit();
    assert!(writer.reserve().unwrap().is_none());
    assert_eq!(reader.source().stalls, 2);
}

#[test]
fn a_slot_that_is_dropped_stays_free() {
    let (mut memory, _) = ring(2, 64, 2);
    let (mut writer, mut reader) = memory.ends();
    let first = writer.reserve().unwrap().unwrap().seq();
    assert!(reader.read(1).unwrap().is_empty());
    assert_eq!(writer.reserve().unwrap().unwrap().commit(), first);
    assert_eq!(reader.read(1).unwrap().len(), 1);
}

#[test]
fn a_copied_header_cannot_publish_a_slot() {
    let (mut memory, _) = ring(2, 128, 2);
    let (mut writer, mut reader) = memory.ends();
    let mut slot = writer.reserve().unwrap().unwrap();
    let mut header = [0xab; 128];
    header[8..16].copy_from_slice(&1u64.to_le_bytes());
    slot.write(0, &header).unwrap();
    assert!(reader.read(1).unwrap().is_empty());
    slot.commit();
    let batch = reader.read(1).unwrap();
    assert_eq!(batch.front().unwrap().bytes(), header);
}

#[test]
fn a_write_lands_where_it_says_and_never_on_the_number() {
    let (mut memory, _) = ring(2, 64, 2);
    let (mut writer, mut reader) = memory.ends();
    let source: Vec<u8> = (1..=64).collect();
    for start in 0..=64usize {
        for end in start..=64 {
            let mut slot = writer.reserve().unwrap().unwrap();
            let (lead, body) = slot.parts().unwrap();
            lead.fill(0);
            body.fill(0);
            slot.write(start, &source[start..end]).unwrap();
            let seq = slot.commit();
            let mut expected = vec![0; 64];
            expected[start..end].copy_from_slice(&source[start..end]);
            expected[8..16].copy_from_slice(&seq.get().to_le_bytes());
            let mut batch = reader.read(1).unwrap();
            assert_eq!(batch.front().unwrap().bytes(), expected);
            drop(batch.settle(&record(0)));
        }
    }
    let mut slot = writer.reserve().unwrap().unwrap();
    for (offset, len) in [(60, 5), (65, 0), (usize::MAX, 1)] {
        let error = slot.write(offset, &source[..len]).unwrap_err();
        assert!(matches!(error, RingError::BeyondSlot { stride: 64, .. }));
    }
}

#[test]
fn lent_slots_return_in_any_order_and_the_head_waits_for_the_first() {
    let (mut memory, _) = ring(8, 64, 8);
    let (mut writer, mut reader) = memory.ends();
    for _ in 0..8 {
        writer.reserve().unwrap().unwrap().commit();
    }
    let mut batch = reader.read(8).unwrap();
    assert_eq!(batch.len(), 4, "no more than may be lent");
    let mut lent: Vec<_> = std::iter::from_fn(|| batch.settle(&record(1))).collect();
    drop(batch);
    assert_eq!((reader.lent(), reader.lendable()), (4, 0));
    assert!(reader.read(1).unwrap().waiting());
    assert!(reader.read(1).unwrap().waiting());
    assert_eq!(reader.waits(), 1);

    drop(lent.remove(2));
    drop(lent.remove(1));
    let batch = reader.read(1).unwrap();
    assert!(!batch.waiting() && batch.len() == 1);
    drop(batch);
    assert!(writer.reserve().unwrap().is_none(), "frame 1 is still out");

    assert_eq!(lent[0].seq(), Seq::FIRST);
    assert_eq!(lent[0].bytes()[8..16], 1u64.to_le_bytes());
    drop(lent.remove(0));
    reader.reclaim();
    for _ in 0..3 {
        writer.reserve().unwrap().unwrap().commit();
    }
    assert!(writer.reserve().unwrap().is_none(), "frame 4 is still out");
}

/// Slots that came back out of order before a crash are ahead of what the next reader has taken.
#[test]
fn slots_that_came_back_ahead_of_the_reader_are_not_taken_for_those_on_loan() {
    let (mut memory, _) = ring(70, 64, 70);
    {
        let (mut writer, mut reader) = memory.ends();
        for _ in 0..70 {
            writer.reserve().unwrap().unwrap().commit();
        }
        let mut batch = reader.read(35).unwrap();
        let mut lent: Vec<_> = std::iter::from_fn(|| batch.settle(&record(1))).collect();
        drop(batch);
        // The even ones die with the process, the odd ones came back.
        for i in (0..17).rev() {
            drop(lent.remove(2 * i + 1));
        }
        assert_eq!(reader.lent(), 18);
        std::mem::forget(lent);
    }
    let (_, mut reader) = memory.ends();
    let mut held = Vec::new();
    for taken in 1..=18 {
        let mut batch = reader.read(1).unwrap();
        held.push(batch.settle(&record(2)).expect("it is sent again"));
        drop(batch);
        assert_eq!((reader.lent(), reader.lendable()), (taken, 35 - taken));
    }
    let mut batch = reader.read(70).unwrap();
    assert_eq!(batch.len(), 17, "half of the slots in all");
    while let Some(lent) = batch.settle(&record(2)) {
        held.push(lent);
    }
    drop(batch);
    assert!(reader.read(1).unwrap().waiting());
    assert_eq!((held.len(), reader.lent()), (35, 35));
}

#[test]
fn frames_that_are_not_settled_are_read_again() {
    let (mut memory, _) = ring(4, 64, 4);
    let (mut writer, mut reader) = memory.ends();
    for _ in 0..2 {
        writer.reserve().unwrap().unwrap().commit();
    }
    let mut batch = reader.read(2).unwrap();
    drop(batch.settle(&record(1)));
    assert_eq!(batch.len(), 1);
    assert!(batch.get(1).is_none());
    drop(batch);
    let batch = reader.read(2).unwrap();
    assert_eq!(batch.front().unwrap().seq().get(), 2);
}

#[test]
fn records_carry_their_number_and_last_for_a_lap_of_the_record_ring() {
    let (mut memory, _) = ring(2, 64, 4);
    let (mut writer, mut reader) = memory.ends();
    for i in 1..=9u8 {
        writer.reserve().unwrap().unwrap().commit();
        drop(reader.read(1).unwrap().settle(&record(i)));
    }
    for i in 1..=9u8 {
        let found = reader.record(Seq::new(u64::from(i)).unwrap());
        let expected = (i > 5).then(|| {
            let mut bytes = record(i);
            bytes[..8].copy_from_slice(&u64::from(i).to_le_bytes());
            bytes
        });
        assert_eq!(found, expected);
    }
}

#[test]
fn counters_reach_the_other_side_whole() {
    let (mut memory, _) = ring(2, 64, 2);
    let (mut writer, mut reader) = memory.ends();
    let path = std::array::from_fn(|i| u64::MAX - i as u64);
    writer.reserve().unwrap().unwrap().commit();
    writer.lose(1 << 40);
    writer.heartbeat(17);
    drop(reader.read(1).unwrap().settle(&record(1)));
    reader.publish(&path);
    reader.heartbeat(18);
    let source = reader.source();
    assert_eq!((source.produced, source.lost_at_source), (1, 1 << 40));
    assert_eq!((source.state, source.heartbeat_ms), (State::Open, 17));
    let consumer = writer.monitor().consumer().unwrap();
    assert_eq!(
        (consumer.path, consumer.taken, consumer.returned),
        (path, 1, 1)
    );
    assert_eq!((consumer.state, consumer.heartbeat_ms), (State::Open, 18));
    assert!(!reader.finished());
    writer.close();
    assert!(reader.finished());
}

#[test]
fn both_ends_go_on_where_the_ones_before_stopped() {
    let (mut memory, _) = ring(8, 64, 8);
    let path = std::array::from_fn(|i| i as u64);
    {
        let (mut writer, mut reader) = memory.ends();
        for _ in 0..6 {
            writer.reserve().unwrap().unwrap().commit();
        }
        let mut batch = reader.read(4).unwrap();
        // 1 goes back, 2 and 4 die with the process while lent, 3 came back behind 2.
        drop(batch.settle(&record(1)));
        let second = batch.settle(&record(2));
        drop(batch.settle(&record(3)));
        std::mem::forget((second, batch.settle(&record(4))));
        drop(batch);
        reader.publish(&path);
    }
    let (mut writer, mut reader) = memory.ends();
    assert_eq!((writer.produced(), reader.taken()), (6, 1));
    assert_eq!(*reader.published(), path);

    let mut seen = Vec::new();
    while reader.taken() < 6 {
        let mut batch = reader.read(8).unwrap();
        let frame = batch.front().expect("a frame is left");
        seen.push((frame.seq().get(), frame.judged().map(|r| r[8])));
        drop(batch.settle(&record(9)));
    }
    let expected = [(2, Some(2)), (4, Some(4)), (5, None), (6, None)];
    assert_eq!(seen, expected);
    let marks = (1..=6).map(|i| reader.record(Seq::new(i).unwrap()).unwrap()[8]);
    assert_eq!(marks.collect::<Vec<_>>(), [1, 2, 3, 4, 9, 9]);
    for _ in 0..8 {
        writer
            .reserve()
            .unwrap()
            .expect("every slot came back")
            .commit();
    }
}

#[test]
fn a_writer_that_died_before_counting_its_frame_is_continued_behind_it() {
    let (mut memory, _) = ring(4, 64, 4);
    let before = memory.get(140);
    {
        let (mut writer, _) = memory.ends();
        writer.reserve().unwrap().unwrap().commit();
    }
    // Undo the publication of the counters, as if the writer died one instruction earlier.
    let version = memory.get(140);
    memory.put(140, version.wrapping_sub(1));
    assert!(version > before);
    let (mut writer, mut reader) = memory.ends();
    assert_eq!(writer.produced(), 1);
    assert_eq!(writer.reserve().unwrap().unwrap().seq().get(), 2);
    assert_eq!(reader.read(1).unwrap().len(), 1);
}

#[test]
fn numbers_pass_two_to_the_32_without_a_gap() {
    let (mut memory, layout) = ring(4, 64, 8);
    let start = u64::from(u32::MAX) - 6;
    play_earlier_frames(&mut memory, &layout, start);
    let (mut writer, mut reader) = memory.ends();
    assert_eq!((writer.produced(), reader.taken()), (start, start));
    let mut seq = Seq::from_position(start);
    for _ in 0..12 {
        assert_eq!(writer.reserve().unwrap().unwrap().commit(), seq);
        let mut batch = reader.read(1).unwrap();
        let frame = batch.front().unwrap();
        assert_eq!(frame.seq(), seq);
        assert_eq!(frame.bytes()[8..16], seq.get().to_le_bytes());
        drop(batch.settle(&record(3)));
        drop(batch);
        assert!(reader.record(seq).is_some());
        seq = seq.next();
    }
    assert!(seq.get() > 1 << 32);
}

#[test]
fn another_ring_is_refused_by_name() {
    let (mut memory, layout) = ring(4, 64, 8);
    let other = hitgate_ring::Layout::new(8, 64, 8).unwrap();
    let refused = memory.attach().unwrap().expect(&other).err();
    let expected = AttachError::OtherShape {
        found: layout,
        expected: other,
    };
    assert_eq!(refused, Some(expected));

    for (offset, value, check) in [
        (0, 0, AttachError::NotARing),
        (4, 1, AttachError::NotARing),
        (8, 2, AttachError::Version(2)),
        (12, 8192, field("size of the control page", 8192, 4096)),
        (16, 1, AttachError::Layout(LayoutError::Slots(1))),
        (20, 63, AttachError::Layout(LayoutError::Stride(63))),
        (
            24,
            3,
            AttachError::Layout(LayoutError::Records {
                records: 3,
                slots: 4,
            }),
        ),
        (
            28,
            2,
            AttachError::Unsupported {
                field: "policy",
                found: 2,
            },
        ),
        (32, 0, field("offset of the bitmap", 0, 4096)),
        (40, 64, field("offset of the records", 64, 4224)),
        (52, 1, field("offset of the slots", (1 << 32) + 8192, 8192)),
        (56, 1, field("total length", 1, 8192 + 256)),
        (
            72,
            2,
            AttachError::Unsupported {
                field: "publication",
                found: 2,
            },
        ),
    ] {
        let kept = memory.get(offset);
        memory.put(offset, value);
        assert_eq!(memory.attach().err(), Some(check));
        memory.put(offset, kept);
    }
    assert!(memory.attach().is_ok());
}

fn field(field: &'static str, found: u64, expected: u64) -> AttachError {
    AttachError::Field {
        field,
        found,
        expected,
    }
}

#[test]
fn a_mapping_that_is_too_short_or_crooked_is_refused() {
    let (mut memory, layout) = ring(4, 64, 8);
    let base = memory.base();
    let needed = layout.bytes() as u64;
    for len in [0, 4095, 4096, layout.bytes() - 1] {
        // SAFETY: shorter than the memory.
        let found = unsafe { hitgate_ring::Region::attach(base, len) }.err();
        let needed = if len < 4096 { 4096 } else { needed };
        assert_eq!(found, Some(AttachError::TooShort { len, needed }));
        // SAFETY: as above.
        let found = unsafe { hitgate_ring::Region::create(base, len, &layout, 0) }.err();
        let needed = layout.bytes() as u64;
        assert_eq!(found, Some(AttachError::TooShort { len, needed }));
    }
    // SAFETY: within the memory.
    let found = unsafe { hitgate_ring::Region::attach(base.add(64), 4096) }.err();
    assert_eq!(found, Some(AttachError::Misaligned));
}

#[test]
fn an_impossible_head_counts_as_full_and_is_reported() {
    let (mut memory, _) = ring(4, 64, 4);
    let base = memory.base();
    let (mut writer, mut reader) = memory.ends();
    for _ in 0..4 {
        writer.reserve().unwrap().unwrap().commit();
    }
    // SAFETY: the head's word, inside the control page.
    unsafe { base.add(384).cast::<u32>().write_volatile(5) };
    for _ in 0..2 {
        let error = writer.reserve().err();
        assert_eq!(error, Some(RingError::Head { head: 5, tail: 4 }));
    }
    drop(reader.read(1).unwrap().settle(&record(0)));
    assert!(
        writer.reserve().unwrap().is_some(),
        "a head that is right again is used"
    );
}

#[test]
fn an_impossible_number_is_reported_after_the_whole_frames_before_it() {
    let (mut memory, layout) = ring(8, 64, 8);
    let base = memory.base();
    let (mut writer, mut reader) = memory.ends();
    for _ in 0..3 {
        writer.reserve().unwrap().unwrap().commit();
    }
    // SAFETY: the number of the third slot.
    unsafe {
        let number = base.add(layout.slots_offset() + 2 * 64 + 8).cast::<u32>();
        number.write_volatile(77);
    };
    let mut batch = reader.read(4).unwrap();
    assert_eq!(batch.len(), 2);
    while batch.settle(&record(0)).is_some() {}
    drop(batch);
    let expected = Seq::new(3).unwrap();
    assert_eq!(
        reader.read(4).err(),
        Some(RingError::Number {
            expected,
            found: 77
        })
    );
}
