//! CrystFEL's geometry files: `key = value`, for all panels or as `panel/key = value` for one.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::{GeometryFile, MaskRule, Region, Tile};
use crate::Sidecar;
use crate::geometry::HC_EV_A;

/// What is said of one panel. What is said of all holds for the panels that come after it.
#[derive(Clone, Debug, Default)]
struct Panel {
    /// First and last pixel, as `min_fs`, `max_ss` and so on name them.
    bounds: HashMap<&'static str, u32>,
    corner: [Option<f64>; 2],
    fast: Option<[f64; 3]>,
    slow: Option<[f64; 3]>,
    /// In metres; `None` where it is taken from the images.
    camera_length: Option<f64>,
    /// In metres.
    offset: f64,
    /// Pixels a metre.
    resolution: Option<f64>,
    /// Which of a stack of modules it is on, and the dimension that counts them.
    module: Option<(String, u32)>,
    max_adu: Option<f64>,
    adu_per_photon: Option<f64>,
    adu_per_ev: Option<f64>,
    no_index: bool,
    edge: u32,
    mask: MaskRule,
}

/// A region that a `bad` block names, in the data or across the beam.
#[derive(Clone, Debug, Default)]
struct Bad {
    panel: Option<String>,
    bounds: HashMap<&'static str, f64>,
}

#[derive(Default)]
struct Geometry {
    of_all: Panel,
    panels: Vec<(String, Panel)>,
    bad: BTreeMap<String, Bad>,
    wavelength_a: Option<f64>,
    /// Metres along x and y.
    shift: [f64; 2],
}

const EDGES: [&str; 4] = ["min_fs", "max_fs", "min_ss", "max_ss"];
const EDGES_XY: [&str; 4] = ["min_x", "max_x", "min_y", "max_y"];

/// Reads a geometry; `folder` is where the files lie that it names. In error the line, or the
/// panel, and what is wrong.
pub(super) fn parse(text: &str, folder: &Path) -> Result<GeometryFile, String> {
    let mut geometry = Geometry::default();
    let mut lines = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split(';').next().unwrap_or_default().trim();
        let Some((key, value)) = line.split_once('=') else {
            if line.is_empty() {
                continue;
            }
            return Err(format!(
                "line {number}: `{line}` is not of the form `key = value`"
            ));
        };
        lines += 1;
        geometry
            .take(key.trim(), value.trim())
            .map_err(|what| format!("line {number}: {what}"))?;
    }
    match lines {
        0 => Err("it says nothing".into()),
        _ => geometry.finish(folder),
    }
}

impl Geometry {
    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key.split_once('/') {
            Some((block, key)) if block.starts_with("bad") => self
                .bad
                .entry(block.to_owned())
                .or_default()
                .take(key.trim(), value),
            Some((name, key)) => {
                let known = self.panels.iter().position(|(panel, _)| panel == name);
                let at = known.unwrap_or_else(|| {
                    self.panels.push((name.to_owned(), self.of_all.clone()));
                    self.panels.len() - 1
                });
                self.panels[at].1.take(key.trim(), value)
            }
            None => match key {
                "photon_energy" => {
                    self.wavelength_a =
                        quantity(value, "photon energy", ENERGIES)?.map(|ev| HC_EV_A / ev);
                    Ok(())
                }
                "electron_voltage" => Err("electrons are no X-rays".into()),
                "wavelength" => {
                    self.wavelength_a = quantity(value, "wavelength", WAVELENGTHS)?;
                    Ok(())
                }
                "detector_shift_x" | "detector_shift_y" => {
                    let shift = quantity(value, "shift", LENGTHS)?;
                    self.shift[usize::from(key.ends_with('y'))] = shift.ok_or_else(|| {
                        format!("{key} is taken from the images; give it as a length")
                    })?;
                    Ok(())
                }
                _ => self.of_all.take(key, value),
            },
        }
    }

    fn finish(self, folder: &Path) -> Result<GeometryFile, String> {
        let mut tiles = Vec::new();
        // Modules are one under another, each as high as the lowest panel on any of them.
        let ends = self
            .panels
            .iter()
            .filter_map(|(_, panel)| panel.bounds.get("max_ss"));
        let height = ends.max().map_or(0, |last| last.saturating_add(1));
        for (name, panel) in &self.panels {
            let tile = panel.tile(name, height, self.shift);
            tiles.push(tile.map_err(|what| format!("panel {name}: {what}"))?);
        }
        let mut bad_xy = Vec::new();
        for (name, bad) in &self.bad {
            match bad.region().map_err(|what| format!("{name}: {what}"))? {
                (region, true) => bad_xy.push(region),
                (region, false) => {
                    let meant = |tile: &&mut Tile| {
                        bad.panel.as_ref().is_none_or(|panel| *panel == tile.name)
                    };
                    let mut meant = tiles.iter_mut().filter(meant).peekable();
                    if meant.peek().is_none() {
                        return Err(format!("{name}: it is on no panel that there is"));
                    }
                    for tile in meant {
                        let module = (tile.rows.start / height.max(1) * height) as f64;
                        tile.bad.push(Region {
                            x: region.x,
                            y: region.y.map(|y| y + module),
                        });
                    }
                }
            }
        }
        // What every panel says is said of the detector.
        let panels = self.panels.iter().map(|(_, panel)| panel);
        let least = |values: &mut dyn Iterator<Item = Option<f64>>| {
            values
                .collect::<Option<Vec<f64>>>()
                .and_then(|all| all.into_iter().reduce(f64::min))
        };
        let energy_ev = self.wavelength_a.map(|a| HC_EV_A / a);
        let gain = least(&mut panels.clone().map(|panel| {
            panel
                .adu_per_photon
                .or_else(|| Some(panel.adu_per_ev? * energy_ev?))
        }));
        let max_adu = least(&mut panels.clone().map(|panel| panel.max_adu));
        let about = Sidecar {
            wavelength_a: self.wavelength_a,
            gain,
            saturation: max_adu
                .filter(|max| (1.0..=f64::from(u32::MAX)).contains(max))
                .map(|max| max as u32),
            ..Sidecar::default()
        };
        let rules: Vec<&MaskRule> = panels.map(|panel| &panel.mask).collect();
        let mask = match rules.first() {
            Some(rule) if rules.iter().any(|other| other != rule) => {
                return Err("its panels have different masks; give one of all with --mask".into());
            }
            // A dataset of each panel's own, `%`, is none of all.
            Some(rule) if !rule.dataset.is_empty() && !rule.dataset.contains('%') => {
                Some(MaskRule {
                    file: rule.file.as_ref().map(|file| folder.join(file)),
                    ..(*rule).clone()
                })
            }
            _ => None,
        };
        GeometryFile::new(about, tiles, &bad_xy, mask)
    }
}

impl Panel {
    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        let edge = EDGES.into_iter().find(|edge| *edge == key);
        if let Some(edge) = edge {
            self.bounds.insert(edge, number(key, value)?);
            return Ok(());
        }
        match key {
            "corner_x" => self.corner[0] = Some(number(key, value)?),
            "corner_y" => self.corner[1] = Some(number(key, value)?),
            "fs" => self.fast = Some(direction(value)?),
            "ss" => self.slow = Some(direction(value)?),
            "clen" => self.camera_length = quantity(value, "camera length", LENGTHS)?,
            "coffset" => self.offset = number(key, value)?,
            "res" => self.resolution = Some(number(key, value)?),
            "max_adu" => self.max_adu = Some(number(key, value)?),
            "adu_per_photon" => self.adu_per_photon = Some(number(key, value)?),
            "adu_per_eV" => self.adu_per_ev = Some(number(key, value)?),
            "no_index" => self.no_index = number::<u32>(key, value)? != 0,
            "mask_edge_pixels" => self.edge = number(key, value)?,
            "mask" | "mask0_data" => self.mask.dataset = value.into(),
            "mask_file" | "mask0_file" => self.mask.file = Some(value.into()),
            "mask_good" | "mask0_goodbits" => self.mask.good = bits(value)?,
            "mask_bad" | "mask0_badbits" => self.mask.bad = bits(value)?,
            _ if key.starts_with("dim") => {
                // `%` is the frame, and a number is the module that the panel is on.
                if let Ok(module) = value.parse() {
                    let other = self
                        .module
                        .as_ref()
                        .filter(|(dimension, _)| dimension != key);
                    if let Some((dimension, _)) = other {
                        return Err(format!(
                            "{key} is fixed as {dimension} is, and modules are counted by one"
                        ));
                    }
                    self.module = Some((key.to_owned(), module));
                } else if !matches!(value, "%" | "ss" | "fs") {
                    return Err(format!(
                        "{key} is `{value}`, none of %, ss, fs and a number"
                    ));
                }
            }
            // Everything else is for indexing and integration.
            _ => {}
        }
        Ok(())
    }

    /// The panel, in data whose modules have so many rows.
    fn tile(&self, name: &str, height: u32, shift: [f64; 2]) -> Result<Tile, String> {
        let edge = |edge| {
            self.bounds
                .get(edge)
                .copied()
                .ok_or(format!("{edge} is missing"))
        };
        let [min_fs, max_fs, min_ss, max_ss] = EDGES.map(edge);
        let (min_fs, max_fs, min_ss, max_ss) = (min_fs?, max_fs?, min_ss?, max_ss?);
        let fits = |min, max| min <= max && max < 1 << 24;
        if !fits(min_fs, max_fs) || !fits(min_ss, max_ss) {
            return Err(format!(
                "fs {min_fs} to {max_fs} and ss {min_ss} to {max_ss} are no pixels"
            ));
        }
        let resolution = self.resolution.filter(|res| *res > 0.0);
        let resolution = resolution.ok_or("res, pixels a metre, is missing or not positive")?;
        let corner = |axis: usize, key: &str| {
            let corner = self.corner[axis].ok_or_else(|| format!("{key} is missing"))?;
            Ok::<_, String>(corner + shift[axis] * resolution)
        };
        let module = self.module.as_ref().map_or(0, |(_, module)| *module);
        let below = u64::from(module) * u64::from(height);
        let below = u32::try_from(below).ok().filter(|below| *below < 1 << 28);
        let below = below.ok_or("its module is beyond any stack")?;
        let whole = [f64::NEG_INFINITY, f64::INFINITY];
        let mut bad = Vec::new();
        if self.no_index {
            bad.push(Region { x: whole, y: whole });
        }
        if self.edge > 0 {
            let edge = f64::from(self.edge);
            let sides = |from: u32, to: u32| {
                let (from, below) = (f64::from(from), f64::from(to) + 1.0);
                [[from, from + edge], [below - edge, below]]
            };
            bad.extend(sides(min_fs, max_fs).map(|x| Region { x, y: whole }));
            let rows = sides(min_ss + below, max_ss + below);
            bad.extend(rows.map(|y| Region { x: whole, y }));
        }
        Ok(Tile {
            name: name.to_owned(),
            columns: min_fs..max_fs + 1,
            rows: min_ss + below..max_ss + below + 1,
            corner: [corner(0, "corner_x")?, corner(1, "corner_y")?],
            // CrystFEL's own defaults.
            fast: self.fast.unwrap_or([1.0, 0.0, 0.0]),
            slow: self.slow.unwrap_or([0.0, 1.0, 0.0]),
            pixel_mm: 1e3 / resolution,
            distance_mm: self
                .camera_length
                .map(|length| 1e3 * (length + self.offset)),
            bad,
        })
    }
}

impl Bad {
    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        let edge = EDGES.into_iter().chain(EDGES_XY).find(|edge| *edge == key);
        match (edge, key) {
            (Some(edge), _) => {
                self.bounds.insert(edge, number(key, value)?);
            }
            (None, "panel") => self.panel = Some(value.to_owned()),
            (None, "is_fsss") => {}
            (None, _) => return Err(format!("`{key}` is nothing that a bad region has")),
        }
        Ok(())
    }

    /// The region, and whether it lies across the beam, in pixels from it.
    fn region(&self) -> Result<(Region, bool), String> {
        let of = |edges: [&str; 4]| {
            let [a, b, c, d] = edges.map(|edge| self.bounds.get(edge).copied());
            Some([a?, b?, c?, d?])
        };
        // Pixels are counted to the last, places across the beam are continuous.
        match (of(EDGES), of(EDGES_XY)) {
            (Some([x0, x1, y0, y1]), None) => Ok((
                Region {
                    x: [x0, x1 + 1.0],
                    y: [y0, y1 + 1.0],
                },
                false,
            )),
            (None, Some([x0, x1, y0, y1])) => Ok((
                Region {
                    x: [x0, x1],
                    y: [y0, y1],
                },
                true,
            )),
            _ => Err(format!(
                "it needs {}, or {}",
                EDGES.join(", "),
                EDGES_XY.join(", ")
            )),
        }
    }
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("{key} is `{value}`, no such number"))
}

/// Bits in hexadecimal, or as a number.
fn bits(value: &str) -> Result<u32, String> {
    let bits = match value.strip_prefix("0x").or(value.strip_prefix("0X")) {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
        None => value.parse().ok(),
    };
    bits.ok_or_else(|| format!("`{value}` are no bits, as 0xfeff is"))
}

/// A unit's names and its size; the first is meant where none is given.
type Units = &'static [(&'static str, f64)];
const LENGTHS: Units = &[("m", 1.0), ("mm", 1e-3), ("cm", 1e-2), ("um", 1e-6)];
const ENERGIES: Units = &[("eV", 1.0), ("keV", 1e3), ("MeV", 1e6)];
/// In ångström; a wavelength without a unit is in metres, as lengths are.
const WAVELENGTHS: Units = &[("m", 1e10), ("A", 1.0), ("nm", 10.0)];

/// A number with its unit; `None` of a path in the images.
fn quantity(value: &str, what: &str, units: Units) -> Result<Option<f64>, String> {
    let mut words = value.split_whitespace();
    let first = words.next().unwrap_or_default();
    let Ok(number) = first.parse::<f64>() else {
        return match first.starts_with('/') || first.contains('/') {
            true => Ok(None),
            false => Err(format!(
                "the {what} is `{value}`, neither a number nor a path in the images"
            )),
        };
    };
    let unit = words.next().unwrap_or(units[0].0);
    match units.iter().find(|(name, _)| *name == unit) {
        Some((_, size)) if number.is_finite() => Ok(Some(number * size)),
        _ => {
            let names: Vec<_> = units.iter().map(|(name, _)| *name).collect();
            Err(format!(
                "the {what} is `{value}`, and its unit one of {}",
                names.join(", ")
            ))
        }
    }
}

/// `+0.999x -0.002y` as x, y and z.
fn direction(value: &str) -> Result<[f64; 3], String> {
    let wrong = || format!("`{value}` is no direction, as +1.0x -0.002y is");
    let mut direction = [0.0; 3];
    let text: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    let mut rest = &text[..];
    while let Some(at) = rest.find(['x', 'y', 'z']) {
        let axis = usize::from(rest.as_bytes()[at] - b'x');
        direction[axis] += match rest[..at].trim_end_matches('*') {
            "" | "+" => 1.0,
            "-" => -1.0,
            size => size.parse().map_err(|_| wrong())?,
        };
        rest = &rest[at + 1..];
    }
    match rest.is_empty() && !text.is_empty() {
        true => Ok(direction),
        false => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two modules of 4 x 3 pixels in a stack, the second upside down beside the first.
    const TWO: &str = "
; a detector of two modules
photon_energy = 9000 eV
adu_per_photon = 2.5
clen = 0.1 m
res = 10000   ; pixels a metre
max_adu = 30000
dim0 = %
dim2 = ss
dim3 = fs
coffset = 0.002
rigid_group_q0 = m0,m1
mask_bad = 0xf0

m0/dim1 = 0
m0/min_fs = 0
m0/max_fs = 3
m0/min_ss = 0
m0/max_ss = 2
m0/corner_x = -4.5
m0/corner_y = -1.25
m0/fs = +1.0x
m0/ss = y

m1/dim1 = 1
m1/min_fs = 0
m1/max_fs = 3
m1/min_ss = 0
m1/max_ss = 2
m1/corner_x = 5.5
m1/corner_y = 1.75
m1/fs = -0.9999x +0.01y
m1/ss = -0.01x -0.9999y

badpixel/panel = m1
badpixel/min_fs = 1
badpixel/max_fs = 2
badpixel/min_ss = 0
badpixel/max_ss = 0
badstop/min_x = -1.5
badstop/max_x = 0
badstop/min_y = -2
badstop/max_y = -1
";

    fn read(text: &str) -> Result<GeometryFile, String> {
        parse(text, Path::new("/folder"))
    }

    #[test]
    fn panels_of_a_stack_make_one_frame() {
        let GeometryFile {
            about,
            placement,
            mask,
        } = read(TWO).unwrap();
        assert!((about.wavelength_a.unwrap() - 1.377_602).abs() < 1e-6);
        assert!((about.distance_mm.unwrap() - 102.0).abs() < 1e-9);
        assert_eq!(about.pixel_mm, Some(0.1));
        assert_eq!((about.gain, about.saturation), (Some(2.5), Some(30_000)));
        assert_eq!(mask, None);
        assert_eq!(placement.data, [4, 6]);
        assert_eq!((placement.columns, placement.rows), (10, 3));
        assert_eq!(about.beam_center_px, Some([4.5, 1.25]));
        let data = crate::Image {
            columns: 4,
            rows: 6,
            pixels: crate::Pixels::U8((1..=24).collect()),
        };
        let frame = placement.assemble(&data);
        let expected = [
            1, 2, 3, 4, 0, 0, 24, 23, 22, 21, //
            5, 6, 7, 8, 0, 0, 20, 19, 18, 17, //
            9, 10, 11, 12, 0, 0, 16, 15, 14, 13,
        ];
        assert_eq!(frame.pixels, crate::Pixels::U8(expected.to_vec()));
        // The gap, pixels 14 and 15 of the second module, and pixel 4 at x = -1.5 to -0.5, y = -1.25.
        let mask = placement.mask(None).unwrap();
        let excluded: Vec<usize> = (0..30).filter(|&i| mask.excludes(i)).collect();
        assert_eq!(excluded, [4, 5, 14, 15, 24, 25, 27, 28]);
    }

    #[test]
    fn what_is_said_of_all_holds_for_the_panels_after_it() {
        let panel = |name: &str, x: i32| {
            format!(
                "{name}/min_fs=0\n{name}/max_fs=9\n{name}/min_ss=0\n{name}/max_ss=9\n{name}/corner_x={x}\n{name}/corner_y=0\n"
            )
        };
        let text = format!(
            "res=10000\nmax_adu=7\n{}max_adu=5\nmask_edge_pixels=1\n{}",
            panel("a", 0),
            panel("b", 20)
        );
        let geometry = read(&text).unwrap();
        assert_eq!(geometry.about.saturation, Some(5));
        assert_eq!(
            (geometry.about.distance_mm, geometry.about.wavelength_a),
            (None, None)
        );
        // 100 gap pixels of 30 x 10 and, as both panels are the same data, the edge of the second.
        assert_eq!(geometry.placement.mask(None).unwrap().count(), 100 + 36);
    }

    #[test]
    fn units_and_directions() {
        assert_eq!(quantity("9.5 keV", "", ENERGIES), Ok(Some(9500.0)));
        assert_eq!(
            quantity("/LCLS/photon_energy_eV eV", "", ENERGIES),
            Ok(None)
        );
        assert_eq!(quantity("1.2 A", "", WAVELENGTHS), Ok(Some(1.2)));
        assert_eq!(quantity("150 mm", "", LENGTHS), Ok(Some(0.15)));
        assert!(quantity("150 furlong", "", LENGTHS).is_err());
        assert!(quantity("long", "", LENGTHS).is_err());
        assert_eq!(direction("+0.5x -1e-3y+z"), Ok([0.5, -1e-3, 1.0]));
        assert_eq!(direction("-y"), Ok([0.0, -1.0, 0.0]));
        assert!(direction("1.0").is_err() && direction("").is_err() && direction("ax").is_err());
        assert_eq!((bits("0xfeff"), bits("3")), (Ok(0xfeff), Ok(3)));
    }

    #[test]
    fn a_mask_is_looked_for_beside_the_geometry() {
        let with = "mask_file = bad.h5\nmask = /data/mask\nmask_good = 0x1\n";
        let mask = read(&format!("{with}{TWO}")).unwrap().mask.unwrap();
        assert_eq!(mask.file.as_deref(), Some(Path::new("/folder/bad.h5")));
        assert_eq!(
            (&mask.dataset[..], mask.good, mask.bad),
            ("/data/mask", 1, 0xf0)
        );
        let values = crate::Image {
            columns: 4,
            rows: 1,
            pixels: crate::Pixels::U16(vec![0, 1, 0x11, 0x101]),
        };
        assert_eq!(mask.mask(&values).bits, [0b0101]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_or_panel() {
        let said = |text: &str| read(text).unwrap_err();
        let line = |from: &str, to: &str| said(&TWO.replacen(from, to, 1));
        assert!(line("clen = 0.1 m", "clen = near").contains("line 5: the camera length"));
        assert!(line("m0/max_fs = 3", "m0/max_fs = x").contains("line 17: max_fs is `x`"));
        assert!(line("m0/corner_x = -4.5\n", "").contains("panel m0: corner_x is missing"));
        assert!(line("m0/max_ss = 2\n", "").contains("panel m0: max_ss is missing"));
        assert!(line("res = 10000", "").contains("panel m0: res"));
        assert!(
            line("badpixel/panel = m1", "badpixel/panel = m7")
                .contains("badpixel: it is on no panel")
        );
        assert!(line("badpixel/max_ss = 0\n", "").contains("badpixel: it needs"));
        assert!(line("dim0 = %", "some words").contains("line 8: `some words`"));
        assert!(line("m1/dim1", "m1/coffset = 0.05\nm1/dim1").contains("distances of the panels"));
        assert!(line("m1/dim1 = 1", "m1/dim1 = 1\nm1/dim2 = 0").contains("dim2 is fixed as dim1"));
        assert!(said("").contains("says nothing"));
        assert!(said("clen = 1\n").contains("no panel"));
    }
}
