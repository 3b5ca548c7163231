//! Any detector file as a row of frames.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::contents::Contents;
use crate::image::Element;
use crate::mask::split_dataset;
use crate::panels::{GeometryFile, MaskRule, Placement};
use crate::sidecar::Sidecar;
use crate::{FormatError, Image, Mask, Metadata, cbf, hdf5, jungfrau, npy, smv, tiff};

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
    placed: Option<Placed>,
}

/// How the images of a file become frames.
struct Placed {
    placement: Placement,
    /// Images that make one frame, one under another.
    images: usize,
    /// Columns and rows of these together.
    data: [u32; 2],
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
        FrameFile::open_images(path, false)
    }

    /// Opens a file whose panels a geometry file places: each frame is the one that they make
    /// together, with gaps and bad regions in its mask. A frame of the file may be an image that
    /// holds all panels, or several after another that hold a module each; in HDF5 and NPY also
    /// frames x modules x rows x columns. What the geometry says wins over header and sidecar.
    ///
    /// # Errors
    /// As [`FrameFile::open`], and [`FormatError::Shape`] where the panels are not in the images.
    pub fn open_placed(path: &Path, geometry: &GeometryFile) -> Result<FrameFile, FormatError> {
        let mut file = FrameFile::open_images(path, true)?;
        let placement = geometry.placement.clone();
        let first = file.read_image(0)?;
        let [columns, rows] = placement.data;
        let not_there = || {
            FormatError::shape(
                &file.path,
                format!(
                    "{} images of {} x {}, and the geometry places panels in {columns} x {rows}",
                    file.frames, first.columns, first.rows
                ),
            )
        };
        let images = placement
            .images_a_frame(first.columns, first.rows)
            .filter(|&images| file.frames.is_multiple_of(images))
            .ok_or_else(not_there)?;
        let whole = |mask: &Mask| match images {
            1 => mask.clone(),
            images => mask.repeated(images as u32),
        };
        let own = match &geometry.mask {
            Some(rule) => Some(file.mask_by(rule)?),
            None => file.metadata.mask.as_ref().map(whole),
        };
        let mask = placement.mask(own.as_ref()).ok_or_else(|| {
            FormatError::shape(
                &file.path,
                format!("the mask is smaller than the {columns} x {rows} pixels of the panels"),
            )
        })?;
        file.known = file.known.overridden_by(geometry.about.clone());
        file.metadata = file.known.clone().into_metadata(Some(mask));
        file.frames /= images;
        let data = [first.columns, first.rows * images as u32];
        file.placed = Some(Placed {
            placement,
            images,
            data,
        });
        Ok(file)
    }

    /// The mask that a geometry file names, in the shape of the data.
    fn mask_by(&self, rule: &MaskRule) -> Result<Mask, FormatError> {
        let file = rule.file.as_deref().unwrap_or(&self.path);
        let mut name = file.as_os_str().to_owned();
        name.push(":");
        name.push(&rule.dataset);
        let mut values = FrameFile::open_images(name.as_ref(), true)?;
        let images = (0..values.frames)
            .map(|index| values.read_image(index))
            .collect::<Result<Vec<_>, _>>()?;
        let stacked = stack(images);
        stacked
            .map(|values| rule.mask(&values))
            .ok_or_else(|| FormatError::shape(file, format!("{} is no mask", rule.dataset)))
    }

    fn open_images(path: &Path, stacks: bool) -> Result<FrameFile, FormatError> {
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
            let (stack, header, mask) = hdf5::open(&path, contents, dataset.as_deref(), stacks)?;
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
            let layout = npy::open(&path, &mut contents, stacks)?;
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
            placed: None,
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

    /// Where its panels lie, if it was opened with their geometry.
    pub fn placement(&self) -> Option<&Placement> {
        self.placed.as_ref().map(|placed| &placed.placement)
    }

    /// Columns and rows of the images that make one frame, one under another, if it was opened with the geometry of
    /// panels: these may reach to a part of them.
    pub fn placed_data(&self) -> Option<[u32; 2]> {
        self.placed.as_ref().map(|placed| placed.data)
    }

    /// What is known about all of them.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What the file turned out to be.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is of the layout of CXIDB entry 76, `idh5_v1.0`.
    pub fn is_cxidb_76(&self) -> bool {
        matches!(&self.source, Source::Hdf5(stack) if stack.is_cxidb_76)
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
        let Some(images) = self.placed.as_ref().map(|placed| placed.images) else {
            return self.read_image(index);
        };
        let of_modules = (index * images..(index + 1) * images)
            .map(|image| self.read_image(image))
            .collect::<Result<Vec<_>, _>>()?;
        match (stack(of_modules), &self.placed) {
            (Some(data), Some(placed)) => Ok(placed.placement.assemble(&data)),
            _ => Err(FormatError::shape(
                &self.path,
                format!("the modules of frame {index} differ"),
            )),
        }
    }

    /// Reads an image as the file has it, placed nowhere.
    fn read_image(&mut self, index: usize) -> Result<Image, FormatError> {
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

/// Images of one kind, one under another; `None` where there is none, or they differ.
fn stack(images: Vec<Image>) -> Option<Image> {
    images.into_iter().map(Some).reduce(|above, below| {
        let (above, below) = (above?, below?);
        (above.columns == below.columns).then_some(())?;
        Some(Image {
            columns: above.columns,
            rows: above.rows.checked_add(below.rows)?,
            pixels: above.pixels.followed_by(below.pixels)?,
        })
    })?
}
