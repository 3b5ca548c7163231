//! What is in a frame, where somebody knows: the lines of a `truth.jsonl`.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::FormatError;

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

/// Reads a truth file: one JSON object a line, empty lines allowed.
///
/// # Errors
/// [`FormatError::Missing`], [`FormatError::Io`], or [`FormatError::Json`] with the line.
pub fn read(path: &Path) -> Result<Vec<Truth>, FormatError> {
    let text = fs::read_to_string(path).map_err(|e| FormatError::io(path, e))?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|e| FormatError::Json {
                file: path.to_path_buf(),
                what: format!("line {}: {e}", number + 1),
            })
        })
        .collect()
}

/// Writes a truth file.
///
/// # Errors
/// [`FormatError::Io`].
pub fn write(path: &Path, lines: &[Truth]) -> Result<(), FormatError> {
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(fs::File::create(path)?);
        for line in lines {
            serde_json::to_writer(&mut file, line)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    };
    write().map_err(|e| FormatError::io(path, e))
}
