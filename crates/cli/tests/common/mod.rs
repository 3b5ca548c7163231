//! What tests of the program share.
#![allow(dead_code, reason = "no test needs all of it")]

use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use assert_cmd::Command;
use hitgate_core::frame::{FrameHeader, HEADER_LEN};
use serde_json::Value;

/// A frame that the program brings along.
pub fn bundled(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("demo")
        .join(name)
}

/// The program.
pub fn hitgate() -> Command {
    Command::cargo_bin("hitgate").expect("the program is built")
}

/// The program with arguments.
pub fn hitgate_with(args: &[&str]) -> Command {
    let mut command = hitgate();
    command.args(args);
    command
}

/// An NPY file of this shape.
pub fn npy(path: &Path, descr: &str, shape: &str, numbers: impl Iterator<Item = Vec<u8>>) {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{header:<117}\n").bytes());
    bytes.extend(numbers.flatten());
    std::fs::write(path, bytes).expect("an NPY file");
}

/// A stack of two modules of a 2 x 1 tile and the geometry that puts them side by side.
pub fn modules(folder: &Path) -> (PathBuf, PathBuf) {
    let stack = folder.join("stack.npy");
    // [2, 4, 6] of u16: module, row, column.
    let counts = (1..=48u16).map(|count| count.to_le_bytes().to_vec());
    npy(&stack, "<u2", "2, 4, 6", counts);
    let geometry = folder.join("two.geom");
    let panel = |n: u32, x: f64| {
        format!(
            "m{n}/dim1 = {n}\nm{n}/min_fs = 0\nm{n}/max_fs = 5\nm{n}/min_ss = 0\nm{n}/max_ss = 3\nm{n}/corner_x = {x}\nm{n}/corner_y = -2\n"
        )
    };
    let text = format!(
        "photon_energy = 9500 eV\nclen = 0.1\nres = 10000\nmax_adu = 40\n{}{}",
        panel(0, -7.0),
        panel(1, 1.0)
    );
    std::fs::write(&geometry, text).unwrap();
    (stack, geometry)
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
    said(&output).1
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

/// What a command wrote to standard output, and to standard error.
pub fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!err.contains("panicked"), "{err}");
    (out, err)
}

pub fn finish(child: Child) -> Output {
    let output = child.wait_with_output().expect("the program ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Their lengths.
pub fn slots(path: &Path) -> Vec<usize> {
    headers(path).iter().map(FrameHeader::slot_len).collect()
}

/// Their numbers.
pub fn numbers(path: &Path) -> Vec<u64> {
    let headers = headers(path).into_iter();
    headers.map(|header| header.frame_number).collect()
}

pub fn number_before(text: &str, words: &str) -> usize {
    let before = text.split(words).next().unwrap();
    let digits = before.rsplit([' ', ':']).next().unwrap();
    digits.parse().unwrap_or_else(|_| panic!("{words}: {text}"))
}

/// 200 frames by way of a ring of eight slots.
pub const FEED_200: [&str; 9] = [
    "feed",
    "--simulate",
    "cspad-2x1",
    "--distinct",
    "4",
    "--frames",
    "200",
    "--slots",
    "8",
];

/// Headers of the slots in a file of kept frames.
pub fn headers(path: &Path) -> Vec<FrameHeader> {
    let bytes = std::fs::read(path).expect("kept frames");
    let mut headers = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let header =
            FrameHeader::from_bytes(bytes[at..].first_chunk::<HEADER_LEN>().expect("a header"));
        at += header.slot_len();
        headers.push(header);
    }
    assert_eq!(at, bytes.len(), "the last slot is whole");
    headers
}

/// Sends a signal, such as `-HUP`.
pub fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let kill = std::process::Command::new("kill")
        .args([name, &id])
        .status();
    assert!(kill.unwrap().success());
}
