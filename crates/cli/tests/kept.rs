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

/// A slot with all that a source may say of a frame besides, event codes of a pump-probe experiment among them, and
/// with pixels.
fn coded(flags: u16, status: u32) -> Vec<u8> {
    let mut slot = slot(FrameHeader {
        flags,
        status,
        pulse_in_train: 17,
        module_row: 3,
        module_column: 4,
        detector_type: 3,
        source_ticks: 0x0123_4567_89AB_CDEF,
        tick_10ps: 1000,
        exposure_ticks: 99,
        packets_expected: 128,
        packets_received: 128,
        source_word: 0xC0DE_0042,
        readout_groups: 0x8000_0001,
        source_aux: 1 << 63 | 1 << 40 | 1,
        lane: 5,
        buffer_index: 6,
        ..header(64, 0)
    });
    for (pixel, byte) in slot[HEADER_LEN..].iter_mut().step_by(2).enumerate() {
        *byte = (pixel % 251) as u8;
    }
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
        (coded(flags::KEEP_RAW, 0), "forced"),
        (coded(flags::CALIBRATION, 0), "forced"),
        (coded(flags::TEST_PATTERN, 0), "forced"),
        (coded(0, 0x20), "fault"),
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
fn flags_of_geometry_and_mask_are_refused_with_kept_slots() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path());
    for flags in [["--saturation", "9"], ["--distance", "100"]] {
        let output = hitgate(&["screen", path.to_str().unwrap()])
            .args(flags)
            .output();
        let output = output.unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("kept slots are judged by the geometry and the mask of the run"),
            "{said}"
        );
    }
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
    let torn = slots()
        .iter()
        .position(|(slot, _)| *slot == self::torn())
        .unwrap();
    assert!(
        (0..keys.len()).all(|i| keys[i] == Some(if i == torn { 0 } else { 70 })),
        "{keys:?}"
    );

    assert_eq!(reasons(Path::new(&again)), expected);
    // But for the numbers of the ring and of the run, and the checksum, the bytes are the same: whatever else a source
    // said of a frame leaves with it.
    let written = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        let mut slots = Vec::new();
        while !bytes.is_empty() {
            let len = FrameHeader::from_bytes(bytes.first_chunk().unwrap()).slot_len();
            let rest = bytes.split_off(len);
            bytes[8..24].fill(0);
            bytes[124..HEADER_LEN].fill(0);
            slots.push(std::mem::replace(&mut bytes, rest));
        }
        slots
    };
    let (before, after) = (written(&kept), written(Path::new(&again)));
    assert_eq!(
        (before.len(), after.len()),
        (expected.len(), expected.len())
    );
    for (i, (before, after)) in before.iter().zip(&after).enumerate() {
        let same = if i == torn {
            // Of a header that is torn nobody knows where the frame ends: the whole slot is kept, in a wrapper, with the
            // ring's number.
            let pixels = 2 * HEADER_LEN;
            before[pixels..] == after[pixels..before.len()]
        } else {
            before == after
        };
        assert!(same, "slot {i}");
    }
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

#[test]
fn a_run_that_kept_nothing_is_no_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let kept = write(folder.path());
    std::fs::write(&kept, []).unwrap();
    let output = hitgate(&["screen"]).arg(&kept).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty());
}
