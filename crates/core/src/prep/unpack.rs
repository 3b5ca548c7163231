//! A compressed frame → its pixels, as far as the window sees them.

use super::Preparation;
use super::memory::{LOST, Memory, needs};
use crate::decode::{Chunk, Packing};
use crate::frame::{Compression, Fault, Frame};

/// Bytes of the largest bitshuffled block that is decoded, eight times what is usual.
const LARGEST_BLOCK: usize = 1 << 16;
impl Preparation<'_> {
    /// Words of memory that [`decode`](Self::decode) takes for a compressed frame; 0 where none is announced.
    pub fn decode_words(&self) -> usize {
        match self.compressed {
            true => LOST
                .saturating_add(needs::<u8>(self.frame_bytes()))
                .saturating_add(needs::<u8>(self.scratch())),
            false => 0,
        }
    }

    /// Bytes of memory that a block is decoded in.
    fn scratch(&self) -> usize {
        self.frame_bytes().min(LARGEST_BLOCK)
    }

    /// A compressed frame decoded into `words`, and the words that are left; any other as it is. Of blocks without a pixel
    /// of the window nothing is decoded, and what stands there is no measurement.
    ///
    /// # Errors
    /// [`Fault::Compressed`] where compressed frames are not announced, or this one does not decode to just the
    /// configured shape; [`Fault::Shape`] where its header names another, or the `words` are fewer than
    /// [`decode_words`](Self::decode_words).
    pub fn decode<'f>(
        &self,
        frame: &Frame<'f>,
        words: &'f mut [u32],
    ) -> Result<(Frame<'f>, &'f mut [u32]), Fault> {
        let Some(compression) = frame.header.compression()? else {
            return Ok((*frame, words));
        };
        if !self.compressed {
            return Err(Fault::Compressed);
        }
        if !self.is_shape_of(frame) || words.len() < self.decode_words() {
            return Err(Fault::Shape);
        }
        let mut memory = Memory::new(words);
        let pixels = memory.part(self.frame_bytes());
        let scratch = memory.part(self.scratch());
        let size = self.pixel_type.size();
        let reads = self.window.reads(self.columns, self.rows, size);
        let chunk = Chunk::parse(frame.payload).map_err(|_| Fault::Compressed)?;
        let behind = match compression {
            Compression::Lz4 => chunk.unpack(reads, pixels),
            Compression::BitshuffleLz4 => {
                chunk.unshuffle(Packing::Lz4, size, reads, scratch, pixels)
            }
        };
        if behind != Ok(&[]) {
            return Err(Fault::Compressed);
        }
        let decoded = Frame {
            header: frame.header.with_payload(None, pixels.len() as u32),
            pixel_type: frame.pixel_type,
            payload: pixels,
        };
        Ok((decoded, memory.rest()))
    }
}
