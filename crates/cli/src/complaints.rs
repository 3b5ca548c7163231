//! What is wrong with many frames alike: told when it is first seen, and at the end how often it was.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use crate::open::Pictures;

/// What was told of the frames of files. Its end tells how much was not.
#[derive(Default)]
pub struct Complaints(RefCell<BTreeMap<String, Told>>);

/// Complaints that differ in nothing but file and numbers.
#[derive(Default)]
struct Told {
    first: String,
    last: String,
    last_file: String,
    /// Files that were named; a file that comes again after others counts again.
    files: usize,
    /// Complaints that were not told.
    more: usize,
}

/// So many files are named: what is wrong with all of them is seldom in the files.
const NAMED: usize = 4;

impl Complaints {
    /// Tells what is wrong with a file or with a frame of it. Of one file the like is told once, word for word the same of
    /// several once too.
    pub fn tell(&self, file: &Path, what: impl Display) {
        if let Some(line) = self.told(&file.display().to_string(), format!("{what:#}")) {
            tell!("hitgate: {line}");
        }
    }

    /// Tells what is doubtful in how a file is opened.
    pub fn doubt(&self, pictures: &Pictures) {
        for doubt in pictures.doubts() {
            self.tell(pictures.path(), doubt);
        }
    }

    /// What is to be told now, if it is not one more of the like.
    fn told(&self, file: &str, what: String) -> Option<String> {
        let mut kinds = self.0.borrow_mut();
        let told = kinds.entry(kind(file, &what)).or_default();
        let known = told.last == what || told.last_file == file || told.files == NAMED;
        if told.files > 0 && known {
            told.more += 1;
            return None;
        }
        if told.files == 0 {
            told.first.clone_from(&what);
        }
        told.files += 1;
        file.clone_into(&mut told.last_file);
        told.last.clone_from(&what);
        Some(what)
    }

    /// What was not told.
    fn rest(&self) -> Vec<String> {
        let kinds = self.0.borrow();
        let untold = kinds.values().filter(|told| told.more > 0);
        untold
            .map(|Told { first, more, .. }| format!("{more} more like this: {first}"))
            .collect()
    }
}

impl Drop for Complaints {
    fn drop(&mut self) {
        for line in self.rest() {
            tell!("hitgate: {line}");
        }
    }
}

/// The same for complaints that differ in the file and in numbers alone.
fn kind(file: &str, what: &str) -> String {
    let mut kind = String::with_capacity(what.len());
    for letter in what.replace(file, "").chars() {
        match letter.is_ascii_digit() {
            true if kind.ends_with('#') => {}
            true => kind.push('#'),
            false => kind.push(letter),
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_is_told_once_a_file_and_of_a_few_files() {
        let complaints = Complaints::default();
        let mut lines = Vec::new();
        for file in ["a", "b", "c", "d", "e", "f"].map(|name| format!("{name}.h5")) {
            let file = file.as_str();
            for frame in 0..10 {
                lines.extend(complaints.told(file, format!("{file} //{frame}: no pixel")));
                lines.extend(complaints.told(file, "mask: no such file".into()));
            }
            lines.extend(complaints.told(file, format!("{file}: cut short")));
        }
        let of = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
        assert_eq!(["//0: no", "mask", "cut"].map(of), [4, 1, 4]);
        assert_eq!(lines.len(), 9);
        assert_eq!(
            complaints.rest(),
            [
                "56 more like this: a.h5 //0: no pixel",
                "2 more like this: a.h5: cut short",
                "59 more like this: mask: no such file",
            ]
        );
        complaints.0.take();
    }
}
