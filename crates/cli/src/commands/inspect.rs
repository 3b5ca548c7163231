//! `hitgate inspect`: what is in a model, a ring, a frame file, this machine.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use hitgate_core::accounts::Accounts;
use hitgate_core::net::{Model, format};
use hitgate_core::prep::Reduce;
use hitgate_formats::geometry::window;
use hitgate_formats::{FrameFile, GeometryFile};
use hitgate_host::{HostError, MonotonicClock, Ring};
use hitgate_kernels::Level;
use hitgate_ring::AttachError;

use crate::description::Description;
use crate::slots_file::SlotsFile;
use crate::{model, report};

/// Show what is in a model, a ring, a file of frames, or this machine
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hitgate inspect                          # the model built in, and the CPU levels of this machine
  hitgate inspect model.hgm
  hitgate inspect /dev/shm/hitgate.ring    # also while it is in use
  hitgate inspect frame_00001.cbf.gz
  hitgate inspect run.h5 --geometry detector.geom    # the frame that its panels make
  hitgate inspect kept.slots               # what `run --keep` wrote")]
pub struct InspectArgs {
    /// A model (.hgm), a ring, a file of frames, or kept slots; FILE:DATASET names a dataset in an HDF5 file
    what: Option<PathBuf>,
    /// Geometry of CrystFEL (.geom) or DIALS (.expt) that places the panels of a file of frames
    #[arg(long, value_name = "FILE", requires = "what")]
    geometry: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &InspectArgs) -> Result<()> {
    let Some(path) = &args.what else {
        levels();
        return show_model(model::EMBEDDED, None);
    };
    // Frames are the last guess, and know FILE:DATASET and what to say of a missing file.
    let Ok(start) = start_of(path) else {
        return show_frames(path, None);
    };
    if let Some(geometry) = &args.geometry {
        return show_frames(path, Some(&GeometryFile::read(geometry)?));
    }
    if start == format::MAGIC {
        return show_model(&model::bytes(Some(path))?, Some(path));
    }
    if SlotsFile::is_one(path) {
        return show_slots(path);
    }
    match Ring::open(path) {
        Ok(ring) => show_ring(&ring),
        Err(HostError::Attach {
            cause: AttachError::NotARing,
            ..
        }) => show_frames(path, None),
        Err(error) => Err(error.into()),
    }
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
        match input.reduce {
            Reduce::Maximum => "largest count of each block",
            Reduce::Mean => "mean count of each block",
            Reduce::Peaks =>
                "contrast of each block's largest sum of 3 x 3, and of what it leaves without its largest count",
        },
        input.d_water
    );
    say!(
        "network    {:.1} million multiply-adds",
        model.multiply_adds() as f64 / 1e6
    );
    say!("threshold  {:.4}", report::probability(model.threshold()));
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

fn show_ring(ring: &Ring) -> Result<()> {
    let layout = ring.layout();
    say!(
        "ring       {} slots of {}, {} records, session {:x}",
        layout.slots(),
        report::bytes(u64::from(layout.stride())),
        layout.records(),
        ring.session()
    );
    let monitor = ring.monitor()?;
    let now_ms = MonotonicClock.now_ms();
    let age = |heartbeat_ms: u32| f64::from(now_ms.wrapping_sub(heartbeat_ms)) / 1e3;
    if let Some(source) = monitor.source() {
        say!(
            "source     {:?}, last sign of life {:.1} s ago, {} frames, {} stalls, {} lost",
            source.state,
            age(source.heartbeat_ms),
            source.produced,
            source.stalls,
            source.lost_at_source
        );
    }
    if let Some(consumer) = monitor.consumer() {
        say!(
            "filter     {:?}, last sign of life {:.1} s ago, {} judged, {} slots back, {} waits for the link",
            consumer.state,
            age(consumer.heartbeat_ms),
            consumer.taken,
            consumer.returned,
            consumer.waits
        );
        say_on!(
            "{}",
            report::accounts(&Accounts::from_counters(&consumer.path))
        );
    }
    Ok(())
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

fn show_frames(path: &Path, geometry: Option<&GeometryFile>) -> Result<()> {
    let mut file = match geometry {
        None => FrameFile::open(path)?,
        Some(geometry) => FrameFile::open_placed(path, geometry)?,
    };
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
    let mask = match &metadata.mask {
        None => "none".to_string(),
        Some(mask) => format!("{} pixels", mask.count()),
    };
    let values: Vec<_> = metadata.mask_values.iter().map(i64::to_string).collect();
    match values.is_empty() {
        true => say!("mask       {mask}"),
        false => say!(
            "mask       {mask}; no measurement where the value is {}",
            values.join(" or ")
        ),
    }
    if let Some(saturation) = metadata.saturation {
        say!("saturation {saturation}");
    }
    Ok(())
}
