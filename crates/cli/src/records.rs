//! Lines of verdicts, as `hitgate screen` and `hitgate run --records` write them.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail};
use hitgate_core::verdict::Class;
use hitgate_formats::FormatError;
use serde::Deserialize;

/// The verdict of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The file that it is in; `None` in the records of a run, which see no files.
    pub file: Option<String>,
    /// The frame in the file, counted from 0; the place in its series where no file is named.
    pub index: usize,
    /// What the network called it; `None` where it was not judged.
    pub class: Option<Class>,
    /// Whether it was kept.
    pub keep: bool,
    /// Why.
    pub reason: String,
    /// Its line, counted from 1.
    pub line: usize,
}

/// The verdicts of a file.
#[derive(Debug, Default, PartialEq)]
pub struct Records {
    /// Frame by frame.
    pub frames: Vec<Told>,
    /// Frames that the source or the link lost: there is nothing to audit in them.
    pub lost: u64,
}

/// A line of either kind: the first three keys are `screen`'s, the next `run`'s.
#[derive(Deserialize)]
struct Line {
    file: Option<String>,
    index: Option<usize>,
    keep: Option<bool>,
    frame_number: Option<u64>,
    module: Option<u16>,
    verdict: Option<String>,
    count: Option<u64>,
    class: Option<String>,
    #[serde(default)]
    reason: String,
}

/// Reads a file of verdicts, a JSON object a line; empty lines are allowed.
///
/// # Errors
/// The line, and what is wrong with it.
pub fn read(path: &Path) -> Result<Records> {
    let reading = |error| FormatError::reading(path, error);
    let file = BufReader::new(File::open(path).map_err(reading)?);
    let mut records = Records::default();
    let mut module = None;
    for (number, line) in (1..).zip(file.lines()) {
        let line = line.map_err(reading)?;
        if line.trim().is_empty() {
            continue;
        }
        let at = || format!("{} line {number}", path.display());
        let line: Line = serde_json::from_str(&line).with_context(|| {
            format!(
                "{} is no line of `hitgate screen` or of `hitgate run --records`",
                at()
            )
        })?;
        if line.verdict.as_deref() == Some("lost") {
            // A number of a file: the sum may be of any size.
            let count = line.count.unwrap_or_default();
            records.lost = records.lost.saturating_add(count);
            continue;
        }
        let of = line.module;
        let told = line.told(number).with_context(at)?;
        if told.file.is_none() && *module.get_or_insert(of) != of {
            bail!(
                "{}: a second module; frames of several modules cannot be told apart by file and event, audit one at a time",
                at()
            );
        }
        records.frames.push(told);
    }
    Ok(records)
}

impl Line {
    fn told(self, line: usize) -> Result<Told> {
        let (index, keep) = match (&self.file, self.verdict.as_deref()) {
            (Some(_), _) => (self.index, self.keep),
            (None, Some(verdict @ ("keep" | "drop"))) => {
                // Series are numbered from 1, and 0 means that the source does not number.
                let place = self.frame_number.and_then(|number| number.checked_sub(1));
                let index = place.and_then(|place| usize::try_from(place).ok());
                if index.is_none() {
                    bail!("the frame has no number, and so there is no telling which it is");
                }
                (index, Some(verdict == "keep"))
            }
            (None, _) => (None, None),
        };
        let (Some(index), Some(keep)) = (index, keep) else {
            bail!(
                "neither file, index and keep, as in lines of `hitgate screen`, nor frame_number and verdict, as in those of `hitgate run --records`"
            );
        };
        let class = match self.class.as_deref() {
            None => None,
            Some(name) => match Class::ALL.into_iter().find(|class| class.name() == name) {
                None => bail!("class `{name}` is none of hit, maybe, miss"),
                known => known,
            },
        };
        Ok(Told {
            file: self.file,
            index,
            class,
            keep,
            reason: self.reason,
            line,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::record_line;
    use hitgate_core::frame::FrameHeader;
    use hitgate_core::frame::PixelType;
    use hitgate_core::link::{Identity, Record};
    use hitgate_core::verdict::{Policy, Sampling, Score};

    fn said(text: &str) -> Result<Records> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn lines_of_a_run_are_read_back() {
        let header = FrameHeader {
            frame_number: 5,
            ..FrameHeader::new(1, 1, PixelType::U8)
        };
        let score = Score {
            hit: 10,
            maybe: 20,
            miss: 65_000,
        };
        let policy = Policy {
            threshold: 1000,
            sampling: Sampling { seed: 0, one_in: 0 },
            deadline_ns: None,
        };
        let decision = policy.decide(&header, Ok(score), None, 0, 0);
        let identity = Identity {
            model: 1,
            config: 2,
        };
        let record = Record::new(&header, Some(score), &decision, identity, 0);
        let lost = r#"{"verdict":"lost","module":0,"first":6,"count":3,"cause":"source"}"#;
        let records = said(&format!("{}\n\n{lost}\n", record_line(&record))).unwrap();
        let expected = Told {
            file: None,
            index: 4,
            class: Some(Class::Miss),
            keep: false,
            reason: "miss".into(),
            line: 1,
        };
        assert_eq!((&records.frames[..], records.lost), (&[expected][..], 3));
    }

    #[test]
    fn no_number_of_lost_frames_begins_again_from_nothing() {
        let lost = |count: u64| format!("{{\"verdict\":\"lost\",\"count\":{count}}}\n");
        let records = said(&[lost(3), lost(u64::MAX)].concat()).unwrap();
        assert_eq!(records.lost, u64::MAX);
    }

    #[test]
    fn what_is_no_verdict_is_told_with_its_line() {
        let screened = r#"{"file":"a.h5","index":3,"class":"hit","keep":true,"reason":"hit"}"#;
        let run = r#"{"frame_number":1,"module":0,"verdict":"keep","class":null}"#;
        assert_eq!(said(screened).unwrap().frames[0].index, 3);
        assert_eq!(said(run).unwrap().frames[0].class, None);
        for (text, what) in [
            ("file,index", "no line of `hitgate screen`"),
            (
                r#"{"file":"a.h5","index":3}"#,
                "neither file, index and keep",
            ),
            (r#"{"index":3}"#, "neither file, index and keep"),
            (
                &run.replace("\"frame_number\":1", "\"frame_number\":0"),
                "no number",
            ),
            (
                &run.replace("\"module\":0", "\"module\":1"),
                "second module",
            ),
            (&screened.replace("\"hit\"", "\"few\""), "class `few`"),
        ] {
            let error = format!("{:#}", said(&format!("{run}\n{text}")).unwrap_err());
            assert!(error.contains("line 2") && error.contains(what), "{error}");
        }
    }
}
