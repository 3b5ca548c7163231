//! What is in a frame, where somebody knows: the lines of a `truth.jsonl`, or of the experts'
//! annotations of CXIDB entry 76.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

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
    /// Whether the line is a filter's verdict, with its P(hit), and no label that somebody made.
    #[serde(
        default,
        rename = "p_hit",
        deserialize_with = "is_there",
        skip_serializing
    )]
    pub is_verdict: bool,
}

/// That there is something, whatever it is.
fn is_there<'de, D: Deserializer<'de>>(something: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(something).map(|_| true)
}

const KEYS: &str = "file, index, class (hit, maybe, miss or few), spots, set";

/// Reads a truth file: one JSON object a line, or one annotation as `r0027_2000.h5 [3] HIT`, which
/// counts frames from 1 and whose set is the file's; empty lines are allowed. Each label comes with the number
/// of its line, counted from 1.
///
/// # Errors
/// [`FormatError::Missing`], [`FormatError::Io`], [`FormatError::NotLabels`], [`FormatError::Json`] or
/// [`FormatError::Malformed`] with the line, or [`FormatError::Contradiction`] with the two lines that give one frame two classes.
pub fn read(path: &Path) -> Result<Vec<(usize, Truth)>, FormatError> {
    let bytes = fs::read(path).map_err(|e| FormatError::reading(path, e))?;
    let text = String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'));
    let text = text.ok_or_else(|| FormatError::NotLabels {
        file: path.to_path_buf(),
    })?;
    let mut said: HashMap<(String, usize), (usize, Class)> = HashMap::new();
    let mut labels = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let annotates = |(word, _)| line.trim_end().ends_with(word);
        let label = match ANNOTATIONS.into_iter().any(annotates) {
            true => annotation(line.trim()).ok_or_else(|| {
                let what = format!(
                    "line {number}: `{line}` is not of the form `FILE [3] HIT`, whose frames count from 1"
                );
                FormatError::malformed(path, what)
            })?,
            false if !line.trim_start().starts_with('{') => {
                let what = format!(
                    "line {number}: `{line}` is neither an object of JSON nor of the form `FILE [3] HIT`"
                );
                return Err(FormatError::malformed(path, what));
            }
            false => serde_json::from_str(line).map_err(|e| FormatError::Json {
                file: path.to_path_buf(),
                what: match is_record(line) {
                    true => format!(
                        "line {number} is a record of a ring, which names no file: labels are of frames in files"
                    ),
                    false => format!("line {number}: {e}"),
                },
                keys: KEYS,
            })?,
        };
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

/// Whether it is what `hitgate run --records` writes.
fn is_record(line: &str) -> bool {
    let object = serde_json::from_str::<serde_json::Value>(line).unwrap_or_default();
    object.get("verdict").is_some() && object.get("file").is_none()
}

const ANNOTATIONS: [(&str, Class); 3] = [
    (" HIT", Class::Hit),
    (" MAYBE", Class::Maybe),
    (" MISS", Class::Miss),
];

/// `FILE [3] HIT`: the third frame.
fn annotation(line: &str) -> Option<Truth> {
    let (class, frame) = ANNOTATIONS
        .into_iter()
        .find_map(|(word, class)| Some((class, line.strip_suffix(word)?.trim_end())))?;
    let (file, number) = frame.strip_suffix(']')?.rsplit_once(" [")?;
    let number: usize = number.parse().ok()?;
    let set = Path::new(file).file_stem()?.to_string_lossy();
    Some(Truth {
        file: file.trim_end().to_owned(),
        index: number.checked_sub(1)?,
        class,
        spots: None,
        set: set.into_owned(),
        is_verdict: false,
    })
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
