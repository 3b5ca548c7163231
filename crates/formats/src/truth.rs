//! What is in a frame, where somebody knows: the lines of a `truth.jsonl`.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::write::WholeFile;

/// What is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Ten Bragg spots or more.
    Hit,
    /// Four to nine.
    Maybe,
    /// Three or fewer.
    Miss,
    /// Known to hold some, not how many; outside every count.
    Few,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Hit => "hit",
            Class::Maybe => "maybe",
            Class::Miss => "miss",
            Class::Few => "few",
        })
    }
}

/// One line: one frame. Unknown keys are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// The file, relative to the folder of the truth file.
    pub file: String,
    /// The frame in the file, counted from 0.
    #[serde(default)]
    pub index: usize,
    /// What is in it.
    pub class: Class,
    /// Bragg spots, where they have been counted.
    #[serde(default)]
    pub spots: Option<u32>,
    /// The set that the frame belongs to.
    #[serde(default)]
    pub set: String,
}

const KEYS: &str = "file, index, class (hit, maybe, miss or few), spots, set";

/// Reads a truth file: one JSON object a line, empty lines allowed. Each label comes with the number
/// of its line, counted from 1.
///
/// # Errors
/// [`FormatError::Missing`], [`FormatError::Io`], [`FormatError::Json`] with the line, or
/// [`FormatError::Contradiction`] with the two lines that give one frame two classes.
pub fn read(path: &Path) -> Result<Vec<(usize, Truth)>, FormatError> {
    let text = fs::read_to_string(path).map_err(|e| FormatError::reading(path, e))?;
    let mut said: HashMap<(String, usize), (usize, Class)> = HashMap::new();
    let mut labels = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let label: Truth = serde_json::from_str(line).map_err(|e| FormatError::Json {
            file: path.to_path_buf(),
            what: format!("line {number}: {e}"),
            keys: KEYS,
        })?;
        let frame = (label.file.clone(), label.index);
        let (before, class) = *said.entry(frame).or_insert((number, label.class));
        if class != label.class {
            return Err(FormatError::Contradiction {
                file: path.to_path_buf(),
                what: format!(
                    "frame {} of {} is a {class} in line {before} and a {} in line {number}",
                    label.index, label.file, label.class
                ),
            });
        }
        labels.push((number, label));
    }
    Ok(labels)
}

/// Writes a truth file.
///
/// # Errors
/// [`FormatError::Io`].
pub fn write(path: &Path, lines: &[Truth]) -> Result<(), FormatError> {
    let write = || -> std::io::Result<()> {
        let mut file = WholeFile::create(path)?;
        for line in lines {
            serde_json::to_writer(&mut file, line)?;
            file.write_all(b"\n")?;
        }
        file.finish()
    };
    write().map_err(|e| FormatError::writing(path, e))
}
