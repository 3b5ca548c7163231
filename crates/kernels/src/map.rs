//! Feature maps in memory: channels last, inside a frame of zero pixels.

/// Size of a map, its zero frame not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels a row.
    pub width: usize,
    /// Bytes a pixel.
    pub channels: usize,
}

impl Shape {
    /// Bytes of the map in memory, zero frame included: `(height + 2) (width + 2) channels`.
    pub const fn bytes(self) -> usize {
        (self.height + 2) * self.framed_row()
    }

    /// The map that a 3x3 window with padding 1 makes of this one, `stride` pixels apart.
    pub const fn strided(self, stride: usize, channels: usize) -> Shape {
        Shape {
            height: self.height.div_ceil(stride),
            width: self.width.div_ceil(stride),
            channels,
        }
    }

    const fn framed_row(self) -> usize {
        (self.width + 2) * self.channels
    }
}

/// A map to read.
#[derive(Clone, Copy)]
pub struct Map<'a> {
    shape: Shape,
    data: &'a [u8],
}

impl<'a> Map<'a> {
    /// The map at the start of `data`, whose frame is zero and whose bytes are at most 127.
    pub fn new(shape: Shape, data: &'a [u8]) -> Self {
        Map {
            shape,
            data: &data[..shape.bytes()],
        }
    }

    /// Its size.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Row `y` of the framed map: `0` is the frame above the first row of pixels.
    pub(crate) fn framed_row(&self, y: usize) -> &'a [u8] {
        let bytes = self.shape.framed_row();
        &self.data[y * bytes..][..bytes]
    }

    /// Row `y` of pixels, without its frame.
    pub fn row(&self, y: usize) -> &'a [u8] {
        &self.framed_row(y + 1)[self.shape.channels..][..self.shape.width * self.shape.channels]
    }
}

/// A map to write.
pub struct MapMut<'a> {
    shape: Shape,
    data: &'a mut [u8],
}

impl<'a> MapMut<'a> {
    /// A map at the start of `data` with its frame zeroed; its pixels keep what `data` held.
    pub fn new(shape: Shape, data: &'a mut [u8]) -> Self {
        let data = &mut data[..shape.bytes()];
        let row = shape.framed_row();
        data[..row].fill(0);
        data[(shape.height + 1) * row..].fill(0);
        for row in data.chunks_exact_mut(row) {
            row[..shape.channels].fill(0);
            row[(shape.width + 1) * shape.channels..].fill(0);
        }
        MapMut { shape, data }
    }

    /// Its size.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Copies `pixels`, which lie row after row without a frame, each limited to 127.
    pub fn fill(&mut self, pixels: &[u8]) {
        let bytes = self.shape.width * self.shape.channels;
        for y in 0..self.shape.height {
            let from = &pixels[y * bytes..][..bytes];
            for (to, from) in self.row(y).iter_mut().zip(from) {
                *to = (*from).min(crate::ACTIVATION_MAX);
            }
        }
    }

    /// Row `y` of pixels, without its frame.
    pub fn row(&mut self, y: usize) -> &mut [u8] {
        let Shape {
            width, channels, ..
        } = self.shape;
        let start = (y + 1) * self.shape.framed_row() + channels;
        &mut self.data[start..][..width * channels]
    }
}
