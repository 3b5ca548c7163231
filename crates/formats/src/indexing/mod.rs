//! What indexing programs say of frames: CrystFEL streams and DIALS experiment lists.

mod expt;
mod stream;

pub use expt::read_expt;
pub use stream::read_stream;

/// One frame that an indexing program was given, or lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The file, as the program names it.
    pub file: String,
    /// The frame in the file, counted from 0.
    pub index: usize,
    /// Lattices that were found; 0 where the frame was not indexed.
    pub lattices: u32,
    /// Spots that the program found, where it says.
    pub spots: Option<u32>,
    /// Resolution of the best lattice, else of the spots, in ångström, where the program says.
    pub resolution_a: Option<f64>,
    /// Where it says so: the line of the stream, counted from 1, or the experiment, counted from 0.
    pub place: usize,
}

impl Attempt {
    /// Whether the frame was indexed.
    pub fn is_indexed(&self) -> bool {
        self.lattices > 0
    }
}
