//! What the program says when something is wrong: one sentence that names the file, once.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn hitgate<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("hitgate"));
    command.args(args);
    command
}

fn bundled(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("demo")
        .join(name)
}

const EIGER: &str = "eiger4m_dls.h5";
const CSPAD: &str = "cspad_2x1_cxitut13.npy";

fn said(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// What a command that has to fail says.
fn complaint<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    let mut command = hitgate(args);
    let output = command.output().expect("the program runs");
    assert!(!output.status.success(), "{command:?} should fail");
    said(&output)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a name in UTF-8")
}

#[test]
fn a_full_disk_behind_standard_output_is_told() {
    for args in [&["--help"][..], &["inspect"], &["eval", "--simulate", "2"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = hitgate(args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = said(&output);
        assert!(said.contains("standard output"), "{said}");
    }
}

#[test]
fn a_cause_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| text(&folder.path().join(name)).to_string();
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    for (args, words) in [
        (vec!["inspect".into(), file("none")], "no such file"),
        (vec!["inspect".into(), file("")], "a directory"),
        (
            vec!["eval".into(), "--truth".into(), file("")],
            "a directory",
        ),
        (
            vec!["eval".into(), "--truth".into(), file("none")],
            "no such file",
        ),
        (
            vec!["dataset".into(), "--maps=1".into(), file("none/maps")],
            "folder does not exist",
        ),
        (
            vec!["simulate".into(), "--frames=0".into(), file("frames")],
            "--frames",
        ),
        (
            vec![
                "simulate".into(),
                format!("--first={}", u64::MAX),
                file("frames"),
            ],
            "--first",
        ),
    ] {
        let said = complaint(&args);
        assert_eq!(said.matches(words).count(), 1, "{said}");
        if !words.starts_with('-') {
            assert_eq!(said.matches(name).count(), 1, "{said}");
        }
    }
}

#[test]
fn datasets_whose_names_have_dots_stay_apart_and_say_how_they_were_made() {
    let folder = tempfile::tempdir().unwrap();
    for (name, reduce) in [("maps.v2", "contrast"), ("maps.v3", "max")] {
        let out = folder.path().join(name);
        let args = [
            "dataset",
            "--maps=2",
            "--input=32",
            "--reduce",
            reduce,
            text(&out),
        ];
        assert!(hitgate(args).output().unwrap().status.success());
        let labels = std::fs::read_to_string(folder.path().join(format!("{name}.jsonl"))).unwrap();
        assert_eq!(
            labels.matches(&format!("\"reduce\":\"{reduce}\"")).count(),
            2
        );
    }
    let maps = |name: &str| text(&folder.path().join(name)).to_string();
    let (v2, v3) = (maps("maps.v2.npy"), maps("maps.v3.npy"));
    let import = |calibration: &str, validation: &str, more: &[&str]| {
        let args = [
            "import",
            "none.onnx",
            "-o",
            "none.hgm",
            "--calibration",
            calibration,
            "--validation",
            validation,
        ];
        complaint(args.iter().chain(more))
    };
    let said = import(&v2, &v3, &[]);
    assert!(
        said.contains("says contrast") && said.contains("says max"),
        "{said}"
    );
    let said = import(&v2, &v2, &["--reduce", "max"]);
    assert!(
        said.contains("says contrast") && said.contains("--reduce says max"),
        "{said}"
    );
    let said = import(&v2, &v2, &[]);
    assert_eq!(said.matches("none.onnx").count(), 1, "{said}");
}

#[test]
fn labels_that_do_not_fit_are_named_by_their_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(bundled(CSPAD), folder.path().join(CSPAD)).unwrap();
    let truth = folder.path().join("truth.jsonl");
    let line = |index: u32, class: &str| {
        format!("{{\"file\": \"{CSPAD}\", \"index\": {index}, \"class\": \"{class}\"}}\n")
    };
    let eval = |lines: String| {
        std::fs::write(&truth, lines).unwrap();
        complaint(["eval", "--truth", text(&truth)])
    };
    let said = eval(line(0, "hit") + &line(7, "miss"));
    assert!(
        said.contains("line 2") && said.contains("no frame 7"),
        "{said}"
    );
    let said = eval(line(7, "miss"));
    assert!(
        said.contains("line 1") && said.contains("no frame 7"),
        "{said}"
    );
    let said = eval(line(0, "hit") + &line(0, "miss"));
    assert!(said.contains("line 1") && said.contains("line 2"), "{said}");
}

#[test]
fn inspect_takes_a_dataset_of_a_file() {
    let named = format!("{}:/entry/data/data", bundled(EIGER).display());
    let output = hitgate(["inspect", &named]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.contains("HDF5, 1 frame\n"),
        "{text}"
    );
    let said = complaint(["inspect", &named.replace("data/data", "none")]);
    assert!(said.contains("/entry/data/data"), "{said}");
}
