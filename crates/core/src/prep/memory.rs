//! The caller's words, cut into parts.

/// Words of a cache line: parts start at one.
const LINE: usize = 16;

/// Words that are not in use yet.
pub(super) struct Memory<'m> {
    words: &'m mut [u32],
}

impl<'m> Memory<'m> {
    pub fn new(words: &'m mut [u32]) -> Self {
        let before = words.as_ptr().align_offset(LINE * 4).min(words.len());
        Memory {
            words: &mut words[before..],
        }
    }

    /// The words that are left, to be lent for a while.
    pub fn again(&mut self) -> Memory<'_> {
        Memory { words: self.words }
    }

    /// The words that are left.
    pub fn rest(self) -> &'m mut [u32] {
        self.words
    }

    /// The next `len` numbers, whatever they hold.
    pub fn part<T: bytemuck::Pod>(&mut self, len: usize) -> &'m mut [T] {
        let words = core::mem::take(&mut self.words);
        let (part, rest) = words.split_at_mut(needs::<T>(len));
        self.words = rest;
        &mut bytemuck::cast_slice_mut(part)[..len]
    }
}

/// Words of a part of `len` numbers.
pub(super) const fn needs<T>(len: usize) -> usize {
    len.saturating_mul(size_of::<T>())
        .div_ceil(4 * LINE)
        .saturating_mul(LINE)
}

/// Words that are lost before the first part.
pub(super) const LOST: usize = LINE - 1;
