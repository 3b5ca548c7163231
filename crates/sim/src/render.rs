//! Scene → counts: a rectangle of the panel, each pixel a function of its place alone.

use crate::instrument::Instrument;
use crate::poisson::Poisson;
use crate::scene::Scene;
use hitgate_core::frame::PixelType;

/// A rectangle of pixels of the panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub left: u32,
    pub top: u32,
    pub columns: u32,
    pub rows: u32,
}

/// Memory of a rendering, kept between frames.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    expected: Vec<f32>,
    /// Photons of three rows, as many columns as the area and one more on either side.
    photons: [Vec<f32>; 3],
    numbers: Vec<i64>,
}

/// Writes the numbers of `area`, little endian, row by row, to `payload`.
pub(crate) fn render(scene: &Scene, instrument: &Instrument, area: Area, rows: &mut Rows, payload: &mut Vec<u8>) {
    let (left, top) = (area.left as i32, area.top as i32);
    let (width, height) = (area.columns as i32, area.rows as i32);
    let spots = scene.spots_on(instrument, [left - 1, top - 1, left + width + 1, top + height + 1]);
    let padded = area.columns as usize + 2;
    rows.expected.resize(padded, 0.0);
    for photons in &mut rows.photons {
        photons.resize(padded, 0.0);
    }
    rows.numbers.resize(area.columns as usize, 0);
    let poisson = Poisson::new();
    let sample = |y: i32, photons: &mut [f32], expected: &mut [f32]| {
        scene.expected(y, left - 1, &spots, instrument, expected);
        let key = scene.row_key(y);
        for (i, (out, &mean)) in photons.iter_mut().zip(expected.iter()).enumerate() {
            let bits = scene.noise_bits(key, left - 1 + i as i32);
            *out = poisson.count(mean, bits as u32, (bits >> 32) as u8) as f32;
        }
        add_zingers(scene, y, left - 1, photons);
    };
    payload.clear();
    let blurred = instrument.response.blur > 0.0;
    if blurred {
        let [above, here, _] = &mut rows.photons;
        sample(top - 1, above, &mut rows.expected);
        sample(top, here, &mut rows.expected);
    }
    for y in top..top + height {
        if blurred {
            let [_, _, below] = &mut rows.photons;
            sample(y + 1, below, &mut rows.expected);
            blur(&rows.photons, instrument.response.blur, &mut rows.expected);
            digitise(scene, instrument, y, left, &rows.expected[1..padded - 1], &mut rows.numbers);
            rows.photons.rotate_left(1);
        } else {
            let [here, ..] = &mut rows.photons;
            sample(y, here, &mut rows.expected);
            digitise(scene, instrument, y, left, &here[1..padded - 1], &mut rows.numbers);
        }
        store(instrument.pixel_type, &rows.numbers, payload);
    }
}

fn add_zingers(scene: &Scene, y: i32, left: i32, photons: &mut [f32]) {
    let Ok(row) = u32::try_from(y) else { return };
    let first = scene.zingers.partition_point(|&(zy, ..)| zy < row);
    for &(_, x, counts) in scene.zingers[first..].iter().take_while(|&&(zy, ..)| zy == row) {
        if let Some(out) = usize::try_from(x as i32 - left).ok().and_then(|at| photons.get_mut(at)) {
            *out += counts.round();
        }
    }
}

/// Spreads photons to the neighbours along both axes: the phosphor and the taper of a CCD.
fn blur([above, here, below]: &[Vec<f32>; 3], share: f32, out: &mut [f32]) {
    let keep = 1.0 - 2.0 * share;
    let column = |i: usize| share * (above[i] + below[i]) + keep * here[i];
    for i in 1..here.len() - 1 {
        out[i] = share * (column(i - 1) + column(i + 1)) + keep * column(i);
    }
}

/// The numbers of a row, with gaps and defects.
fn digitise(scene: &Scene, instrument: &Instrument, y: i32, left: i32, photons: &[f32], numbers: &mut [i64]) {
    let response = &instrument.response;
    let panel = &instrument.panel;
    let key = scene.row_key(y) ^ 0xADC;
    let noisy = response.read_noise > 0.0;
    for (i, (number, &photons)) in numbers.iter_mut().zip(photons).enumerate() {
        let bits = if noisy { (scene.noise_bits(key, left + i as i32) >> 32) as u32 } else { 0 };
        *number = response.number(photons, bits);
    }
    let lowest = if matches!(instrument.pixel_type, PixelType::I16 | PixelType::I32) { -32_000 } else { 0 };
    let row = y as u32;
    for (i, number) in numbers.iter_mut().enumerate() {
        *number = (*number).max(lowest);
        if !panel.sensitive(left as u32 + i as u32, row) {
            *number = instrument.absence.gap;
        }
    }
    for defect in instrument.defects_of_row(row, left as u32, left as u32 + numbers.len() as u32) {
        let number = &mut numbers[(defect.x - left as u32) as usize];
        if panel.sensitive(defect.x, defect.y) {
            *number = if defect.known {
                instrument.absence.dead
            } else {
                i64::from((defect.counts * response.gain) as u32).min(i64::from(response.largest))
            };
        }
    }
}

fn store(pixel_type: PixelType, numbers: &[i64], payload: &mut Vec<u8>) {
    match pixel_type {
        PixelType::U8 => payload.extend(numbers.iter().map(|&n| n as u8)),
        PixelType::U16 | PixelType::I16 => payload.extend(numbers.iter().flat_map(|&n| (n as u16).to_le_bytes())),
        PixelType::U32 | PixelType::I32 => payload.extend(numbers.iter().flat_map(|&n| (n as u32).to_le_bytes())),
    }
}
