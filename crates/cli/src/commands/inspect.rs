//! `hitgate inspect`: what is in a model, a ring, a frame file, this machine.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use hitgate_core::net::{Model, format};
use hitgate_formats::geometry::window;
use hitgate_formats::{FrameFile, GeometryFile, Image, Mask};
use hitgate_host::{HostError, Ring};
use hitgate_kernels::Level;
use hitgate_ring::AttachError;

use crate::description::Description;
use crate::maps_file::MapsFile;
use crate::open::{GivenMask, little_reach};
use crate::report::percent;
use crate::ring_state::RingState;
use crate::slots_file::SlotsFile;
use crate::{model, report, ring_path};

/// Show what is in a model, a ring, a file of frames, or this machine
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hitgate inspect                          # the model built in, and the CPU levels of this machine
  hitgate inspect model.hgm
  hitgate inspect ring                     # /dev/shm/hitgate.ring, also while it is in use
  hitgate inspect /dev/shm/eiger --json
  hitgate inspect frame_00001.cbf.gz
  hitgate inspect run.h5 --geometry detector.geom    # the frame that its panels make
  hitgate inspect run.h5 --mask mask.h5              # how many pixels it takes
  hitgate inspect kept.slots               # what `run --keep` wrote, or `run --keep-maps`

Of a ring it tells, from its shared counters alone, who is at its ends, what became of every frame,
what is in flight and whether the books balance; where they do not it exits with 1. The ring and
those who use it notice nothing.")]
pub struct InspectArgs {
    /// A model (.hgm), a ring, a file of frames, kept slots or maps; FILE:DATASET names a dataset in an HDF5 file
    what: Option<PathBuf>,
    /// Geometry of CrystFEL (.geom) or DIALS (.expt) that places the panels of a file of frames
    #[arg(long, value_name = "FILE", requires = "what")]
    geometry: Option<PathBuf>,
    /// Mask of a file of frames, as for `hitgate screen`: non-zero pixels are excluded
    #[arg(long, value_name = "FILE[:DATASET]", requires = "what")]
    mask: Option<String>,
    /// Tell what is in a ring as one JSON object
    #[arg(long, requires = "what")]
    json: bool,
}

/// Runs the command.
pub fn run(args: &InspectArgs) -> Result<()> {
    let Some(path) = &args.what else {
        levels();
        return show_model(model::EMBEDDED, None);
    };
    let live = path.as_os_str() == "ring" && !path.exists();
    if live || args.json {
        let path = if live {
            Path::new(ring_path::DEFAULT)
        } else {
            path
        };
        return show_ring(&open_ring(path)?, args.json);
    }
    // Frames are the last guess, and know FILE:DATASET and what to say of a missing file.
    let Ok(start) = start_of(path) else {
        if !path.exists() && may_have_been_a_ring(path) {
            bail!("{}: no such file; {GONE}", path.display());
        }
        return show_frames(path, args);
    };
    model::refuse_onnx(&start, path)?;
    if args.geometry.is_some() || args.mask.is_some() {
        return show_frames(path, args);
    }
    if start == format::MAGIC {
        return show_model(&model::bytes(Some(path))?, Some(path));
    }
    if MapsFile::starts_with(&start) {
        return show_maps(path);
    }
    if SlotsFile::is_one(path) {
        return show_slots(path);
    }
    match Ring::open(path) {
        Ok(ring) => show_ring(&ring, false),
        Err(HostError::Attach {
            cause: AttachError::NotARing,
            ..
        }) => show_frames(path, args),
        Err(error) => Err(error.into()),
    }
}

/// Why a ring may be missing.
const GONE: &str = "a ring is made by `hitgate feed`, and removed when that ends: the books of a run are in what it said last";

/// Rings have no ending, as files of frames have.
fn may_have_been_a_ring(path: &Path) -> bool {
    path.extension().is_none() && !path.as_os_str().as_encoded_bytes().contains(&b':')
}

fn open_ring(path: &Path) -> Result<Ring> {
    Ring::open(path).map_err(|error| match error {
        HostError::Missing { path } => anyhow!("{}: no such ring; {GONE}", path.display()),
        error => error.into(),
    })
}

/// The first bytes of a file, fewer where it is shorter.
fn start_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(format::MAGIC.len() as u64)
        .read_to_end(&mut start)?;
    Ok(start)
}

fn levels() {
    let here: Vec<_> = Level::all_available().map(Level::name).collect();
    say!(
        "levels     {} (of {})",
        here.join(", "),
        Level::NAMES.join(", ")
    );
}

fn show_model(bytes: &[u8], path: Option<&Path>) -> Result<()> {
    let model = model::parse(bytes, path)?;
    let input = model.input();
    let name = path.map_or("built in".into(), |path| path.display().to_string());
    say!(
        "model      {name}, {}, crc {:08x}",
        report::bytes(bytes.len() as u64),
        crc32fast::hash(bytes)
    );
    say!(
        "input      {0} x {0} x {1}, {2}, window to {3:.1} Å",
        input.size,
        input.channels,
        report::reduction(input.reduce),
        input.d_water
    );
    say!(
        "network    {:.1} million multiply-adds",
        model.multiply_adds() as f64 / 1e6
    );
    say!("threshold  {:.4}", report::probability(model.threshold()));
    if model.operating_points().next().is_some() {
        say!(
            "points     where t was set, by the maps of validation (`hitgate import --validation`); other sets have others"
        );
    }
    let width = model.operating_points().map(|point| point.name.len()).max();
    let width = width.unwrap_or_default();
    for point in model.operating_points() {
        let ((kept, hits), (dropped, misses)) = (point.hits_kept, point.misses_dropped);
        say!(
            "  {:<width$} t {:.4}  hits kept {kept}/{hits} (at least {:.4}, 95 %)  misses dropped {dropped}/{misses}",
            point.name,
            report::probability(point.threshold),
            point.recall_bound,
        );
    }
    let inexact = inexact_levels(&model)?;
    match inexact.as_str() {
        "" => say!("golden     exact on every level of this machine"),
        levels => say!("golden     ✗ NOT EXACT on {levels}: do not use this model there"),
    }
    let provenance = model.provenance();
    say!(
        "from       seed {}, {}",
        provenance.seed,
        provenance.text.trim()
    );
    if !inexact.is_empty() {
        bail!(
            "the golden vector is not reproduced on {inexact}: where other levels of this machine do, it is the CPU that is wrong, else the file"
        );
    }
    Ok(())
}

/// The levels of this machine that do not give the golden vector's exact answer.
fn inexact_levels(model: &Model<'_>) -> Result<String> {
    let mut inexact = Vec::new();
    for level in Level::all_available() {
        if !model::is_exact(model, level)? {
            inexact.push(level.name());
        }
    }
    Ok(inexact.join(", "))
}

fn show_ring(ring: &Ring, json: bool) -> Result<()> {
    let state = RingState::of(ring)?;
    match json {
        true => say!("{}", state.json()),
        false => say_on!("{}", state.text()),
    }
    match state.problem() {
        None => Ok(()),
        Some(problem) => bail!("the books of this ring do not balance: {problem}"),
    }
}

fn show_slots(path: &Path) -> Result<()> {
    let slots = SlotsFile::open(path)?;
    say!("slots      {} kept frames", slots.len());
    for (number, module) in Description::read(path)?.modules.iter().enumerate() {
        say!(
            "module {number:<3} {} x {} pixels, {}, {}, geometry {}",
            module.columns,
            module.rows,
            module.pixel_type,
            module.about.detector.as_deref().unwrap_or("not named"),
            match module.about.geometry() {
                Some(_) => "known",
                None => "none",
            }
        );
    }
    Ok(())
}

fn show_maps(path: &Path) -> Result<()> {
    let maps = MapsFile::open(path)?;
    let input = maps.input;
    say!("maps       {} dropped frames", maps.len());
    say!(
        "input      {0} x {0} x {1}, {2}, window to {3:.1} Å",
        input.size,
        input.channels,
        report::reduction(input.reduce),
        input.d_water
    );
    Ok(())
}

/// What the mask of the file, the one given and the values without a measurement take of its first frame, `image`.
fn show_excluded(file: &FrameFile, image: Image, given: Option<&GivenMask>) -> Result<()> {
    let metadata = file.metadata();
    let (columns, rows) = (image.columns, image.rows);
    let all = u64::from(columns) * u64::from(rows);
    let pixels = |mask: &Mask| {
        let excluded = mask.count() as u64;
        format!("{excluded} pixels ({})", percent(excluded, all))
    };
    let mut excluded = Mask::none(columns, rows);
    match &metadata.mask {
        None => say!("mask       none"),
        Some(own) => {
            say!("mask       {}", pixels(own));
            excluded.add(own);
        }
    }
    if let Some(given) = given {
        let mask = given.of_file(file, columns, rows)?;
        say!("--mask     {}", pixels(&mask));
        excluded.add(&mask);
    }
    if !metadata.mask_values.is_empty() {
        let values: Vec<_> = metadata.mask_values.iter().map(i64::to_string).collect();
        let without =
            Mask::none(columns, rows).with_values(&image.into_integer(), &metadata.mask_values);
        say!(
            "values     {} without a measurement, of value {}",
            pixels(&without),
            values.join(" or ")
        );
        excluded.add(&without);
    }
    say!(
        "excluded   {} of {all} in the first frame",
        pixels(&excluded)
    );
    Ok(())
}

fn show_frames(path: &Path, args: &InspectArgs) -> Result<()> {
    let given = args.mask.as_deref().map(GivenMask::read).transpose()?;
    let mut file = match &args.geometry {
        None => FrameFile::open(path)?,
        Some(geometry) => FrameFile::open_placed(path, &GeometryFile::read(geometry)?)?,
    };
    let reach = args
        .geometry
        .as_ref()
        .and_then(|of| little_reach(of, &file));
    for doubt in reach
        .into_iter()
        .chain(given.as_ref().and_then(GivenMask::doubt))
    {
        tell!("hitgate: {doubt}");
    }
    let frames = match file.frames() {
        1 => "1 frame".to_string(),
        n => format!("{n} frames"),
    };
    say!("file       {}, {frames}", file.kind());
    let image = file.read(0)?;
    let element = image
        .pixels
        .pixel_type()
        .map_or("f32", crate::module::pixel_type_name);
    say!(
        "frame      {} x {} pixels, {element}",
        image.columns,
        image.rows
    );
    if let Some(placement) = file.placement() {
        let [columns, rows] = placement.data;
        say!(
            "assembled  of {} panels in {columns} x {rows} pixels, moved by whole pixels: corners up to {:.2} pixels off",
            placement.panels(),
            placement.error_px
        );
    }
    let metadata = file.metadata();
    say!(
        "detector   {}",
        metadata.detector.as_deref().unwrap_or("not named")
    );
    match &metadata.geometry {
        None => {
            say!("geometry   none: the whole frame is looked at (give NAME.json, or flags)")
        }
        Some(g) => say!(
            "geometry   wavelength {:.4} Å, distance {:.2} mm, beam at ({:.2}, {:.2}), pixel {:.4} mm",
            g.wavelength_a,
            g.distance_mm,
            g.beam_center_px[0],
            g.beam_center_px[1],
            g.pixel_mm
        ),
    }
    let model = model::parse(model::EMBEDDED, None)?;
    let input = model::input(&model);
    let (window, placed) = window(
        metadata.geometry.as_ref(),
        image.columns,
        image.rows,
        input.d_water,
        input.size,
    );
    say!(
        "window     {0} x {0} pixels from ({1}, {2}), blocks of {3} x {3}{4}",
        window.side(),
        window.left,
        window.top,
        window.block,
        match &metadata.geometry {
            _ if placed.is_some() => "",
            None => ": the whole frame, for want of a geometry",
            Some(g) if !g.is_on_panel(image.columns, image.rows) =>
                ": the whole frame, as the beam does not meet it",
            Some(_) => ": the whole frame, as no water ring meets its plane at this geometry",
        }
    );
    show_excluded(&file, image, given.as_ref())?;
    if let Some(saturation) = metadata.saturation {
        say!("saturation {saturation}");
    }
    Ok(())
}
