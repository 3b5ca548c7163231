//! What can go wrong with a file: which file, what about it, and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file could not be read or written. Every message is one sentence with the file's name, the
/// cause and the remedy; what the operating system said is part of it, and so no
/// [`source`](std::error::Error::source) repeats it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// There is no such file.
    #[error("{}: no such file; check the path", .file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// A folder where a file is wanted.
    #[error("{}: a directory; name a file in it", .file.display())]
    Directory {
        /// The folder.
        file: PathBuf,
    },
    /// A file was to be written into a folder that is not there.
    #[error("{}: cannot be written, its folder does not exist; make the folder first", .file.display())]
    NoFolder {
        /// The file.
        file: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {cause}; check the permissions and the disk", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The file ends before its own header says it does.
    #[error("{}: cut short, {what}; copy the file again", .file.display())]
    Truncated {
        /// The file.
        file: PathBuf,
        /// What is incomplete.
        what: String,
    },
    /// The bytes of the image are not those that were written.
    #[error("{}: damaged, {what}; copy the file again", .file.display())]
    Checksum {
        /// The file.
        file: PathBuf,
        /// Which checksum is not met.
        what: String,
    },
    /// Not a format that this crate reads.
    #[error("{}: not a detector file that can be read here; CBF, HDF5/NeXus, TIFF, MarCCD, SMV and NPY can, each also with gzip", .file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// The format is known, the content contradicts it.
    #[error("{}: damaged or unusual, {what}; check it with the program that wrote it", .file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// An image of a shape that is not a frame or a stack of frames.
    #[error("{}: {what}; a frame is rows x columns, a stack frames x rows x columns", .file.display())]
    Shape {
        /// The file.
        file: PathBuf,
        /// The shape, and where it was found.
        what: String,
    },
    /// Pixels of a type that no detector here delivers.
    #[error("{}: pixels are {found}; u8, u16, u32, i16, i32 and f32 can be read, convert the file to one of them", .file.display())]
    PixelType {
        /// The file.
        file: PathBuf,
        /// The type found.
        found: String,
    },
    /// Compression that is not read here.
    #[error("{}: {what} cannot be unpacked here; write the file again with {instead}", .file.display())]
    Compression {
        /// The file.
        file: PathBuf,
        /// The compression found.
        what: String,
        /// What can be read instead.
        instead: &'static str,
    },
    /// No such dataset in an HDF5 file.
    #[error("{}: no {dataset}; name one as FILE:DATASET, the file holds {}", .file.display(), list(.available))]
    NoDataset {
        /// The file.
        file: PathBuf,
        /// What was looked for.
        dataset: String,
        /// Datasets of two or three dimensions that the file holds.
        available: Vec<String>,
    },
    /// A frame index beyond the end.
    #[error("{}: no frame {index}; it holds {frames}, counted from 0", .file.display())]
    NoFrame {
        /// The file.
        file: PathBuf,
        /// The index asked for.
        index: usize,
        /// How many frames there are.
        frames: usize,
    },
    /// Raw detector words that mean nothing before a correction.
    #[error("{}: raw JUNGFRAU words (14-bit ADC, gain stage in the two top bits), not counts; correct them with the pedestals and gains of each stage first, or name another detector in a sidecar if they are counts", .file.display())]
    NeedsCorrection {
        /// The file.
        file: PathBuf,
    },
    /// A sidecar or a truth file that is not the JSON it should be.
    #[error("{}: {what}; the keys are {keys}", .file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// The parser's words, with line and column.
        what: String,
        /// Every key that the file may have.
        keys: &'static str,
    },
    /// A truth file that is no text.
    #[error("{}: no text file of labels: give a line for each frame, as {{\"file\": \"run.h5\", \"index\": 2, \"class\": \"hit\"}} or `run.h5 [3] HIT`", .file.display())]
    NotLabels {
        /// The file.
        file: PathBuf,
    },
    /// Two lines of a truth file that cannot both be true.
    #[error("{}: {what}; remove the wrong line", .file.display())]
    Contradiction {
        /// The file.
        file: PathBuf,
        /// The lines, and what each says.
        what: String,
    },
}

impl FormatError {
    /// The error of reading `file`.
    pub fn reading(file: &Path, cause: io::Error) -> Self {
        let file = file.to_path_buf();
        match cause.kind() {
            io::ErrorKind::NotFound => Self::Missing { file },
            io::ErrorKind::IsADirectory => Self::Directory { file },
            io::ErrorKind::UnexpectedEof => Self::Truncated {
                file,
                what: "the data end early".into(),
            },
            _ => Self::Io { file, cause },
        }
    }

    /// The error of writing `file`.
    pub fn writing(file: &Path, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::NotFound => Self::NoFolder {
                file: file.to_path_buf(),
            },
            _ => Self::reading(file, cause),
        }
    }

    pub(crate) fn truncated(file: &Path, what: impl Into<String>) -> Self {
        Self::Truncated {
            file: file.to_path_buf(),
            what: what.into(),
        }
    }

    pub(crate) fn malformed(file: &Path, what: impl Into<String>) -> Self {
        Self::Malformed {
            file: file.to_path_buf(),
            what: what.into(),
        }
    }

    pub(crate) fn shape(file: &Path, what: impl Into<String>) -> Self {
        Self::Shape {
            file: file.to_path_buf(),
            what: what.into(),
        }
    }

    pub(crate) fn pixel_type(file: &Path, found: impl Into<String>) -> Self {
        Self::PixelType {
            file: file.to_path_buf(),
            found: found.into(),
        }
    }

    pub(crate) fn compression(file: &Path, what: impl Into<String>, instead: &'static str) -> Self {
        Self::Compression {
            file: file.to_path_buf(),
            what: what.into(),
            instead,
        }
    }
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 12;
    match names.len() {
        0 => "no image".into(),
        n if n <= SHOWN => names.join(", "),
        n => format!("{}, and {} more", names[..SHOWN].join(", "), n - SHOWN),
    }
}
