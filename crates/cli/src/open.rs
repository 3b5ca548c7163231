//! Files of frames, each frame with the description of its module.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use hitgate_core::frame::{FrameHeader, HEADER_LEN, MAGIC};
use hitgate_formats::sidecar::Sidecar;
use hitgate_formats::{FrameFile, Mask, Metadata};

use crate::module::{self, Module};

/// What the command line says of the frames in files, in place of what the files say.
#[derive(Args, Clone, Debug, Default)]
pub struct DescribeArgs {
    /// Wavelength in ångström
    #[arg(long, value_name = "A", help_heading = "Geometry and mask")]
    pub wavelength: Option<f64>,
    /// Distance from sample to detector in mm
    #[arg(long, value_name = "MM", help_heading = "Geometry and mask")]
    pub distance: Option<f64>,
    /// Where the beam meets the detector, in pixels
    #[arg(
        long,
        value_name = "X,Y",
        value_delimiter = ',',
        num_args = 2,
        help_heading = "Geometry and mask"
    )]
    pub beam_center: Option<Vec<f64>>,
    /// Side of a pixel in mm
    #[arg(long, value_name = "MM", help_heading = "Geometry and mask")]
    pub pixel: Option<f64>,
    /// Mask: non-zero pixels are excluded
    #[arg(
        long,
        value_name = "FILE[:DATASET]",
        help_heading = "Geometry and mask"
    )]
    pub mask: Option<String>,
    /// Pixel values that mean "no measurement"
    #[arg(
        long,
        value_name = "V,…",
        value_delimiter = ',',
        allow_hyphen_values = true,
        help_heading = "Geometry and mask"
    )]
    pub mask_values: Option<Vec<i64>>,
    /// Counts above are overloads, clipped to this
    #[arg(long, value_name = "COUNTS", help_heading = "Geometry and mask")]
    pub saturation: Option<u32>,
}

impl DescribeArgs {
    fn sidecar(&self) -> Sidecar {
        Sidecar {
            wavelength_a: self.wavelength,
            distance_mm: self.distance,
            beam_center_px: self
                .beam_center
                .as_deref()
                .and_then(|xy| xy.try_into().ok()),
            pixel_mm: self.pixel,
            saturation: self.saturation,
            mask_values: self.mask_values.clone(),
            ..Sidecar::default()
        }
    }
}

/// One frame of a file, ready for a slot.
pub struct Picture {
    /// Which of [`Pictures::modules`] it is of.
    pub module: usize,
    /// The pixels, row by row, little endian.
    pub pixels: Vec<u8>,
}

/// An open file of frames.
pub struct Pictures {
    path: PathBuf,
    content: Content,
    given: Sidecar,
    mask: Option<Mask>,
    /// The modules met so far; a file of one detector has one.
    pub modules: Vec<Module>,
}

enum Content {
    Detector(Box<FrameFile>),
    Slots { bytes: Vec<u8>, offsets: Vec<usize> },
}

impl Pictures {
    /// Opens a detector's file, or kept slots that `run --keep` wrote.
    pub fn open(path: &Path, describe: &DescribeArgs) -> Result<Self> {
        let mask = describe.mask.as_deref().map(Mask::read).transpose()?;
        let (content, modules) = if holds_slots(path)? {
            let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
            let offsets = slot_offsets(&bytes).with_context(|| path.display().to_string())?;
            (Content::Slots { bytes, offsets }, module::read(path)?)
        } else {
            (
                Content::Detector(Box::new(FrameFile::open(path)?)),
                Vec::new(),
            )
        };
        Ok(Pictures {
            path: path.to_path_buf(),
            content,
            given: describe.sidecar(),
            mask,
            modules,
        })
    }

    /// Frames in the file.
    pub fn len(&self) -> usize {
        match &self.content {
            Content::Detector(file) => file.frames(),
            Content::Slots { offsets, .. } => offsets.len(),
        }
    }

    /// Reads frame `index`.
    pub fn read(&mut self, index: usize) -> Result<Picture> {
        match &mut self.content {
            Content::Detector(file) => {
                let image = file.read(index)?.into_integer();
                let Some(pixel_type) = image.pixels.pixel_type() else {
                    bail!("{}: pixels are not integers", self.path.display());
                };
                let described = Module {
                    columns: image.columns,
                    rows: image.rows,
                    pixel_type: module::pixel_type_name(pixel_type).into(),
                    about: Sidecar::from(file.metadata()).overridden_by(self.given.clone()),
                    excluded: excluded(
                        file.metadata(),
                        self.mask.as_ref(),
                        image.columns,
                        image.rows,
                    )
                    .with_context(|| self.path.display().to_string())?,
                };
                let known = self.modules.iter().position(|module| *module == described);
                let module = known.unwrap_or_else(|| {
                    self.modules.push(described);
                    self.modules.len() - 1
                });
                Ok(Picture {
                    module,
                    pixels: image.pixels.as_bytes().to_vec(),
                })
            }
            Content::Slots { bytes, offsets } => {
                let start = offsets[index];
                let header = slot_header(&bytes[start..]).context("a slot was cut short")?;
                let end = start + header.slot_len();
                let payload = usize::from(header.payload_offset_64) * 64;
                Ok(Picture {
                    module: usize::from(header.module_id),
                    pixels: bytes[start + payload..end].to_vec(),
                })
            }
        }
    }
}

/// The excluded pixels of the file's own mask and of the one given.
fn excluded(
    metadata: &Metadata,
    given: Option<&Mask>,
    columns: u32,
    rows: u32,
) -> Result<Vec<[u32; 2]>> {
    let mut union = Mask::none(columns, rows);
    for mask in [metadata.mask.as_ref(), given].into_iter().flatten() {
        if (mask.columns, mask.rows) != (columns, rows) {
            bail!(
                "the mask has {} x {} pixels, the frame {columns} x {rows}: give a mask of the frame's shape",
                mask.columns,
                mask.rows
            );
        }
        for (to, from) in union.bits.iter_mut().zip(&mask.bits) {
            *to |= from;
        }
    }
    Ok(module::runs(&union))
}

fn holds_slots(path: &Path) -> Result<bool> {
    let mut start = [0; 4];
    let mut file =
        std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(file.read_exact(&mut start).is_ok() && u32::from_le_bytes(start) == MAGIC)
}

fn slot_header(bytes: &[u8]) -> Option<FrameHeader> {
    let header = FrameHeader::from_bytes(bytes.first_chunk::<HEADER_LEN>()?);
    (header.magic == MAGIC && bytes.len() >= header.slot_len() && header.slot_len() >= HEADER_LEN)
        .then_some(header)
}

fn slot_offsets(bytes: &[u8]) -> Result<Vec<usize>> {
    let mut offsets = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Some(header) = slot_header(&bytes[at..]) else {
            bail!(
                "slot {} is cut short or not a slot: the file is not whole",
                offsets.len()
            );
        };
        offsets.push(at);
        at += header.slot_len();
    }
    Ok(offsets)
}
