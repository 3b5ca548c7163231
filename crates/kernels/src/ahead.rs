//! What will be read soon: whoever reads asks the memory for it, a little at a time.

use crate::Simd;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Some bytes of each of some rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ahead<'f> {
    /// From the first byte of the first row on; what they lack is not there.
    pub bytes: &'f [u8],
    /// Bytes of a row.
    pub row: usize,
    /// Bytes from one row to the next.
    pub pitch: usize,
    /// Rows.
    pub rows: usize,
}

impl<'f> Ahead<'f> {
    /// The first half of each row, and the second.
    pub fn halves(self) -> [Self; 2] {
        let half = self.row / 2;
        let second = Ahead {
            bytes: self.bytes.get(half..).unwrap_or_default(),
            row: self.row - half,
            ..self
        };
        [Ahead { row: half, ..self }, second]
    }

    /// Row `row`.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> &'f [u8] {
        let bytes = self.bytes.get(row * self.pitch..).unwrap_or_default();
        &bytes[..bytes.len().min(self.row)]
    }

    /// To be asked for in so many steps.
    #[inline(always)]
    pub(crate) fn in_steps(self, steps: usize) -> Steps<'f> {
        let lines = self.row.div_ceil(LINE) * self.rows;
        Steps {
            each: lines.div_ceil(steps.max(1)),
            ahead: self,
            row: 0,
            start: 0,
        }
    }
}

/// What is left to be asked for.
pub(crate) struct Steps<'f> {
    ahead: Ahead<'f>,
    /// Lines of a step.
    each: usize,
    /// Where the next line is: the first byte of its row, and from there on.
    row: usize,
    start: usize,
}

impl Steps<'_> {
    /// Asks for the next lines.
    #[inline(always)]
    pub fn step<S: Simd>(&mut self, s: S) {
        for _ in 0..self.each {
            if let Some(line) = self.ahead.bytes.get(self.row + self.start..) {
                s.prefetch(line);
            }
            self.start += LINE;
            if self.start >= self.ahead.row {
                (self.row, self.start) = (self.row + self.ahead.pitch, 0);
            }
        }
    }
}
