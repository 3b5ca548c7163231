//! What labels of frames look like.

use std::fs;

use hitgate_formats::FormatError;
use hitgate_formats::truth::{self, Class, Truth};
use tempfile::tempdir;

#[test]
fn truth_lines_come_back() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("truth.jsonl");
    let lines = vec![
        Truth {
            file: "a.cbf".into(),
            index: 0,
            class: Class::Hit,
            spots: Some(40),
            set: "x".into(),
            is_verdict: false,
        },
        Truth {
            file: "b.h5".into(),
            index: 7,
            class: Class::Few,
            spots: None,
            set: "y".into(),
            is_verdict: false,
        },
    ];
    truth::write(&path, &lines).unwrap();
    let numbered: Vec<_> = (1..).zip(lines).collect();
    assert_eq!(truth::read(&path).unwrap(), numbered);
    fs::write(
        &path,
        "\n{\"file\": \"a\", \"class\": \"miss\", \"note\": 1}\n{\"file\": 2}\n",
    )
    .unwrap();
    let Err(e) = truth::read(&path) else {
        panic!("line 3 has a number for a file")
    };
    assert!(e.to_string().contains("line 3"), "{e}");

    let say = |class: &str| format!("{{\"file\": \"a\", \"index\": 4, \"class\": \"{class}\"}}\n");
    fs::write(&path, say("hit") + &say("hit")).unwrap();
    assert_eq!(truth::read(&path).unwrap().len(), 2);
    fs::write(&path, say("hit") + "\n" + &say("miss")).unwrap();
    let Err(e) = truth::read(&path) else {
        panic!("a frame cannot be a hit and a miss")
    };
    assert!(
        e.to_string()
            .contains("frame 4 of a is a hit in line 1 and a miss in line 3"),
        "{e}"
    );
}

#[test]
fn annotations_of_experts_are_truths() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("expert_annotation.txt");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        truth::read(&path)
    };
    let labels =
        read("r0027_2000.h5 [1] MISS\nr0027_2000.h5 [3] HIT\n\nr0027_2000.h5 [2] MAYBE \n")
            .unwrap();
    let told: Vec<_> = labels
        .iter()
        .map(|(line, label)| (*line, label.index, label.class))
        .collect();
    assert_eq!(
        told,
        [
            (1, 0, Class::Miss),
            (2, 2, Class::Hit),
            (4, 1, Class::Maybe)
        ]
    );
    assert_eq!(
        (&labels[0].1.file[..], &labels[0].1.set[..]),
        ("r0027_2000.h5", "r0027_2000")
    );
    for wrong in ["r.h5 [0] HIT", "r.h5 3 HIT", "[3] HIT", "r.h5 [x] MISS"] {
        let error = read(&format!("r.h5 [1] HIT\n{wrong}")).unwrap_err();
        assert!(matches!(error, FormatError::Malformed { .. }), "{wrong}");
        assert!(error.to_string().contains("line 2"), "{error}");
    }
    let contradiction = read("r.h5 [1] HIT\nr.h5 [1] MISS\n");
    assert!(matches!(
        contradiction,
        Err(FormatError::Contradiction { .. })
    ));
}

#[test]
fn what_is_no_label_is_told_as_what_it_is() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("labels");
    for (text, why) in [
        (
            r#"{"seq": 1, "module": 0, "verdict": "keep", "class": "hit", "p_hit": 0.9}"#,
            "line 1 is a record of a ring, which names no file",
        ),
        (
            "a.npy,hit",
            "line 1: `a.npy,hit` is neither an object of JSON",
        ),
        ("r0027_2000.h5 [0] HIT", "count from 1"),
        (r#"{"class": "hit"}"#, "missing field `file`"),
    ] {
        fs::write(&path, text).unwrap();
        let said = truth::read(&path).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
}
