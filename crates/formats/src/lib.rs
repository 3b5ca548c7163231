//! Detector files in and out, and the geometry and masks that come with them.
//!
//! [`FrameFile`] opens CBF (PILATUS and EIGER miniCBF, full imgCIF), HDF5/NeXus (bitshuffle-LZ4,
//! single frames and stacks), TIFF, MarCCD, SMV and NPY, each also compressed with gzip, and knows
//! them by their content. Frames come one at a time, in the file's own pixel type, with what the
//! header or a [`sidecar`] says about them; [`panels`] makes one frame of the modules of a detector.
//! [`mod@write`] makes miniCBF and NPY. [`truth`] reads labels, [`indexing`] what CrystFEL and DIALS made
//! of frames.
//!
//! ```no_run
//! use hitgate_formats::FrameFile;
//!
//! let mut file = FrameFile::open("scan.h5".as_ref())?;
//! for index in 0..file.frames() {
//!     let image = file.read(index)?;
//!     println!("{index}: {} x {} pixels", image.columns, image.rows);
//! }
//! # Ok::<(), hitgate_formats::FormatError>(())
//! ```

#[cfg(target_endian = "big")]
compile_error!(
    "pixels are handed out as little-endian bytes without a copy: a little-endian machine is needed"
);

mod cbf;
mod contents;
mod error;
mod file;
pub mod geometry;
mod hdf5;
mod image;
pub mod indexing;
mod jungfrau;
mod mask;
mod metadata;
mod npy;
pub mod panels;
mod pilatus;
pub mod sidecar;
mod smv;
mod tiff;
pub mod truth;
pub mod write;

pub use error::FormatError;
pub use file::{FrameFile, Kind};
pub use geometry::Geometry;
pub use hdf5::bitshuffle;
pub use image::{Image, Pixels};
pub use mask::{Mask, split_dataset};
pub use metadata::Metadata;
pub use panels::GeometryFile;
pub use sidecar::Sidecar;
