//! Files of frames, each frame with the description of its module.

use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use clap::builder::ValueParser;
use hitgate_formats::geometry::{DISTANCE_MM, PIXEL_MM, WAVELENGTH_A};
use hitgate_formats::sidecar::Sidecar;
use hitgate_formats::{FormatError, FrameFile, GeometryFile, Mask, split_dataset};

use crate::complaints::Complaints;
use crate::description::Description;
use crate::module::{self, Module};
use crate::report::percent;
use crate::slot::SlotFrame;
use crate::slots_file::SlotsFile;

/// What the command line says of the frames in files, in place of what the files say.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct DescribeArgs {
    /// Geometry of CrystFEL (.geom) or DIALS (.expt): its panels are assembled into one frame
    #[arg(long, value_name = "FILE", help_heading = GEOMETRY)]
    pub geometry: Option<PathBuf>,
    /// Wavelength in ångström
    #[arg(long, value_name = "A", value_parser = within(WAVELENGTH_A, "ångström"), help_heading = GEOMETRY)]
    pub wavelength: Option<f64>,
    /// Distance from sample to detector in mm
    #[arg(long, value_name = "MM", value_parser = within(DISTANCE_MM, "millimetres"), help_heading = GEOMETRY)]
    pub distance: Option<f64>,
    /// Where the beam meets the detector, in pixels
    #[arg(long, value_name = "X,Y", value_parser = point, allow_hyphen_values = true, help_heading = GEOMETRY)]
    pub beam_center: Option<[f64; 2]>,
    /// Side of a pixel in mm
    #[arg(long, value_name = "MM", value_parser = within(PIXEL_MM, "millimetres"), help_heading = GEOMETRY)]
    pub pixel: Option<f64>,
    /// Mask: non-zero pixels are excluded
    #[arg(long, value_name = "FILE[:DATASET]", help_heading = GEOMETRY)]
    pub mask: Option<String>,
    /// Pixel values that mean "no measurement"
    #[arg(
        long,
        value_name = "V,…",
        value_delimiter = ',',
        allow_hyphen_values = true,
        value_parser = clap::value_parser!(i64).range(PIXEL_VALUES),
        help_heading = GEOMETRY
    )]
    pub mask_values: Option<Vec<i64>>,
    /// Counts above are overloads, clipped to this
    #[arg(long, value_name = "COUNTS", value_parser = clap::value_parser!(u32).range(1..), help_heading = GEOMETRY)]
    pub saturation: Option<u32>,
}

const GEOMETRY: &str = "Geometry and mask";
/// From the lowest `i32` to the highest `u32`.
const PIXEL_VALUES: RangeInclusive<i64> = i32::MIN as i64..=u32::MAX as i64;

/// A number of a range, whose unit is named where it is not.
fn within(range: RangeInclusive<f64>, unit: &'static str) -> ValueParser {
    ValueParser::from(move |text: &str| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!(
            "{} to {} {unit} are possible",
            range.start(),
            range.end()
        )),
    })
}

/// `X,Y`.
fn point(text: &str) -> Result<[f64; 2], String> {
    let numbers = text.split_once(',').and_then(|(x, y)| {
        let number = |text: &str| text.trim().parse().ok().filter(|x: &f64| x.is_finite());
        Some([number(x)?, number(y)?])
    });
    numbers.ok_or_else(|| "two numbers are needed, as in 512,256.5".into())
}

impl DescribeArgs {
    /// The files that are named.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let mask = self
            .mask
            .as_ref()
            .map(|name| split_dataset(name.as_ref()).0);
        self.geometry.iter().cloned().chain(mask)
    }

    fn sidecar(&self) -> Sidecar {
        Sidecar {
            wavelength_a: self.wavelength,
            distance_mm: self.distance,
            beam_center_px: self.beam_center,
            pixel_mm: self.pixel,
            saturation: self.saturation,
            mask_values: self.mask_values.clone(),
            ..Sidecar::default()
        }
    }
}

impl DescribeArgs {
    /// A module that no file describes: its shape is known, and whether its pixels are `raw` words; the rest is what
    /// the command line says.
    pub fn module(
        &self,
        detector: &str,
        rows: u16,
        columns: u16,
        pixel_type: &str,
        raw: bool,
    ) -> Result<Module> {
        if let Some(geometry) = &self.geometry {
            bail!(
                "{} places the panels of files; of a module that sends its frames the beam is told by --wavelength, --distance, --beam-center and --pixel",
                geometry.display()
            );
        }
        let about = Sidecar {
            detector: Some(detector.into()),
            ..self.sidecar()
        };
        refuse_partial_of(detector, &about, &about)?;
        let (columns, rows) = (columns.into(), rows.into());
        let mask = self.mask.as_deref().map(GivenMask::read).transpose()?;
        Ok(Module {
            columns,
            rows,
            pixel_type: pixel_type.into(),
            raw,
            compressed: false,
            about,
            excluded: match mask {
                Some(given) => module::runs(given.of_frame(columns, rows)?),
                None => Vec::new(),
            },
        })
    }
}

/// One frame of a file.
pub struct Picture {
    /// The places in [`Pictures::modules`] that the module number in its header counts.
    pub among: Range<usize>,
    /// Header and pixels.
    pub frame: SlotFrame,
}

impl Picture {
    /// Its place in [`Pictures::modules`], where its header names one of them.
    pub fn module(&self) -> Option<usize> {
        let place = self.among.start + usize::from(self.frame.header()?.module_id);
        self.among.contains(&place).then_some(place)
    }
}

/// An open file of frames.
pub struct Pictures {
    path: PathBuf,
    content: Content,
    given: Sidecar,
    mask: Option<GivenMask>,
    doubts: Vec<String>,
    /// Whether raw words of a detector are read as they are.
    raw: bool,
    /// All modules of a file of slots; those met so far of a detector's file, mostly one.
    pub modules: Vec<Module>,
}

enum Content {
    Detector(Box<FrameFile>),
    Slots(SlotsFile),
}

impl Pictures {
    /// Opens a detector's file, or kept slots that `run --keep` wrote.
    pub fn open(path: &Path, describe: &DescribeArgs) -> Result<Self> {
        let mask = describe.mask.as_deref().map(GivenMask::read).transpose()?;
        let mut doubts: Vec<String> = mask
            .as_ref()
            .and_then(GivenMask::doubt)
            .into_iter()
            .collect();
        let mut given = describe.sidecar();
        let (content, modules) = if SlotsFile::is_one(path) {
            if *describe != DescribeArgs::default() {
                bail!(
                    "{}: kept slots are judged by the geometry and the mask of the run that kept them, which lie beside them: leave out flags that say others",
                    path.display()
                );
            }
            let slots = Content::Slots(SlotsFile::open(path)?);
            (slots, Description::read(path)?.modules)
        } else {
            let file = match &describe.geometry {
                None => FrameFile::open(path)?,
                Some(path_of_geometry) => {
                    let geometry = GeometryFile::read(path_of_geometry)?;
                    let file = FrameFile::open_placed(path, &geometry)?;
                    doubts.extend(little_reach(path_of_geometry, &file));
                    given = geometry.about.overridden_by(given);
                    file
                }
            };
            refuse_partial(&file, &given)?;
            (Content::Detector(Box::new(file)), Vec::new())
        };
        Ok(Pictures {
            path: path.to_path_buf(),
            content,
            given,
            mask,
            doubts,
            raw: false,
            modules,
        })
    }

    /// The same file, of whose frames nothing is held to be counts: they are raw words, read as they are.
    pub fn raw(self) -> Self {
        Pictures { raw: true, ..self }
    }

    /// Opens a file and says what is doubtful, or why it cannot be opened. Where its frames are `raw` words, the caller
    /// corrects them.
    pub fn open_or_say(
        path: &Path,
        describe: &DescribeArgs,
        raw: bool,
        complaints: &Complaints,
    ) -> Option<Self> {
        match Pictures::open(path, describe) {
            // (Kept slots without any are what a run without hits leaves.)
            Ok(pictures)
                if pictures.len() == 0 && matches!(pictures.content, Content::Detector(_)) =>
            {
                let none = format_args!("{}: there is no frame in it", path.display());
                complaints.tell(path, none);
                None
            }
            Ok(pictures) => {
                complaints.doubt(&pictures);
                Some(match raw {
                    true => pictures.raw(),
                    false => pictures,
                })
            }
            Err(error) => {
                complaints.tell(path, error);
                None
            }
        }
    }

    /// What may be wrong with the mask and the geometry that are given: a sentence each.
    pub fn doubts(&self) -> &[String] {
        &self.doubts
    }

    /// The file, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself, without the dataset that was named.
    pub fn file(&self) -> &Path {
        match &self.content {
            Content::Detector(file) => file.path(),
            Content::Slots(_) => &self.path,
        }
    }

    /// Where the geometry is from, where there is one: `flags`, `sidecar`, or the `file` itself. The
    /// last that says any part of it is named.
    pub fn geometry_from(&self) -> &'static str {
        match &self.content {
            Content::Detector(_) if self.given.has_geometry() => "flags",
            Content::Detector(file) if file.beside().has_geometry() => "sidecar",
            _ => "file",
        }
    }

    /// Whether it is an HDF5 file of the layout of CXIDB entry 76.
    pub fn is_cxidb_76(&self) -> bool {
        matches!(&self.content, Content::Detector(file) if file.is_cxidb_76())
    }

    /// Frames in the file.
    pub fn len(&self) -> usize {
        match &self.content {
            Content::Detector(file) => file.frames(),
            Content::Slots(file) => file.len(),
        }
    }

    /// Reads frame `index`. One of a detector's file has number `index + 1`, a kept slot is as it was.
    pub fn read(&mut self, index: usize) -> Result<Picture> {
        match &mut self.content {
            Content::Detector(file) => {
                let image = match self.raw {
                    true => file.read_raw(index),
                    false => file.read(index),
                };
                let image = image.map_err(|error| match error {
                    FormatError::NeedsCorrection { .. } => {
                        anyhow!(
                            "{error} (`hitgate screen --pedestal` corrects them; `hitgate feed --raw` plays them as they are)"
                        )
                    }
                    error => error.into(),
                })?;
                let image = image.into_integer();
                let Some(pixel_type) = image.pixels.pixel_type() else {
                    bail!("{}: pixels are not integers", self.path.display());
                };
                let described = Module {
                    columns: image.columns,
                    rows: image.rows,
                    pixel_type: module::pixel_type_name(pixel_type).into(),
                    raw: self.raw,
                    compressed: false,
                    about: file.known().clone().overridden_by(self.given.clone()),
                    excluded: excluded(file, self.mask.as_ref(), image.columns, image.rows)?,
                };
                let number = index as u64 + 1;
                let frame = SlotFrame::fresh(&described, number, image.pixels.as_bytes())
                    .with_context(|| self.path.display().to_string())?;
                let known = self.modules.iter().position(|module| *module == described);
                let module = known.unwrap_or_else(|| {
                    self.modules.push(described);
                    self.modules.len() - 1
                });
                Ok(Picture {
                    among: module..module + 1,
                    frame,
                })
            }
            Content::Slots(file) => Ok(Picture {
                among: 0..self.modules.len(),
                frame: SlotFrame::kept(file.read(index)?),
            }),
        }
    }
}

/// Refuses flags that say a part of the geometry where nothing else says the rest.
fn refuse_partial(file: &FrameFile, given: &Sidecar) -> Result<()> {
    let whole = file.known().clone().overridden_by(given.clone());
    refuse_partial_of(&file.path().display().to_string(), given, &whole)
}

/// Refuses what is `given` of the geometry of `what` where the `whole` of it lacks a part.
fn refuse_partial_of(what: &str, given: &Sidecar, whole: &Sidecar) -> Result<()> {
    let missing = whole.missing_geometry();
    if given.has_geometry() && !missing.is_empty() {
        bail!(
            "{what}: what is given makes no whole geometry, {} not known; give --wavelength, --distance, --beam-center and --pixel",
            match &missing[..] {
                [one] => format!("{one} is"),
                several => format!("{} are", several.join(", ")),
            }
        );
    }
    Ok(())
}

/// A mask that the command line names.
pub struct GivenMask {
    /// As it is named.
    name: String,
    mask: Mask,
}

impl GivenMask {
    /// Reads it.
    ///
    /// # Errors
    /// As [`Mask::read`].
    pub fn read(name: &str) -> Result<GivenMask> {
        Ok(GivenMask {
            name: name.into(),
            mask: Mask::read(name)?,
        })
    }

    /// A warning where it leaves all pixels, none or few: it may be another image than was meant, or the other way round.
    pub fn doubt(&self) -> Option<String> {
        const FEW: f64 = 0.5;
        let pixels = self.mask.columns as usize * self.mask.rows as usize;
        let excludes = match self.mask.count() {
            0 => "no pixel".into(),
            all if all == pixels => "every pixel, so that no frame can be judged".into(),
            some if some as f64 > FEW * pixels as f64 => {
                format!("{} of the pixels", percent(some as u64, pixels as u64))
            }
            _ => return None,
        };
        Some(format!(
            "warning: the mask {} excludes {excludes}: those that are not zero in it are excluded; is it the right one?",
            self.name
        ))
    }

    /// The mask, which is of the frame's shape.
    ///
    /// # Errors
    /// It is of another.
    fn of_frame(&self, columns: u32, rows: u32) -> Result<&Mask> {
        refuse_unlike(&self.mask, columns, rows).with_context(|| self.name.clone())?;
        Ok(&self.mask)
    }

    /// The mask of the frames of a file: it is of their shape, or of that of the data that they are assembled of.
    ///
    /// # Errors
    /// It is of neither.
    pub fn of_file(&self, file: &FrameFile, columns: u32, rows: u32) -> Result<Cow<'_, Mask>> {
        if (self.mask.columns, self.mask.rows) != (columns, rows)
            && let Some(placed) = (file.placement()).and_then(|at| at.mask(Some(&self.mask)))
        {
            return Ok(Cow::Owned(placed));
        }
        self.of_frame(columns, rows).map(Cow::Borrowed)
    }
}

fn refuse_unlike(mask: &Mask, columns: u32, rows: u32) -> Result<()> {
    if (mask.columns, mask.rows) != (columns, rows) {
        bail!(
            "the mask has {} x {} pixels, the frame {columns} x {rows}: give a mask of the frame's shape",
            mask.columns,
            mask.rows
        );
    }
    Ok(())
}

/// A warning where the panels of a geometry reach to a part of the images alone, as those of another detector would.
/// A margin that they leave is none of it, and neither are gaps between them.
pub fn little_reach(geometry: &Path, file: &FrameFile) -> Option<String> {
    const MOST: f64 = 0.9;
    let ([columns, rows], [of_columns, of_rows]) = (file.placement()?.data, file.placed_data()?);
    let pixels = |columns: u32, rows: u32| f64::from(columns) * f64::from(rows);
    let share = pixels(columns, rows) / pixels(of_columns, of_rows);
    (share < MOST).then(|| {
        format!(
            "warning: {} places panels in {columns} x {rows} of {of_columns} x {of_rows} pixels: the other {:.1} % are in no frame; is it this detector's?",
            geometry.display(),
            100.0 * (1.0 - share)
        )
    })
}

/// The excluded pixels of the file's own mask and of the one given.
fn excluded(
    file: &FrameFile,
    given: Option<&GivenMask>,
    columns: u32,
    rows: u32,
) -> Result<Vec<[u32; 2]>> {
    let given = given.map(|given| given.of_file(file, columns, rows));
    let given = given.transpose()?;
    let own = file.metadata().mask.as_ref();
    if let Some(own) = own {
        refuse_unlike(own, columns, rows).with_context(|| file.path().display().to_string())?;
    }
    let mut union = Mask::none(columns, rows);
    for mask in own.into_iter().chain(given.as_deref()) {
        union.add(mask);
    }
    Ok(module::runs(&union))
}
