//! The libraries export the functions of `symbols.txt`, and the header declares them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn listed() -> BTreeSet<String> {
    let list = include_str!("../symbols.txt");
    list.lines().map(str::to_string).collect()
}

/// The library of this name beside the test: cargo builds all kinds of it with the tests.
fn library(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().join(name)
}

/// Names that `nm` finds defined and visible.
fn exported(of: &Path, options: &[&str]) -> BTreeSet<String> {
    let output = Command::new("nm")
        .args(options)
        .arg(of)
        .output()
        .expect("nm, of binutils");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .map(str::to_string)
        .collect()
}

#[test]
fn the_shared_library_exports_the_list_and_nothing_else() {
    let found = exported(&library("libhitgate.so"), &["-D", "--defined-only"]);
    assert_eq!(found, listed());
}

#[test]
fn the_static_library_has_the_list() {
    let found = exported(&library("libhitgate.a"), &["-g", "--defined-only"]);
    let ours = |name: &&String| name.starts_with("hitgate_");
    assert_eq!(
        found.iter().filter(ours).cloned().collect::<BTreeSet<_>>(),
        listed()
    );
}

#[test]
fn the_header_declares_the_list() {
    let header = include_str!("../include/hitgate.h");
    let declared = header.match_indices("hitgate_").filter_map(|(at, _)| {
        let rest = &header[at..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        let before = header[..at].chars().next_back();
        let call = rest[end..].starts_with('(') && matches!(before, Some(' ' | '*'));
        call.then(|| rest[..end].to_string())
    });
    let declared: BTreeSet<String> = declared.collect();
    assert_eq!(declared, listed());
}
