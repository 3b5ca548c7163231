//! A ring whose writer waits for nobody: copies are judged, and what is lapped is counted and named.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the tests play a C program, which promises nothing in writing"
)]

mod common;

use common::*;

use hitgate::abi::*;
use hitgate::status::Status;
use hitgate_core::frame::HEADER_LEN;
use hitgate_core::link::{Record, lost_cause};
use hitgate_core::verdict::Verdict;

const SLOTS: u32 = 8;

fn free_running() -> Ring {
    Ring::under(RING_FREE_RUNNING, SLOTS)
}

fn send(writer: *const hitgate::writer::Writer, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(put(writer, &frame(number)), Status::Ok);
    }
}

#[test]
fn copies_take_half_the_slots_and_under_credit_there_are_none() {
    let ring = free_running();
    let asked = ring.path_memory();
    let state = ring.state();
    let copies = (SLOTS / 2 * state.slot_bytes) as usize;
    let without = common::ring(SLOTS).path_memory();
    assert_eq!((asked.bytes, asked.align), (without.bytes + copies, 64));
    assert_eq!(state.policy, RING_FREE_RUNNING);
}

#[test]
fn what_a_slow_path_misses_is_counted_and_named_and_the_rest_is_judged_as_ever() {
    let engine = engine(&halving(plain())).unwrap();
    let ring = free_running();
    let (writer, path) = ring.ends(engine);
    let mut kept = Vec::new();
    // The path goes on half a ring behind the newest: of 20 frames it sees the last four.
    send(writer, 1..=20);
    for number in 17..=20 {
        let judged = step(path).unwrap();
        let lapped = judged.lapped;
        match number {
            17 => {
                assert_eq!(lapped.verdict(), Verdict::Lost);
                // Nobody knows the source's numbers yet.
                let told = (lapped.seq, lapped.pulse_key, lapped.frame_number);
                assert_eq!(told, (1, 16, 0));
            }
            _ => assert_eq!(lapped, Record::default()),
        }
        assert_eq!(judged.lost, Record::default(), "they are lost once");
        assert_eq!(judged.record.frame_number, number);
        let expected = judge(engine, &frame(number), EXTERNAL_NONE);
        assert_eq!(judged.record.verdict, expected.verdict);
        kept.push(!judged.slot.is_null());
        if !judged.slot.is_null() {
            assert!(judged.slot.addr().is_multiple_of(64));
            let sent = frame(number);
            assert_eq!(slot_of(&judged)[HEADER_LEN..sent.len()], sent[HEADER_LEN..]);
            assert_eq!(give_back(path, &judged), Status::Ok);
        }
    }
    assert_eq!(step(path).err(), Some(Status::Empty));

    // Now that the numbers are known: 22 never came, and 23 to 27 are overwritten.
    send(writer, 21..=21);
    let judged = pass(path).unwrap();
    assert_eq!(judged.lost, Record::default());
    kept.push(!judged.slot.is_null());
    send(writer, 23..=31);
    let judged = pass(path).unwrap();
    assert_eq!(judged.record.frame_number, 28);
    for (lost, count, cause) in [
        (judged.lapped, 5, lost_cause::LAPPED),
        (judged.lost, 1, lost_cause::SOURCE),
    ] {
        assert_eq!(lost.verdict(), Verdict::Lost);
        assert_eq!((lost.pulse_key, lost.spots), (count, cause));
    }
    for _ in 29..=31 {
        kept.push(!pass(path).unwrap().slot.is_null());
    }
    assert!(kept.contains(&true) && kept.contains(&false), "{kept:?}");
    assert_eq!(unsafe { hitgate_writer_close(writer) }, Status::Ok);
    assert_eq!(step(path).err(), Some(Status::End));

    let counters = counters_of(path);
    assert_eq!((counters.received, counters.expected), (9, 31));
    assert_eq!((counters.lost_lapped, counters.lost_source), (21, 1));
    assert_eq!(
        counters.expected + counters.repeated,
        counters.received + counters.lost_source + counters.lost_lapped
    );
    let state = ring.state();
    assert_eq!((state.produced, state.stalls), (30, 0));
    assert_eq!((state.taken, state.lapped), (30, 21));
}

#[test]
fn copies_of_two_laps_are_out_side_by_side_and_stay_whole() {
    let engine = engine(&keeping()).unwrap();
    let (writer, path) = free_running().ends(engine);
    let mut last = 0;
    // More laps than places, so that each is used again.
    for _ in 0..10 {
        let first = last + 1;
        send(writer, first..=first);
        let mut out = vec![step(path).unwrap()];
        // A lap on, and half a lap: the next that is seen lies in the slot that the first one's copy is of.
        last = first + 11;
        send(writer, first + 1..=last);
        out.extend([(); 3].map(|()| step(path).unwrap()));
        let numbers = out.iter().map(|judged| judged.record.frame_number);
        let expected = [first, first + 8, first + 9, first + 10];
        assert_eq!(numbers.collect::<Vec<_>>(), expected);
        // Whatever comes meanwhile.
        send(writer, last + 1..=last + 20);
        last += 20;
        for judged in [&out[1], &out[0], &out[3], &out[2]] {
            let sent = frame(judged.record.frame_number);
            assert_eq!(slot_of(judged)[HEADER_LEN..sent.len()], sent[HEADER_LEN..]);
            assert_eq!(give_back(path, judged), Status::Ok);
            assert_eq!(give_back(path, judged), Status::NoSlot);
        }
        while pass(path).is_ok() {}
    }
}

#[test]
fn where_all_copies_are_out_frames_wait_and_are_lapped() {
    let engine = engine(&keeping()).unwrap();
    let ring = free_running();
    let (writer, path) = ring.ends(engine);
    send(writer, 1..=4);
    let out: Vec<_> = (0..4).map(|_| step(path).unwrap()).collect();
    send(writer, 5..=24);
    assert_eq!(step(path).err(), Some(Status::Empty));
    for (judged, number) in out.iter().zip(1..) {
        assert_eq!(
            slot_of(judged)[HEADER_LEN..frame(number).len()],
            frame(number)[HEADER_LEN..]
        );
        assert_eq!(give_back(path, judged), Status::Ok);
    }
    let judged = step(path).unwrap();
    assert_eq!(ring.state().waits, 1);
    assert_eq!(
        (judged.record.frame_number, judged.lapped.pulse_key),
        (21, 16)
    );
}

#[test]
fn a_second_path_goes_on_with_the_books_and_sends_nothing_twice() {
    let engine = engine(&keeping()).unwrap();
    let ring = free_running();
    let (writer, path) = ring.ends(engine);
    send(writer, 1..=12);
    let out = step(path).unwrap();
    assert_eq!(out.record.frame_number, 9);
    assert_eq!(unsafe { hitgate_path_close(path) }, Status::Ok);
    assert_eq!(give_back(path, &out), Status::Handle);

    let path = ring.path(engine, &STILL);
    for number in 10..=12 {
        assert_eq!(pass(path).unwrap().record.frame_number, number);
    }
    assert_eq!(step(path).err(), Some(Status::Empty));
    let counters = counters_of(path);
    assert_eq!((counters.received, counters.lost_lapped), (4, 8));
}
