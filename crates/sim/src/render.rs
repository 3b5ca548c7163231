//! Scene → counts: a rectangle of the panel, each pixel a function of its place alone.

use crate::instrument::Instrument;
use crate::poisson::Poisson;
use crate::response::rounded;
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
    numbers: Vec<i32>,
}

/// Writes the numbers of `area`, little endian, row by row, to `payload`.
pub(crate) fn render(
    scene: &Scene,
    instrument: &Instrument,
    area: Area,
    rows: &mut Rows,
    payload: &mut Vec<u8>,
) {
    let (left, top) = (area.left as i32, area.top as i32);
    let (width, height) = (area.columns as i32, area.rows as i32);
    let spots = scene.spots_on(
        instrument,
        [left - 1, top - 1, left + width + 1, top + height + 1],
    );
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
            add_zingers(scene, y, left - 1, &mut rows.expected);
            digitise(
                scene,
                instrument,
                y,
                left,
                &rows.expected[1..padded - 1],
                &mut rows.numbers,
            );
            rows.photons.rotate_left(1);
        } else {
            let [here, ..] = &mut rows.photons;
            sample(y, here, &mut rows.expected);
            add_zingers(scene, y, left - 1, here);
            digitise(
                scene,
                instrument,
                y,
                left,
                &here[1..padded - 1],
                &mut rows.numbers,
            );
        }
        store(instrument.pixel_type, &rows.numbers, payload);
    }
}

/// Particles deposit behind what spreads the light.
fn add_zingers(scene: &Scene, y: i32, left: i32, photons: &mut [f32]) {
    let Ok(row) = u32::try_from(y) else { return };
    let first = scene.zingers.partition_point(|&(zy, ..)| zy < row);
    for &(_, x, counts) in scene.zingers[first..]
        .iter()
        .take_while(|&&(zy, ..)| zy == row)
    {
        if let Some(out) = usize::try_from(x as i32 - left)
            .ok()
            .and_then(|at| photons.get_mut(at))
        {
            *out += counts;
        }
    }
}

/// Spreads photons to the neighbours along both axes: the phosphor and the taper of a CCD.
fn blur([above, centre, below]: &[Vec<f32>; 3], share: f32, out: &mut [f32]) {
    let keep = 1.0 - 2.0 * share;
    let column = |i: usize| share * (above[i] + below[i]) + keep * centre[i];
    let (mut left, mut here) = (column(0), column(1));
    for (i, out) in out.iter_mut().enumerate().take(centre.len() - 1).skip(1) {
        let right = column(i + 1);
        *out = share * (left + right) + keep * here;
        (left, here) = (here, right);
    }
}

/// The numbers of a row, with gaps and defects.
fn digitise(
    scene: &Scene,
    instrument: &Instrument,
    y: i32,
    left: i32,
    photons: &[f32],
    numbers: &mut [i32],
) {
    let response = &instrument.response;
    let panel = &instrument.panel;
    if response.read_noise > 0.0 {
        let key = scene.row_key(y) ^ 0xADC;
        let pattern = instrument.pattern_key(y);
        let lowest = if instrument.pixel_type == PixelType::U16 {
            0
        } else {
            -32_000
        };
        let middle = panel.columns as i32 / 2;
        let upper = if y < panel.rows as i32 / 2 { 0 } else { 2 };
        for (i, (number, &photons)) in numbers.iter_mut().zip(photons).enumerate() {
            let x = left + i as i32;
            let bits = (scene.noise_bits(key, x) >> 32) as u32;
            let mut offset = response.offset + response.quadrants[upper + usize::from(x >= middle)];
            if let Some(ripple) = &response.ripple {
                offset += ripple.offset(x, y);
            }
            let gain = if response.uneven > 0.0 {
                1.0 + response.uneven * instrument.pattern(pattern, x)
            } else {
                1.0
            };
            *number = response.number(photons * gain, offset, bits).max(lowest);
        }
    } else {
        for (number, &photons) in numbers.iter_mut().zip(photons) {
            *number = (photons as i32).min(response.largest as i32);
        }
    }
    let (first, end) = (left as u32, left as u32 + numbers.len() as u32);
    panel.insensitive_columns(y as u32, |columns| {
        let (from, to) = (
            columns.start.clamp(first, end),
            columns.end.clamp(first, end),
        );
        numbers[(from - first) as usize..(to - first) as usize].fill(instrument.absence.gap as i32);
    });
    for defect in instrument.defects_of_row(y as u32, first, end) {
        if panel.sensitive(defect.x, defect.y) {
            numbers[(defect.x - first) as usize] = if defect.known {
                instrument.absence.dead as i32
            } else {
                rounded(defect.counts * response.gain).min(response.largest as i32)
            };
        }
    }
}

fn store(pixel_type: PixelType, numbers: &[i32], payload: &mut Vec<u8>) {
    let start = payload.len();
    payload.resize(start + numbers.len() * pixel_type.size(), 0);
    let row = &mut payload[start..];
    match pixel_type {
        PixelType::U8 => {
            for (out, &number) in row.iter_mut().zip(numbers) {
                *out = number as u8;
            }
        }
        PixelType::U16 | PixelType::I16 => {
            for (out, &number) in row.chunks_exact_mut(2).zip(numbers) {
                out.copy_from_slice(&(number as u16).to_le_bytes());
            }
        }
        PixelType::U32 | PixelType::I32 => {
            for (out, &number) in row.chunks_exact_mut(4).zip(numbers) {
                out.copy_from_slice(&number.to_le_bytes());
            }
        }
    }
}
