//! A path or an engine that is guarded drops only while few hits can be lost.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the tests play a C program, which promises nothing in writing"
)]

mod common;

use common::*;

use hitgate::abi::*;
use hitgate::engine::Engine;
use hitgate::interlock::*;
use hitgate::path::Path;
use hitgate::status::Status;
use hitgate::types::*;
use hitgate::writer::Writer;
use hitgate_core::link::Record;
use hitgate_core::net::Model;
use hitgate_core::verdict::{Verdict, reasons};
use hitgate_tests::{MODEL, model_trained_on, other_model};

const RULES: InterlockRules = InterlockRules {
    struct_size: size_of::<InterlockRules>() as u32,
    max_loss: 30_000,
    window: 100_000,
    strays: 16,
};

fn guard(path: *const Path, rules: &InterlockRules) -> Status {
    unsafe { hitgate_path_guard(path, rules) }
}

fn arm(path: *const Path) -> Status {
    unsafe { hitgate_path_arm(path) }
}

fn interlock(path: *const Path) -> Interlock {
    told(|interlock| unsafe { hitgate_path_interlock(path, interlock) })
}

fn looked(path: *const Path, record: &Record, hit: bool) -> Status {
    unsafe { hitgate_path_looked(path, record, hit.into()) }
}

/// Whether the score says so.
fn is_hit(record: &Record) -> bool {
    matches!(record.verdict(), Verdict::KeepHit | Verdict::KeepMaybe)
}

/// Judges these frames; second looks say that the score is right.
fn judge(path: *const Path, writer: *mut Writer, numbers: std::ops::Range<u64>) -> Vec<Record> {
    let one = |number| {
        assert_eq!(put(writer, &frame(number)), Status::Ok);
        let record = pass(path).unwrap().record;
        assert_eq!(looked(path, &record, is_hit(&record)), Status::Ok);
        record
    };
    numbers.map(one).collect()
}

fn dropped(records: &[Record]) -> usize {
    records
        .iter()
        .filter(|record| !record.verdict().keeps())
        .count()
}

/// Of a model that was trained on maps like these, with a sample of every second frame.
fn drawing(model: &[u8]) -> EngineConfig {
    EngineConfig {
        model: model.as_ptr(),
        model_len: model.len(),
        sample_one_in: 2,
        ..plain()
    }
}

#[test]
fn a_guarded_path_arms_drops_and_begins_anew_with_another_engine() {
    let model = model_trained_on(0.0, 127.0);
    let config = halving(drawing(&model));
    let (writer, path) = ring(4).ends(engine(&config).unwrap());

    // Nobody asks: it drops from the first frame on.
    assert_eq!(
        interlock(path),
        Interlock {
            state: INTERLOCK_NONE,
            ..Interlock::default()
        }
    );
    assert!(dropped(&judge(path, writer, 1..21)) > 0);

    assert_eq!(guard(path, &RULES), Status::Ok);
    assert_eq!(interlock(path).state, INTERLOCK_NEVER_ARMED);
    assert_eq!(arm(path), Status::NotArmed, "nothing was seen yet");
    assert_eq!(interlock(path).state, INTERLOCK_LOSS);
    let shadow = judge(path, writer, 21..101);
    assert_eq!(dropped(&shadow), 0);
    let marked = shadow
        .iter()
        .filter(|record| record.reasons & reasons::DISARMED != 0);
    assert_eq!(marked.count(), 80);
    assert_eq!(arm(path), Status::Ok);
    let seen = interlock(path);
    assert_eq!(seen.state, INTERLOCK_ARMED);
    assert!(
        seen.loss_bound > 0 && seen.loss_bound <= RULES.max_loss,
        "{seen:?}"
    );
    assert_eq!(seen.kept.frames + seen.missed.frames, 80);
    assert_eq!((seen.kept.hits, seen.missed.hits), (seen.kept.looks, 0));
    let armed = judge(path, writer, 101..141);
    assert!(dropped(&armed) > 0);

    // Answers that are late are of the engine before.
    let next = engine(&config).unwrap();
    assert_eq!(unsafe { hitgate_path_swap(path, next) }, Status::Ok);
    assert_eq!(dropped(&judge(path, writer, 141..151)), 0);
    let seen = interlock(path);
    assert_eq!(seen.kept.frames + seen.missed.frames, 10);
    for record in &armed {
        assert_eq!(looked(path, record, true), Status::Ok);
    }
    assert_eq!(interlock(path), seen);
    assert_eq!(seen.state, INTERLOCK_NEVER_ARMED);

    // Where the second looks find hits among the misses it disarms itself.
    judge(path, writer, 151..231);
    assert_eq!(arm(path), Status::Ok);
    let mut number = 231;
    while interlock(path).state == INTERLOCK_ARMED {
        assert!(number < 400, "{:?}", interlock(path));
        assert_eq!(put(writer, &frame(number)), Status::Ok);
        let record = pass(path).unwrap().record;
        assert_eq!(looked(path, &record, true), Status::Ok);
        number += 1;
    }
    assert_eq!(interlock(path).state, INTERLOCK_LOSS);
    assert!(
        interlock(path).loss_bound <= RULES.max_loss,
        "before it is passed"
    );
    assert_eq!(dropped(&judge(path, writer, number..number + 20)), 0);
}

#[test]
fn an_answer_counts_once_and_only_of_a_frame_that_was_judged_since_the_guard() {
    let model = model_trained_on(0.0, 127.0);
    let everything = EngineConfig {
        sample_one_in: 1,
        ..drawing(&model)
    };
    let engine_that_draws = engine(&everything).unwrap();
    let (writer, path) = ring(4).ends(engine_that_draws);
    let judge_one = |number| {
        assert_eq!(put(writer, &frame(number)), Status::Ok);
        pass(path).unwrap().record
    };
    let looks = || {
        let seen = interlock(path);
        seen.kept.looks + seen.missed.looks
    };
    let before: Vec<_> = (1..9).map(judge_one).collect();
    assert_eq!(guard(path, &RULES), Status::Ok);
    // As many are drawn since, of which nobody has answered: answers of those before are none of them.
    let since: Vec<_> = (9..17).map(judge_one).collect();
    for record in &before {
        assert_eq!(looked(path, record, false), Status::Ok);
    }
    assert_eq!(looks(), 0);
    for record in &since[..4] {
        for _ in 0..3 {
            assert_eq!(looked(path, record, is_hit(record)), Status::Ok);
        }
    }
    assert_eq!(looks(), 4);
    // A guard is anew.
    assert_eq!(guard(path, &RULES), Status::Ok);
    let last = judge_one(17);
    assert_eq!(looked(path, &since[4], false), Status::Ok);
    assert_eq!(looks(), 0);
    assert_eq!(looked(path, &last, false), Status::Ok);
    assert_eq!(looks(), 1);

    // No ring numbers those that an engine decides.
    let one = Guarding(engine_that_draws);
    let guarded = unsafe { hitgate_engine_guard(one.0, &RULES) };
    assert_eq!(guarded, Status::Ok);
    let drawn = (17..25).map(|number| common::judge(one.0, &frame(number), EXTERNAL_NONE));
    let drawn: Vec<_> = drawn.collect();
    for record in &drawn[..3] {
        for _ in 0..3 {
            assert_eq!(one.looked(record, false), Status::Ok);
        }
    }
    let seen = one.seen();
    assert_eq!(seen.kept.looks + seen.missed.looks, 3);
}

#[test]
fn frames_that_the_model_never_saw_the_like_of_disarm() {
    // Not one level above 0, in training.
    let model = model_trained_on(0.0, 0.0);
    let (writer, path) = ring(4).ends(engine(&drawing(&model)).unwrap());
    assert_eq!(guard(path, &RULES), Status::Ok);
    let records = judge(path, writer, 1..41);
    assert!(
        records
            .iter()
            .all(|record| record.reasons & reasons::DOMAIN != 0)
    );
    assert_eq!(arm(path), Status::NotArmed);
    assert_eq!(interlock(path).state, INTERLOCK_DOMAIN);
}

#[test]
fn rules_and_answers_that_make_no_sense_are_refused() {
    let engine_that_draws = engine(&drawing(MODEL)).unwrap();
    let path = ring(4).path(engine_that_draws, &STILL);
    let guard_both = |rules: &InterlockRules| {
        let of_engine = unsafe { hitgate_engine_guard(engine_that_draws, rules) };
        [guard(path, rules), of_engine]
    };
    let zero = InterlockRules {
        max_loss: 0,
        window: 0,
        strays: 0,
        ..RULES
    };
    for rules in [
        zero,
        InterlockRules {
            max_loss: 0,
            ..RULES
        },
        InterlockRules {
            max_loss: 65_536,
            ..RULES
        },
        InterlockRules { window: 0, ..RULES },
        InterlockRules {
            strays: 65,
            ..RULES
        },
        InterlockRules {
            strays: 256,
            ..RULES
        },
    ] {
        assert_eq!(guard_both(&rules), [Status::Argument; 2], "{rules:?}");
    }
    let grown = InterlockRules {
        struct_size: 20,
        ..RULES
    };
    assert_eq!(guard_both(&grown), [Status::StructSize; 2]);
    assert_eq!(interlock(path).state, INTERLOCK_NONE);
    assert_eq!(Guarding(engine_that_draws).seen().state, INTERLOCK_NONE);

    let (none, sound) = (
        Record::default(),
        common::judge(engine_that_draws, &frame(1), 0),
    );
    let looked = |record: &Record, hit| unsafe {
        [
            hitgate_path_looked(path, record, hit),
            hitgate_engine_looked(engine_that_draws, record, hit),
        ]
    };
    for (record, hit) in [(none, 1), (sound, 2)] {
        assert_eq!(looked(&record, hit), [Status::Argument; 2]);
    }

    // Nobody would ever look.
    let engine = engine(&plain()).unwrap();
    let unsampled = ring(4).path(engine, &STILL);
    let of_engine = unsafe { hitgate_engine_guard(engine, &RULES) };
    assert_eq!([guard(unsampled, &RULES), of_engine], [Status::Argument; 2]);
}

/// An engine that decides without a path.
struct Guarding(*mut Engine);

impl Guarding {
    fn seen(&self) -> Interlock {
        told(|interlock| unsafe { hitgate_engine_interlock(self.0, interlock) })
    }

    fn arm(&self) -> Status {
        unsafe { hitgate_engine_arm(self.0) }
    }

    fn looked(&self, record: &Record, hit: bool) -> Status {
        unsafe { hitgate_engine_looked(self.0, record, hit.into()) }
    }

    /// Judges these frames; second looks say that the score is right.
    fn judge(&self, numbers: std::ops::Range<u64>) -> Vec<Record> {
        let one = |number| {
            let record = common::judge(self.0, &frame(number), EXTERNAL_NONE);
            assert_eq!(self.looked(&record, is_hit(&record)), Status::Ok);
            record
        };
        numbers.map(one).collect()
    }
}

#[test]
fn a_guarded_engine_arms_drops_and_its_successor_begins_anew() {
    let model = model_trained_on(0.0, 127.0);
    let config = halving(drawing(&model));
    let one = Guarding(engine(&config).unwrap());
    assert_eq!(one.seen().state, INTERLOCK_NONE);
    assert!(dropped(&one.judge(1..21)) > 0, "nobody asks");

    let guarded = unsafe { hitgate_engine_guard(one.0, &RULES) };
    assert_eq!(guarded, Status::Ok);
    assert_eq!(one.arm(), Status::NotArmed, "nothing was seen yet");
    let shadow = one.judge(21..101);
    assert_eq!(dropped(&shadow), 0);
    let disarmed = |record: &&Record| record.reasons & reasons::DISARMED != 0;
    assert_eq!(shadow.iter().filter(disarmed).count(), 80);
    assert_eq!(one.arm(), Status::Ok);
    let seen = one.seen();
    assert_eq!(seen.state, INTERLOCK_ARMED);
    assert_eq!(seen.kept.frames + seen.missed.frames, 80);
    assert_eq!((seen.kept.hits, seen.missed.hits), (seen.kept.looks, 0));
    let armed = one.judge(101..141);
    assert!(dropped(&armed) > 0);

    // Of another model, whose answers to those frames are none of its own.
    let other = other_model();
    let next = Guarding(
        engine(&EngineConfig {
            model: other.as_ptr(),
            model_len: other.len(),
            ..config
        })
        .unwrap(),
    );
    let swapped = unsafe { hitgate_engine_swap(one.0, next.0) };
    assert_eq!(swapped, Status::Ok);
    assert_eq!(next.seen().state, INTERLOCK_NEVER_ARMED);
    assert_eq!(dropped(&next.judge(141..151)), 0);
    let seen = next.seen();
    for record in &armed {
        assert_eq!(next.looked(record, true), Status::Ok);
    }
    assert_eq!(next.seen(), seen);

    // A miss that was a hit after all disarms, in time.
    let swapped = unsafe { hitgate_engine_swap(next.0, one.0) };
    assert_eq!(swapped, Status::Ok);
    one.judge(151..231);
    assert_eq!(one.arm(), Status::Ok);
    let mut number = 231;
    while one.seen().state == INTERLOCK_ARMED {
        assert!(number < 400, "{:?}", one.seen());
        let record = common::judge(one.0, &frame(number), EXTERNAL_NONE);
        assert_eq!(one.looked(&record, true), Status::Ok);
        number += 1;
    }
    assert_eq!(one.seen().state, INTERLOCK_LOSS);
    assert!(one.seen().loss_bound <= RULES.max_loss);
    assert_eq!(dropped(&one.judge(number..number + 20)), 0);
}

#[test]
fn a_score_says_whether_the_frame_or_the_map_is_a_stray() {
    let model = model_trained_on(0.0, 0.5);
    let one = Guarding(engine(&drawing(&model)).unwrap());
    let bytes = Model::parse(&model).unwrap().input().bytes();
    let stray = |levels: [u8; 2]| {
        let map = levels.repeat(bytes / 2);
        let score: Score = told(|score| unsafe {
            hitgate_engine_score_prepared(one.0, map.as_ptr(), map.len(), score)
        });
        score.stray
    };
    // By the mean and by the zeros; which of its cells are valid a map does not tell.
    assert_eq!([stray([0, 1]), stray([1, 1]), stray([0, 0])], [0, 1, 1]);
    // Of a frame all cells are.
    assert_eq!(score(one.0, &frame(1)).stray, 1);

    let guarded = unsafe { hitgate_engine_guard(one.0, &RULES) };
    assert_eq!(guarded, Status::Ok);
    let records = one.judge(1..41);
    let strange = |record: &Record| record.reasons & reasons::DOMAIN != 0;
    assert!(records.iter().all(strange));
    assert_eq!(one.arm(), Status::NotArmed);
    assert_eq!(one.seen().state, INTERLOCK_DOMAIN);
}
