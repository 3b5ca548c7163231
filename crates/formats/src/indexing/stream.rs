//! CrystFEL's streams: text, a chunk for each frame that `indexamajig` was given.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::Attempt;
use crate::FormatError;

const FIRST_LINE: &str = "CrystFEL stream format";
const CHUNK: &str = "----- Begin chunk -----";
const CHUNK_END: &str = "----- End chunk -----";
const CRYSTAL: &str = "--- Begin crystal";

/// Reads the chunks of a stream, in its order; memory is needed for what is told of them, not for
/// the stream. Lines that say nothing of interest are passed over, whatever they are.
///
/// The frame of event `//3` is 3, that of a chunk without an event 0.
///
/// # Errors
/// [`FormatError::Missing`], [`FormatError::Io`], or [`FormatError::Malformed`] with the line.
pub fn read_stream(path: &Path) -> Result<Vec<Attempt>, FormatError> {
    let reading = |e| FormatError::reading(path, e);
    let file = File::open(path).map_err(reading)?;
    let mut lines = Lines {
        file: BufReader::with_capacity(1 << 20, file),
        bytes: Vec::new(),
        number: 0,
    };
    match lines.next().map_err(reading)? {
        Some((_, line)) if line.starts_with(FIRST_LINE) => {}
        _ => {
            let what = format!("line 1: a stream begins with `{FIRST_LINE}`");
            return Err(FormatError::malformed(path, what));
        }
    }
    let mut attempts = Vec::new();
    let mut open: Option<Chunk> = None;
    while let Some((at, line)) = lines.next().map_err(reading)? {
        let damaged = |what: String| FormatError::malformed(path, what);
        match (&mut open, line) {
            (None, CHUNK) => open = Some(Chunk::at(at)),
            (None, _) => {}
            (Some(chunk), CHUNK) => return Err(damaged(chunk.is_open())),
            (Some(_), CHUNK_END) => {
                attempts.extend(open.take().map(Chunk::close).transpose().map_err(damaged)?)
            }
            (Some(chunk), line) => chunk
                .take(line)
                .map_err(|what| damaged(format!("line {at}: {what}")))?,
        }
    }
    match open {
        Some(chunk) => Err(FormatError::malformed(path, chunk.is_open())),
        None => Ok(attempts),
    }
}

/// Lines of any length and encoding.
struct Lines {
    file: BufReader<File>,
    bytes: Vec<u8>,
    number: usize,
}

impl Lines {
    /// The next line without its end, and its number; what is not UTF-8 is cut off.
    fn next(&mut self) -> std::io::Result<Option<(usize, &str)>> {
        self.bytes.clear();
        if self.file.read_until(b'\n', &mut self.bytes)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let text = match std::str::from_utf8(&self.bytes) {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(&self.bytes[..e.valid_up_to()]).unwrap_or_default(),
        };
        Ok(Some((self.number, text.trim_end())))
    }
}

/// What has been read of a chunk.
struct Chunk {
    line: usize,
    file: Option<String>,
    index: usize,
    indexed: bool,
    crystals: u32,
    spots: Option<u32>,
    peaks_a: Option<f64>,
    best_a: Option<f64>,
}

impl Chunk {
    fn at(line: usize) -> Self {
        Chunk {
            line,
            file: None,
            index: 0,
            indexed: false,
            crystals: 0,
            spots: None,
            peaks_a: None,
            best_a: None,
        }
    }

    /// Takes what a line says; in error what is wrong with it.
    fn take(&mut self, line: &str) -> Result<(), String> {
        if line.starts_with(CRYSTAL) {
            self.crystals += 1;
        } else if let Some(file) = line.strip_prefix("Image filename: ") {
            self.file = Some(file.to_owned());
        } else if let Some(event) = line.strip_prefix("Event: ") {
            self.index = index(event)?;
        } else if let Some(method) = line.strip_prefix("indexed_by = ") {
            self.indexed = method != "none";
        } else if let Some(count) = line.strip_prefix("num_peaks = ") {
            let count = count
                .parse()
                .map_err(|_| format!("`{line}` is no number of peaks"))?;
            self.spots = Some(count);
        } else if let Some(limit) = line.strip_prefix("peak_resolution = ") {
            self.peaks_a = resolution(limit);
        } else if let Some(limit) = line.strip_prefix("diffraction_resolution_limit = ") {
            let best = [self.best_a, resolution(limit)].into_iter().flatten();
            self.best_a = best.reduce(f64::min);
        }
        Ok(())
    }

    fn close(self) -> Result<Attempt, String> {
        let Some(file) = self.file else {
            return Err(format!(
                "line {}: the chunk that begins there names no image",
                self.line
            ));
        };
        Ok(Attempt {
            file,
            index: self.index,
            // Streams without crystals can be written: `indexed_by` still tells.
            lattices: self.crystals.max(u32::from(self.indexed)),
            spots: self.spots,
            resolution_a: self.best_a.or(self.peaks_a),
            place: self.line,
        })
    }

    fn is_open(&self) -> String {
        format!(
            "line {}: the chunk that begins there has no end; let indexamajig finish, or cut the stream before that line",
            self.line
        )
    }
}

/// The frame that an event names: `//3` is 3; `//`, an event of one image, is 0, and so is the
/// `(null)` of older versions.
fn index(event: &str) -> Result<usize, String> {
    let event = event.trim();
    if matches!(event, "//" | "(null)" | "") {
        return Ok(0);
    }
    let number = event
        .strip_prefix("//")
        .and_then(|number| number.parse().ok());
    number.ok_or_else(|| {
        format!("event `{event}` is not of the form `//3`, and records number the frames of a file")
    })
}

/// Ångström of `4.52 nm^-1 or 2.21 A`; `None` of what is no resolution.
fn resolution(limit: &str) -> Option<f64> {
    let per_nm: f64 = limit.split_whitespace().next()?.parse().ok()?;
    Some(10.0 / per_nm).filter(|d| d.is_finite() && *d > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\
CrystFEL stream format 2.3
Generated by CrystFEL 0.10.2
----- Begin geometry file -----
clen = 0.1 m
----- End geometry file -----
----- Begin chunk -----
Image filename: /data/run 1.h5
Event: //3
Image serial number: 1
hit = 1
indexed_by = xgandalf-nolatt-cell
num_peaks = 46
peak_resolution = 4.0 nm^-1 or 2.5 A
Peaks from peak search
  fs/px   ss/px (1/d)/nm^-1   Intensity  Panel
 1.00 2.00 3.0 4.0   p0
End of peak list
--- Begin crystal
diffraction_resolution_limit = 4.00 nm^-1 or 2.50 A
--- End crystal
--- Begin crystal
diffraction_resolution_limit = 5.00 nm^-1 or 2.00 A
--- End crystal
----- End chunk -----
----- Begin chunk -----
Image filename: b.cbf
Image serial number: 2
hit = 0
indexed_by = none
num_peaks = 2
peak_resolution = 0.000000 nm^-1 or inf A
a line of the year 2040 = 7
----- End chunk -----
";

    fn read(text: &[u8]) -> Result<Vec<Attempt>, FormatError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_stream(file.path())
    }

    #[test]
    fn chunks_tell_frame_lattices_spots_and_resolution() {
        let attempts = read(STREAM.as_bytes()).unwrap();
        let expected = [
            Attempt {
                file: "/data/run 1.h5".into(),
                index: 3,
                lattices: 2,
                spots: Some(46),
                resolution_a: Some(2.0),
                place: 6,
            },
            Attempt {
                file: "b.cbf".into(),
                index: 0,
                lattices: 0,
                spots: Some(2),
                resolution_a: None,
                place: 25,
            },
        ];
        assert_eq!(attempts, expected);
    }

    #[test]
    fn lines_of_windows_and_of_no_encoding_are_passed_over() {
        let mut text = STREAM.replace('\n', "\r\n").into_bytes();
        let at = text.windows(6).position(|w| w == b"a line").unwrap();
        text[at] = 0xFF;
        assert_eq!(read(&text).unwrap(), read(STREAM.as_bytes()).unwrap());
    }

    #[test]
    fn the_best_lattice_counts_and_else_the_peaks() {
        let of = |text: &str| read(text.as_bytes()).unwrap()[0].clone();
        let without_crystals: String = STREAM
            .lines()
            .filter(|line| !line.contains("crystal") && !line.contains("diffraction"))
            .flat_map(|line| [line, "\n"])
            .collect();
        let frame = of(&without_crystals);
        assert_eq!((frame.lattices, frame.resolution_a), (1, Some(2.5)));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let said = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        let cut = &STREAM[..STREAM.len() - 40];
        assert!(said(cut).contains("line 25: the chunk"), "{}", said(cut));
        let unnamed = STREAM.replace("Image filename: b.cbf\n", "");
        assert!(said(&unnamed).contains("line 25"), "{}", said(&unnamed));
        let odd = STREAM.replace("//3", "entry_1//");
        assert!(
            said(&odd).contains("line 8: event `entry_1//`"),
            "{}",
            said(&odd)
        );
        let nested = STREAM.replacen(CHUNK_END, "", 1);
        assert!(
            said(&nested).contains("line 6: the chunk"),
            "{}",
            said(&nested)
        );
        let peaks = STREAM.replace("num_peaks = 46", "num_peaks = many");
        assert!(said(&peaks).contains("line 12"), "{}", said(&peaks));
        for foreign in ["", "{}", "some text\n"] {
            assert!(said(foreign).contains("line 1: a stream begins"));
        }
        let missing = read_stream(Path::new("missing.stream")).unwrap_err();
        assert!(matches!(missing, FormatError::Missing { .. }));
    }
}
