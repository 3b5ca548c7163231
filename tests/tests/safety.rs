//! `SAFETY.md` and the notes of the unsafe blocks say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../SAFETY.md");

/// Every source file of a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The sources of each crate, tests left out.
fn crates() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(&crates).expect("the crates") {
        let entry = entry.expect("an entry");
        let mut files = Vec::new();
        sources(&entry.path().join("src"), &mut files);
        let read = |path: PathBuf| {
            let text = fs::read_to_string(&path).expect("a source file");
            (path, text)
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        all.insert(name, files.into_iter().map(read).collect());
    }
    assert!(all.len() > 8, "{} crates", all.len());
    all
}

/// Blocks and implementations that promise something to the compiler, in code.
fn blocks(text: &str) -> usize {
    let opens = |line: &str| {
        ["unsafe {", "unsafe impl", "unsafe extern \"C\" {"]
            .iter()
            .map(|form| line.matches(form).count())
            .sum::<usize>()
    };
    let code = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    code.map(opens).sum()
}

/// Each note, whole, with the number of its first line.
fn notes(text: &str) -> Vec<(usize, String)> {
    let mut notes: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(text.lines()) {
        let comment = line
            .trim()
            .strip_prefix("//")
            .map(|line| line.trim_start_matches(['/', '!', ' ']));
        match comment {
            Some(said) if said.starts_with("SAFETY:") => {
                notes.push((number, said.into()));
                inside = true;
            }
            Some(said) if inside => {
                let (_, note) = notes.last_mut().expect("inside of one");
                note.push(' ');
                note.push_str(said);
            }
            _ => inside = false,
        }
    }
    notes
}

/// The words in italics.
fn names(note: &str) -> BTreeSet<&str> {
    note.split('*').skip(1).step_by(2).collect()
}

/// The names that the page explains.
fn explained() -> BTreeSet<&'static str> {
    let section = PAGE
        .split("\n## Invariants\n")
        .nth(1)
        .expect("the invariants");
    let section = section.split("\n## ").next().unwrap_or_default();
    let name = |line: &'static str| Some(line.strip_prefix("**")?.split_once(".**")?.0);
    section.lines().filter_map(name).collect()
}

#[test]
fn every_note_names_an_invariant_and_every_invariant_is_named() {
    let explained = explained();
    assert!(explained.len() > 10, "{explained:?}");
    let mut used = BTreeSet::new();
    for (path, text) in crates().into_values().flatten() {
        for (line, note) in notes(&text) {
            let named: Vec<_> = (explained.iter().copied())
                .filter(|name| names(&note).contains(name))
                .collect();
            assert!(
                !named.is_empty(),
                "{}:{line} names no invariant of SAFETY.md: {note}",
                path.display()
            );
            used.extend(named);
        }
    }
    assert_eq!(used, explained);
}

#[test]
fn the_table_counts_the_blocks() {
    let rows = PAGE.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let name = cells.next()?.trim_end_matches('`').to_owned();
        Some((name, cells.next()?.parse::<usize>().ok()?))
    });
    let told: BTreeMap<_, _> = rows.collect();
    let count =
        |files: Vec<(PathBuf, String)>| files.iter().map(|(_, text)| blocks(text)).sum::<usize>();
    let found = crates()
        .into_iter()
        .map(|(name, files)| (name, count(files)));
    let found: BTreeMap<_, _> = found.filter(|(_, blocks)| *blocks > 0).collect();
    assert_eq!(found, told);
}

#[test]
fn a_note_without_a_name_would_be_seen() {
    let source = "// SAFETY: because.\nunsafe { x() }\n// unsafe { no }\n\n    // SAFETY: *fits*: two\n    // lines.\n";
    let found = notes(source);
    assert_eq!(
        found,
        [
            (1, "SAFETY: because.".into()),
            (5, "SAFETY: *fits*: two lines.".into())
        ]
    );
    assert!(names(&found[0].1).is_empty());
    assert_eq!(names(&found[1].1), BTreeSet::from(["fits"]));
    assert_eq!(blocks(source), 1);
}
