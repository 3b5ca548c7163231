//! Kept slots through `screen` and `feed`: what a filter kept, and why, is the same the second time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hitgate_core::frame::{FrameHeader, HEADER_LEN, PixelType, flags};
use serde_json::Value;

/// Two modules, the second one larger.
const MODULES: &str = r#"{"modules":[
    {"columns":64,"rows":64,"pixel_type":"u16"},
    {"columns":96,"rows":96,"pixel_type":"u16"}]}"#;

fn header(side: u16, module_id: u16) -> FrameHeader {
    FrameHeader {
        frame_number: 7,
        pulse_key: 70,
        module_id,
        ..FrameHeader::new(side, side, PixelType::U16)
    }
}

/// The slot of `header`, as long as it says, without a photon.
fn slot(header: FrameHeader) -> Vec<u8> {
    let mut slot = header.seal().to_vec();
    slot.resize(header.slot_len(), 0);
    slot
}

/// A slot whose header is torn, in the wrapper that such a slot has in a file.
fn torn() -> Vec<u8> {
    let mut torn = slot(header(64, 0));
    torn[73] ^= 4;
    let wrapper = FrameHeader {
        pixel_type: 0,
        status: u32::MAX,
        payload_len: torn.len() as u32,
        ..FrameHeader::new(0, 0, PixelType::U8)
    };
    [wrapper.seal().to_vec(), torn].concat()
}

/// Slots with the verdict that each has to get, however often it is judged.
fn slots() -> Vec<(Vec<u8>, &'static str)> {
    let edited = |edit: fn(&mut FrameHeader)| {
        let mut header = header(64, 0);
        edit(&mut header);
        slot(header)
    };
    vec![
        (slot(header(64, 0)), "miss"),
        (edited(|h| h.flags = flags::KEEP_RAW), "forced"),
        (edited(|h| h.flags = flags::CALIBRATION), "forced"),
        (edited(|h| h.modules = 8), "partial"),
        (edited(|h| h.status = 1), "fault"),
        (edited(|h| h.packets_expected = 9), "fault"),
        (edited(|h| h.payload_len = 100), "fault"),
        (edited(|h| h.module_id = 5), "fault"),
        (edited(|h| h.module_id = 1), "fault"),
        (torn(), "fault"),
        (slot(header(96, 1)), "miss"),
        (slot(header(64, 0)), "miss"),
    ]
}

fn write(folder: &Path) -> PathBuf {
    let path = folder.join("kept.slots");
    let bytes: Vec<u8> = slots().into_iter().flat_map(|(slot, _)| slot).collect();
    std::fs::write(&path, bytes).unwrap();
    std::fs::write(folder.join("kept.slots.json"), MODULES).unwrap();
    path
}

fn hitgate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hitgate"));
    command.args(args);
    command
}

fn lines(text: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(text).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn reasons(path: &Path) -> Vec<String> {
    let output = hitgate(&["screen", path.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let reason = |line: &Value| line["reason"].as_str().unwrap().to_owned();
    lines(&output.stdout).iter().map(reason).collect()
}

#[test]
fn screen_judges_each_slot_by_its_own_header() {
    let folder = tempfile::tempdir().unwrap();
    let expected: Vec<_> = slots().into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons(&write(folder.path())), expected);
}

#[test]
fn a_live_run_on_kept_slots_keeps_them_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let kept = write(folder.path());
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (ring, again, records) = (place("ring"), place("again.slots"), place("records.jsonl"));
    let feed = hitgate(&["feed", kept.to_str().unwrap(), "--ring", &ring])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Whatever is not a fault is kept for its score.
    let run = hitgate(&["run", "--threshold", "0", "--wait", "60"])
        .args(["--ring", &ring, "--keep", &again, "--records", &records])
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(feed.wait_with_output().unwrap().status.success());

    let expected: Vec<_> = slots().into_iter().map(|(_, reason)| reason).collect();
    let judged = lines(&std::fs::read(&records).unwrap());
    assert_eq!(judged.len(), expected.len());
    for (record, reason) in judged.iter().zip(&expected) {
        let same = record["reason"] == *reason;
        let scored = *reason == "miss" && !record["class"].is_null();
        assert!(
            record["verdict"] == "keep" && (same || scored),
            "{record} {reason}"
        );
    }
    let keys: Vec<_> = judged
        .iter()
        .map(|record| record["pulse_key"].as_u64())
        .collect();
    let torn = expected.len() - 3;
    assert!(
        (0..keys.len()).all(|i| keys[i] == Some(if i == torn { 0 } else { 70 })),
        "{keys:?}"
    );

    assert_eq!(reasons(Path::new(&again)), expected);
    // But for the numbers of the ring and of the run, and the checksum, the bytes are the same.
    let slot_of = |path: &Path| {
        let mut slot = std::fs::read(path).unwrap();
        slot.truncate(HEADER_LEN + 64 * 64 * 2);
        slot[8..24].fill(0);
        slot[124..HEADER_LEN].fill(0);
        slot
    };
    assert_eq!(slot_of(&kept), slot_of(Path::new(&again)));
}

#[test]
fn a_file_that_was_cut_short_is_judged_as_far_as_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let output = hitgate(&["screen", path.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(lines(&output.stdout).len(), slots().len() - 1);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("cut short") && said.contains("kept.slots"),
        "{said}"
    );
}
