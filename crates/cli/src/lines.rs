//! A line for each frame of files, on standard output or into a file.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use hitgate_formats::FormatError;
use hitgate_formats::write::WholeFile;

use crate::{Stdout, outputs};

/// What lines look like and where they go.
#[derive(Args, Clone, Debug)]
pub struct LinesArgs {
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    pub format: Format,
    /// Write to this file, which appears once it is whole
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the lines of an earlier run
    #[arg(long, requires = "output")]
    replace: bool,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a frame
    Jsonl,
    /// Comma-separated, with a header
    Csv,
    /// `file //index` of the kept frames, for indexing programs
    Lst,
}

/// How many frames have a line, and how many files or frames could not be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Frames that were judged.
    pub judged: usize,
    /// Files or frames that were not.
    pub unreadable: usize,
}

impl LinesArgs {
    /// Writes what `lines` writes, in CSV after `header`; in the place of none of the `inputs`.
    ///
    /// # Errors
    /// Those of `lines`, those of writing, and a sentence where some could not be read.
    pub fn write(
        &self,
        header: &str,
        inputs: &[PathBuf],
        lines: impl FnOnce(&mut dyn Write) -> Result<Done>,
    ) -> Result<()> {
        let under_header = |out: &mut dyn Write| {
            if self.format == Format::Csv {
                writeln!(out, "{header}").context(UNWRITABLE)?;
            }
            lines(out)
        };
        let Done { judged, unreadable } = match &self.output {
            None => under_header(&mut Stdout)?,
            Some(path) => {
                outputs::replaces_none_of(path, inputs)?;
                if path.is_file() && holds_data(path) {
                    bail!(
                        "{} holds data, and no lines: name another file",
                        path.display()
                    );
                }
                outputs::replaces_nothing_unasked(path, self.replace)?;
                let unwritable = |error| FormatError::writing(path, error);
                let mut file = WholeFile::create(path).map_err(unwritable)?;
                let done = under_header(&mut file)?;
                file.finish().map_err(unwritable)?;
                done
            }
        };
        match (unreadable, judged) {
            (0, _) => Ok(()),
            (_, 0) => {
                bail!(
                    "{unreadable} of the files or frames could not be read, and there are no others"
                )
            }
            _ => bail!(
                "{unreadable} of the files or frames could not be read; the other {judged} frames were judged"
            ),
        }
    }
}

/// Whether a file is none of lines: frames, rings, slots, maps and models have zeros near their beginning, text has none.
fn holds_data(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(1 << 16).read_to_end(&mut start));
    read.is_ok() && start.contains(&0)
}

/// Writes one line, where there is one.
pub fn write_line(out: &mut dyn Write, line: Option<String>) -> Result<()> {
    match line {
        Some(line) => writeln!(out, "{line}").context(UNWRITABLE),
        None => Ok(()),
    }
}

const UNWRITABLE: &str = "cannot write the output";

/// A field of CSV.
pub fn csv_field(text: &str) -> String {
    match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}
