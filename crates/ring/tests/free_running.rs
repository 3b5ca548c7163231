//! The free-running policy, one property a test.
#![cfg(not(loom))]

mod common;

use common::{free_running_ring, play_earlier_frames, record};
use hitgate_ring::{AttachError, CacheHooks, Layout, Policy, Reader, RingError, Seq, Writer};
use std::ops::Range;
use std::sync::Mutex;

/// A frame whose bytes are all its number's lowest.
fn send(writer: &mut Writer<'_>) -> Seq {
    let mut slot = writer.reserve().unwrap().expect("it waits for nobody");
    let seq = slot.seq();
    let frame = vec![seq.get() as u8; slot.stride()];
    slot.write(0, &frame).unwrap();
    slot.commit()
}

fn send_many(writer: &mut Writer<'_>, frames: u32) {
    for _ in 0..frames {
        send(writer);
    }
}

/// The numbers of at most `most` frames, each whole, and settled.
fn take(reader: &mut Reader<'_>, most: u32) -> Vec<u64> {
    let mut batch = reader.read(most).unwrap();
    let numbers = batch.frames().map(|frame| {
        let number = frame.seq().get();
        assert_whole(frame.bytes(), number);
        number
    });
    let numbers = numbers.collect();
    while batch.settle(&record(1)).is_some() {}
    numbers
}

fn assert_whole(bytes: &[u8], number: u64) {
    assert_eq!(bytes[8..16], number.to_le_bytes());
    let mut rest = bytes[..8].iter().chain(&bytes[16..]);
    assert!(rest.all(|byte| *byte == number as u8), "frame {number}");
}

#[test]
fn frames_arrive_in_order_while_the_reader_keeps_up() {
    let (mut memory, _) = free_running_ring(4, 64, 8);
    let (mut writer, mut reader) = memory.ends();
    let mut seen = Vec::new();
    for _ in 0..10 {
        send_many(&mut writer, 3);
        for _ in 0..2 {
            seen.extend(take(&mut reader, 2));
        }
        assert!(take(&mut reader, 2).is_empty());
    }
    assert_eq!(seen, (1..=30).collect::<Vec<_>>());
    assert_eq!((reader.lapped(), writer.stalls()), (0, 0));
}

#[test]
fn the_oldest_frame_of_a_full_ring_is_still_there() {
    let (mut memory, _) = free_running_ring(4, 64, 8);
    let (mut writer, mut reader) = memory.ends();
    send_many(&mut writer, 4);
    assert_eq!(take(&mut reader, 1), [1]);
    assert_eq!(reader.lapped(), 0);
}

#[test]
fn a_lapped_reader_goes_on_half_a_ring_behind_the_newest() {
    for (slots, behind) in [(2, 1), (3, 1), (8, 4), (9, 4)] {
        let (mut memory, _) = free_running_ring(slots, 64, slots);
        let (mut writer, mut reader) = memory.ends();
        for late in [slots + 1, 2 * slots, 10 * slots + 1] {
            let (before, lapped) = (reader.taken(), reader.lapped());
            send_many(&mut writer, late);
            let first = writer.produced() - behind;
            assert_eq!(
                take(&mut reader, 1),
                [first + 1],
                "{slots} slots, {late} late"
            );
            assert_eq!(reader.lapped() - lapped, first - before);
            assert_eq!(reader.taken(), first + 1);
            while !take(&mut reader, 1).is_empty() {}
        }
    }
}

#[test]
fn a_frame_that_is_being_overwritten_is_lapped_and_one_that_is_being_written_is_not_there() {
    let (mut memory, _) = free_running_ring(4, 64, 4);
    let (mut writer, mut reader) = memory.ends();
    // Begun, and not there yet.
    assert!(writer.reserve().unwrap().is_some());
    assert!(take(&mut reader, 1).is_empty());
    send_many(&mut writer, 4);
    // Begun over the first.
    assert!(writer.reserve().unwrap().is_some());
    assert_eq!(take(&mut reader, 4), [3, 4], "as many as there are copies");
    assert_eq!(reader.lapped(), 2);
}

#[test]
fn a_copy_stays_as_it_was_while_the_device_goes_on() {
    let (mut memory, layout) = free_running_ring(8, 128, 8);
    let (mut writer, mut reader) = memory.ends();
    send_many(&mut writer, 8);
    let mut batch = reader.read(8).unwrap();
    assert_eq!(batch.len() as u32, layout.lend_limit());
    let mut lent: Vec<_> = std::iter::from_fn(|| batch.settle(&record(1))).collect();
    drop(batch);
    send_many(&mut writer, 20);
    assert_eq!((reader.lent(), reader.lendable()), (4, 0));
    for _ in 0..2 {
        assert!(reader.read(1).unwrap().waiting());
    }
    assert_eq!(
        (reader.waits(), reader.lapped()),
        (1, 0),
        "it waits for the link, not for frames"
    );
    for (frame, number) in lent.iter().zip(1..) {
        assert_whole(frame.bytes(), number);
    }
    // Back in any order; the oldest holds up those after it.
    drop(lent.remove(2));
    assert!(reader.read(1).unwrap().is_empty());
    drop(lent.remove(0));
    assert_eq!(take(&mut reader, 4), [25]);
    assert_eq!(reader.lapped(), 20);
    for (frame, number) in lent.iter().zip([2, 4]) {
        assert_whole(frame.bytes(), number);
    }
}

#[test]
fn a_write_lands_where_it_says_and_never_on_the_number() {
    let (mut memory, _) = free_running_ring(2, 64, 2);
    let (mut writer, mut reader) = memory.ends();
    let source: Vec<u8> = (1..=64).collect();
    for start in 0..=64usize {
        for end in start..=64 {
            let mut slot = writer.reserve().unwrap().unwrap();
            assert!(slot.parts().is_none() && slot.body().is_none());
            slot.write(0, &[0; 64]).unwrap();
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
    let error = slot.write(60, &source[..5]).unwrap_err();
    assert!(matches!(error, RingError::BeyondSlot { stride: 64, .. }));
}

#[test]
fn counts_of_lapped_frames_reach_other_processes_at_once() {
    let (mut memory, _) = free_running_ring(4, 64, 4);
    let (mut writer, mut reader) = memory.ends();
    send_many(&mut writer, 9);
    let batch = reader.read(1).unwrap();
    assert_eq!(batch.lapped(), 7);
    let consumer = writer.monitor().consumer().unwrap();
    assert_eq!((consumer.taken, consumer.lapped), (7, 7));
    drop(batch);
    while !take(&mut reader, 1).is_empty() {}
    writer.close();
    assert!(reader.finished());
}

/// A device that does `at` the moments that a reader looks what it was told to do then.
struct Meddling<'m> {
    writer: Mutex<Writer<'m>>,
    /// Frames to send when a slot was seen to be there and before it is copied, and when it was copied and
    /// before its number is looked at again.
    frames: [u32; 2],
    seen: Mutex<u32>,
}

impl CacheHooks for Meddling<'_> {
    fn before_cpu_read(&self, range: Range<usize>) {
        let mut seen = self.seen.lock().unwrap();
        // Looks at numbers are 16 bytes long, the copy is a slot; one look comes right after a copy.
        let moment = match (range.len(), *seen) {
            (16, 0) => return,
            (16, _) => 1,
            _ => 0,
        };
        *seen = u32::from(moment == 0);
        send_many(&mut self.writer.lock().unwrap(), self.frames[moment]);
    }
}

#[test]
fn a_frame_that_is_overwritten_while_it_is_copied_is_not_seen() {
    for (before, after, whole) in [
        (0, 0, true),
        (0, 1, false),
        (1, 0, false),
        (4, 0, false),
        (0, 8, false),
    ] {
        let (mut memory, _) = free_running_ring(4, 128, 4);
        let (writer, reader) = memory.ends();
        let device = Meddling {
            writer: Mutex::new(writer),
            frames: [before, after],
            seen: Mutex::new(0),
        };
        send_many(&mut device.writer.lock().unwrap(), 4);
        let mut reader = reader.with_cache_hooks(&device);
        let batch = reader.read(1).unwrap();
        assert_eq!(
            batch.len(),
            usize::from(whole),
            "{before} before, {after} after"
        );
        drop(batch);
        assert_eq!(reader.taken(), 0, "the next read meets it");
    }
}

#[test]
fn a_reader_goes_on_behind_the_frames_that_the_one_before_settled() {
    // The path's counters were published; only the head says so; only the record does.
    for known_by in 0..3 {
        let (mut memory, _) = free_running_ring(8, 64, 8);
        {
            let (mut writer, mut reader) = memory.ends();
            send_many(&mut writer, 12);
            assert_eq!(take(&mut reader, 3), [9, 10, 11]);
            assert_eq!(reader.lapped(), 8);
            if known_by == 0 {
                reader.publish(&[5; 24]);
            }
        }
        if known_by == 2 {
            memory.put(384, 8);
        }
        let (_, mut reader) = memory.ends();
        assert_eq!((reader.taken(), reader.lapped()), (11, 8));
        assert_eq!(take(&mut reader, 8), [12]);
    }
}

#[test]
fn a_reader_that_was_away_for_long_is_lapped_by_what_it_missed() {
    let (mut memory, layout) = free_running_ring(4, 64, 8);
    let start = u64::from(u32::MAX) - 6;
    play_earlier_frames(&mut memory, &layout, start);
    {
        let (mut writer, mut reader) = memory.ends();
        send_many(&mut writer, 2);
        assert_eq!(take(&mut reader, 2).len(), 2);
        reader.publish(&[0; 24]);
    }
    let (mut writer, mut reader) = memory.ends();
    send_many(&mut writer, 101);
    let first = Seq::from_position(start + 101);
    assert_eq!(take(&mut reader, 1), [first.get()]);
    assert_eq!((reader.taken(), reader.lapped()), (start + 102, 99));
}

#[test]
fn a_writer_goes_on_behind_the_frame_that_the_one_before_published() {
    let (mut memory, _) = free_running_ring(4, 64, 4);
    {
        let (mut writer, _) = memory.ends();
        send_many(&mut writer, 6);
    }
    // As if it had died before it said how far it was, and before it counted.
    let version = memory.get(140);
    memory.put(140, version.wrapping_sub(1));
    memory.put(1152, 5);
    let (mut writer, mut reader) = memory.ends();
    assert_eq!(writer.produced(), 6);
    assert_eq!(send(&mut writer).get(), 7);
    assert_eq!(take(&mut reader, 1), [6]);
}

#[test]
fn a_device_that_is_not_where_it_says_is_not_followed() {
    let (mut memory, _) = free_running_ring(4, 64, 4);
    {
        let (mut writer, _) = memory.ends();
        send_many(&mut writer, 9);
    }
    for newest in [9 + 4 + 1, 9 + 100, 9 + (1 << 31), 2] {
        memory.put(1152, newest);
        let base = memory.base();
        let layout = Layout::new(4, 64, 4).unwrap();
        let mut copies = vec![0; layout.with_policy(Policy::FreeRunning).copy_bytes()];
        // SAFETY: the memory lives longer than the reader, which alone uses it.
        let region = unsafe { hitgate_ring::Region::attach(base, memory.len()) };
        let mut reader = region.unwrap().into_reader_with(&mut copies).unwrap();
        match reader.read(1) {
            // The slot there holds the frame of a lap before, so that it may become true.
            Ok(batch) => assert!(batch.is_empty(), "{newest}"),
            Err(error) => assert_eq!(
                error,
                RingError::Newest {
                    newest,
                    next: Seq::FIRST
                }
            ),
        }
        assert_eq!((reader.taken(), reader.lapped()), (0, 0));
    }
}

#[test]
fn a_number_that_belongs_nowhere_is_reported_after_the_whole_frames_before_it() {
    let (mut memory, layout) = free_running_ring(8, 64, 8);
    {
        let (mut writer, _) = memory.ends();
        send_many(&mut writer, 2);
    }
    // In the third frame's slot that of the fourth.
    memory.put(layout.slots_offset() + 2 * 64 + 8, 4);
    let (_, mut reader) = memory.ends();
    assert_eq!(take(&mut reader, 8), [1, 2]);
    let error = reader.read(1).err();
    let expected = Seq::from_position(2);
    assert_eq!(error, Some(RingError::Number { expected, found: 4 }));
}

#[test]
fn a_reader_without_memory_for_copies_is_refused() {
    let (mut memory, layout) = free_running_ring(8, 64, 8);
    assert_eq!(layout.copy_bytes(), 4 * 64);
    let refused = |len| Some(AttachError::Copies { len, needed: 256 });
    assert_eq!(memory.attach().unwrap().into_reader().err(), refused(0));
    let mut short = [0; 255];
    let region = memory.attach().unwrap();
    assert_eq!(region.into_reader_with(&mut short).err(), refused(255));
    let credit = layout.with_policy(Policy::Credit);
    assert_eq!(credit.copy_bytes(), 0);
    let other = memory.attach().unwrap().expect(&credit).err();
    assert_eq!(
        other,
        Some(AttachError::OtherShape {
            found: layout,
            expected: credit
        })
    );
    assert!(layout.to_string().ends_with("free-running"));
}

#[test]
fn a_position_beyond_what_was_produced_is_refused() {
    let (mut memory, _) = free_running_ring(4, 64, 4);
    for copy in [640, 896] {
        memory.put(copy + 24 * 8, 2);
    }
    let mut copies = vec![0; 2 * 64];
    let refused = memory.attach().unwrap().into_reader_with(&mut copies).err();
    let damaged = AttachError::Positions {
        produced: 0,
        head: 0,
    };
    assert_eq!(refused, Some(damaged));
}
