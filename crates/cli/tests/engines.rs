//! `hitgate eval` on prepared maps, and with a float network in the place of the integers.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

fn hitgate(words: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("hitgate"));
    command.args(words);
    command
}

/// What `eval WORDS --json` prints.
fn eval(words: &[&str]) -> Value {
    let mut command = hitgate(&["eval", "--json"]);
    let output = command.args(words).output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What `eval WORDS` says when it fails.
fn complaint(words: &[&str]) -> String {
    let mut command = hitgate(&["eval"]);
    let output = command.args(words).output().expect("the program runs");
    assert!(!output.status.success(), "{words:?} should fail");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a name in UTF-8")
}

/// The float network that the model built in was made of.
fn onnx() -> &'static Path {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../models/mobilenet-v1-025-224/model.onnx"
    ))
}

/// Forty maps and their labels.
fn maps(folder: &TempDir, more: &[&str]) -> PathBuf {
    let out = folder.path().join("maps");
    let mut command = hitgate(&["dataset", text(&out), "--replace", "--maps=40", "--seed=7"]);
    let made = command
        .args(["--detector", "cspad-2x1"])
        .args(more)
        .output()
        .expect("runs");
    assert!(made.status.success(), "{made:?}");
    out.with_extension("npy")
}

/// Maps in each cell of the confusion.
fn confusion(json: &Value) -> Vec<i64> {
    let rows = json["sets"][0]["confusion"].as_array().expect("rows");
    let cells = rows.iter().flat_map(|row| row.as_array().expect("cells"));
    cells.map(|cell| cell.as_i64().expect("a count")).collect()
}

#[test]
fn maps_score_as_the_simulated_frames_that_they_are_of() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("maps");
    let made = hitgate(&["dataset", text(&out), "--maps=12", "--seed=7"]).output();
    assert!(made.unwrap().status.success());
    let prepared = eval(&["--maps", text(&out.with_extension("npy"))]);
    let simulated = eval(&["--simulate=12", "--seed=7"]);
    assert_eq!(prepared["sets"], simulated["sets"]);
    assert!(prepared["seconds"].as_f64() > Some(0.0) && prepared["threads"].as_u64() > Some(0));
}

#[test]
fn the_float_network_agrees_with_the_integers() {
    let folder = tempfile::tempdir().unwrap();
    let maps = maps(&folder, &[]);
    let native = confusion(&eval(&["--maps", text(&maps)]));
    let words = [
        "--maps",
        text(&maps),
        "--engine=tract",
        "--model",
        text(onnx()),
    ];
    let tract = confusion(&eval(&words));
    assert_eq!((native.iter().sum::<i64>(), tract.iter().sum()), (40, 40));
    let moved: i64 = native.iter().zip(&tract).map(|(a, b)| (a - b).abs()).sum();
    assert!(moved <= 2 * 3, "{native:?} by integers, {tract:?} by tract");

    // The same frames, simulated anew.
    let words = [
        "--simulate=3",
        "--engine=tract",
        "--reduce=peaks",
        "--model",
        text(onnx()),
    ];
    assert_eq!(
        confusion(&eval(&words)),
        confusion(&eval(&["--simulate=3"]))
    );
}

#[test]
fn frames_of_files_are_prepared_for_the_float_network_as_for_the_integers() {
    let folder = tempfile::tempdir().unwrap();
    let simulated = folder.path().join("frames");
    let made = hitgate(&[
        "simulate",
        text(&simulated),
        "--frames=6",
        "--detector=cspad-2x1",
        // None of its frames is at the edge of two classes, where rounding may decide.
        "--seed=2",
    ])
    .output();
    assert!(made.unwrap().status.success());
    let truth = simulated.join("truth.jsonl");
    let native = eval(&["--truth", text(&truth)]);
    let words = [
        "--truth",
        text(&truth),
        "--engine=tract",
        "--reduce=peaks",
        "--model",
        text(onnx()),
    ];
    let tract = eval(&words);
    assert_eq!(native["sets"][0]["frames"], 6);
    assert_eq!(confusion(&native), confusion(&tract));
}

#[test]
fn what_an_onnx_file_does_not_say_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let network = onnx();
    let tract = |more: &[&str]| complaint(&[&["--engine=tract"], more].concat());
    let model = ["--model", text(network), "--simulate=2"];

    assert!(tract(&["--simulate=2"]).contains("give it with --model"));
    assert!(tract(&model).contains("give --reduce"));
    let said = tract(&[&model[..], &["--reduce=max"]].concat());
    assert!(said.contains("2 channels, --reduce max makes 1"), "{said}");
    assert!(tract(&[&model[..], &["--reduce=peaks", "--isa=scalar"]].concat()).contains("--isa"));
    let said = complaint(&["--simulate=2", "--reduce=peaks"]);
    assert!(said.contains("leave out --reduce"), "{said}");

    let missing = folder.path().join("none.onnx");
    let cut = folder.path().join("cut.onnx");
    let bytes = std::fs::read(network).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    for bad in [&missing, &cut] {
        let said = tract(&["--simulate=2", "--reduce=peaks", "--model", text(bad)]);
        assert!(said.contains(text(bad)), "{said}");
    }
}

#[test]
fn a_threshold_of_few_hits_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let maps = maps(&folder, &[]);
    let labels = std::fs::read_to_string(maps.with_extension("jsonl")).unwrap();
    let hits = labels.matches("\"class\":\"hit\"").count();
    assert!((1..100).contains(&hits), "{hits}");
    let model = folder.path().join("model.hgm");
    let mut command = hitgate(&["import", text(onnx()), "--calibration", text(&maps)]);
    command.args(["--validation", text(&maps), "--calibration-maps=8", "-o"]);
    let output = command.arg(&model).output().unwrap();
    assert!(output.status.success() && model.is_file(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let warning = format!("a recall of 0.99 was set by {hits} hits, of which it keeps {hits}: ");
    assert!(said.contains(&warning), "{said}");
    assert!(said.contains("300 hits or more are needed"), "{said}");
}

#[test]
fn a_network_of_the_other_kind_is_told_with_the_command_that_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let network = text(onnx());
    let said = complaint(&["--simulate=2", "--model", network]);
    assert!(said.contains("hitgate import"), "{said}");
    assert!(said.contains("--engine tract"), "{said}");
    let model = text(onnx()).replace(".onnx", ".hgm");
    let tract = ["--engine=tract", "--reduce=peaks", "--model", &model];
    let said = complaint(&[&["--simulate=2"], &tract[..]].concat());
    assert!(said.contains("a model file of hitgate"), "{said}");

    let maps = maps(&folder, &[]);
    let out = folder.path().join("new.hgm");
    let maps = ["--calibration", text(&maps), "--validation", text(&maps)];
    let import = [&["import", &model, "-o", text(&out)], &maps[..]].concat();
    let inspect = ["inspect", network];
    for (args, words) in [
        (&import[..], "a model file of hitgate, and no ONNX network"),
        (&inspect[..], "an ONNX network by its name"),
    ] {
        let output = hitgate(args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(words), "{said}");
    }
    assert!(!out.exists());
}

#[test]
fn maps_that_are_not_the_networks_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let equalized = maps(&folder, &["--reduce=max"]);
    let said = complaint(&["--maps", text(&equalized)]);
    assert!(said.contains("--reduce peaks"), "{said}");
    let words = [
        "--maps",
        text(&equalized),
        "--engine=tract",
        "--reduce=peaks",
        "--model",
        text(onnx()),
    ];
    let said = complaint(&words);
    assert!(said.contains("cells of 1"), "{said}");

    let small = maps(&folder, &["--input=64"]);
    let said = complaint(&["--maps", text(&small)]);
    assert!(
        said.contains("64 x 64") && said.contains("--input 224"),
        "{said}"
    );

    let labels = small.with_extension("jsonl");
    let lines = std::fs::read_to_string(&labels).unwrap();
    let fewer: String = lines.split_inclusive('\n').skip(1).collect();
    std::fs::write(&labels, fewer).unwrap();
    let said = complaint(&["--maps", text(&small)]);
    assert!(said.contains("39 labels"), "{said}");
    std::fs::remove_file(&labels).unwrap();
    let said = complaint(&["--maps", text(&small)]);
    assert!(said.contains("maps.jsonl"), "{said}");
}
