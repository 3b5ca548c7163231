//! The path over a ring whose device waits for nobody: what it laps is lost by name and counted once, what is
//! kept is one frame's, and a reader that dies leaves books that the next one goes on with.

use std::sync::atomic::{AtomicBool, Ordering};

use hitgate_core::accounts::Accounts;
use hitgate_core::cpu::Cpu;
use hitgate_core::frame::{Fault, HEADER_LEN};
use hitgate_core::link::{LentQueue, Link, NO_MODULE, Record, lost_cause};
use hitgate_core::net::Model;
use hitgate_core::pipeline::Pipeline;
use hitgate_core::verdict::Verdict;
use hitgate_host::Ring;
use hitgate_kernels::Level;
use hitgate_ring::Writer;
use hitgate_tests::{
    Collector, Holder, IDENTITY, MODEL, Memory, POLICY, free_running_ring, header, pipeline,
    preparation, put,
};

const COLUMNS: u32 = 30;
const ROWS: u32 = 30;
const BYTES: usize = (COLUMNS * ROWS * 2) as usize;

/// Frame `number` of a module, which is kept for its status, all of its pixels its number's.
fn send(writer: &mut Writer<'_>, module: u16, number: u64) {
    let mut header = header(COLUMNS, ROWS, number);
    header.module_id = module;
    header.status = 1;
    assert!(put(writer, &header.seal(), &[number as u8; BYTES]));
}

fn assert_whole(record: &Record, slot: &[u8]) {
    let number = &slot[16..24];
    assert_eq!(number, record.frame_number.to_le_bytes());
    let pixels = &slot[HEADER_LEN..HEADER_LEN + BYTES];
    assert!(pixels.iter().all(|p| *p == record.frame_number as u8));
}

/// First number, count, module and number in the ring of the lost records.
fn lost(records: &[Record]) -> Vec<(u64, u64, u16, u64)> {
    let is_lost = |record: &&Record| record.verdict() == Verdict::Lost;
    let lapped = |record: &Record| {
        assert_eq!(record.spots, lost_cause::LAPPED);
        (
            record.frame_number,
            record.pulse_key,
            record.module,
            record.seq,
        )
    };
    records.iter().filter(is_lost).map(lapped).collect()
}

/// Steps until no frame is left; the link has sent each at once.
fn drain<'m>(path: &mut Pipeline<'m, Cpu<'m>, Holder<'m>>, node: &mut Collector) {
    while path.step(node).unwrap() > 0 {
        path.link.kept.clear();
    }
}

/// A path over the ring, in memory of its own.
fn with_path<'m, L: Link<'m>, T>(
    ring: &'m Ring,
    link: L,
    work: impl FnOnce(&mut Pipeline<'m, Cpu<'m>, L>) -> T,
) -> T {
    let model = Model::parse(MODEL).unwrap();
    let level = Level::detect();
    let preparations: &'static _ =
        Box::leak(Box::new([0, 1].map(|_| preparation(&model, COLUMNS, ROWS))));
    let memory = Box::leak(Box::new(Memory::new(&model, level, preparations)));
    work(&mut pipeline(
        ring,
        memory.cpu(&model, level, preparations),
        link,
    ))
}

#[test]
fn lapped_frames_are_lost_by_name_and_counted_once() {
    let ring = free_running_ring(8, BYTES);
    let mut writer = ring.writer().unwrap();
    with_path(&ring, LentQueue::<4>::new(), |path| {
        let mut node = Collector::default();
        for number in 1..=3 {
            send(&mut writer, 0, number);
        }
        while path.step(&mut node).unwrap() > 0 {
            let (record, slot) = path.link.take().unwrap();
            assert_whole(&record, slot.bytes());
        }
        for number in 4..=40 {
            send(&mut writer, 0, number);
        }
        while path.step(&mut node).unwrap() > 0 {
            path.link.take();
        }
        let received: Vec<_> = node.records.iter().map(|it| it.frame_number).collect();
        assert_eq!(received, [1, 2, 3, 37, 38, 39, 40]);
        let source = path.reader().source();
        let books = path.accounts();
        assert_eq!((books.expected, books.received), (40, 7));
        assert_eq!((books.lost_lapped, books.lost_source), (33, 0));
        assert!(books.agree_with(&source));
    });
}

#[test]
fn copies_that_the_link_holds_are_told_until_they_come_back() {
    let ring = free_running_ring(8, BYTES);
    let mut writer = ring.writer().unwrap();
    with_path(&ring, Holder::default(), |path| {
        let mut node = Collector::default();
        // Lapped frames take no copy.
        for number in 1..=20 {
            send(&mut writer, 0, number);
        }
        while path.step(&mut node).unwrap() > 0 {}
        let out = || {
            let consumer = ring.monitor().unwrap().consumer().unwrap();
            consumer.taken - consumer.returned
        };
        assert_eq!((path.link.kept.len(), out()), (4, 4));
        drop(path.link.kept.remove(0));
        path.step(&mut node).unwrap();
        assert_eq!(out(), 3);
        path.link.kept.clear();
        path.step(&mut node).unwrap();
        assert_eq!(out(), 0);
    });
}

#[test]
fn a_range_has_one_record_with_the_numbers_that_are_known() {
    let ring = free_running_ring(4, BYTES);
    let mut writer = ring.writer().unwrap();
    with_path(&ring, Holder::default(), |path| {
        let mut node = Collector::default();
        // Nobody knows the numbers of what was gone before the first.
        for number in 1..=10 {
            send(&mut writer, 0, number);
        }
        drain(path, &mut node);
        // One module: its numbers.
        for number in 11..=20 {
            send(&mut writer, 0, number);
        }
        drain(path, &mut node);
        // Two modules, in turn: their numbers in the ring.
        send(&mut writer, 1, 20);
        drain(path, &mut node);
        for number in 21..=30 {
            send(&mut writer, 0, number);
            send(&mut writer, 1, number);
        }
        drain(path, &mut node);
        let ranges = [(0, 8, NO_MODULE, 1), (11, 8, 0, 11), (0, 18, NO_MODULE, 22)];
        assert_eq!(lost(&path.link.records), ranges);
        let books = path.accounts();
        assert_eq!((books.lost_lapped, books.lost_source), (34, 0));
        assert!(books.balance());
    });
}

#[test]
fn a_link_that_holds_all_copies_lets_the_device_lap_and_loses_nothing_that_it_has() {
    let ring = free_running_ring(8, BYTES);
    let mut writer = ring.writer().unwrap();
    with_path(&ring, Holder::default(), |path| {
        let mut node = Collector::default();
        for number in 1..=100 {
            send(&mut writer, 0, number);
            path.step(&mut node).unwrap();
        }
        let held: Vec<_> = path
            .link
            .kept
            .iter()
            .map(|(it, _)| it.frame_number)
            .collect();
        assert_eq!(held, [1, 2, 3, 4]);
        for (record, slot) in path.link.kept.drain(..) {
            assert_whole(&record, slot.bytes());
        }
        while path.step(&mut node).unwrap() > 0 {}
        assert_eq!(lost(&path.link.records), [(5, 92, 0, 5)]);
        assert_eq!((path.reader().waits(), path.accounts().refused()), (1, 0));
    });
}

#[test]
fn books_go_on_over_a_reader_that_died_at_any_time() {
    // It dies: after a step; between the records of a step and its books; when it knew of lapped frames and had
    // no record yet.
    for died in 0..3 {
        let ring = free_running_ring(4, BYTES);
        let mut writer = ring.writer().unwrap();
        with_path(&ring, Holder::default(), |path| {
            let mut node = Collector::default();
            for number in 1..=20u64 {
                send(&mut writer, u16::from(number % 2 == 0), number.div_ceil(2));
            }
            drain(path, &mut node);
            for number in 21..=40u64 {
                send(&mut writer, u16::from(number % 2 == 0), number.div_ceil(2));
            }
            if died == 0 {
                path.step(&mut node).unwrap();
                return;
            }
            let mut batch = path.reader().read(1).unwrap();
            if died == 1 {
                // Frame 39, which is the 20th of its module.
                let damaged = header(COLUMNS, ROWS, 20);
                let decision = POLICY.decide(&damaged, Err(Fault::Damaged), None, 0, 0);
                let record = Record::new(&damaged, None, &decision, IDENTITY, 0);
                std::mem::forget(batch.settle(&record.to_bytes()));
            }
        });
        let again = ring.reopen().unwrap();
        drop(ring);
        let mut writer = again.writer().unwrap();
        send(&mut writer, 0, 21);
        with_path(&again, Holder::default(), |path| {
            let mut node = Collector::default();
            drain(path, &mut node);
            let source = path.reader().source();
            let books = path.accounts();
            assert_eq!(books.received + books.lost_lapped, 41, "{died}");
            assert_eq!((books.expected, books.lost_source), (41, 0), "{died}");
            assert!(books.agree_with(&source), "{died}: {books:?}");
        });
    }
}

#[test]
fn no_kept_frame_of_a_device_that_laps_all_the_time_is_a_mixture() {
    const FRAMES: u64 = 20_000;
    let ring = free_running_ring(4, BYTES);
    let mut writer = ring.writer().unwrap();
    let closed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=FRAMES {
                send(&mut writer, 0, number);
            }
            writer.close();
            closed.store(true, Ordering::Release);
        });
        with_path(&ring, LentQueue::<1>::new(), |path| {
            let mut node = Collector::default();
            loop {
                let over = closed.load(Ordering::Acquire);
                let judged = path.step(&mut node).unwrap();
                if let Some((record, slot)) = path.link.take() {
                    assert_whole(&record, slot.bytes());
                }
                if over && judged == 0 {
                    break;
                }
            }
            let source = path.reader().source();
            let books: &Accounts = path.accounts();
            assert!(books.agree_with(&source), "{books:?}");
            assert_eq!((books.expected, books.unidentified), (FRAMES, 0));
            assert!(books.lost_lapped > 0);
        });
    });
}
