//! `hitgate spots` as a user meets it: on files, and against simulated frames.

mod common;

use assert_cmd::Command;
use common::{bundled, complaint, lines};
use serde_json::Value;

fn spots() -> Command {
    let mut command = Command::cargo_bin("hitgate").expect("the program is built");
    command.arg("spots");
    command
}

const EIGER: &str = "eiger4m_dls.h5";
const CCD: &str = "snase_ccd_00001.img.gz";
const BLANK: &str = "blank_pilatus300k.cbf.gz";

#[test]
fn a_line_a_frame_with_its_spots_and_what_they_make_of_it() {
    let mut command = spots();
    let output = command.args([EIGER, CCD, BLANK].map(bundled)).assert();
    let lines = lines(&output.success().get_output().stdout);
    let said = |key: &str| {
        lines
            .iter()
            .map(|line| line[key].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(said("class"), ["hit", "hit", "miss"]);
    assert_eq!(said("index"), [0, 0, 0]);
    assert_eq!(said("geometry"), ["none", "file", "file"]);
    assert_eq!(lines[2]["spots"], 0);
    assert!(lines[0].get("list").is_none());
}

#[test]
fn a_list_has_every_spot_and_resolutions_where_the_geometry_is_known() {
    let mut command = spots();
    let files = [EIGER, CCD].map(bundled);
    let output = command.arg("--list").args(files).assert().success();
    for line in lines(&output.get_output().stdout) {
        let list = line["list"].as_array().unwrap();
        assert_eq!(Some(list.len() as u64), line["spots"].as_u64());
        assert_eq!(line["list_is_full"], false);
        for spot in list {
            for key in ["x", "y", "pixels", "counts", "snr"] {
                assert!(spot[key].as_f64().unwrap() > 0.0, "{key} of {spot}");
            }
            assert!(spot["snr"].as_f64().unwrap() >= 8.0);
            match line["geometry"] == "none" {
                true => assert!(spot["d"].is_null()),
                false => assert!(spot["d"].as_f64().unwrap() >= 3.38, "{spot}"),
            }
        }
    }
}

#[test]
fn settings_and_geometry_of_the_command_line_count() {
    let number = |args: &[&str]| {
        let mut command = spots();
        let output = command.arg(bundled(EIGER)).args(args).assert().success();
        lines(&output.get_output().stdout)[0]["spots"]
            .as_u64()
            .unwrap()
    };
    let all = number(&[]);
    for fewer in [
        ["--snr", "12"],
        ["--threshold", "50"],
        ["--min-pixels", "6"],
        ["--max-pixels", "4"],
    ] {
        assert!(number(&fewer) < all, "{fewer:?}");
    }
    // A long wavelength makes the water ring large; a short one leaves the middle of the frame.
    let within = |wavelength| {
        number(&[
            "--wavelength",
            wavelength,
            "--distance=300",
            "--pixel=0.075",
            "--beam-center=1034,1083",
        ])
    };
    let (small, large) = (within("0.3"), within("0.9"));
    assert!(small < large && large <= all, "{small} {large} {all}");
}

#[test]
fn tables_and_lists_for_other_programs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("hits.lst");
    let mut command = spots();
    command.args(["--format", "lst", "-o"]).arg(&out);
    command.args([EIGER, BLANK].map(bundled)).assert().success();
    let expected = format!("{} //0\n", bundled(EIGER).display());
    assert_eq!(std::fs::read_to_string(&out).unwrap(), expected);

    let mut command = spots();
    command.args(["--format", "csv"]).arg(bundled(BLANK));
    let output = command.assert().success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let expected = format!(
        "file,index,spots,class,geometry\n{},0,0,miss,file\n",
        bundled(BLANK).display()
    );
    assert_eq!(text, expected);
}

#[test]
fn unreadable_files_are_named_and_do_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let whole = std::fs::read(bundled(EIGER)).unwrap();
    for bad in [
        file("cut.h5", &whole[..whole.len() / 2]),
        file("empty.cbf", b""),
        folder.path().join("missing.h5"),
    ] {
        let output = spots().arg(&bad).arg(bundled(BLANK)).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(lines(&output.stdout).len(), 1, "the other file is counted");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&bad.display().to_string()), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn flags_that_make_no_sense_together_are_refused() {
    let blank = bundled(BLANK).display().to_string();
    for (args, word) in [
        (&["--list", "--format", "csv", &blank][..], "--format"),
        (&["--tune", &blank], "--tune"),
        (&["--simulate", "2", &blank], "--simulate"),
        (&["--simulate", "2", "--tune", "--snr", "3"], "--snr"),
        (&["--snr", "-1", &blank], "--snr"),
        (&["--min-pixels", "0", &blank], "--min-pixels"),
        (&[], "FILES"),
    ] {
        let said = complaint(spots().args(args));
        assert!(said.contains(word), "{args:?}: {said}");
    }
}

/// Small frames, so that the tests are quick.
const SIMULATED: [&str; 5] = [
    "--simulate",
    "12",
    "--detector",
    "jungfrau-module",
    "--json",
];

#[test]
fn simulated_frames_are_compared_with_what_they_hold() {
    let said = |args: &[&str]| {
        let output = spots().args(args).assert().success();
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    };
    let json: Value = serde_json::from_str(&said(&SIMULATED)).unwrap();
    let all = &json["sets"][0];
    assert_eq!((&all["set"], &all["frames"]), (&"all".into(), &12.into()));
    let rows: Vec<Vec<u64>> = serde_json::from_value(all["confusion"].clone()).unwrap();
    assert_eq!(rows.iter().flatten().sum::<u64>(), 12);
    let rejecting = all["rejecting"].as_array().unwrap();
    for at in rejecting {
        let dropped = &at["filtered"]["misses_dropped"];
        let [k, n] = ["k", "n"].map(|key| dropped[key].as_f64().unwrap());
        assert!(k >= at["rejection"].as_f64().unwrap() * n, "{at}");
    }
    assert_eq!(json["sets"][1]["set"], "jungfrau-module");
    assert_eq!(said(&SIMULATED), said(&SIMULATED));

    let table = said(&SIMULATED[..4]);
    assert!(table.contains("three classes right") && table.contains("jungfrau-module"));
}

#[test]
fn tuning_tells_the_best_of_its_grid_and_how_it_was_measured() {
    let mut command = spots();
    let output = command.args(SIMULATED).arg("--tune").assert().success();
    let json: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let all = json["all"].as_array().unwrap();
    let number = |of: &Value, key: &str| of[key].as_f64().unwrap();
    let hits = |of: &Value| of["at_rejection_0.97"]["hits_kept"]["k"].as_u64().unwrap();
    let right = |of: &Value| of["three_classes"]["k"].as_u64().unwrap();
    for one in all {
        assert!(right(one) <= right(&json["best_by_three_classes"]));
        assert!(number(one, "auc") <= number(&json["best_by_auc"], "auc"));
        assert!(hits(one) <= hits(&json["best_at_rejection_0.97"]));
    }
    let measured = json["measured"].as_str().unwrap();
    for part in ["12 frames", "seed 7777", "natural", "jungfrau-module"] {
        assert!(measured.contains(part), "{measured}");
    }
    // One of the grid, counted alone, is as in the table.
    let one = &all[all.len() / 2];
    let settings = ["threshold", "snr", "min_pixels"].map(|key| one["settings"][key].to_string());
    let mut command = spots();
    let flags = ["--threshold", "--snr", "--min-pixels"];
    for (flag, value) in flags.iter().zip(&settings) {
        command.args([flag, value.as_str()]);
    }
    let output = command.args(SIMULATED).assert().success();
    let alone: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(alone["sets"][0]["auc"], one["auc"]);
}
