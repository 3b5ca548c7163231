//! What is unusual of frames, masks and geometries, and is told.

mod common;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use common::{bundled, complaint, hitgate_with, lines, modules, npy};

/// An NPY file of so many frames of 8 lines of 12 pixels.
fn frames(path: &Path, frames: usize) {
    let counts = (0..frames * 96).map(|i| ((i % 7) as u16).to_le_bytes().to_vec());
    npy(path, "<u2", &format!("{frames}, 8, 12"), counts);
}

/// A mask of that shape.
fn mask(path: &Path, excludes: impl Fn(usize) -> bool) {
    let pixels = (0..96).map(|pixel| vec![u8::from(excludes(pixel))]);
    npy(path, "|u1", "8, 12", pixels);
}

/// Lines of what a command says on standard error with some words in them.
fn told(command: &mut Command, words: &str) -> Vec<String> {
    let said = common::said(&command.output().unwrap()).1;
    let lines = said.lines().filter(|line| line.contains(words));
    lines.map(String::from).collect()
}

#[test]
fn a_geometry_that_reaches_to_a_part_of_the_images_is_warned_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let files = ["a.npy", "b.npy", "c.npy"].map(place);
    files.iter().for_each(|file| frames(file, 2));
    let geometry = place("panel.geom");
    let said = |[columns, rows]: [u32; 2], command: &[&str], files: &[PathBuf]| {
        let text = format!(
            "photon_energy = 9500 eV\nclen = 0.1\nres = 10000\np/min_fs = 0\np/max_fs = {}\np/min_ss = 0\np/max_ss = {}\np/corner_x = -6\np/corner_y = -4\n",
            columns - 1,
            rows - 1
        );
        std::fs::write(&geometry, text).unwrap();
        let mut command = hitgate_with(command);
        command.args(files).arg("--geometry").arg(&geometry);
        told(&mut command, "panels in")
    };
    for command in ["screen", "spots", "inspect"] {
        let files = if command == "inspect" {
            &files[..1]
        } else {
            &files[..]
        };
        let told = said([6, 4], &[command], files);
        let more = told.iter().filter(|line| line.contains("2 more like this"));
        assert_eq!(told.len() - more.count(), 1, "{told:?}");
        let first = &told[0];
        assert!(first.contains("6 x 4 of 12 x 8 pixels"), "{first}");
        assert!(
            first.contains("75.0 %") && first.contains("panel.geom"),
            "{first}"
        );
        // All of it, or all but a margin.
        for whole in [[12, 8], [11, 8]] {
            assert!(said(whole, &[command], files).is_empty());
        }
    }
    // Panels one under another are the normal case.
    let (stack, geometry) = modules(folder.path());
    let mut command = hitgate_with(&["screen", "--geometry"]);
    assert!(told(command.arg(geometry).arg(stack), "panels in").is_empty());
}

#[test]
fn inspect_tells_what_a_mask_takes() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (file, excluding) = (place("run.npy"), place("mask.npy"));
    frames(&file, 1);
    mask(&excluding, |pixel| pixel < 24);
    // Of counts from 0 to 6 in turn, 14 are a 0, and 4 of them are among the first 24.
    std::fs::write(place("run.json"), r#"{"mask_values": [0]}"#).unwrap();
    let inspect = |mask: Option<&Path>| {
        let mut command = hitgate_with(&["inspect"]);
        command.arg(&file);
        if let Some(mask) = mask {
            command.arg("--mask").arg(mask);
        }
        let output = command.assert().success();
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    };
    let text = inspect(Some(&excluding));
    for line in [
        "mask       none",
        "--mask     24 pixels (25.0 %)",
        "values     14 pixels (14.6 %) without a measurement, of value 0",
        "excluded   34 pixels (35.4 %) of 96 in the first frame",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let text = inspect(None);
    assert!(
        text.contains("excluded   14 pixels (14.6 %) of 96"),
        "{text}"
    );
    let other = bundled("cspad_2x1_cxitut13.npy");
    let mut command = hitgate_with(&["inspect"]);
    let said = complaint(command.arg(&file).arg("--mask").arg(&other));
    assert!(said.contains("the mask has 388 x 185 pixels"), "{said}");
}

#[test]
fn a_window_that_the_frame_fills_little_of_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.npy");
    frames(&file, 2);
    let mut screen = hitgate_with(&[
        "screen",
        "--beam-center=6,4",
        "--wavelength=1.3",
        "--pixel=0.1",
    ]);
    let told = told(screen.arg("--distance=1000").arg(&file), "the window of");
    assert!(
        told.len() == 1 && told[0].contains("is filled to 0.0 % by the frame"),
        "{told:?}"
    );
}

#[test]
fn a_mask_that_takes_all_much_or_nothing_is_warned_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let files = ["a.npy", "b.npy", "c.npy"].map(place);
    files.iter().for_each(|file| frames(file, 2));
    let truth = place("truth.jsonl");
    let labels = files.each_ref().map(|file| {
        serde_json::json!({ "file": file, "index": 0, "class": "hit" }).to_string() + "\n"
    });
    std::fs::write(&truth, labels.concat()).unwrap();
    let excluding = place("mask.npy");
    // Of 96 pixels.
    for (excludes, words) in [
        (96, Some("excludes every pixel")),
        (0, Some("excludes no pixel")),
        (60, Some("excludes 62.5 % of the pixels")),
        (40, None),
    ] {
        mask(&excluding, |pixel| pixel < excludes);
        let mut screen = hitgate_with(&["screen"]);
        screen.args(&files);
        let mut eval = hitgate_with(&["eval", "--truth"]);
        eval.arg(&truth);
        let mut inspect = hitgate_with(&["inspect"]);
        inspect.arg(&files[0]);
        for mut command in [screen, eval, inspect] {
            let told = told(command.arg("--mask").arg(&excluding), "the mask");
            let first: Vec<_> = told
                .iter()
                .filter(|line| !line.contains("more like"))
                .collect();
            assert_eq!(first.len(), usize::from(words.is_some()), "{told:?}");
            let says = |line: &&&String| words.is_some_and(|words| line.contains(words));
            assert!(first.iter().all(|line| says(&line)), "{told:?}");
        }
    }
}

#[test]
fn a_frame_that_cannot_be_judged_is_told_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (file, excluding) = (place("run.npy"), place("mask.npy"));
    frames(&file, 5);
    mask(&excluding, |_| true);
    let why = "every pixel of the window is excluded";
    for format in ["jsonl", "csv", "lst"] {
        let mut command = hitgate_with(&["screen", "--format", format, "--mask"]);
        command.arg(&excluding).arg(&file);
        let told = told(&mut command, why);
        assert!(
            told[0].contains("run.npy //0 cannot be judged, and is kept"),
            "{told:?}"
        );
        assert!(told[1].contains("4 more like this"), "{told:?}");
        assert_eq!(told.len(), 2, "{told:?}");
        if format == "csv" {
            let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
            let fields = |line: &str| line.split(',').map(String::from).collect::<Vec<_>>();
            let mut rows = output.lines().map(fields);
            let names = rows.next().unwrap();
            let of = |row: &[String], name: &str| {
                let place = names.iter().position(|of| of == name);
                row[place.expect("a column of that name")].clone()
            };
            for row in rows {
                assert_eq!(row.len(), names.len(), "{row:?}");
                assert_eq!(of(&row, "reasons"), why);
                for empty in ["p_hit", "p_maybe", "p_miss", "class"] {
                    assert_eq!(of(&row, empty), "", "{row:?}");
                }
            }
        }
        if format == "jsonl" {
            let found = lines(&command.output().unwrap().stdout);
            for line in &found {
                let scores = ["p_hit", "p_maybe", "p_miss", "class"].map(|of| &line[of]);
                assert!(scores.iter().all(|of| of.is_null()), "{line}");
            }
            let reasons = found.iter().map(|line| line["reasons"].clone());
            assert!(
                reasons.eq([(); 5].map(|()| serde_json::json!([why]))),
                "{found:?}"
            );
        }
    }
}

#[test]
fn what_is_wrong_with_every_frame_is_told_once_with_a_count() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let names: Vec<String> = (0..9).map(|number| format!("run_{number}.npy")).collect();
    let files: Vec<PathBuf> = names.iter().map(|name| place(name)).collect();
    files.iter().for_each(|file| frames(file, 20));
    let told = |more: &[&str]| {
        let mut command = hitgate_with(&["screen"]);
        let said = complaint(command.args(&files).args(more));
        said.lines().map(String::from).collect::<Vec<_>>()
    };
    // A flag: it is named, and none of the files.
    let other = place("other.npy");
    npy(&other, "|u1", "4, 6", (0..24).map(|pixel| vec![pixel % 2]));
    let lines = told(&["--mask", other.to_str().unwrap()]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines[0].contains("the mask has 6 x 4 pixels, the frame 12 x 8"),
        "{lines:?}"
    );
    assert!(
        lines[1].contains("179 more like this: ") && lines[1].contains("the mask has"),
        "{lines:?}"
    );
    assert!(lines[2].contains("180 of the files or frames"), "{lines:?}");
    let missing = place("mask.npy");
    let lines = told(&["--mask", missing.to_str().unwrap()]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1].contains("8 more like this: "), "{lines:?}");
    // Files: some are named.
    for file in &files {
        let whole = std::fs::read(file).unwrap();
        std::fs::write(file, &whole[..whole.len() - 1]).unwrap();
    }
    let lines = told(&[]);
    assert_eq!(lines.len(), 6, "{lines:?}");
    for (line, name) in lines.iter().zip(&names[..4]) {
        assert!(line.contains(name), "{lines:?}");
    }
    assert!(lines[4].contains("more like this: "), "{lines:?}");
}

#[test]
fn several_masks_are_none_and_no_frame_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (file, masks, empty) = (place("run.npy"), place("masks.npy"), place("empty.npy"));
    frames(&file, 1);
    frames(&empty, 0);
    npy(&masks, "|u1", "2, 8, 12", (0..192).map(|_| vec![0]));
    let said = complaint(hitgate_with(&["screen", "--mask"]).arg(&masks).arg(&file));
    assert!(said.contains("2 images, and a mask is one"), "{said}");
    for command in ["screen", "spots"] {
        let said = complaint(hitgate_with(&[command]).arg(&empty));
        assert!(
            said.contains("empty.npy: there is no frame in it"),
            "{said}"
        );
        let output = hitgate_with(&[command]).arg(&empty).arg(&file).output();
        assert_eq!(output.unwrap().status.code(), Some(1));
    }
}
