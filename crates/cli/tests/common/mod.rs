//! What tests of the program share.
#![allow(dead_code, reason = "no test needs all of it")]

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use assert_cmd::Command;
use serde_json::Value;

/// A frame that the program brings along.
pub fn bundled(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("demo")
        .join(name)
}

/// Standard output, a JSON object a line.
pub fn lines(output: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(output).expect("text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// What the command says when it fails: one sentence on standard error, nothing that panicked.
pub fn complaint(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    assert!(!output.status.success(), "{command:?} should fail");
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// `hitgate run`, begun, that keeps every frame of the ring and writes records.
pub fn run_keeping(ring: &str, kept: &str, records: &str, more: &[&str]) -> Child {
    let run = ["run", "--ring", ring, "--threshold", "0"];
    let outputs = ["--keep", kept, "--records", records];
    spawn(&[&run[..], &outputs, more].concat())
}

/// The program, begun, with what it says to be read.
pub fn spawn(args: &[&str]) -> Child {
    std::process::Command::new(env!("CARGO_BIN_EXE_hitgate"))
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs")
}
