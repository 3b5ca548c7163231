//! What the kernels of the preparation are told: word for word as `kernels/preparation.cuh` has it, and in its words.
//!
//! Fields that are no counts or sizes are places in the device's [memory](crate::memory), in units.

use crate::words::words;

/// No such place, or no setting.
pub const NOWHERE: u32 = u32::MAX;
/// The pixel type of raw words.
pub(crate) const RAW: u32 = 6;

words! {
    /// How the frames of a module are prepared.
    pub(crate) struct Setting {
        columns: u32,
        rows: u32,
        pixel_type: u32,
        saturation: u32,
        mask: u32,
        values: u32,
        value: [u32; 8],
        corrections: u32,
        correction_units: u32,
        left: i32,
        top: i32,
        block: u32,
        x_start: u32,
        x_end: u32,
        y_start: u32,
        y_end: u32,
        seen: u32,
    }
}

words! {
    /// A frame of a batch.
    pub struct Job {
        /// Which preparation it takes; [`NOWHERE`] where it is not to be prepared.
        setting: u32,
        /// Of raw words, whose pedestals and gains.
        storage_cell: u32,
    }
}

impl Job {
    /// Bytes on the device.
    pub const BYTES: usize = 8;

    /// Of no frame.
    pub const NONE: Job = Job {
        setting: NOWHERE,
        storage_cell: 0,
    };

    /// As the device has them.
    pub fn bytes(&self) -> [u8; Job::BYTES] {
        (u64::from(self.storage_cell) << 32 | u64::from(self.setting)).to_le_bytes()
    }
}

/// What is added up over a channel of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Of the deviations from the background.
    pub deviation: u64,
    /// Cells with a measurement; without any there is no map.
    pub valid_cells: u32,
    /// Sum of the levels.
    pub levels: u32,
    /// Levels that are 0.
    pub zeros: u32,
}

impl Totals {
    /// Bytes on the device.
    pub const BYTES: usize = 24;

    /// As the device has them.
    pub fn read(bytes: &[u8; Totals::BYTES]) -> Self {
        let [a, b, valid_cells, levels, zeros, _] =
            [0, 1, 2, 3, 4, 5].map(|i| u32::from_le_bytes([0, 1, 2, 3].map(|j| bytes[4 * i + j])));
        Totals {
            deviation: u64::from(b) << 32 | u64::from(a),
            valid_cells,
            levels,
            zeros,
        }
    }
}

words! {
    /// Frames of a batch.
    pub(crate) struct Prepare {
        pixels: u32,
        pixel_units: u32,
        jobs: u32,
        settings: u32,
        cells: u32,
        deviations: u32,
        totals: u32,
        histogram: u32,
        map: u32,
        input: u32,
        channels: u32,
        first: u32,
    }
}
