//! One launch of a kernel, whoever launches it.

/// Threads of every block.
pub const THREADS: u32 = 256;

/// A kernel, on so many blocks. Its arguments are the address of the device's memory, and a struct of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Its name in the compiled module.
    pub kernel: &'static str,
    /// Blocks along x, y and z.
    pub grid: [u32; 3],
    /// Bytes of dynamic shared memory of a block.
    pub shared: u32,
    /// The words of the struct.
    pub parameters: Box<[u32]>,
}

impl Launch {
    pub(crate) fn new(
        kernel: &'static str,
        grid: [u32; 3],
        shared: u32,
        parameters: Vec<u32>,
    ) -> Self {
        Launch {
            kernel,
            grid,
            shared,
            parameters: parameters.into(),
        }
    }
}
