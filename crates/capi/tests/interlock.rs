//! A path that is guarded drops only while few hits can be lost.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the tests play a C program, which promises nothing in writing"
)]

mod common;

use common::*;

use hitgate::abi::*;
use hitgate::path::*;
use hitgate::status::Status;
use hitgate::types::*;
use hitgate::writer::Writer;
use hitgate_core::link::Record;
use hitgate_core::verdict::{Verdict, reasons};
use hitgate_tests::model_trained_on;

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
    let mut interlock = Interlock::default();
    let told = unsafe { hitgate_path_interlock(path, &mut interlock) };
    assert_eq!(told, Status::Ok);
    interlock
}

/// Judges these frames; second looks say that the score is right.
fn judge(path: *const Path, writer: *mut Writer, numbers: std::ops::Range<u64>) -> Vec<Record> {
    let one = |number| {
        assert_eq!(put(writer, &frame(number)), Status::Ok);
        let mut judged = judged();
        assert_eq!(unsafe { hitgate_path_step(path, &mut judged) }, Status::Ok);
        let record = judged.record;
        if !judged.slot.is_null() {
            let back = unsafe { hitgate_path_return(path, record.seq) };
            assert_eq!(back, Status::Ok);
        }
        let hit = matches!(record.verdict(), Verdict::KeepHit | Verdict::KeepMaybe);
        let looked = unsafe { hitgate_path_looked(path, &record, hit.into()) };
        assert_eq!(looked, Status::Ok);
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

/// The middle of what frames score, so that half of them are misses.
fn middle(config: &EngineConfig) -> u32 {
    let engine = engine(config).unwrap();
    let mut scores: Vec<u32> = (1..41)
        .map(|number| {
            let frame = frame(number);
            let mut score = Score::default();
            let at = frame.as_ptr();
            let scored = unsafe { hitgate_engine_score(engine, at, frame.len(), &mut score) };
            assert_eq!((scored, score.fault), (Status::Ok, 0));
            u32::from(score.p_hit) + u32::from(score.p_maybe)
        })
        .collect();
    scores.sort_unstable();
    scores[20].min(65_535)
}

#[test]
fn a_guarded_path_arms_drops_and_begins_anew_with_another_engine() {
    let (model, modules) = (model_trained_on(0.0, 127.0), [module()]);
    let config = EngineConfig {
        model: model.as_ptr(),
        model_len: model.len(),
        sample_one_in: 2,
        ..config(&modules)
    };
    let config = EngineConfig {
        threshold: middle(&config),
        ..config
    };
    let (mapping, bytes) = ring(4);
    let writer = writer(mapping, bytes);
    let path = path(mapping, bytes, engine(&config).unwrap(), &STILL);

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
        assert_eq!(unsafe { hitgate_path_looked(path, record, 1) }, Status::Ok);
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
        let mut judged = judged();
        assert_eq!(unsafe { hitgate_path_step(path, &mut judged) }, Status::Ok);
        unsafe { hitgate_path_return(path, judged.record.seq) };
        unsafe { hitgate_path_looked(path, &judged.record, 1) };
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
fn frames_that_the_model_never_saw_the_like_of_disarm() {
    // Not one level above 0, in training.
    let (model, modules) = (model_trained_on(0.0, 0.0), [module()]);
    let config = EngineConfig {
        model: model.as_ptr(),
        model_len: model.len(),
        sample_one_in: 2,
        ..config(&modules)
    };
    let (mapping, bytes) = ring(4);
    let writer = writer(mapping, bytes);
    let path = path(mapping, bytes, engine(&config).unwrap(), &STILL);
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
    let modules = [module()];
    let (mapping, bytes) = ring(4);
    let drawing = EngineConfig {
        sample_one_in: 2,
        ..config(&modules)
    };
    let path = path(mapping, bytes, engine(&drawing).unwrap(), &STILL);
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
        assert_eq!(guard(path, &rules), Status::Argument, "{rules:?}");
    }
    let grown = InterlockRules {
        struct_size: 20,
        ..RULES
    };
    assert_eq!(guard(path, &grown), Status::StructSize);
    assert_eq!(interlock(path).state, INTERLOCK_NONE);

    let record = Record::default();
    let looked = |hit| unsafe { hitgate_path_looked(path, &record, hit) };
    assert_eq!(
        [looked(1), looked(2)],
        [Status::Argument; 2],
        "no record, no answer"
    );

    // Nobody would ever look.
    let (mapping, bytes) = ring(4);
    let unsampled = common::path(mapping, bytes, engine(&config(&modules)).unwrap(), &STILL);
    assert_eq!(guard(unsampled, &RULES), Status::Argument);
}
