//! `hitgate simulate`: frames and labels, and what it leaves alone.

mod common;

use common::{hitgate, lines};
use serde_json::Value;

#[test]
fn simulated_frames_are_read_back_with_their_labels() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["cbf", "npy"] {
        let out = folder.path().join(format);
        hitgate()
            .args([
                "simulate",
                "--frames",
                "3",
                "--detector",
                "pilatus300k",
                "--format",
                format,
            ])
            .arg(&out)
            .assert()
            .success();
        let output = hitgate()
            .args(["eval", "--json", "--truth"])
            .arg(out.join("truth.jsonl"))
            .assert()
            .success();
        let report: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
        assert_eq!(report["sets"][0]["frames"], 3);
    }
}

#[test]
fn a_simulation_replaces_nothing_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let simulate = |more: &[&str]| {
        let mut command = hitgate();
        let words = ["--frames=2", "--detector=cspad-2x1", "--format=npy"];
        command.arg("simulate").arg(folder.path()).args(words);
        command.args(more).output().unwrap()
    };
    for own in ["truth.jsonl", "frame_000001.npy", "frame_000001.json"] {
        let own = folder.path().join(own);
        std::fs::write(&own, "somebody's own").unwrap();
        let output = simulate(&[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains("--replace it"),
            "{said}"
        );
        assert!(said.contains(own.to_str().unwrap()), "{said}");
        assert_eq!(std::fs::read_to_string(&own).unwrap(), "somebody's own");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::remove_file(own).unwrap();
    }
    assert!(simulate(&[]).status.success());
    assert!(!simulate(&[]).status.success());
    assert!(simulate(&["--replace"]).status.success());
    // Others beside them.
    std::fs::remove_file(folder.path().join("truth.jsonl")).unwrap();
    assert!(simulate(&["--first=2"]).status.success());
}

#[test]
fn labels_alone_are_those_of_the_frames_and_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str, more: &str| -> Vec<String> {
        let out = folder.path().join(name);
        let mut command = hitgate();
        command.arg("simulate").arg(&out);
        let words = "--frames 3 --first 5 --mix border --detector cspad-2x1 --format npy";
        command.args(words.split(' ').chain(more.split_whitespace()));
        command.assert().success();
        let files = std::fs::read_dir(out).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.collect()
    };
    let frames = made("frames", "");
    assert_eq!(made("labels", "--labels"), ["truth.jsonl"]);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name).join("truth.jsonl"));
    let labels = read("labels").unwrap();
    assert_eq!(labels, read("frames").unwrap());
    for line in lines(labels.as_bytes()) {
        let named = line["file"].as_str().unwrap();
        assert!(frames.iter().any(|name| name == named), "{line}");
    }
}
