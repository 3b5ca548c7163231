//! What can be wrong with a ring, and what to do about it.

use crate::layout::{LAYOUT_VERSION, Layout, LayoutError};
use crate::seq::Seq;
use core::fmt;

/// A word that the other side wrote cannot be true. The ring stops there; nothing was read or
/// written outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingError {
    /// The reader gave back more slots than there are, or some that were never filled.
    Head {
        /// Low half of the position up to which slots came back.
        head: u32,
        /// Low half of the writer's position.
        tail: u32,
    },
    /// A slot's number is neither the one expected, nor that of the lap before, nor 0.
    Number {
        /// The frame's number that belongs there.
        expected: Seq,
        /// What the slot holds.
        found: u64,
    },
    /// The newest frame of a free-running ring cannot be there: the slots hold older ones.
    Newest {
        /// Low half of the position after the newest frame, as the device says.
        newest: u32,
        /// The frame that is due.
        next: Seq,
    },
    /// Bytes offered for a slot reach beyond its end.
    BeyondSlot {
        /// First byte that would be written.
        offset: usize,
        /// Bytes offered.
        len: usize,
        /// Bytes in a slot.
        stride: usize,
    },
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RingError::Head { head, tail } => write!(
                f,
                "ring control damaged: slots given back up to {head}, but filled up to {tail}; restart the reader"
            ),
            RingError::Number { expected, found } => write!(
                f,
                "slot of frame {expected} holds number {found}: written without credit, or by a second writer; make the ring anew"
            ),
            RingError::Newest { newest, next } => write!(
                f,
                "ring control damaged: the device is said to be at {newest}, which no slot confirms; frame {next} is due; make the ring anew"
            ),
            RingError::BeyondSlot {
                offset,
                len,
                stride,
            } => write!(
                f,
                "{len} bytes at {offset} reach beyond a slot of {stride} bytes; make the ring with larger slots"
            ),
        }
    }
}

impl core::error::Error for RingError {}

/// Memory that cannot be used as a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachError {
    /// The mapping does not start on a page.
    Misaligned,
    /// The mapping is shorter than the ring.
    TooShort {
        /// Bytes that are mapped.
        len: usize,
        /// Bytes that the ring needs.
        needed: u64,
    },
    /// No ring: the magic number is absent, or not there yet.
    NotARing,
    /// A ring of another layout version.
    Version(u32),
    /// A ring of a policy or a way of publication that this version does not speak.
    Unsupported {
        /// Name of the field of the identity line.
        field: &'static str,
        /// What it holds.
        found: u32,
    },
    /// The shape in the identity line is impossible.
    Layout(LayoutError),
    /// A field of the identity line contradicts the shape that it states.
    Field {
        /// Name of the field.
        field: &'static str,
        /// What it holds.
        found: u64,
        /// What follows from slots, stride and records.
        expected: u64,
    },
    /// Another shape than the caller wants.
    OtherShape {
        /// The ring's.
        found: Layout,
        /// The caller's.
        expected: Layout,
    },
    /// The positions that an earlier writer and reader left contradict each other.
    Positions {
        /// Frames produced.
        produced: u64,
        /// Low half of the position up to which slots came back.
        head: u32,
    },
    /// The reader of a free-running ring needs more memory for copies of frames.
    Copies {
        /// Bytes that were given.
        len: usize,
        /// Bytes that it needs: [`Layout::copy_bytes`].
        needed: usize,
    },
    /// The writer published without pause while the reader looked for its place.
    Busy,
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            AttachError::Misaligned => {
                f.write_str("the mapping does not start on a page of 4096 bytes")
            }
            AttachError::TooShort { len, needed } => write!(
                f,
                "the mapping has {len} bytes, the ring needs {needed}: map all of it, or make the ring anew"
            ),
            AttachError::NotARing => {
                f.write_str("not a hitgate ring, or one that is still being made")
            }
            AttachError::Version(found) => write!(
                f,
                "ring layout version {found}, this program speaks {LAYOUT_VERSION}: use one version on both sides"
            ),
            AttachError::Unsupported { field, found } => write!(
                f,
                "ring with {field} {found}, which this version does not support"
            ),
            AttachError::Layout(error) => write!(f, "impossible ring: {error}"),
            AttachError::Field {
                field,
                found,
                expected,
            } => write!(
                f,
                "ring damaged: {field} is {found}, its shape makes it {expected}; make the ring anew"
            ),
            AttachError::OtherShape { found, expected } => write!(
                f,
                "a ring of another size: it has {found}, wanted {expected}"
            ),
            AttachError::Positions { produced, head } => write!(
                f,
                "ring damaged: {produced} frames produced, slots given back up to {head}; make the ring anew"
            ),
            AttachError::Copies { len, needed } => write!(
                f,
                "a free-running ring, whose reader needs {needed} bytes for copies of frames and was given {len}"
            ),
            AttachError::Busy => f.write_str(
                "the writer published without pause while the reader attached: try again",
            ),
        }
    }
}

impl core::error::Error for AttachError {}

impl From<LayoutError> for AttachError {
    fn from(error: LayoutError) -> Self {
        AttachError::Layout(error)
    }
}
