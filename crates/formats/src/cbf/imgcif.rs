//! Full imgCIF headers: the detector as a chain of axes (International Tables G, 3.7).
//!
//! Each axis turns or moves whatever depends on it. Walked from the pixels to the laboratory, the
//! chain gives the plane of the panel; where the direct beam crosses it is the beam centre, and how
//! far the beam flies until there is the distance.

use std::collections::HashMap;

use crate::sidecar::Sidecar;

/// What the header's categories say; what they do not say stays empty.
pub(super) fn parse(header: &str) -> Sidecar {
    let cif = Cif::parse(header);
    let first = |tag: &str| {
        cif.column(tag)
            .first()
            .and_then(|value| value.parse::<f64>().ok())
    };
    let mut found = Sidecar {
        wavelength_a: first("_diffrn_radiation_wavelength.wavelength").filter(|x| *x > 0.0),
        saturation: first("_array_intensities.overload")
            .filter(|x| *x > 0.0)
            .map(|x| x as u32),
        gain: first("_array_intensities.gain").filter(|x| *x > 0.0),
        ..Sidecar::default()
    };
    if let Some(panel) = Panel::from_axes(&cif)
        && let Some((center, distance)) = panel.meet(source(&cif))
    {
        found.beam_center_px = Some(center);
        found.distance_mm = Some(distance);
        found.pixel_mm = Some(panel.pixel_mm);
    }
    found
}

/// The tables of a CIF file: tag to the column of its values.
struct Cif<'a>(HashMap<&'a str, Vec<&'a str>>);

impl<'a> Cif<'a> {
    fn parse(text: &'a str) -> Cif<'a> {
        let mut columns: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut tags: Vec<&str> = Vec::new();
        let (mut looping, mut values) = (false, 0);
        for word in words(text) {
            if word.starts_with('_') {
                // A tag after values starts the next table, or the next single item.
                if values > 0 || !looping {
                    looping &= values == 0;
                    tags.clear();
                    values = 0;
                }
                tags.push(word);
            } else if word == "loop_" || word.starts_with("data_") {
                looping = word == "loop_";
                tags.clear();
                values = 0;
            } else if let Some(tag) = (!tags.is_empty()).then(|| tags[values % tags.len()]) {
                columns.entry(tag).or_default().push(word);
                values += 1;
            }
        }
        Cif(columns)
    }

    fn column(&self, tag: &str) -> &[&'a str] {
        self.0.get(tag).map_or(&[], Vec::as_slice)
    }

    /// The value of `tag` in the row where `key` is `name`.
    fn value(&self, key: &str, name: &str, tag: &str) -> Option<&'a str> {
        let row = self.column(key).iter().position(|&value| value == name)?;
        self.column(tag).get(row).copied()
    }

    fn number(&self, key: &str, name: &str, tag: &str) -> Option<f64> {
        self.value(key, name, tag)?
            .parse()
            .ok()
            .filter(|x: &f64| x.is_finite())
    }
}

/// Words of a CIF text: quoted ones whole, comments and the `;` of text blocks left out, so that
/// the items that a beamline adds inside a block are read as well.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| line.trim() != ";")
        .flat_map(|mut line| {
            std::iter::from_fn(move || {
                line = line.trim_start();
                let first = line.chars().next().filter(|&c| c != '#')?;
                let (word, rest) = match first {
                    '"' | '\'' => line[1..].split_once(first).unwrap_or((&line[1..], "")),
                    _ => line.split_at(line.find(char::is_whitespace).unwrap_or(line.len())),
                };
                line = rest;
                Some(word)
            })
        })
}

type Vector = [f64; 3];

fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: Vector, b: Vector) -> Vector {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

fn scaled(a: Vector, by: f64) -> Vector {
    a.map(|x| x * by)
}

fn plus(a: Vector, b: Vector) -> Vector {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

fn unit(a: Vector) -> Option<Vector> {
    let length = dot(a, a).sqrt();
    (length > 1e-9 && length.is_finite()).then(|| scaled(a, 1.0 / length))
}

/// `a` turned by `degrees` about the unit vector `axis` (Rodrigues' formula).
fn turned(a: Vector, axis: Vector, degrees: f64) -> Vector {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let along = scaled(axis, dot(axis, a) * (1.0 - cos));
    plus(plus(scaled(a, cos), scaled(cross(axis, a), sin)), along)
}

/// The beam's direction: away from the source, which the standard puts on +z.
fn source(cif: &Cif) -> Vector {
    let ids = cif.column("_axis.id");
    let named = cif
        .column("_axis.equipment")
        .iter()
        .position(|&value| value == "source");
    let axis = named
        .and_then(|row| ids.get(row))
        .and_then(|id| Axis::named(cif, id));
    scaled(axis.map_or([0.0, 0.0, 1.0], |axis| axis.vector), -1.0)
}

/// One row of the `_axis` category, with its setting in this frame.
struct Axis<'a> {
    rotation: bool,
    vector: Vector,
    offset: Vector,
    setting: f64,
    depends_on: Option<&'a str>,
}

impl<'a> Axis<'a> {
    fn named(cif: &Cif<'a>, id: &str) -> Option<Axis<'a>> {
        let text = |tag| cif.value("_axis.id", id, tag);
        let numbers = |tags: [&str; 3]| tags.map(|tag| cif.number("_axis.id", id, tag));
        let [x, y, z] = numbers(["_axis.vector[1]", "_axis.vector[2]", "_axis.vector[3]"]);
        let offset = numbers(["_axis.offset[1]", "_axis.offset[2]", "_axis.offset[3]"]);
        let rotation = text("_axis.type")? == "rotation";
        let setting = |category: &str, angle: &str, displacement: &str| {
            let tag = if rotation { angle } else { displacement };
            cif.number(
                &format!("{category}.axis_id"),
                id,
                &format!("{category}.{tag}"),
            )
        };
        Some(Axis {
            rotation,
            vector: unit([x?, y?, z?])?,
            offset: offset.map(|value| value.unwrap_or(0.0)),
            setting: setting("_diffrn_scan_frame_axis", "angle", "displacement")
                .or_else(|| setting("_diffrn_scan_axis", "angle_start", "displacement_start"))
                .unwrap_or(0.0),
            depends_on: text("_axis.depends_on").filter(|&id| id != "."),
        })
    }
}

/// The plane of the pixels in the laboratory, in millimetres.
struct Panel {
    /// The outer corner of the first pixel.
    origin: Vector,
    fast: Vector,
    slow: Vector,
    pixel_mm: f64,
}

impl Panel {
    fn from_axes(cif: &Cif) -> Option<Panel> {
        // Precedence 1 is the direction in which the index runs fastest.
        let axis_of = |precedence| {
            let set = cif.value(
                "_array_structure_list.precedence",
                precedence,
                "_array_structure_list.axis_set_id",
            )?;
            cif.value(
                "_array_structure_list_axis.axis_set_id",
                set,
                "_array_structure_list_axis.axis_id",
            )
        };
        let (fast_id, slow_id) = (axis_of("1")?, axis_of("2")?);
        let step = |id| {
            cif.number(
                "_array_structure_list_axis.axis_id",
                id,
                "_array_structure_list_axis.displacement_increment",
            )
        };
        let [pixel_mm, slow_mm] = [step(fast_id)?, step(slow_id)?].map(f64::abs);
        // Only square pixels: a few parts in a thousand are rounding in a header.
        if pixel_mm < 1e-6 || (pixel_mm - slow_mm).abs() > 5e-3 * pixel_mm {
            return None;
        }
        let innermost = if depends(cif, fast_id, slow_id) {
            fast_id
        } else {
            slow_id
        };
        let fast = unit(scaled(direction(cif, fast_id)?, step(fast_id)?))?;
        let slow = unit(scaled(direction(cif, slow_id)?, step(slow_id)?))?;
        Some(Panel {
            origin: position(cif, innermost)?,
            fast,
            slow,
            pixel_mm,
        })
    }

    /// Where a ray from the sample meets the panel, in pixels, and after how many millimetres.
    fn meet(&self, beam: Vector) -> Option<([f64; 2], f64)> {
        let normal = unit(cross(self.fast, self.slow))?;
        let distance = dot(self.origin, normal) / dot(beam, normal);
        if !(distance.is_finite() && distance > 0.0) {
            return None;
        }
        let across = plus(scaled(beam, distance), scaled(self.origin, -1.0));
        let center = [self.fast, self.slow].map(|axis| dot(across, axis) / self.pixel_mm);
        Some((center, distance))
    }
}

/// Axes from `id` to the laboratory. A chain longer than the table goes round in a circle.
fn chain<'a>(cif: &Cif<'a>, id: &str) -> Option<Vec<Axis<'a>>> {
    let mut axes = vec![Axis::named(cif, id)?];
    while let Some(next) = axes.last()?.depends_on {
        if axes.len() > cif.column("_axis.id").len() {
            return None;
        }
        axes.push(Axis::named(cif, next)?);
    }
    Some(axes)
}

fn depends(cif: &Cif, id: &str, on: &str) -> bool {
    chain(cif, id).is_some_and(|axes| axes.iter().any(|axis| axis.depends_on == Some(on)))
}

/// The vector of axis `id`, turned by every rotation that it depends on.
fn direction(cif: &Cif, id: &str) -> Option<Vector> {
    let axes = chain(cif, id)?;
    let start = axes.first()?.vector;
    let turning = axes.iter().skip(1).filter(|axis| axis.rotation);
    Some(turning.fold(start, |vector, axis| {
        turned(vector, axis.vector, axis.setting)
    }))
}

/// Where the first pixel is.
fn position(cif: &Cif, id: &str) -> Option<Vector> {
    Some(chain(cif, id)?.iter().fold([0.0; 3], |point, axis| {
        let moved = if axis.rotation {
            turned(point, axis.vector, axis.setting)
        } else {
            plus(point, scaled(axis.vector, axis.setting))
        };
        plus(moved, axis.offset)
    }))
}
