//! The binary header that MarCCD and Rayonix cameras put at byte 1024 of a TIFF: 3072 bytes of
//! 32-bit words in the byte order that the header itself names.

use crate::sidecar::Sidecar;

const START: usize = 1024;
const LENGTH: usize = 3072;

// Offsets in the header (The marCCD Header Documentation, Blum & Doyle).
const BYTE_ORDER: usize = 28;
const SATURATED_VALUE: usize = 104;
/// Thousandths of a millimetre.
const XTAL_TO_DETECTOR: usize = 640;
/// Thousandths of a pixel.
const BEAM_X: usize = 644;
const BEAM_Y: usize = 648;
/// As `XTAL_TO_DETECTOR`, as it was when the exposure began.
const START_XTAL_TO_DETECTOR: usize = 696;
/// Nanometres.
const PIXELSIZE_X: usize = 772;
/// Hundred-thousandths of an ångström.
const SOURCE_WAVELENGTH: usize = 908;

const LITTLE_ENDIAN: u32 = 1234;
const BIG_ENDIAN: u32 = 4321;

/// What the header of a whole file says, `None` where the file has none.
///
/// Pixels of value 0 lie outside the round active area: the camera adds a bias to all others.
pub(super) fn parse(file: &[u8]) -> Option<Sidecar> {
    let header = file.get(START..START + LENGTH)?;
    let word = |at: usize| {
        header
            .get(at..at + 4)
            .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok())
    };
    let big_endian = match u32::from_le_bytes(word(BYTE_ORDER)?) {
        LITTLE_ENDIAN => false,
        order if order.swap_bytes() == BIG_ENDIAN => true,
        _ => return None,
    };
    let number = |at: usize| {
        let bytes = word(at).unwrap_or_default();
        if big_endian {
            i32::from_be_bytes(bytes)
        } else {
            i32::from_le_bytes(bytes)
        }
    };
    let positive = |at: usize| Some(f64::from(number(at))).filter(|&x| x > 0.0);
    let distance = positive(XTAL_TO_DETECTOR).or(positive(START_XTAL_TO_DETECTOR));
    let center = positive(BEAM_X).zip(positive(BEAM_Y));
    Some(Sidecar {
        detector: Some("MarCCD".into()),
        wavelength_a: positive(SOURCE_WAVELENGTH).map(|x| x * 1e-5),
        distance_mm: distance.map(|x| x * 1e-3),
        beam_center_px: center.map(|(x, y)| [x * 1e-3, y * 1e-3]),
        pixel_mm: positive(PIXELSIZE_X).map(|x| x * 1e-6),
        saturation: positive(SATURATED_VALUE).map(|x| x as u32),
        mask_values: Some(vec![0]),
        ..Sidecar::default()
    })
}
