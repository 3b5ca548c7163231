//! Labelled files: how `hitgate eval` and `hitgate dataset` read them, and what becomes of a set that
//! is there before.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

mod common;

use common::{bundled, complaint, signal, spawn};

const EIGER: &str = "eiger4m_dls.h5";

fn hitgate(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("hitgate").expect("the program");
    command.args(args);
    command
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_set_of_before_stays_where_another_fails_or_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let sets = folder.path().join("sets");
    fs::create_dir(&sets).unwrap();
    let out = sets.join("set").display().to_string();
    let make = |more: &[&str]| hitgate(&[&["dataset", &out, "--input=32"], more].concat());
    make(&["--maps=3", "--detector=jungfrau-module"])
        .assert()
        .success();
    let both = || ["npy", "jsonl"].map(|ending| fs::read(format!("{out}.{ending}")).unwrap());
    let before = both();
    assert!(before.iter().all(|file| !file.is_empty()));

    let truth = folder.path().join("truth.jsonl");
    let text = truth.display().to_string();
    let good = serde_json::json!({ "file": bundled(EIGER), "class": "hit" }).to_string();
    for (labels, word) in [
        (None, "truth.jsonl"),
        (
            Some("{\"file\": \"x.cbf\", \"class\": \"few\"}".to_string()),
            "nothing to prepare",
        ),
        (
            Some(format!(
                "{good}\n{{\"file\": \"none.cbf\", \"class\": \"hit\"}}\n"
            )),
            "none.cbf",
        ),
    ] {
        if let Some(labels) = labels {
            fs::write(&truth, labels).unwrap();
        }
        let said = complaint(&mut make(&["--truth", &text]));
        assert!(said.contains(word), "{said}");
        assert!(both() == before, "{word}");
        assert_eq!(names(&sets), ["set.jsonl", "set.npy"], "{word}");
    }

    // Stopped once maps are on their way; more of them than anybody waits for.
    let mut child = spawn(&["dataset", &out, "--maps=1000000"]);
    while !names(&sets).contains(&"set.jsonl.part".to_string()) {
        assert_eq!(child.try_wait().unwrap(), None, "it ends before it writes");
        assert!(both() == before);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    signal(&child, "-KILL");
    child.wait().unwrap();
    assert!(both() == before);
    // What it left is in nobody's way.
    make(&["--maps=2", "--detector=jungfrau-module"])
        .assert()
        .success();
    assert!(both() != before);
    assert_eq!(names(&sets), ["set.jsonl", "set.npy"]);
}
