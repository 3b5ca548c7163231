//! The detector and the beam of DIALS' experiment lists.

use serde::Deserialize;
use serde_json::from_str;

use super::{GeometryFile, Region, Tile};
use crate::Sidecar;

type Vector = [f64; 3];

#[derive(Deserialize)]
struct List {
    experiment: Vec<Experiment>,
    beam: Vec<Beam>,
    detector: Vec<Detector>,
}

#[derive(Deserialize)]
struct Experiment {
    beam: usize,
    detector: usize,
}

#[derive(Deserialize)]
struct Beam {
    /// From the sample to the source.
    direction: Vector,
    /// Ångström.
    wavelength: f64,
}

#[derive(Deserialize)]
struct Detector {
    panels: Vec<Panel>,
    hierarchy: Option<Node>,
}

/// A plane: its axes and its origin, in millimetres, in the plane of its parent.
#[derive(Clone, Copy, Deserialize)]
struct Plane {
    fast_axis: Vector,
    slow_axis: Vector,
    origin: Vector,
}

/// A group of panels, or one of them by its number.
#[derive(Deserialize)]
struct Node {
    #[serde(flatten)]
    plane: Option<Plane>,
    #[serde(default)]
    children: Vec<Node>,
    panel: Option<usize>,
}

#[derive(Deserialize)]
struct Panel {
    #[serde(default)]
    name: String,
    #[serde(flatten)]
    plane: Plane,
    /// Fast and slow, as all that follow.
    image_size: [u32; 2],
    pixel_size: [f64; 2],
    #[serde(default)]
    raw_image_offset: [u32; 2],
    trusted_range: Option<[f64; 2]>,
    /// Rectangles of untrusted pixels: x and y of one corner, and of below the other.
    #[serde(default)]
    mask: Vec<[f64; 4]>,
    gain: Option<f64>,
}

/// Reads the detector and the beam of the first experiment. In error what is wrong.
///
/// Panels that are all at the same place in the data are modules of a stack, in their order.
pub(super) fn parse(text: &str) -> Result<GeometryFile, String> {
    let list: List =
        from_str(text).map_err(|e| format!("it is no experiment list of DIALS ({e})"))?;
    let first = list.experiment.first().ok_or("it has no experiment")?;
    let beam = list
        .beam
        .get(first.beam)
        .ok_or("its first experiment has no beam")?;
    let detector = list
        .detector
        .get(first.detector)
        .ok_or("its first experiment has no detector")?;
    let mut planes: Vec<Plane> = detector.panels.iter().map(|panel| panel.plane).collect();
    if let Some(root) = &detector.hierarchy {
        root.place(None, &mut planes)?;
    }
    let travel = unit(beam.direction.map(|x| -x)).ok_or("its beam has no direction")?;
    let across = axes_across(travel);
    let stacked = detector.panels.len() > 1
        && detector
            .panels
            .iter()
            .all(|panel| panel.raw_image_offset == detector.panels[0].raw_image_offset);
    let mut tiles = Vec::new();
    let mut below = 0;
    for (panel, plane) in detector.panels.iter().zip(planes) {
        let below_this = if stacked { below } else { 0 };
        tiles.push(panel.tile(plane, travel, across, below_this)?);
        below = panel.image_size[1].saturating_add(below);
    }
    let least = |values: Vec<Option<f64>>| {
        values
            .into_iter()
            .collect::<Option<Vec<f64>>>()
            .and_then(|all| all.into_iter().reduce(f64::min))
    };
    let highest = least(
        detector
            .panels
            .iter()
            .map(|panel| panel.trusted_range.map(|range| range[1]))
            .collect(),
    );
    let about = Sidecar {
        wavelength_a: Some(beam.wavelength),
        gain: least(detector.panels.iter().map(|panel| panel.gain).collect())
            .filter(|gain| *gain > 0.0),
        saturation: highest
            .filter(|max| (1.0..=f64::from(u32::MAX)).contains(max))
            .map(|max| max as u32),
        ..Sidecar::default()
    };
    GeometryFile::new(about, tiles, &[], None)
}

impl Node {
    /// Takes the panels below from the planes of their groups to the laboratory.
    fn place(&self, parent: Option<Plane>, planes: &mut [Plane]) -> Result<(), String> {
        if let Some(number) = self.panel {
            let plane = planes
                .get_mut(number)
                .ok_or_else(|| format!("there is no panel {number}"))?;
            if let Some(parent) = parent {
                *plane = plane.within(parent);
            }
            return Ok(());
        }
        let here = match (self.plane, parent) {
            (Some(plane), Some(parent)) => Some(plane.within(parent)),
            (plane, parent) => plane.or(parent),
        };
        self.children
            .iter()
            .try_for_each(|child| child.place(here, planes))
    }
}

impl Plane {
    /// This plane in the laboratory, where its parent is there.
    fn within(self, parent: Plane) -> Plane {
        let normal = cross(parent.fast_axis, parent.slow_axis);
        let turned = |[x, y, z]: Vector| {
            std::array::from_fn(|i| {
                x * parent.fast_axis[i] + y * parent.slow_axis[i] + z * normal[i]
            })
        };
        let origin: Vector = turned(self.origin);
        Plane {
            fast_axis: turned(self.fast_axis),
            slow_axis: turned(self.slow_axis),
            origin: std::array::from_fn(|i| origin[i] + parent.origin[i]),
        }
    }
}

impl Panel {
    fn tile(
        &self,
        plane: Plane,
        travel: Vector,
        across: [Vector; 2],
        below: u32,
    ) -> Result<Tile, String> {
        let [pixel, other] = self.pixel_size;
        if !(pixel > 0.0 && (pixel - other).abs() <= 1e-3 * pixel) {
            return Err(format!(
                "panel {}: pixels of {pixel} x {other} mm, and they must be square",
                self.name
            ));
        }
        let [width, height] = self.image_size;
        let [left, top] = self.raw_image_offset;
        let top = top.saturating_add(below);
        let ends = (left.checked_add(width), top.checked_add(height));
        let (Some(right), Some(bottom)) = ends else {
            return Err(format!(
                "panel {}: {width} x {height} pixels are no panel",
                self.name
            ));
        };
        let step = |axis: Vector| {
            [
                dot(axis, across[0]),
                dot(axis, across[1]),
                dot(axis, travel),
            ]
        };
        let (fast, slow) = (step(plane.fast_axis), step(plane.slow_axis));
        let origin = step(plane.origin);
        let half = [width, height].map(|side| pixel * f64::from(side) / 2.0);
        let bad = self.mask.iter().map(|&[x0, y0, x1, y1]| Region {
            x: [x0, x1].map(|x| x + f64::from(left)),
            y: [y0, y1].map(|y| y + f64::from(top)),
        });
        Ok(Tile {
            name: self.name.clone(),
            columns: left..right,
            rows: top..bottom,
            corner: [origin[0] / pixel, origin[1] / pixel],
            fast,
            slow,
            pixel_mm: pixel,
            // At its middle.
            distance_mm: Some(origin[2] + half[0] * fast[2] + half[1] * slow[2]),
            bad: bad.collect(),
        })
    }
}

fn dot(a: Vector, b: Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn cross(a: Vector, b: Vector) -> Vector {
    std::array::from_fn(|i| {
        let (j, k) = ((i + 1) % 3, (i + 2) % 3);
        a[j] * b[k] - a[k] * b[j]
    })
}

fn unit(a: Vector) -> Option<Vector> {
    let length = dot(a, a).sqrt();
    (length.is_finite() && length > 0.0).then(|| a.map(|x| x / length))
}

/// Two directions across the beam: the laboratory's x as far as it is across, and a third.
fn axes_across(travel: Vector) -> [Vector; 2] {
    let x: Vector = std::array::from_fn(|i| f64::from(u8::from(i == 0)) - travel[0] * travel[i]);
    // A beam along x has no such direction, and y is as good.
    let x = unit(x)
        .filter(|_| travel[0].abs() < 0.99)
        .unwrap_or([0.0, 1.0, 0.0]);
    // Upright for a beam along −z, whose detectors have their y downwards.
    [x, cross(x, travel).map(|y| -y)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn panel(origin: [f64; 3]) -> Value {
        json!({
            "name": "p", "type": "SENSOR_PAD", "fast_axis": [1, 0, 0], "slow_axis": [0, -1, 0], "origin": origin,
            "raw_image_offset": [0, 0], "image_size": [4, 3], "pixel_size": [0.1, 0.1],
            "trusted_range": [-1, 65000], "mask": [[1, 0, 3, 1]], "gain": 2.0, "thickness": 0.45,
        })
    }

    fn list(panels: Value) -> Value {
        json!({
            "__id__": "ExperimentList",
            "experiment": [{"beam": 1, "detector": 0, "imageset": 0}],
            "beam": [{"direction": [0, 0, 1], "wavelength": 9.0}, {"direction": [0, 0, 1], "wavelength": 1.25}],
            "detector": [{"panels": panels, "hierarchy": {
                "fast_axis": [1, 0, 0], "slow_axis": [0, 1, 0], "origin": [0, 0, 0],
                "children": [{"panel": 0}],
            }}],
        })
    }

    fn read(list: &Value) -> Result<GeometryFile, String> {
        parse(&list.to_string())
    }

    #[test]
    fn a_panel_gives_geometry_and_mask_and_stays_as_it_is() {
        let GeometryFile {
            about, placement, ..
        } = read(&list(json!([panel([-0.15, 0.12, -200.0])]))).unwrap();
        assert_eq!(
            (about.wavelength_a, about.saturation, about.gain),
            (Some(1.25), Some(65_000), Some(2.0))
        );
        assert!((about.distance_mm.unwrap() - 200.0).abs() < 1e-9);
        let [x, y] = about.beam_center_px.unwrap();
        assert!((x - 1.5).abs() < 1e-9 && (y - 1.2).abs() < 1e-9, "{x} {y}");
        let data = crate::Image {
            columns: 4,
            rows: 3,
            pixels: crate::Pixels::U8((0..12).collect()),
        };
        assert_eq!(placement.assemble(&data), data);
        let mask = placement.mask(None).unwrap();
        assert_eq!(
            (mask.count(), mask.excludes(1), mask.excludes(2)),
            (2, true, true)
        );
    }

    #[test]
    fn modules_lie_one_under_another_or_where_the_data_say() {
        let mut both = list(json!([
            panel([-0.15, 0.12, -200.0]),
            panel([0.45, 0.12, -200.0])
        ]));
        both["detector"][0]["hierarchy"] = Value::Null;
        let placement = read(&both).unwrap().placement;
        assert_eq!(
            (placement.data, placement.columns, placement.rows),
            ([4, 6], 10, 3)
        );
        both["detector"][0]["panels"][1]["raw_image_offset"] = json!([5, 0]);
        assert_eq!(read(&both).unwrap().placement.data, [9, 3]);
    }

    #[test]
    fn groups_carry_their_panels() {
        let mut grouped = list(json!([panel([-0.15, 0.12, 0.0])]));
        grouped["detector"][0]["hierarchy"]["origin"] = json!([0.2, 0.0, -150.0]);
        let about = read(&grouped).unwrap().about;
        let [x, y] = about.beam_center_px.unwrap();
        assert!((x + 0.5).abs() < 1e-9 && (y - 1.2).abs() < 1e-9, "{x} {y}");
        assert!((about.distance_mm.unwrap() - 150.0).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_is_told() {
        let said = |list: &Value| read(list).unwrap_err();
        assert!(said(&json!({"experiment": []})).contains("no experiment list"));
        let mut none = list(json!([panel([0.0, 0.0, -100.0])]));
        none["detector"][0]["panels"][0]["pixel_size"] = json!([0.1, 0.2]);
        assert!(said(&none).contains("must be square"));
        none["experiment"] = json!([]);
        assert!(said(&none).contains("no experiment"));
        assert!(said(&list(json!([]))).contains("no panel"));
    }
}
