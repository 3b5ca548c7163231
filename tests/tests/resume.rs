//! A reader that dies, and the one that goes on: every frame has one record and is counted once,
//! and what was kept and had not left goes out again.

use hitgate_core::frame::{Fault, HEADER_LEN};
use hitgate_core::interlock::Rules;
use hitgate_core::link::{LentQueue, Record, lost_cause};
use hitgate_core::net::Model;
use hitgate_core::verdict::{Verdict, reasons};
use hitgate_kernels::Level;
use hitgate_ring::{Seq, Writer};
use hitgate_tests::{
    Collector, Holder, IDENTITY, MODEL, Memory, POLICY, header, pipeline, preparation, put, ring,
};

const COLUMNS: u32 = 30;
const RULES: Rules = Rules {
    max_loss: 50_000,
    window: 100_000,
    strays: 64,
};
const ROWS: u32 = 30;
const BYTES: usize = (COLUMNS * ROWS * 2) as usize;

/// A frame that is kept for its status, or judged and dropped: one without counts is a miss.
fn send(writer: &mut Writer<'_>, number: u64, kept: bool) {
    let mut header = header(COLUMNS, ROWS, number);
    header.status = u32::from(kept);
    let pixels = vec![number as u8 * u8::from(kept); BYTES];
    assert!(put(writer, &header.seal(), &pixels));
}

#[test]
fn a_frame_that_was_kept_and_had_not_left_is_sent_again_and_counted_once() {
    let model = Model::parse(MODEL).unwrap();
    let preparations = [preparation(&model, COLUMNS, ROWS)];
    let level = Level::detect();
    let mut memory = Memory::new(&model, level, &preparations);
    let ring = ring(16, BYTES);

    let (before, unpublished) = {
        let mut writer = ring.writer().unwrap();
        for (number, kept) in [
            (1, true),
            (2, false),
            (3, true),
            (4, true),
            (5, true),
            (9, true),
        ] {
            send(&mut writer, number, kept);
        }
        let cpu = memory.cpu(&model, level, &preparations);
        let mut path = pipeline(&ring, cpu, Holder::default());
        let mut node = Collector::default();
        for _ in 0..4 {
            assert_eq!(path.step(&mut node).unwrap(), 1);
        }
        // It dies with 1 and 4 on loan, 3 returned behind 1, and the record of 5 committed and not
        // yet in the books that it publishes.
        let mut on_loan = std::mem::take(&mut path.link.kept);
        drop(on_loan.remove(1));
        let books = path.accounts().clone();
        assert_eq!((books.received, books.of(Verdict::DropMiss)), (4, 1));
        let damaged = header(COLUMNS, ROWS, 5);
        let decision = POLICY.decide(&damaged, Err(Fault::Damaged), None, 0, 0);
        let record = Record::new(&damaged, None, &decision, IDENTITY, 0);
        let mut batch = path.reader().read(1).unwrap();
        std::mem::forget((on_loan, batch.settle(&record.to_bytes())));
        (node.records, record)
    };
    let again = ring.reopen().unwrap();
    drop(ring);

    let cpu = memory.cpu(&model, level, &preparations);
    let mut path = pipeline(&again, cpu, Holder::default());
    let books = path.accounts().clone();
    assert_eq!((books.received, books.expected), (5, 5));
    assert_eq!((books.kept(), books.dropped()), (4, 1));

    // A look at what another run drew says nothing of this one.
    path.guard(RULES);
    let drawn = Record {
        verdict: Verdict::KeepShadow as u8,
        reasons: reasons::SAMPLE,
        ..before[0]
    };
    path.interlock.looked(&drawn, true);
    let total = path.interlock.total();
    assert_eq!((total.kept.looks, total.missed.looks), (0, 0));

    let mut node = Collector::default();
    while path.step(&mut node).unwrap() > 0 {}
    let sent: Vec<_> = path.link.kept.iter().map(|(r, _)| r.frame_number).collect();
    assert_eq!(sent, [1, 4, 5, 9], "3 had left, 2 was dropped");
    let records: Vec<_> = path.link.kept.iter().map(|(record, _)| *record).collect();
    assert_eq!(records[..2], [before[0], before[3]], "as they were decided");
    assert_eq!(records[2].crc, unpublished.crc);
    for (record, slot) in &path.link.kept {
        assert_eq!(slot.seq().get(), record.seq);
        let pixels = &slot.bytes()[HEADER_LEN..HEADER_LEN + BYTES];
        assert!(pixels.iter().all(|p| u64::from(*p) == record.frame_number));
    }

    // Only 9 is judged and told; the gap before it is seen over the restart.
    let told: Vec<_> = path.link.records.iter().collect();
    assert_eq!(told.len(), 2);
    assert_eq!((told[0].frame_number, told[0].pulse_key), (6, 3));
    assert_eq!(told[0].spots, lost_cause::SOURCE);
    assert_eq!(node.records, [*told[1]]);
    let source = path.reader().source();
    let books = path.accounts();
    assert_eq!((books.received, books.expected), (6, 9));
    assert_eq!((books.kept(), books.refused()), (5, 0));
    assert!(books.agree_with(&source));
}

#[test]
fn a_gap_that_lies_over_the_restart_is_lost() {
    let model = Model::parse(MODEL).unwrap();
    let preparations = [preparation(&model, COLUMNS, ROWS)];
    let level = Level::detect();
    let mut memory = Memory::new(&model, level, &preparations);
    let ring = ring(4, BYTES);
    {
        let mut writer = ring.writer().unwrap();
        let cpu = memory.cpu(&model, level, &preparations);
        let mut path = pipeline(&ring, cpu, LentQueue::<1>::new());
        for number in 1..=9 {
            send(&mut writer, number, false);
            path.step(&mut Collector::default()).unwrap();
        }
    }
    let again = ring.reopen().unwrap();
    drop(ring);
    let mut writer = again.writer().unwrap();
    send(&mut writer, 12, false);
    let cpu = memory.cpu(&model, level, &preparations);
    let mut path = pipeline(&again, cpu, Holder::default());
    assert_eq!(
        path.reader().record(Seq::FIRST),
        None,
        "overwritten long ago"
    );
    path.step(&mut Collector::default()).unwrap();
    let books = path.accounts();
    assert_eq!((books.received, books.expected), (10, 12));
    assert_eq!(path.link.records[0].frame_number, 10);
    assert!(books.balance());
}
