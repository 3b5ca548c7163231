//! What NeXus files say beside their images.

use hdf5_reader::{Dataset, Datatype, Hdf5File};

use crate::geometry::HC_EV_A;
use crate::pilatus;
use crate::sidecar::Sidecar;

const DETECTORS: &[&str] = &[
    "/entry/instrument/detector",
    "/entry_1/instrument_1/detector_1",
    "/entry/instrument/eiger",
];
const BEAMS: &[&str] = &[
    "/entry/instrument/beam",
    "/entry/sample/beam",
    "/entry/instrument/monochromator",
    "/entry_1/instrument_1/source_1",
];
/// No pixel is a millimetre wide: a size from here on is in millimetres, whatever NeXus asks for.
const WIDEST_PIXEL_M: f64 = 1e-3;

/// Geometry, saturation and name of the detector, as far as they are there.
///
/// Lengths are in metres where no unit is given, as DECTRIS writes them; but where the pixel size
/// is given without a unit and would be a millimetre or more in metres, the lengths of the group
/// without a unit are millimetres, the beam centre among them, as some areaDetector stations write
/// them. Otherwise a beam centre without a unit of length is in pixels.
pub(super) fn describe(file: &Hdf5File) -> Sidecar {
    let detector = DETECTORS
        .iter()
        .find(|group| file.group(group).is_ok())
        .unwrap_or(&DETECTORS[0]);
    let field = |name: &str| Quantity::read(file, &format!("{detector}/{name}"));
    let specific = |name: &str| field(name).or_else(|| field(&format!("detectorSpecific/{name}")));

    let pixel = field("x_pixel_size");
    let millimetres = pixel
        .as_ref()
        .is_some_and(|pixel| pixel.unit.is_none() && pixel.value >= WIDEST_PIXEL_M);
    let implied = if millimetres { 1.0 } else { 1e3 };
    let length = |quantity: Quantity| {
        Some(quantity.value * quantity.to_mm().unwrap_or(implied)).filter(|x| *x > 0.0)
    };
    let pixel_mm = pixel.and_then(length);
    let center = |name: &str| {
        let quantity = field(name)?;
        match quantity.to_mm().or(millimetres.then_some(1.0)) {
            Some(to_mm) => Some(quantity.value * to_mm / pixel_mm?),
            None => Some(quantity.value),
        }
    };
    Sidecar {
        detector: text(file, &format!("{detector}/description"))
            .or_else(|| text(file, "/entry/data/description")),
        wavelength_a: wavelength(file).or_else(|| energy(specific("photon_energy")?)),
        distance_mm: field("detector_distance")
            .or_else(|| field("distance"))
            .and_then(length),
        beam_center_px: pilatus::center(center("beam_center_x"), center("beam_center_y")),
        pixel_mm,
        saturation: field("saturation_value")
            .or_else(|| specific("countrate_correction_count_cutoff"))
            .filter(|counts| counts.value > 0.0)
            .map(|counts| counts.value as u32),
        ..Sidecar::default()
    }
}

/// The mask of the images at `data`: the detector's `pixel_mask`, or `mask` beside them.
pub(super) fn mask(file: &Hdf5File, data: &str) -> Option<Dataset> {
    let beside = data
        .rsplit_once('/')
        .map(|(group, _)| format!("{group}/mask"));
    DETECTORS
        .iter()
        .flat_map(|group| {
            ["pixel_mask", "detectorSpecific/pixel_mask"].map(|name| format!("{group}/{name}"))
        })
        .chain(beside)
        .find_map(|name| file.dataset(&name).ok())
}

fn wavelength(file: &Hdf5File) -> Option<f64> {
    BEAMS.iter().find_map(|group| {
        let read = |name: &str| Quantity::read(file, &format!("{group}/{name}"));
        let length = read("incident_wavelength").or_else(|| read("wavelength"));
        let angstrom =
            length.map(|length| length.value * length.to_mm().map_or(1.0, |to_mm| to_mm * 1e7));
        angstrom
            .filter(|x| *x > 0.0)
            .or_else(|| energy(read("incident_energy").or_else(|| read("energy"))?))
    })
}

/// The wavelength of photons of this energy, in electronvolt where no unit is given.
fn energy(energy: Quantity) -> Option<f64> {
    let electronvolt = match energy.unit.as_deref() {
        Some("keV") => energy.value * 1e3,
        Some("J") => energy.value / 1.602_176_634e-19,
        _ => energy.value,
    };
    (electronvolt > 0.0).then(|| HC_EV_A / electronvolt)
}

/// A number with its unit, where it has one.
struct Quantity {
    value: f64,
    unit: Option<String>,
}

impl Quantity {
    fn read(file: &Hdf5File, path: &str) -> Option<Quantity> {
        let value = number_at(file, path)?;
        let dataset = file.dataset(path).ok()?;
        let unit = dataset
            .attribute("units")
            .and_then(|unit| unit.read_string())
            .ok();
        let unit = unit
            .map(|unit| unit.trim().to_owned())
            .filter(|unit| !unit.is_empty());
        Some(Quantity { value, unit })
    }

    /// Millimetres in the unit, where it is a length.
    fn to_mm(&self) -> Option<f64> {
        match self.unit.as_deref()? {
            "m" | "metre" | "meter" => Some(1e3),
            "cm" => Some(10.0),
            "mm" | "millimeter" | "millimetre" => Some(1.0),
            "um" | "µm" | "micron" => Some(1e-3),
            "nm" => Some(1e-6),
            "A" | "Å" | "angstrom" | "Angstrom" | "Angstroms" | "angstroms" => Some(1e-7),
            _ => None,
        }
    }
}

/// The first value of a small dataset.
fn number(dataset: &Dataset) -> Option<f64> {
    numbers(dataset)?.first().copied()
}

/// The first value of the small dataset of this name, where it is a finite number.
pub(super) fn number_at(file: &Hdf5File, path: &str) -> Option<f64> {
    number(&file.dataset(path).ok()?).filter(|value| value.is_finite())
}

/// The values of a small dataset of any numeric type: a number a frame, not frames.
pub(super) fn numbers(dataset: &Dataset) -> Option<Vec<f64>> {
    const SMALL: u64 = 1 << 16;
    if dataset.num_elements().ok()? > SMALL {
        return None;
    }
    macro_rules! all {
        ($type:ty) => {{
            let values = dataset.read_array::<$type>().ok()?;
            Some(values.iter().map(|&value| value as f64).collect())
        }};
    }
    match dataset.dtype() {
        Datatype::FixedPoint {
            size: 1,
            signed: true,
            ..
        } => all!(i8),
        Datatype::FixedPoint {
            size: 2,
            signed: true,
            ..
        } => all!(i16),
        Datatype::FixedPoint {
            size: 4,
            signed: true,
            ..
        } => all!(i32),
        Datatype::FixedPoint {
            size: 8,
            signed: true,
            ..
        } => all!(i64),
        Datatype::FixedPoint { size: 1, .. } => all!(u8),
        Datatype::FixedPoint { size: 2, .. } => all!(u16),
        Datatype::FixedPoint { size: 4, .. } => all!(u32),
        Datatype::FixedPoint { size: 8, .. } => all!(u64),
        Datatype::FloatingPoint { size: 4, .. } => all!(f32),
        Datatype::FloatingPoint { size: 8, .. } => all!(f64),
        _ => None,
    }
}

pub(super) fn text(file: &Hdf5File, path: &str) -> Option<String> {
    let text = file
        .dataset(path)
        .ok()?
        .read_strings()
        .ok()?
        .into_iter()
        .next()?;
    Some(text.trim_matches(['\0', ' ']).to_owned()).filter(|text| !text.is_empty())
}
