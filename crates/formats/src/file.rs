//! Any detector file as a row of frames.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::contents::Contents;
use crate::image::Element;
use crate::mask::split_dataset;
use crate::sidecar::Sidecar;
use crate::{FormatError, Image, Metadata, cbf, hdf5, jungfrau, npy, smv, tiff};

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Crystallographic binary file.
    Cbf,
    /// HDF5 with images, NeXus or not.
    Hdf5,
    /// TIFF.
    Tiff,
    /// TIFF with the second header of MarCCD and Rayonix cameras.
    MarCcd,
    /// SMV of CCD cameras.
    Smv,
    /// An array of numpy.
    Npy,
    /// Raw JUNGFRAU words, in whatever container: not counts before they are corrected.
    JungfrauRaw,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Cbf => "CBF",
            Kind::Hdf5 => "HDF5",
            Kind::Tiff => "TIFF",
            Kind::MarCcd => "MarCCD",
            Kind::Smv => "SMV",
            Kind::Npy => "NPY",
            Kind::JungfrauRaw => "raw JUNGFRAU words",
        })
    }
}

/// An open file of one or more frames.
pub struct FrameFile {
    path: PathBuf,
    kind: Kind,
    frames: usize,
    known: Sidecar,
    beside: Sidecar,
    metadata: Metadata,
    source: Source,
}

enum Source {
    Cbf(Vec<u8>, cbf::Layout),
    Smv(Vec<u8>, smv::Layout),
    Tiff(Vec<u8>),
    Npy(Contents, npy::Layout),
    Hdf5(hdf5::Stack),
}

impl FrameFile {
    /// Opens a file, or one dataset of an HDF5 file named as `FILE:DATASET`. The format is
    /// recognised by content; gzip is unpacked on the way, and a [`Sidecar`] beside the file wins
    /// over the header.
    ///
    /// # Errors
    /// Each [`FormatError`] names the file, the cause and the remedy.
    pub fn open(path: &Path) -> Result<FrameFile, FormatError> {
        let (path, dataset) = split_dataset(path);
        let mut contents = Contents::open(&path)?;
        let head = contents.head(&path)?;
        if dataset.is_some() && !hdf5::recognise(&head) {
            return Err(FormatError::shape(
                &path,
                "it has no datasets to choose from, it is not HDF5",
            ));
        }
        let (kind, frames, header, mask, source) = if cbf::recognise(&head) {
            let bytes = contents.into_bytes(&path)?;
            let (layout, header) = cbf::open(&path, &bytes)?;
            (Kind::Cbf, 1, header, None, Source::Cbf(bytes, layout))
        } else if hdf5::recognise(&head) {
            let (stack, header, mask) = hdf5::open(&path, contents, dataset.as_deref())?;
            (Kind::Hdf5, stack.frames, header, mask, Source::Hdf5(stack))
        } else if tiff::recognise(&head) {
            let bytes = contents.into_bytes(&path)?;
            let (kind, header) = tiff::open(&path, &bytes)?;
            (kind, 1, header, None, Source::Tiff(bytes))
        } else if smv::recognise(&head) {
            let bytes = contents.into_bytes(&path)?;
            let (layout, header) = smv::open(&path, &bytes)?;
            (Kind::Smv, 1, header, None, Source::Smv(bytes, layout))
        } else if npy::recognise(&head) {
            let layout = npy::open(&path, &mut contents)?;
            (
                Kind::Npy,
                layout.frames,
                npy::describe(&layout),
                None,
                Source::Npy(contents, layout),
            )
        } else {
            return Err(FormatError::Foreign { file: path });
        };
        let beside = Sidecar::of(&path)?.unwrap_or_default();
        let known = header.overridden_by(beside.clone());
        let metadata = known.clone().into_metadata(mask);
        let mut file = FrameFile {
            path,
            kind,
            frames,
            known,
            beside,
            metadata,
            source,
        };
        if file.may_be_raw() && jungfrau::is_raw(&file.read(0)?) {
            file.kind = Kind::JungfrauRaw;
        }
        Ok(file)
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The file itself, without the dataset that was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All that header and sidecar say, also where it does not make a whole geometry.
    pub fn known(&self) -> &Sidecar {
        &self.known
    }

    /// What the sidecar says; nothing where there is none.
    pub fn beside(&self) -> &Sidecar {
        &self.beside
    }

    /// What is known about all of them.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What the file turned out to be.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Reads frame `index`, counted from 0. Only this one is unpacked.
    ///
    /// # Errors
    /// [`FormatError::NoFrame`], [`FormatError::NeedsCorrection`] for raw JUNGFRAU words, and what
    /// the file's own damage brings.
    pub fn read(&mut self, index: usize) -> Result<Image, FormatError> {
        match self.kind {
            Kind::JungfrauRaw => Err(FormatError::NeedsCorrection {
                file: self.path.clone(),
            }),
            _ => self.read_raw(index),
        }
    }

    /// Reads frame `index` as it is in the file, raw words included.
    ///
    /// # Errors
    /// As [`FrameFile::read`], without [`FormatError::NeedsCorrection`].
    pub fn read_raw(&mut self, index: usize) -> Result<Image, FormatError> {
        if index >= self.frames {
            return Err(FormatError::NoFrame {
                file: self.path.clone(),
                index,
                frames: self.frames,
            });
        }
        match &mut self.source {
            Source::Cbf(bytes, layout) => cbf::read(&self.path, bytes, layout),
            Source::Smv(bytes, layout) => Ok(smv::read(bytes, layout)),
            Source::Tiff(bytes) => tiff::read(&self.path, bytes),
            Source::Npy(contents, layout) => npy::read(&self.path, contents, layout, index),
            Source::Hdf5(stack) => stack.read(&self.path, index),
        }
    }

    /// Whether a look at the first frame is needed to tell raw words from counts: no other detector
    /// is named, and the size is right.
    fn may_be_raw(&self) -> bool {
        let (element, columns, rows) = match &self.source {
            Source::Npy(_, layout) => (layout.element, layout.columns, layout.rows),
            Source::Hdf5(stack) => (stack.element, stack.columns, stack.rows),
            Source::Cbf(..) | Source::Smv(..) | Source::Tiff(..) => return false,
        };
        let named_otherwise = self
            .metadata
            .detector
            .as_ref()
            .is_some_and(|name| !jungfrau::is_named(name));
        self.frames > 0
            && element == Element::U16
            && jungfrau::whole_modules(columns, rows)
            && !named_otherwise
    }
}
