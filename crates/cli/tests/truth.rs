//! Labelled files: how `hitgate eval` and `hitgate dataset` read them, and what becomes of a set that
//! is there before.

use std::fs;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use rustix::fs::inotify;
use serde_json::Value;

mod common;

use common::{bundled, complaint, npy, signal, spawn};

const EIGER: &str = "eiger4m_dls.h5";

fn hitgate(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("hitgate").expect("the program");
    command.args(args);
    command
}

/// Labels frame 0 of `file` as a hit, in a truth file of its own.
fn labelled(folder: &Path, file: &Path) -> String {
    let name = file.file_name().expect("a file").to_string_lossy();
    let truth = folder.join(format!("{name}.jsonl"));
    let line = serde_json::json!({ "file": file, "class": "hit" });
    fs::write(&truth, line.to_string()).expect("labels are written");
    truth.display().to_string()
}

fn evaluated(truth: &str, more: &[&str]) -> Value {
    let mut command = hitgate(&["eval", "--json", "--truth", truth]);
    let output = command.args(more).assert().success();
    serde_json::from_slice(&output.get_output().stdout).expect("one JSON object")
}

/// The maps that are made of labelled files, whatever was made before.
fn prepared(out: &Path, truth: &str, more: &[&str]) -> Vec<u8> {
    let out = out.display().to_string();
    let mut command = hitgate(&["dataset", &out, "--replace", "--truth", truth]);
    command.args(more).assert().success();
    fs::read(format!("{out}.npy")).expect("maps")
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
        let said = complaint(&mut make(&["--replace", "--truth", &text]));
        assert!(said.contains(word), "{said}");
        assert!(both() == before, "{word}");
        assert_eq!(names(&sets), ["set.jsonl", "set.npy"], "{word}");
    }

    // Stopped once maps are on their way; more of them than anybody waits for.
    let mut child = spawn(&["dataset", &out, "--replace", "--maps=1000000"]);
    while !names(&sets).contains(&"set.jsonl.part".to_string()) {
        assert_eq!(child.try_wait().unwrap(), None, "it ends before it writes");
        assert!(both() == before);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    signal(&child, "-KILL");
    child.wait().unwrap();
    assert!(both() == before);
    // What it left is in nobody's way.
    make(&["--replace", "--maps=2", "--detector=jungfrau-module"])
        .assert()
        .success();
    assert!(both() != before);
    assert_eq!(names(&sets), ["set.jsonl", "set.npy"]);
}

#[test]
fn a_set_or_a_model_of_before_is_replaced_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let out = file("set").display().to_string();
    let make = || hitgate(&["dataset", &out, "--input=32", "--maps=3"]);
    make().assert().success();
    let refused = |command: &mut Command, path: &Path| {
        let before = fs::read(path).unwrap();
        let said = complaint(command);
        assert!(said.contains("--replace"), "{said}");
        assert!(said.contains(path.to_str().unwrap()), "{said}");
        assert!(fs::read(path).unwrap() == before);
    };
    refused(make().arg("--seed=2"), &file("set.npy"));
    let first = fs::read(file("set.npy")).unwrap();
    make().args(["--seed=2", "--replace"]).assert().success();
    assert!(fs::read(file("set.npy")).unwrap() != first);
    // Labels alone are somebody's too.
    fs::remove_file(file("set.npy")).unwrap();
    refused(&mut make(), &file("set.jsonl"));
    make().arg("--replace").assert().success();

    let maps = file("set.npy").display().to_string();
    let model = file("model.hgm");
    fs::write(&model, "a model").unwrap();
    let import = || {
        let mut command = hitgate(&["import", "none.onnx", "--calibration", &maps]);
        command.args(["--validation", &maps, "-o"]).arg(&model);
        command
    };
    refused(&mut import(), &model);
    let said = complaint(import().arg("--replace"));
    assert!(said.contains("none.onnx"), "{said}");
}

/// What becomes of the names in a folder, in order: each that goes, and each that a file gets by being renamed.
fn renamings(folder: &Path, change: impl FnOnce()) -> Vec<String> {
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    let events = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::DELETE;
    inotify::add_watch(&watch, folder, events).unwrap();
    change();
    let mut buffer = [const { MaybeUninit::uninit() }; 4096];
    let mut reader = inotify::Reader::new(watch, &mut buffer);
    let mut seen = Vec::new();
    while let Ok(event) = reader.next() {
        let gone = event.events().contains(inotify::ReadFlags::DELETE);
        let name = event.file_name().expect("of a file").to_str().unwrap();
        seen.push(format!("{}{name}", if gone { "-" } else { "+" }));
    }
    seen
}

/// Where a run is killed is not to be chosen: what it leaves is the state between two of these.
#[test]
fn new_maps_never_stand_beside_old_labels() {
    let folder = tempfile::tempdir().unwrap();
    let sets = folder.path().join("sets");
    fs::create_dir(&sets).unwrap();
    let out = sets.join("set").display().to_string();
    let make = |more: &[&str]| {
        let mut command = hitgate(&["dataset", &out, "--input=32", "--maps=2"]);
        renamings(&sets, || _ = command.args(more).assert().success())
    };
    assert_eq!(make(&[]), ["+set.npy", "+set.jsonl"]);
    let again = ["-set.jsonl", "+set.npy", "+set.jsonl"];
    assert_eq!(make(&["--replace", "--seed=2"]), again);

    fs::remove_file(sets.join("set.jsonl")).unwrap();
    let maps = format!("{out}.npy");
    let calibration = [
        "--calibration",
        &maps,
        "--validation",
        &maps,
        "-o",
        "/no/model",
    ];
    for said in [
        complaint(&mut hitgate(&["eval", "--maps", &maps])),
        complaint(hitgate(&["import", "none.onnx"]).args(calibration)),
    ] {
        assert!(said.contains("set.jsonl: no such file"), "{said}");
        assert!(said.contains("was killed, make them again"), "{said}");
    }
}

#[test]
fn a_layout_that_is_asked_for_is_required() {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/tests/data/idh5.h5");
    fs::copy(data, folder.path().join("r0027_2000.h5")).unwrap();
    let annotations = folder.path().join("expert_annotation.txt");
    let text = "r0027_2000.h5 [1] MISS\nr0027_2000.h5 [2] HIT\n";
    fs::write(&annotations, text).unwrap();
    let annotations = annotations.display().to_string();
    let sets = |more: &[&str]| evaluated(&annotations, more)["sets"].clone();
    let as_it_is = sets(&[]);
    assert_eq!(as_it_is[0]["frames"], 2);
    assert_eq!(sets(&["--layout", "cxidb76"]), as_it_is);
    assert_eq!(sets(&["--layout", "auto"]), as_it_is);
    let out = folder.path().join("maps");
    let maps = prepared(&out, &annotations, &[]);
    assert!(maps == prepared(&out, &annotations, &["--layout", "cxidb76"]));

    // Nothing is judged or written where one file is of another layout.
    let eiger = bundled(EIGER).display().to_string();
    fs::write(&annotations, format!("{text}{eiger} [1] HIT\n")).unwrap();
    assert_eq!(sets(&["--layout", "auto"])[0]["frames"], 3);
    let out = out.display().to_string();
    let commands: [&[&str]; 2] = [&["eval"], &["dataset", &out]];
    for command in commands {
        let asked = ["--truth", &annotations, "--layout", "cxidb76"];
        let said = complaint(hitgate(command).args(asked));
        for word in [EIGER, "CXIDB entry 76", "idh5_v1.0", "--layout"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
    assert!(maps == fs::read(format!("{out}.npy")).unwrap());
}

/// Words with the photons of a JUNGFRAU module, the same photons in the path's unit of 1/16, and what
/// corrects the words.
fn words(folder: &Path) -> (PathBuf, PathBuf, String) {
    let shape = "512, 1024";
    let photons = |i: u32| 8 + i * 37 % 5 + if i % 64_000 < 3 { 400 } else { 0 };
    let (words, counts) = (folder.join("words.npy"), folder.join("counts.npy"));
    let bytes = |i| (1000 + 4 * photons(i) as u16).to_le_bytes().to_vec();
    let pixels = 0..512 * 1024;
    npy(&words, "<u2", shape, pixels.clone().map(bytes));
    let bytes = |i| (16 * photons(i)).to_le_bytes().to_vec();
    npy(&counts, "<u4", shape, pixels.clone().map(bytes));
    let map = folder.join("pedestals.npy");
    let pedestals = pixels.map(|_| 1000f32.to_le_bytes().to_vec());
    npy(&map, "<f4", shape, pedestals);
    let map = map.display();
    (words, counts, format!("{map},{map},{map}"))
}

#[test]
fn labelled_words_are_judged_and_prepared_as_the_photons_that_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (words, counts, maps) = words(folder.path());
    let [words, counts] = [words, counts].map(|file| labelled(folder.path(), &file));
    let corrected = ["--pedestal", &maps, "--adu-per-photon", "4,-1,-1"];
    let of_words = evaluated(&words, &[&corrected[..], &["--baseline=spots"]].concat());
    let of_counts = evaluated(&counts, &[]);
    // Its one threshold is the frame's score.
    assert!(of_counts["sets"][0]["roc"][1]["threshold"].is_f64());
    assert_eq!(of_words["sets"][0]["roc"], of_counts["sets"][0]["roc"]);
    // Nine patches are a maybe.
    let counter = &of_words["sets"][0]["counters"][0];
    assert_eq!(counter["confusion"][0], serde_json::json!([0, 1, 0]));
    let out = folder.path().join("maps");
    assert!(prepared(&out, &words, &corrected) == prepared(&out, &counts, &[]));
    let plots = folder.path().display().to_string();
    let worst = ["--worst=1", "--plots", &plots];
    evaluated(&words, &[&corrected[..], &worst[..]].concat());

    let said = complaint(&mut hitgate(&["eval", "--truth", &words]));
    assert!(said.contains("pedestal"), "{said}");
    let geometry = ["--geometry", "any.geom"];
    let said = complaint(
        hitgate(&["eval", "--truth", &words])
            .args(corrected)
            .args(geometry),
    );
    assert!(said.contains("correct them first"), "{said}");
}

#[test]
fn labelled_frames_take_geometry_and_mask_from_flags() {
    let folder = tempfile::tempdir().unwrap();
    // Two frames of two modules, which a geometry has to place.
    let stack = folder.path().join("stack.npy");
    let pixels = (0..2 * 2 * 64 * 48u32).map(|i| ((i * 31 % 7) as u16).to_le_bytes().to_vec());
    npy(&stack, "<u2", "2, 2, 48, 64", pixels);
    let geometry = folder.path().join("two.geom");
    let panel = |n: u32| {
        format!(
            "m{n}/dim1 = {n}\nm{n}/min_fs = 0\nm{n}/max_fs = 63\nm{n}/min_ss = 0\nm{n}/max_ss = 47\nm{n}/corner_x = {}\nm{n}/corner_y = -24\n",
            66 * n as i32 - 65
        )
    };
    let text = "photon_energy = 9500 eV\nclen = 0.1\nres = 10000\n";
    fs::write(&geometry, format!("{text}{}{}", panel(0), panel(1))).unwrap();
    let geometry = ["--geometry", geometry.to_str().unwrap()];
    let truth = labelled(folder.path(), &stack);
    let said = complaint(&mut hitgate(&["eval", "--truth", &truth]));
    assert!(said.contains("2 modules of 64 x 48"), "{said}");
    assert_eq!(evaluated(&truth, &geometry)["sets"][0]["frames"], 1);
    let out = folder.path().join("maps");
    let placed = prepared(&out, &truth, &geometry);

    // In the frame that they make, of 130 x 48 pixels: its left half is out.
    let mask = folder.path().join("mask.npy");
    let excluded = (0..130 * 48u32).map(|i| vec![u8::from(i % 130 < 65)]);
    npy(&mask, "|u1", "48, 130", excluded);
    let masked = [&geometry[..], &["--mask", mask.to_str().unwrap()]].concat();
    assert_eq!(evaluated(&truth, &masked)["sets"][0]["frames"], 1);
    let without_half = prepared(&out, &truth, &masked);
    assert_eq!(without_half.len(), placed.len());
    assert!(without_half != placed);
}

#[test]
fn what_is_said_of_files_needs_files() {
    for command in [
        &["eval", "--simulate=1"][..],
        &["eval", "--maps=none.npy"],
        &["dataset", "/no/maps"],
    ] {
        for more in [
            &["--layout=cxidb76"][..],
            &["--geometry=a.geom"],
            &["--mask=a.npy"],
            &["--distance=100"],
            &["--pedestal=a,b,c", "--adu-per-photon=1,2,3"],
        ] {
            let said = complaint(hitgate(command).args(more));
            assert!(said.contains("give these with --truth"), "{more:?}: {said}");
        }
    }
    let said = complaint(&mut hitgate(&["eval", "--truth=a", "--layout=cxidb"]));
    assert!(said.contains("auto, cxidb76"), "{said}");
}

#[test]
fn a_set_replaces_neither_its_frames_nor_their_labels() {
    let folder = tempfile::tempdir().unwrap();
    let frame = folder.path().join("run7.npy");
    let pixels = (0..64 * 64u16).map(|i| (i % 7).to_le_bytes().to_vec());
    npy(&frame, "<u2", "64, 64", pixels);
    let truth = folder.path().join("run7.jsonl");
    let label = r#"{"file": "run7.npy", "class": "hit"}"#;
    fs::write(&truth, label).unwrap();
    let before = fs::read(&frame).unwrap();
    let out = |name: &str| folder.path().join(name).display().to_string();
    let elsewhere = folder.path().join("labels.jsonl");
    fs::copy(&truth, &elsewhere).unwrap();
    // Both, the frame alone, the labels alone.
    for (name, labels) in [
        ("run7", &truth),
        ("run7", &elsewhere),
        ("labels", &elsewhere),
    ] {
        let args = ["dataset", &out(name), "--input=32", "--truth"];
        let said = complaint(hitgate(&args).arg(labels));
        assert!(said.contains("would be replaced"), "{said}");
        assert!(fs::read(&frame).unwrap() == before);
        assert_eq!(fs::read_to_string(labels).unwrap(), label);
    }
}

#[test]
fn verdicts_are_no_labels_and_neither_are_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let verdicts = folder.path().join("verdicts.jsonl");
    let eiger = bundled(EIGER);
    let mut screen = hitgate(&["screen", "-o"]);
    screen.arg(&verdicts).arg(&eiger).assert().success();
    let out = folder.path().join("maps").display().to_string();
    let commands: [&[&str]; 2] = [&["eval"], &["dataset", &out]];
    for command in commands {
        let said = |truth: &Path| {
            let mut command = hitgate(command);
            command.arg("--truth").arg(truth).output().unwrap()
        };
        let output = said(&verdicts);
        assert!(output.status.success(), "{output:?}");
        let warned = common::said(&output).1;
        assert!(
            warned.contains("verdicts.jsonl: 1 of 1 lines are verdicts"),
            "{warned}"
        );
        let labels = PathBuf::from(labelled(folder.path(), &eiger));
        let replaced = ["npy", "jsonl"].map(|ending| format!("{out}.{ending}"));
        replaced.iter().for_each(|file| _ = fs::remove_file(file));
        assert!(!common::said(&said(&labels)).1.contains("verdicts"));
        replaced.iter().for_each(|file| _ = fs::remove_file(file));

        let zeros = folder.path().join("zeros");
        fs::write(&zeros, [0; 64]).unwrap();
        for binary in [&eiger, &zeros] {
            let output = said(binary);
            assert!(!output.status.success());
            let said = common::said(&output).1;
            assert!(
                said.contains("no text file of labels: give a line for each frame"),
                "{said}"
            );
            assert!(!said.contains("UTF-8"), "{said}");
        }
    }
}

#[test]
fn a_frame_that_cannot_be_judged_is_told_where_it_counts_as_a_hit() {
    let folder = tempfile::tempdir().unwrap();
    let frame = folder.path().join("frame.npy");
    let pixels = (0..2 * 64 * 64).map(|_| vec![1, 0]);
    npy(&frame, "<u2", "2, 64, 64", pixels);
    let mask = folder.path().join("mask.npy");
    npy(&mask, "|u1", "64, 64", (0..64 * 64).map(|_| vec![1]));
    // Of two frames the first has a label.
    let truth = labelled(folder.path(), &frame);
    let judged = |more: &[&str]| {
        let mut command = hitgate(&["eval", "--truth", &truth]);
        let output = command.args(more).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(!judged(&[]).contains("cannot be judged"));
    let said = judged(&["--mask", mask.to_str().unwrap()]);
    assert!(
        said.contains("every pixel of the window is excluded"),
        "{said}"
    );
    assert_eq!(said.matches("counts as a hit").count(), 1, "{said}");
    assert!(!said.contains("more like this"), "{said}");
}

#[test]
fn nothing_that_is_read_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let frame = folder.path().join("frame.npy");
    npy(&frame, "<u2", "64, 64", (0..64 * 64).map(|_| vec![1, 0]));
    let mask = place("mask.npy");
    npy(
        Path::new(&mask),
        "|u1",
        "64, 64",
        (0..64 * 64).map(|i| vec![u8::from(i == 0)]),
    );
    let truth = labelled(folder.path(), &frame);
    let maps = place("maps");
    let made = hitgate(&["dataset", &maps, "--maps=2", "--detector=cspad-2x1"]).output();
    assert!(made.unwrap().status.success());
    let [maps, labels] = ["npy", "jsonl"].map(|ending| format!("{maps}.{ending}"));
    let (frame, of_mask) = (frame.display().to_string(), place("mask"));
    let sidecar = place("frame.json");
    fs::write(&sidecar, r#"{"gain": 1.0}"#).unwrap();
    let (raw, _, pedestals) = words(folder.path());
    let raw = raw.display().to_string();
    let pedestal = pedestals.split(',').next().unwrap().to_string();
    let corrected = ["--pedestal", &pedestals, "--adu-per-photon", "4,-1,-1"];
    let import = [
        "import",
        "none.onnx",
        "--calibration",
        &maps,
        "--validation",
        &maps,
    ];
    for (read, command) in [
        (
            &mask,
            &[
                "dataset",
                &of_mask,
                "--truth",
                &truth,
                "--mask",
                &mask,
                "--replace",
            ][..],
        ),
        (
            &labels,
            &[&import[..], &["-o", &labels, "--replace"]].concat(),
        ),
        (&mask, &["screen", &frame, "--mask", &mask, "-o", &mask]),
        (&frame, &["spots", &frame, "-o", &frame]),
        (&sidecar, &["screen", &frame, "-o", &sidecar]),
        (
            &pedestal,
            &[&["spots", &raw, "-o", &pedestal][..], &corrected].concat(),
        ),
    ] {
        let before = fs::read(read).unwrap();
        let said = complaint(&mut hitgate(command));
        assert!(
            said.contains("is read, and would be replaced"),
            "{command:?}: {said}"
        );
        assert!(fs::read(read).unwrap() == before, "{command:?}");
    }
    let beside = place("frame.npy.json");
    let said = complaint(&mut hitgate(&["screen", &frame, "-o", &beside]));
    assert!(said.contains("as what describes the frames"), "{said}");
    assert!(!Path::new(&beside).exists());
}
