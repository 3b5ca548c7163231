//! `hitgate eval` and `hitgate explain` as their users meet them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn hitgate<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("hitgate"));
    command.args(args).output().expect("the program runs")
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// What a command prints that succeeds.
fn printed<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    let output = hitgate(args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn json(line: &str) -> Value {
    serde_json::from_str(&printed(words(line))).expect("one JSON object")
}

/// What a command that has to fail says.
fn complaint(args: &[&str]) -> String {
    let output = hitgate(args);
    assert!(!output.status.success(), "{args:?} should fail");
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn bundled(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("demo")
        .join(name)
}

const EIGER: &str = "eiger4m_dls.h5";

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

fn set<'v>(report: &'v Value, name: &str) -> Option<&'v Value> {
    let sets = report["sets"].as_array().expect("a list of sets");
    sets.iter().find(|set| set["set"] == name)
}

#[test]
fn every_set_has_every_figure_and_they_agree() {
    let report = json(
        "eval --simulate 40 --seed 3 --oracle --baseline spots --prior 0.05 --prior 0.5 --json",
    );
    let sets = report["sets"].as_array().unwrap();
    let frames = |set: &Value| set["frames"].as_u64().unwrap();
    assert_eq!(frames(&sets[0]), 40);
    assert_eq!(sets[1..].iter().map(frames).sum::<u64>(), 40);
    for set in sets {
        let confusion: Vec<Vec<u64>> = serde_json::from_value(set["confusion"].clone()).unwrap();
        let of_label = |label: usize| confusion[label].iter().sum::<u64>();
        let (hits, wanted, misses) = (of_label(0), of_label(0) + of_label(1), of_label(2));
        assert_eq!(wanted + misses, frames(set));
        for at in [
            "at_threshold",
            "at_half",
            "at_hits_0.99",
            "at_rejection_0.90",
            "at_best_f1",
        ] {
            if set[at].is_null() {
                continue;
            }
            for (share, n) in [
                ("hits_kept", hits),
                ("wanted_kept", wanted),
                ("misses_dropped", misses),
            ] {
                let share = &set[at][share];
                assert_eq!(share["n"], n, "{at} of {set}");
                let least = number(&share["at_least"]) * n as f64;
                assert!(least <= number(&share["k"]), "{share}");
            }
        }
        // Too few to tell it.
        assert!(set["at_hits_0.999"].is_null());
        let why = format!("{hits} hits; 3,000 are needed");
        assert_eq!(set["why_not_at_hits_0.999"], why);
        let roc = set["roc"].as_array().unwrap();
        let last = roc.last().unwrap();
        let best = &set["at_best_f1"];
        assert_eq!(best.is_null(), wanted == 0 || misses == 0, "{set}");
        if !best.is_null() {
            let count = |value: &Value| number(value) as u64;
            let f1 = |right: u64, kept: u64| 2.0 * right as f64 / (wanted + kept) as f64;
            let corners = roc.iter().map(|corner| {
                let right = count(&corner["wanted_kept"]);
                f1(right, right + count(&corner["misses_kept"]))
            });
            let largest = corners.fold(0.0, f64::max);
            assert!((number(&best["f1"]) - largest).abs() < 1e-12);
            let right = count(&best["wanted_kept"]["k"]);
            let dropped = count(&best["misses_dropped"]["k"]);
            let there = f1(right, right + misses - dropped);
            assert!((there - largest).abs() < 1e-12);
        }
        assert!(roc[0]["threshold"].is_null());
        assert_eq!(
            (&last["misses_kept"], &last["hits_kept"]),
            (&misses.into(), &hits.into())
        );
        for kind in ["keep", "class"] {
            let bins = set["calibration"][kind]["bins"].as_array().unwrap();
            let counted: f64 = bins.iter().map(|bin| number(&bin["frames"])).sum();
            assert_eq!((bins.len(), counted), (15, frames(set) as f64));
        }
        let names: Vec<_> = set["counters"].as_array().unwrap().iter().collect();
        assert_eq!(names.len(), 2);
        assert_eq!(
            (&names[0]["counter"], &names[1]["counter"]),
            (&"oracle".into(), &"spots".into())
        );
    }
    // The ideal counter is better than anything that has to find the spots.
    let right = |counter: usize| number(&sets[0]["counters"][counter]["accuracy"]["k"]);
    assert!(
        right(0) >= 36.0 && right(0) > right(1),
        "{} {}",
        right(0),
        right(1)
    );

    let runs = sets[0]["priors"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    let rate = |share: &Value| number(&share["k"]) / number(&share["n"]);
    let at = &sets[0]["at_threshold"];
    let (recall, rejection) = (rate(&at["wanted_kept"]), rate(&at["misses_dropped"]));
    let kept = 0.05 * recall + 0.95 * (1.0 - rejection);
    assert!((number(&runs[0]["kept"]) - kept).abs() < 1e-9);
    assert!((number(&runs[0]["purity"]) - 0.05 * recall / kept).abs() < 1e-9);
    let limit = 1.0 / (0.05 + 0.95 * (1.0 - rejection));
    assert!((number(&runs[0]["reduction_limit"]) - limit).abs() < 1e-9);
}

#[test]
fn a_set_that_is_left_out_or_alone_has_the_same_frames_as_among_the_others() {
    let all = json("eval --simulate 30 --seed 5 --json");
    let only = json("eval --simulate 30 --seed 5 --only eiger4m --json");
    let without = json("eval --simulate 30 --seed 5 --without eiger4m --without pilatus6m --json");
    let eiger = set(&all, "eiger4m").expect("one of thirty frames is of an Eiger 4M");
    assert_eq!(set(&only, "eiger4m"), Some(eiger));
    assert_eq!(only["sets"].as_array().unwrap().len(), 2);
    let rest: Vec<&Value> = all["sets"].as_array().unwrap()[1..]
        .iter()
        .filter(|set| set["set"] != "eiger4m" && set["set"] != "pilatus6m")
        .collect();
    assert!(!rest.is_empty());
    let left: Vec<&Value> = without["sets"].as_array().unwrap()[1..].iter().collect();
    assert_eq!(left, rest);
}

#[test]
fn a_data_set_without_a_detector_is_the_rest_of_the_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, more: &str| {
        let out = folder.path().join(name);
        let line = format!("--maps=30 --seed=5 --first=2 --input=16 --reduce=max {more}");
        let mut args = vec!["dataset", out.to_str().unwrap()];
        args.extend(words(&line));
        printed(args);
        let labels = std::fs::read_to_string(out.with_extension("jsonl")).unwrap();
        let labels: Vec<Value> = labels
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let maps = std::fs::read(out.with_extension("npy")).unwrap();
        let cells = maps[maps.len() - labels.len() * 256..].to_vec();
        let pairs = labels
            .into_iter()
            .zip(cells.chunks(256).map(<[u8]>::to_vec));
        pairs.collect::<Vec<_>>()
    };
    let (all, rest) = (make("all", ""), make("rest", "--without eiger4m"));
    assert_eq!(all.len(), 30);
    let expected: Vec<_> = all
        .iter()
        .filter(|(label, _)| label["set"] != "eiger4m")
        .collect();
    assert!(rest.len() < 30 && rest.len() == expected.len());
    for (i, (found, expected)) in rest.iter().zip(expected).enumerate() {
        assert_eq!(found.1, expected.1);
        assert_eq!(
            (&found.0["index"], &found.0["frame"]),
            (&i.into(), &expected.0["frame"])
        );
    }
}

#[test]
fn tables_end_in_a_line_a_set_and_drawings_have_words() {
    let folder = tempfile::tempdir().unwrap();
    let plots = folder.path().join("new/plots");
    let mut args = words("eval --simulate 12 --seed 3 --worst 3 --details --plots");
    args.push(plots.to_str().unwrap());
    let text = printed(&args);
    for word in [
        "hit rate",
        "odds moved",
        "eiger",
        "misses kept",
        "0.933 to 1.000",
        "where F1 is best, ",
        "hits; 3,000 are needed",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let table = text.lines().skip_while(|line| !line.starts_with("set "));
    let sets: Vec<_> = table
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(sets.len() > 2 && sets[0] == "all", "{text}");
    for (name, word) in [
        ("roc", "misses kept"),
        ("reliability", "came true"),
        ("confusion", "called maybe"),
        ("scores", "frames in a bin"),
    ] {
        let drawing = |name: String| {
            let drawing = std::fs::read_to_string(plots.join(&name)).unwrap();
            assert!(drawing.contains("<svg") && drawing.contains(word), "{name}");
            assert!(drawing.trim_end().ends_with("</svg>"), "{name}");
            drawing
        };
        let (whole, each) = (
            drawing(format!("{name}.svg")),
            drawing(format!("{name}-sets.svg")),
        );
        for set in &sets {
            let caption = format!("{name}, {set}, ").to_lowercase();
            assert!(each.to_lowercase().contains(&caption), "{name} of {set}");
            assert_eq!(whole.to_lowercase().contains(&caption), *set == "all");
        }
    }
    let page = picture(&plots.join("worst.png"));
    // Circles about spots are red.
    assert!(
        page.pixels
            .iter()
            .any(|[r, g, b]| *r > 200 && *g < 60 && *b < 60)
    );
    assert!(page.pixels.contains(&[0, 0, 0]));
}

#[test]
fn a_tuned_counter_is_at_least_as_good_as_the_same_with_its_own_settings() {
    let evaluate = |baseline: &str| {
        json(&format!(
            "eval --simulate 24 --seed 3 --without eiger2-16m --without pilatus6m --baseline {baseline} --json"
        ))
    };
    let (spots, tuned) = (evaluate("spots"), evaluate("tuned"));
    let counters = |report: &Value| -> Vec<Value> {
        let sets = report["sets"].as_array().unwrap().iter();
        sets.map(|set| set["counters"][0].clone()).collect()
    };
    let kept = |share: &Value| number(&share["k"]);
    for (spots, tuned) in counters(&spots).iter().zip(&counters(&tuned)) {
        if spots["auc"].is_null() {
            assert!(tuned["auc"].is_null());
            continue;
        }
        assert!(number(&tuned["auc"]) >= number(&spots["auc"]));
        let places = |counter: &Value| {
            let mut places = counter["rejecting"].as_array().unwrap().clone();
            places.push(counter["at_the_networks_threshold"].clone());
            places
        };
        for (spots, tuned) in places(spots).iter().zip(&places(tuned)) {
            assert_eq!(spots["rejection"], tuned["rejection"]);
            assert!(
                kept(&tuned["counter"]["wanted_kept"]) >= kept(&spots["counter"]["wanted_kept"])
            );
            let counter = &tuned["counter"]["misses_dropped"];
            let rejection = tuned["rejection"].as_f64().unwrap_or_default();
            assert!(kept(counter) >= rejection * number(&counter["n"]));
            let network = &tuned["network_dropping_as_many"]["misses_dropped"];
            assert!(kept(network) >= kept(counter), "{network} {counter}");
        }
    }

    let text = printed(words(
        "eval --simulate 24 --seed 3 --without eiger2-16m --without pilatus6m --baseline tuned",
    ));
    let sets = tuned["sets"].as_array().unwrap().len() - 1;
    for words in [
        "Of 72 settings".to_string(),
        "flatters".to_string(),
        "settings: --threshold".to_string(),
        format!("of {sets} sets"),
        "at least 0.97 of the misses".to_string(),
    ] {
        assert!(text.contains(&words), "{words}: {text}");
    }
}

#[test]
fn the_help_says_how_files_of_cxidb_76_are_read() {
    let help = printed(["eval", "--help"]);
    for words in ["CXIDB entry 76", "idh5_v1.0", "--layout", "--truth"] {
        assert!(help.contains(words), "{words}: {help}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let truth = folder.path().join("truth.jsonl");
    let line = |file: &Path| serde_json::json!({ "file": file, "class": "miss" }).to_string();
    // Its beam is off the frame, which is looked at whole.
    let doubtful = folder.path().join("doubtful.npy");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    let header = "{'descr': '<u2', 'fortran_order': False, 'shape': (64, 64), }";
    bytes.extend(format!("{header:<117}\n").bytes());
    bytes.extend([1, 0].repeat(64 * 64));
    std::fs::write(&doubtful, bytes).unwrap();
    let about = serde_json::json!({
        "wavelength_A": 1.0, "distance_mm": 100.0, "beam_center_px": [-500.0, 32.0], "pixel_mm": 0.1
    });
    std::fs::write(doubtful.with_extension("json"), about.to_string()).unwrap();
    let empty = folder.path().join("empty.cbf");
    std::fs::write(&empty, b"").unwrap();

    let said = |file: &Path| {
        std::fs::write(&truth, line(file)).unwrap();
        let args = [
            "eval",
            "--baseline",
            "tuned",
            "--truth",
            truth.to_str().unwrap(),
        ];
        let output = hitgate(args);
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let times = |said: &str, word: &str| said.lines().filter(|line| line.contains(word)).count();
    let (judged, warned) = said(&doubtful);
    assert!(judged, "{warned}");
    assert_eq!(
        times(&warned, "the beam does not meet the frame"),
        1,
        "{warned}"
    );
    let (judged, failed) = said(&empty);
    assert!(!judged && times(&failed, "empty.cbf") == 1, "{failed}");
}

#[test]
fn files_are_pictured_and_counted_too() {
    let folder = tempfile::tempdir().unwrap();
    let truth = folder.path().join("truth.jsonl");
    let line = |name: &str, class: &str| {
        let file = bundled(name);
        serde_json::json!({ "file": file, "class": class, "set": name }).to_string()
    };
    let blank = "blank_pilatus300k.cbf.gz";
    std::fs::write(&truth, [line(EIGER, "hit"), line(blank, "miss")].join("\n")).unwrap();
    let eval = |more: &str| {
        let mut args = vec!["eval", "--json", "--truth", truth.to_str().unwrap()];
        args.extend(words(more));
        serde_json::from_str::<Value>(&printed(args)).unwrap()
    };
    let plots = folder.path().display().to_string();
    let report = eval(&format!("--baseline spots --worst 1 --plots {plots}"));
    let counted = &report["sets"][0]["counters"][0];
    assert_eq!(counted["own"]["counter"]["wanted_kept"]["k"], 1);
    assert_eq!(counted["own"]["counter"]["misses_dropped"]["k"], 1);
    assert!(picture(&folder.path().join("worst.png")).width > 4 * 224);
    let report = eval(&format!("--only {EIGER}"));
    assert_eq!(report["sets"][0]["frames"], 1);

    let said = complaint(&[
        "eval",
        "--truth",
        truth.to_str().unwrap(),
        "--only",
        "eiger",
    ]);
    assert!(
        said.contains("no set is called eiger") && said.contains(blank),
        "{said}"
    );
}

#[test]
fn mistakes_of_an_evaluation_are_answered_in_a_sentence() {
    for prior in ["0", "1", "-0.1", "8", "nan", "8%"] {
        let said = complaint(&["eval", "--simulate", "1", "--prior", prior]);
        assert!(
            said.contains("--prior") && said.contains("between 0 and 1"),
            "{said}"
        );
    }
    for (line, word) in [
        ("eval --simulate 2 --only eiger5m", "there are pilatus100k"),
        (
            "eval --simulate 2 --without eiger5m",
            "there are pilatus100k",
        ),
        (
            "dataset /no/maps --without eiger5m",
            "there are pilatus100k",
        ),
        (
            "dataset /no/maps --without eiger4m --detector eiger1m",
            "cannot be used with",
        ),
        (
            "eval --simulate 2 --only eiger4m --without eiger1m",
            "cannot be used with",
        ),
        ("eval", "<--truth <FILE>|--maps <NAME.npy>|--simulate <N>>"),
        ("eval --truth a.jsonl --maps b.npy", "cannot be used with"),
        ("eval --simulate 2 --maps b.npy", "cannot be used with"),
        ("eval --simulate 2 --worst 3", "--plots"),
        (
            "eval --simulate 2 --plots /dev/null/plots",
            "/dev/null/plots",
        ),
        ("eval --simulate 2 --baseline dials", "spots, tuned"),
        ("eval --truth none.jsonl --oracle", "cannot be used with"),
    ] {
        let said = complaint(&words(line));
        assert!(said.contains(word), "{line}: {said}");
    }
    // Frame 0 of this seed is of one detector: without all others nothing may be left.
    let first = json("eval --simulate 1 --seed 3 --json");
    let detector = first["sets"][1]["set"].as_str().unwrap();
    let said = complaint(&[
        "eval",
        "--simulate",
        "1",
        "--seed",
        "3",
        "--without",
        detector,
    ]);
    assert!(said.contains("nothing to compare"), "{said}");
}

struct Picture {
    width: usize,
    pixels: Vec<[u8; 3]>,
}

fn picture(path: &Path) -> Picture {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    Picture {
        width: info.width as usize,
        pixels: bytes.as_chunks().0.to_vec(),
    }
}

#[test]
fn explain_tells_what_makes_the_logits_and_colours_the_map() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("why.png");
    let file = bundled(EIGER);
    let args = [
        "explain",
        "--logits",
        "-o",
        out.to_str().unwrap(),
        file.to_str().unwrap(),
    ];
    let line: Value = serde_json::from_str(&printed(args)).unwrap();
    let screened: Value =
        serde_json::from_str(&printed(["screen", file.to_str().unwrap()])).unwrap();
    for key in ["p_hit", "p_maybe", "p_miss", "class", "index"] {
        assert_eq!(line[key], screened[key], "{key}");
    }
    let activation = &line["activation"];
    let numbers = |value: &Value| -> Vec<f64> {
        let values = value.as_array().unwrap().iter();
        values.map(number).collect()
    };
    let (bias, logits) = (numbers(&activation["bias"]), numbers(&activation["logits"]));
    let softmax: f64 = logits.iter().map(|logit| logit.exp()).sum();
    for (class, name) in ["hit", "maybe", "miss"].into_iter().enumerate() {
        let rows = activation[name].as_array().unwrap();
        assert_eq!(rows.len(), 7, "a map of 224 cells ends as one of 7");
        let sum: f64 = rows.iter().flat_map(numbers).sum();
        let off = (sum + bias[class] - logits[class]).abs();
        // The pool rounds each of its channels, and cuts it at 127, which the cells' sum does not.
        assert!(off < 0.5, "{name}: {off}, rounding of the pool apart");
        let p = number(&line[format!("p_{name}").as_str()]);
        assert!((logits[class].exp() / softmax - p).abs() < 1e-3);
    }
    let Picture { width, pixels } = picture(&out);
    let is_grey = |[r, g, b]: &[u8; 3]| r == g && g == b;
    let (mut left, mut right) = (0, 0);
    for row in pixels.chunks_exact(width) {
        left += row[..width / 2].iter().filter(|p| !is_grey(p)).count();
        right += row[width / 2..].iter().filter(|p| !is_grey(p)).count();
    }
    assert_eq!(left, 0);
    assert!(right > 448 * 448 / 2, "{right}");

    // As a camera or another system names it.
    let shouted = folder.path().join("WHY.PNG");
    let args = ["explain", "-o", shouted.to_str().unwrap(), args[4]];
    let brief: Value = serde_json::from_str(&printed(args)).unwrap();
    assert_eq!(picture(&shouted).width, width);
    assert!(brief["activation"].is_null() && !brief["full_colour"].is_null());
}

#[test]
fn mistakes_of_an_explanation_are_answered_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("why.png").display().to_string();
    let nowhere = folder.path().join("no/why.png").display().to_string();
    let cut = folder.path().join("cut.h5");
    let whole = std::fs::read(bundled(EIGER)).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let (file, cut) = (
        bundled(EIGER).display().to_string(),
        cut.display().to_string(),
    );
    for (args, word) in [
        (&["explain", "/no/such.h5", "-o", &out][..], "no such file"),
        (
            &["explain", &file, "-o", &out, "--index", "1"],
            "it holds 1",
        ),
        (&["explain", &file, "-o", &nowhere], "no/why.png"),
        (&["explain", &cut, "-o", &out], "cut.h5"),
        (&["explain", &file], "--output"),
        (&["explain", &file, "-o", "why.jpg"], "written as PNG"),
        (&["explain", &file, "-o", "png"], "written as PNG"),
        (
            &["explain", &file, "-o", &out, "--model", &file],
            "cannot be used",
        ),
    ] {
        let said = complaint(args);
        assert!(said.contains(word), "{args:?}: {said}");
    }
    assert!(!Path::new(&out).exists());
}
