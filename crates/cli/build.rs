//! Leaves the commit that the program is built from in `HITGATE_COMMIT`, with a `+` where sources were changed since;
//! `unknown` outside of a repository or without git.

use std::path::Path;
use std::process::Command;

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn main() {
    // The crates' own sources: whether they are those of the commit is told.
    println!("cargo::rerun-if-changed=..");
    // A commit moves the head, or writes to its log.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or("unknown".into());
    let changes = git(&["status", "--porcelain", "--untracked-files=no", "--", ".."]);
    let changed = changes.is_some_and(|files| !files.is_empty());
    println!(
        "cargo::rustc-env=HITGATE_COMMIT={commit}{}",
        if changed { "+" } else { "" }
    );
}
