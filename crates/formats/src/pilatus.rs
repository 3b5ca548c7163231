//! The comment lines that PILATUS and EIGER cameras write: in a miniCBF header, and in the
//! `ImageDescription` of a TIFF.

use crate::sidecar::Sidecar;

/// A negative count is no count: -1 is a gap between modules, -2 a pixel masked as bad.
pub(crate) const MASK_VALUES: [i64; 2] = [-1, -2];

/// What the lines say: `# Wavelength 0.96859 A`, `# Beam_xy (1261.61, 1306.96) pixels`, and so on.
///
/// The beam is in pixels from the outer edge of the first one.
pub(crate) fn parse(text: &str) -> Sidecar {
    let mut found = Sidecar {
        mask_values: Some(MASK_VALUES.to_vec()),
        ..Sidecar::default()
    };
    for line in text.lines() {
        let Some((key, value)) = key_and_value(line) else {
            continue;
        };
        let mut numbers = numbers(value);
        let mut positive = || numbers.next().filter(|x| *x > 0.0);
        match key {
            "Detector" => found.detector = Some(value.to_owned()),
            "Wavelength" => found.wavelength_a = positive(),
            "Detector_distance" => found.distance_mm = positive().map(millimetres),
            "Pixel_size" => found.pixel_mm = positive().map(millimetres),
            "Count_cutoff" => found.saturation = positive().map(|counts| counts as u32),
            "Beam_xy" => found.beam_center_px = center(numbers.next(), numbers.next()),
            _ => {}
        }
    }
    found
}

/// A beam centre, but for `(0, 0)`: that is what a camera writes that was told none.
pub(crate) fn center(x: Option<f64>, y: Option<f64>) -> Option<[f64; 2]> {
    let center = [x?, y?];
    (center != [0.0, 0.0]).then_some(center)
}

fn millimetres(metres: f64) -> f64 {
    // Headers give whole micrometres and tens of them; this keeps 172e-6 m at 0.172 mm.
    (metres * 1e9).round() / 1e6
}

fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let line = line.trim().strip_prefix('#')?.trim_start();
    let end = line
        .find(|c: char| c.is_whitespace() || c == ':' || c == '=')
        .unwrap_or(line.len());
    let (key, value) = line.split_at(end);
    Some((
        key,
        value.trim_start_matches([':', '=', ' ', '\t']).trim_end(),
    ))
}

/// The numbers of a line, whatever brackets, commas and units stand around them.
fn numbers(text: &str) -> impl Iterator<Item = f64> {
    text.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ','))
        .filter_map(|word| word.parse().ok())
        .filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lines_of_a_camera() {
        let found = parse(
            "# Detector: PILATUS3 6M, S/N 60-0119\r\n# Pixel_size 172e-6 m x 172e-6 m\r\n\
             # Count_cutoff 115897 counts\r\n# Wavelength 0.96859 A\r\n\
             # Detector_distance 0.35100 m\r\n# Beam_xy (1261.61, 1306.96) pixels\r\n",
        );
        assert_eq!(found.detector.as_deref(), Some("PILATUS3 6M, S/N 60-0119"));
        assert_eq!(found.pixel_mm, Some(0.172));
        assert_eq!(found.saturation, Some(115_897));
        assert_eq!(found.wavelength_a, Some(0.96859));
        assert_eq!(found.distance_mm, Some(351.0));
        assert_eq!(found.beam_center_px, Some([1261.61, 1306.96]));
        assert_eq!(found.mask_values, Some(vec![-1, -2]));
    }

    #[test]
    fn a_camera_that_was_told_nothing_has_no_geometry() {
        let found =
            parse("# Wavelength nan A\n# Detector_distance 0.0 m\n# Beam_xy (nan, ) pixels\n#\n");
        assert_eq!(found.geometry(), None);
        assert_eq!(found.beam_center_px, None);
        assert_eq!(parse("# Beam_xy (0.00, 0.00) pixels").beam_center_px, None);
    }
}
