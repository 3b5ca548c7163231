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

/// Columns beside an area that its own pixels depend on: a CCD's light spreads by one, and the
/// correction of its taper reaches one farther.
const MARGIN: usize = 2;

/// Memory of a rendering, kept between frames. Rows of floats have [`MARGIN`] columns more on either
/// side than the area.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    expected: Vec<f32>,
    /// Photons of three rows.
    photons: [Vec<f32>; 3],
    light: Vec<f32>,
    /// What the readout makes of the light in three rows, before it is rounded.
    values: [Vec<f32>; 3],
    numbers: Vec<i32>,
}

impl Rows {
    fn resize(&mut self, columns: usize) {
        let [a, b, c] = &mut self.photons;
        let [d, e, f] = &mut self.values;
        for row in [&mut self.expected, &mut self.light, a, b, c, d, e, f] {
            row.resize(columns + 2 * MARGIN, 0.0);
        }
        self.numbers.resize(columns, 0);
    }
}

/// Writes the numbers of `area`, little endian, row by row, to `payload`.
pub(crate) fn render(
    scene: &Scene,
    instrument: &Instrument,
    area: Area,
    rows: &mut Rows,
    payload: &mut Vec<u8>,
) {
    let response = &instrument.response;
    let (left, top) = (area.left as i32, area.top as i32);
    let (right, bottom) = (left + area.columns as i32, top + area.rows as i32);
    let margin = MARGIN as i32;
    let reach = [left - margin, top - margin, right + margin, bottom + margin];
    let mut spots = scene.spots_on(instrument, reach);
    rows.resize(area.columns as usize);
    let poisson = Poisson::new();
    let mut sample = |y: i32, photons: &mut [f32], expected: &mut [f32]| {
        scene.expected(y, left - margin, &mut spots, instrument, expected);
        let key = scene.row_key(y);
        for (i, (out, &mean)) in photons.iter_mut().zip(expected.iter()).enumerate() {
            let bits = scene.noise_bits(key, left - margin + i as i32);
            *out = poisson.count(mean, bits as u32, (bits >> 32) as u8) as f32;
        }
    };
    payload.clear();
    // Rows that follow a row into the output.
    let late = i32::from(response.resampling.is_some());
    let blurred = response.blur > 0.0;
    if blurred {
        let [_, above, here] = &mut rows.photons;
        sample(top - late - 1, above, &mut rows.expected);
        sample(top - late, here, &mut rows.expected);
    }
    for y in top - late..bottom + late {
        if blurred {
            rows.photons.rotate_left(1);
            sample(y + 1, &mut rows.photons[2], &mut rows.expected);
            blur(&rows.photons, response.blur, &mut rows.light);
        } else {
            sample(y, &mut rows.light, &mut rows.expected);
        }
        add_zingers(scene, y, left - margin, &mut rows.light);
        rows.values.rotate_left(1);
        read_out(
            scene,
            instrument,
            y,
            left - margin,
            &rows.light,
            &mut rows.values[2],
        );
        let y = y - late;
        if y < top {
            continue;
        }
        let values = match &response.resampling {
            Some(resampling) => {
                resampling.row(&rows.values, left - margin, y, &mut rows.light);
                &rows.light
            }
            None => &rows.values[2],
        };
        digitise(
            instrument,
            y,
            left,
            &values[MARGIN..values.len() - MARGIN],
            &mut rows.numbers,
        );
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

/// What the readout makes of the light in a row, before it is rounded.
fn read_out(
    scene: &Scene,
    instrument: &Instrument,
    y: i32,
    left: i32,
    light: &[f32],
    values: &mut [f32],
) {
    let response = &instrument.response;
    if response.read_noise == 0.0 {
        for (value, &photons) in values.iter_mut().zip(light) {
            *value = photons * response.gain;
        }
        return;
    }
    let panel = &instrument.panel;
    let key = scene.row_key(y) ^ 0xADC;
    let pattern = instrument.pattern_key(y);
    let middle = panel.columns as i32 / 2;
    let upper = if y < panel.rows as i32 / 2 { 0 } else { 2 };
    for (i, (value, &photons)) in values.iter_mut().zip(light).enumerate() {
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
        *value = response.value(photons * gain, offset, bits);
    }
}

/// The numbers of a row, with gaps and defects.
fn digitise(instrument: &Instrument, y: i32, left: i32, values: &[f32], numbers: &mut [i32]) {
    let response = &instrument.response;
    let panel = &instrument.panel;
    let lowest = match instrument.pixel_type {
        PixelType::I16 | PixelType::I32 => -32_000,
        PixelType::U8 | PixelType::U16 | PixelType::U32 => 0,
    };
    for (number, &value) in numbers.iter_mut().zip(values) {
        *number = rounded(value).min(response.largest as i32).max(lowest);
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
