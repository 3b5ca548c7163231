//! The ring under real concurrency: writer, reader and link on threads of their own.
#![cfg(not(loom))]

mod common;

use common::{free_running_ring, ring};
use hitgate_ring::{CacheHooks, RECORD_LEN};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{scope, yield_now};

const FRAMES: u64 = 50_000;

#[test]
fn every_frame_arrives_whole_while_slots_return_out_of_order() {
    let (mut memory, _) = ring(16, 256, 32);
    let (mut writer, mut reader) = memory.ends();
    let (to_link, from_reader) = sync_channel(8);
    scope(|scope| {
        scope.spawn(move || {
            while writer.produced() < FRAMES {
                let Some(mut slot) = writer.reserve().unwrap() else {
                    yield_now();
                    continue;
                };
                let mark = slot.seq().get() as u8;
                slot.body().unwrap().fill(mark);
                slot.commit();
            }
            writer.close();
        });
        scope.spawn(move || {
            let mut pair = None;
            for frame in from_reader {
                // The newer of two goes back first.
                let older = match pair.take() {
                    None => {
                        pair = Some(frame);
                        continue;
                    }
                    Some(older) => older,
                };
                for lent in [frame, older] {
                    let lent: hitgate_ring::Lent<'_> = lent;
                    let mark = lent.seq().get() as u8;
                    assert!(lent.bytes()[16..].iter().all(|byte| *byte == mark));
                }
            }
        });
        let mut expected = 1;
        while !reader.finished() {
            let mut batch = reader.read(5).unwrap();
            if batch.is_empty() {
                drop(batch);
                yield_now();
                continue;
            }
            while let Some(frame) = batch.front() {
                assert_eq!(frame.seq().get(), expected);
                let mark = expected as u8;
                assert!(frame.bytes()[16..].iter().all(|byte| *byte == mark));
                let lent = batch.settle(&[mark; RECORD_LEN]).unwrap();
                if expected % 4 != 0 {
                    to_link.send(lent).unwrap();
                }
                expected += 1;
            }
        }
        assert_eq!(expected, FRAMES + 1);
        drop(to_link);
    });
}

/// Counts ranges that were opened for reading and not given back.
#[derive(Default)]
struct Ledger(AtomicI64);

impl CacheHooks for Ledger {
    fn before_cpu_read(&self, range: Range<usize>) {
        if range.len() == 128 {
            self.0.fetch_add(range.start as i64, Ordering::Relaxed);
        }
    }

    fn after_cpu_read(&self, range: Range<usize>) {
        assert_eq!(range.len(), 128);
        self.0.fetch_sub(range.start as i64, Ordering::Relaxed);
    }
}

#[test]
fn cache_hooks_see_each_slot_before_and_after() {
    let (mut memory, layout) = ring(4, 128, 4);
    let ledger = Ledger::default();
    let (mut writer, reader) = memory.ends();
    let mut reader = reader.with_cache_hooks(&ledger);
    for _ in 0..2 {
        writer.reserve().unwrap().unwrap().commit();
    }
    let mut batch = reader.read(2).unwrap();
    let both = 2 * layout.slots_offset() as i64 + 128;
    assert_eq!(ledger.0.load(Ordering::Relaxed), both);
    let lent = batch.settle(&[0; RECORD_LEN]).unwrap();
    drop(batch.settle(&[0; RECORD_LEN]));
    drop(batch);
    assert_eq!(
        ledger.0.load(Ordering::Relaxed),
        layout.slots_offset() as i64
    );
    scope(|scope| {
        scope.spawn(move || drop(lent));
    });
    assert_eq!(ledger.0.load(Ordering::Relaxed), 0);
}

#[test]
fn a_device_that_laps_leaves_no_mixture_of_two_frames() {
    let (mut memory, _) = free_running_ring(4, 4096, 64);
    let (mut writer, mut reader) = memory.ends();
    let (to_link, from_reader) = sync_channel(2);
    let received = scope(|scope| {
        scope.spawn(move || {
            for number in 1..=FRAMES {
                let mut slot = writer.reserve().unwrap().expect("it waits for nobody");
                slot.write(0, &[number as u8; 4096]).unwrap();
                slot.commit();
                if number % 64 == 0 {
                    yield_now();
                }
            }
            writer.close();
        });
        scope.spawn(move || {
            for frame in from_reader {
                let lent: hitgate_ring::Lent<'_> = frame;
                let mark = lent.seq().get() as u8;
                assert!(lent.bytes()[16..].iter().all(|byte| *byte == mark));
            }
        });
        let (mut received, mut next) = (0, 1);
        while !reader.finished() {
            let mut batch = reader.read(2).unwrap();
            if batch.is_empty() {
                drop(batch);
                yield_now();
                continue;
            }
            while let Some(frame) = batch.front() {
                let number = frame.seq().get();
                assert!(number >= next);
                next = number + 1;
                received += 1;
                assert!(frame.bytes()[16..].iter().all(|byte| *byte == number as u8));
                to_link
                    .send(batch.settle(&[0; RECORD_LEN]).unwrap())
                    .unwrap();
            }
        }
        drop(to_link);
        received
    });
    assert_eq!(received + reader.lapped(), FRAMES);
    assert!(reader.lapped() > 0, "the device was never ahead by a lap");
}
