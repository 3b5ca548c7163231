//! Feature maps in memory: channels last, inside a frame of zero pixels.

use core::ops::Range;

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

/// How the pixels of a framed row follow one another: for windows that are one pixel apart as they
/// are; for windows two apart the even ones first, then the odd ones. Either way the same tap of
/// neighbouring windows lies in neighbouring pixels.
#[derive(Clone, Copy)]
struct Layout {
    shape: Shape,
    stride: usize,
}

impl Layout {
    fn new(shape: Shape, stride: usize) -> Self {
        assert!(stride == 1 || stride == 2, "windows {stride} pixels apart");
        Layout { shape, stride }
    }

    /// Where in a framed row the first odd pixel lies, in bytes, if it is not beside the first even one.
    fn odd(self) -> usize {
        match self.stride {
            1 => self.shape.channels,
            _ => (self.shape.width + 2).div_ceil(2) * self.shape.channels,
        }
    }

    /// How far apart in bytes two pixels are between which lies one.
    fn next_but_one(self) -> usize {
        match self.stride {
            1 => 2 * self.shape.channels,
            _ => self.shape.channels,
        }
    }

    /// Where pixel `i` of a framed row lies, in bytes; 0 is the frame.
    fn pixel(self, i: usize) -> usize {
        i % 2 * self.odd() + i / 2 * self.next_but_one()
    }
}

/// A map to read.
#[derive(Clone, Copy)]
pub struct Map<'a> {
    layout: Layout,
    data: &'a [u8],
}

impl<'a> Map<'a> {
    /// The map at the start of `data`, laid out for windows `stride` pixels apart; its frame is zero and
    /// its bytes are at most 127.
    pub fn new(shape: Shape, stride: usize, data: &'a [u8]) -> Self {
        Map {
            layout: Layout::new(shape, stride),
            data: &data[..shape.bytes()],
        }
    }

    /// Its size.
    pub fn shape(&self) -> Shape {
        self.layout.shape
    }

    /// Pixels between two windows.
    pub fn stride(&self) -> usize {
        self.layout.stride
    }

    /// Row `y` of the framed map: `0` is the frame above the first row of pixels.
    pub(crate) fn framed_row(&self, y: usize) -> &'a [u8] {
        let bytes = self.shape().framed_row();
        &self.data[y * bytes..][..bytes]
    }

    /// Of row `y` of the framed map the first bytes of the left, the centre and the right tap of all
    /// windows, one window after another.
    #[inline]
    pub(crate) fn taps(&self, y: usize) -> [&'a [u8]; 3] {
        let row = self.framed_row(y);
        [0, 1, 2].map(|i| &row[self.layout.pixel(i)..])
    }

    /// The channels of pixel `(x, y)`.
    #[inline]
    pub fn pixel(&self, x: usize, y: usize) -> &'a [u8] {
        let row = self.framed_row(y + 1);
        &row[self.layout.pixel(x + 1)..][..self.shape().channels]
    }
}

/// A map to write.
pub struct MapMut<'a> {
    layout: Layout,
    data: &'a mut [u8],
}

impl<'a> MapMut<'a> {
    /// A map at the start of `data` with its frame zeroed, to be laid out for windows `stride` pixels
    /// apart; its pixels keep what `data` held.
    pub fn new(shape: Shape, stride: usize, data: &'a mut [u8]) -> Self {
        let layout = Layout::new(shape, stride);
        let data = &mut data[..shape.bytes()];
        let row = shape.framed_row();
        data[..row].fill(0);
        data[(shape.height + 1) * row..].fill(0);
        for row in data.chunks_exact_mut(row) {
            for i in [0, shape.width + 1] {
                row[layout.pixel(i)..][..shape.channels].fill(0);
            }
        }
        MapMut { layout, data }
    }

    /// Its size.
    pub fn shape(&self) -> Shape {
        self.layout.shape
    }

    /// Copies `pixels`, which lie row after row without a frame, each byte limited to 127.
    pub fn fill(&mut self, pixels: &[u8]) {
        let Shape {
            height,
            width,
            channels,
        } = self.shape();
        let copy = |to: &mut [u8], from: &[u8]| {
            for (to, from) in to.iter_mut().zip(from) {
                *to = (*from).min(crate::ACTIVATION_MAX);
            }
        };
        let framed = self.shape().framed_row();
        let rows = self.data.chunks_exact_mut(framed).skip(1).take(height);
        for (row, from) in rows.zip(pixels.chunks_exact(width * channels)) {
            if self.layout.stride == 1 {
                copy(&mut row[channels..][..width * channels], from);
                continue;
            }
            for (x, from) in from.chunks_exact(channels).enumerate() {
                copy(&mut row[self.layout.pixel(x + 1)..][..channels], from);
            }
        }
    }

    /// Makes each of `rows` a copy of the row before the first of them.
    pub fn repeat(&mut self, rows: Range<usize>) {
        let framed = self.shape().framed_row();
        for row in rows {
            let (before, rest) = self.data.split_at_mut((row + 1) * framed);
            rest[..framed].copy_from_slice(&before[row * framed..]);
        }
    }

    /// The pixels from row `first` on, one after another.
    pub(crate) fn pixels(&mut self, first: usize) -> Pixels<'_> {
        let row = (first + 1) * self.shape().framed_row();
        Pixels {
            layout: self.layout,
            x: 0,
            row,
            next: [1, 2].map(|i| row + self.layout.pixel(i)),
            data: self.data,
        }
    }
}

/// Pixels of a map to write, row after row.
pub(crate) struct Pixels<'m> {
    layout: Layout,
    x: usize,
    row: usize,
    /// Where the next pixel of the row lies, and the one after it.
    next: [usize; 2],
    data: &'m mut [u8],
}

impl Pixels<'_> {
    /// The next `P` pixels. Behind the last one comes the frame.
    #[inline(always)]
    pub fn next<const P: usize>(&mut self) -> Few<'_, P> {
        let mut places = [0; P];
        if self.x + P <= self.layout.shape.width {
            // Every other pixel is as far on as the last but one was.
            let step = self.layout.next_but_one();
            let [here, there] = self.next;
            for (p, place) in places.iter_mut().enumerate() {
                *place = [here, there][p % 2] + p / 2 * step;
            }
            self.next = match P % 2 {
                0 => [here + P / 2 * step, there + P / 2 * step],
                _ => [there + P / 2 * step, here + P.div_ceil(2) * step],
            };
            self.x += P;
            if self.x == self.layout.shape.width {
                self.next_row();
            }
        } else {
            self.over_rows(&mut places);
        }
        Few {
            places,
            data: self.data,
        }
    }

    /// [`next`](Self::next) where a row ends before the last of the pixels.
    fn over_rows(&mut self, places: &mut [usize]) {
        for place in places {
            let [here, there] = self.next;
            *place = here;
            self.next = [there, here + self.layout.next_but_one()];
            self.x += 1;
            if self.x == self.layout.shape.width {
                self.next_row();
            }
        }
    }

    fn next_row(&mut self) {
        self.x = 0;
        self.row += self.layout.shape.framed_row();
        self.next = [1, 2].map(|i| self.row + self.layout.pixel(i));
    }
}

/// A few pixels of a map to write.
pub(crate) struct Few<'m, const P: usize> {
    places: [usize; P],
    data: &'m mut [u8],
}

impl<const P: usize> Few<'_, P> {
    /// Pixel `p` of them from `channel` on, and what follows it.
    #[inline(always)]
    pub fn at(&mut self, p: usize, channel: usize) -> &mut [u8] {
        &mut self.data[self.places[p] + channel..]
    }
}
