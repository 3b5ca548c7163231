//! Lines of verdicts, of `hitgate screen` and of `hitgate run --records`, as `hitgate audit` reads them.
#![no_main]

use libfuzzer_sys::fuzz_target;

// A program's modules are no library's.
#[allow(dead_code, reason = "what is read is for a join")]
#[path = "../../crates/cli/src/records.rs"]
mod records;

fuzz_target!(|bytes: &[u8]| {
    let path = hitgate_fuzz::file("records.jsonl", bytes);
    match records::read(&path) {
        Ok(records) => {
            let lines = bytes.split(|byte| *byte == b'\n').count();
            assert!(records.frames.iter().all(|told| told.line <= lines));
        }
        Err(error) => assert!(error.to_string().contains("records.jsonl"), "{error}"),
    }
});
