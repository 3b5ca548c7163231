//! `hitgate audit` as a user meets it: verdicts of `hitgate screen` against results of an indexer.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::{Value, json};

fn hitgate() -> Command {
    Command::cargo_bin("hitgate").expect("the program is built")
}

/// A folder with verdicts and results.
struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    /// Verdicts of 40 frames of `run.h5`, the last 20 of them dropped, and results in which all but
    /// frames 30 to 39 are indexed.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let case = Case { folder };
        let verdicts: Vec<String> = (0..40)
            .map(|index| {
                let (class, keep) = match index {
                    0..10 => ("hit", true),
                    10..20 => ("maybe", true),
                    _ => ("miss", false),
                };
                json!({ "file": "frames/run.h5", "index": index, "class": class, "keep": keep, "reason": class })
            })
            .map(|line| line.to_string())
            .collect();
        case.write("verdicts.jsonl", &verdicts.join("\n"));
        let chunks: String = (0..40)
            .map(|index| {
                let crystals = match index {
                    0..5 => CRYSTAL.repeat(2),
                    5..30 => CRYSTAL.into(),
                    _ => String::new(),
                };
                let by = if crystals.is_empty() { "none" } else { "mosflm" };
                format!(
                    "----- Begin chunk -----\nImage filename: /data/run.h5\nEvent: //{index}\nindexed_by = {by}\nnum_peaks = {}\n{crystals}----- End chunk -----\n",
                    60 - index
                )
            })
            .collect();
        case.write(
            "run.stream",
            &format!("CrystFEL stream format 2.3\n{chunks}"),
        );
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn audit(&self, with: &[&str]) -> (bool, String, String) {
        let output = hitgate()
            .current_dir(self.folder.path())
            .args(["audit", "verdicts.jsonl"])
            .args(with)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 1)), "{code:?}");
        (code == Some(0), text(output.stdout), text(output.stderr))
    }
}

const CRYSTAL: &str =
    "--- Begin crystal\ndiffraction_resolution_limit = 4.00 nm^-1 or 2.50 A\n--- End crystal\n";

#[test]
fn the_loss_is_told_by_class_spots_resolution_and_lattices() {
    let case = Case::new();
    let (fine, text, _) = case.audit(&["--stream", "run.stream", "--json"]);
    assert!(fine);
    let audit: Value = serde_json::from_str(&text).unwrap();
    let row = |class: &str| {
        (
            &audit["classes"][class]["indexed"],
            &audit["classes"][class]["not_indexed"],
        )
    };
    assert_eq!(row("hit"), (&10.into(), &0.into()));
    assert_eq!(row("maybe"), (&10.into(), &0.into()));
    assert_eq!(row("miss"), (&10.into(), &10.into()));
    let lost = &audit["lost"];
    assert_eq!((&lost["k"], &lost["n"]), (&10.into(), &30.into()));
    // The p with P(X <= 10 | 30, p) = 0.05, summed term by term.
    assert!((lost["at_most"].as_f64().unwrap() - 0.499_44).abs() < 1e-5);
    let bins = |by: &str| -> Vec<(Value, u64, u64)> {
        let bins = audit[by].as_array().unwrap().iter();
        bins.map(|bin| {
            let count = |key: &str| bin["lost"][key].as_u64().unwrap();
            (bin["from"].clone(), count("k"), count("n"))
        })
        .collect()
    };
    // Frame i has 60 − i spots: the lost ones 40 to 31.
    assert_eq!(
        bins("lost_by_spots"),
        [(20.0.into(), 10, 19), (50.0.into(), 0, 11)]
    );
    assert_eq!(bins("lost_by_resolution"), [(2.5.into(), 10, 30)]);
    assert_eq!(
        bins("lost_by_lattices"),
        [(1.0.into(), 10, 25), (2.0.into(), 0, 5)]
    );
    let frames = audit["lost_frames"].as_array().unwrap();
    let indices: Vec<u64> = frames
        .iter()
        .map(|f| f["record"]["index"].as_u64().unwrap())
        .collect();
    assert_eq!(indices, Vec::from_iter(20..30));

    let (fine, table, _) = case.audit(&["--stream", "run.stream"]);
    assert!(fine);
    for line in [
        "miss             10           10",
        "lost 10 of 30 indexed frames, 33.33 %, at most 49.94 %",
        "20 to 49           10       19",
        "/data/run.h5 //20  miss, 40 spots, 2.50 Å",
    ] {
        assert!(table.contains(line), "{line} is not in\n{table}");
    }
}

#[test]
fn the_exit_status_tells_of_a_loss_above_the_limit() {
    let case = Case::new();
    let at =
        |limit: &[&str]| case.audit(&[&["--stream", "run.stream", "--max-loss"], limit].concat());
    assert!(at(&["0.34"]).0);
    let (fine, table, said) = at(&["0.33"]);
    assert!(
        !fine && table.contains("lost 10 of 30"),
        "the table is there all the same"
    );
    assert!(
        said.contains("the loss, 0.3333, is above --max-loss 0.33"),
        "{said}"
    );
    assert!(at(&["0.5", "--bound"]).0);
    let (fine, _, said) = at(&["0.34", "--bound"]);
    assert!(!fine && said.contains("the bound of the loss"), "{said}");
}

#[test]
fn frames_of_one_side_are_named() {
    let case = Case::new();
    let verdicts = std::fs::read_to_string(case.path("verdicts.jsonl")).unwrap();
    let kept: Vec<&str> = verdicts.lines().skip(2).collect();
    let other = kept[0].replace("run.h5", "other.h5");
    case.write("verdicts.jsonl", &format!("{}\n{other}", kept.join("\n")));
    let (fine, table, _) = case.audit(&["--stream", "run.stream"]);
    assert!(fine);
    for line in [
        "frames with a verdict that are not in the results: 1\n  frames/other.h5 //2",
        "frames of the results that have no verdict: 2\n  /data/run.h5 //0\n  /data/run.h5 //1",
        "indexed among these, and counted nowhere above: 2",
    ] {
        assert!(table.contains(line), "{line} is not in\n{table}");
    }
}

#[test]
fn how_many_frames_are_in_both_is_told_and_nearly_none_are_warned_of() {
    let case = Case::new();
    let (fine, table, said) = case.audit(&["--stream", "run.stream"]);
    let whole = "the results name 40 of the 40 frames of the records, the records 40 of the 40 of the results";
    assert!(fine && table.contains(whole), "{table}");
    assert!(!table.contains("numbers alone"), "{table}");
    assert_eq!(said, "");
    // Records of a run name no file.
    let run: Vec<String> = (0..30)
        .map(|index| {
            let keep = if index < 20 { "keep" } else { "drop" };
            json!({ "frame_number": index + 1, "module": 0, "verdict": keep, "class": "hit", "reason": "hit" })
        })
        .map(|line| line.to_string())
        .collect();
    case.write("verdicts.jsonl", &run.join("\n"));
    let (fine, table, said) = case.audit(&["--stream", "run.stream"]);
    let part = "name 30 of the 30 frames of the records, the records 30 of the 40 of the results\nby their numbers alone";
    assert!(fine && table.contains(part), "{table}");
    assert_eq!(said, "");
    // Frames 27 and after of a longer run, of which the results know three.
    let later = |line: &String| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line["frame_number"] = (line["frame_number"].as_u64().unwrap() + 37).into();
        line["verdict"] = "drop".into();
        line.to_string()
    };
    let later: Vec<String> = run.iter().map(later).collect();
    case.write("verdicts.jsonl", &later.join("\n"));
    let (_, table, said) = case.audit(&["--stream", "run.stream"]);
    assert!(table.contains("name 3 of the 30 frames"), "{table}");
    assert!(!said.contains("of one run?"), "a tenth: {said}");
    case.write("verdicts.jsonl", &later[1..].join("\n"));
    let (_, _, said) = case.audit(&["--stream", "run.stream"]);
    let warning =
        "warning: only 2 frames are both in the records, of 29, and in the results, of 40";
    assert!(said.contains(warning), "{said}");
}

#[test]
fn experiment_lists_of_dials_are_read_together() {
    let case = Case::new();
    let list = |crystals: &[usize], all: usize| {
        let images: Vec<Value> = (0..all)
            .map(|i| json!({ "__id__": "ImageSet", "images": ["/data/run.h5"], "single_file_indices": [i] }))
            .collect();
        let experiments: Vec<Value> = match crystals {
            [] => (0..all).map(|i| json!({ "imageset": i })).collect(),
            _ => (0..crystals.len())
                .map(|c| json!({ "imageset": crystals[c], "crystal": c }))
                .collect(),
        };
        json!({
            "__id__": "ExperimentList", "experiment": experiments, "imageset": images,
            "crystal": vec![json!({}); crystals.len()],
        })
        .to_string()
    };
    case.write("imported.expt", &list(&[], 40));
    case.write("indexed.expt", &list(&[0, 0, 5, 25], 40));
    let (fine, text, _) = case.audit(&["--expt", "imported.expt", "indexed.expt", "--json"]);
    assert!(fine);
    let audit: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&audit["lost"]["k"], &audit["lost"]["n"]),
        (&1.into(), &3.into())
    );
    assert_eq!(
        audit["classes"]["hit"],
        json!({ "indexed": 2, "not_indexed": 8 })
    );
    let (fine, text, _) = case.audit(&["--expt", "indexed.expt", "--json"]);
    assert!(fine);
    let alone: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(alone["lost"], audit["lost"]);
    assert_eq!(alone["without_result"].as_array().unwrap().len(), 37);
}

#[test]
fn what_proves_nothing_fails() {
    let case = Case::new();
    let complaint = |with: &[&str]| {
        let (fine, _, said) = case.audit(with);
        assert!(!fine && !said.contains("panicked"), "{said}");
        said
    };
    let stream = std::fs::read_to_string(case.path("run.stream")).unwrap();
    case.write("other.stream", &stream.replace("run.h5", "else.h5"));
    let said = complaint(&["--stream", "other.stream"]);
    assert!(
        said.contains("frames/run.h5 //0") && said.contains("/data/else.h5 //0"),
        "{said}"
    );
    let kept: String = stream
        .split_inclusive("----- End chunk -----\n")
        .take(20)
        .collect();
    let kept = kept
        .replacen("indexed_by = mosflm", "indexed_by = none", 1)
        .replacen(&CRYSTAL.repeat(2), "", 1);
    case.write("kept.stream", &kept);
    assert!(complaint(&["--stream", "kept.stream"]).contains("no frame that was dropped"));
    case.write("cut.stream", &stream[..stream.len() - 9]);
    assert!(complaint(&["--stream", "cut.stream"]).contains("cut.stream"));
    case.write("empty.stream", "CrystFEL stream format 2.3\n");
    assert!(complaint(&["--stream", "empty.stream"]).contains("no frame: nothing to compare"));
    assert!(complaint(&["--stream", "missing.stream"]).contains("no such file"));
    assert!(complaint(&["--expt", "run.stream"]).contains("no experiment list"));
    case.write("verdicts.jsonl", "");
    assert!(complaint(&["--stream", "run.stream"]).contains("the records hold no verdict"));
}

#[test]
fn results_are_asked_for_with_all_that_they_may_be() {
    let case = Case::new();
    let complaint = |with: &[&str]| {
        let mut command = hitgate();
        let command = command.current_dir(case.folder.path());
        let output = command
            .args(["audit", "verdicts.jsonl"])
            .args(with)
            .output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(complaint(&[]).contains("<--stream <FILE>...|--expt <FILE>...>"));
    let both = ["--stream", "run.stream", "--expt", "run.expt"];
    assert!(complaint(&both).contains("cannot be used with"));
}

#[test]
fn lines_of_screen_and_of_a_run_are_records() {
    let frame = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/snase_ccd_00001.img.gz");
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("records.jsonl");
    let results = folder.path().join("run.stream");
    let chunk = |event: &str| {
        format!(
            "CrystFEL stream format 2.3\n----- Begin chunk -----\nImage filename: /else/snase_ccd_00001.img.gz\n{event}indexed_by = mosflm\n----- End chunk -----\n"
        )
    };
    std::fs::write(&results, chunk("")).unwrap();
    let audit = || {
        let mut command = hitgate();
        command
            .arg("audit")
            .arg(&records)
            .arg("--stream")
            .arg(&results)
            .arg("--json");
        let text = command.assert().success().get_output().stdout.clone();
        serde_json::from_slice::<Value>(&text).unwrap()
    };
    hitgate()
        .arg("screen")
        .arg(&frame)
        .arg("-o")
        .arg(&records)
        .assert()
        .success();
    let of = |audit: &Value| (audit["lost"]["n"].clone(), audit["without_record"].clone());
    assert_eq!(of(&audit()), (1.into(), json!([])));

    let ring = folder.path().join("ring");
    std::fs::remove_file(&records).unwrap();
    let mut feed = std::process::Command::new(assert_cmd::cargo::cargo_bin("hitgate"))
        .args(["feed", "--frames", "2", "--ring"])
        .arg(&ring)
        .arg(&frame)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    hitgate()
        .arg("run")
        .arg("--ring")
        .arg(&ring)
        .arg("--records")
        .arg(&records)
        .assert()
        .success();
    assert!(feed.wait().unwrap().success());
    std::fs::write(&results, chunk("Event: //1\n")).unwrap();
    let audit = audit();
    assert_eq!(of(&audit), (1.into(), json!([])));
    assert_eq!(audit["without_result"].as_array().unwrap().len(), 1);
}
