//! A model → what a device holds of it, and the launches that take maps to logits.

use hitgate_core::net::Model;

use crate::launch::{Launch, THREADS};
use crate::layers::{Head, Separable, Stem};
use crate::memory::{Constants, TooLarge, Working};
use crate::pack::{self, GROUP, STEP};

/// Shared memory that every device gives to a block without being asked twice.
const SHARED: u32 = 48 * 1024;
/// A block keeps to so much where it can, so that several run at once on a multiprocessor.
const SHARED_OF_MANY: u32 = 28 * 1024;
/// Pixels of a block: whole strips of what a warp computes, or half of one.
const STRIP: u32 = 32;
/// The most, where frames are many.
const MOST_PIXELS: u32 = 16 * STRIP;
/// Blocks that run at once on a multiprocessor, as their registers allow.
const AT_ONCE: u32 = 3;
/// Parts of a block's groups from which on a block takes half a strip.
const PARTS_OF_HALVES: u32 = 4;
/// Pixels side by side that a thread makes: rows are filled up to whole runs.
const RUN: u32 = 4;
/// Warps of a block.
const WARPS: u32 = THREADS / 32;

/// Why a model cannot run on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The map between the halves of a block does not fit shared memory.
    #[error(
        "block {block} of the model has {channels} channels in, the GPU's kernels take at most {most}: run it on the CPU"
    )]
    Channels {
        /// The block's number, from 1.
        block: usize,
        /// Its channels.
        channels: u32,
        /// The most that there may be.
        most: u32,
    },
    /// Places or pixels do not fit 32 bits.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// A model's layers, with their weights placed among the constants of a device.
#[derive(Clone, Debug)]
pub struct Network {
    stem_kernel: &'static str,
    stem: Stem,
    blocks: Vec<Separable>,
    head: Head,
    map_bytes: u64,
}

/// Where the maps, the activations and the logits of a batch lie.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// The most frames of a batch.
    pub frames: u32,
    /// The prepared maps, one behind the other.
    pub map: u32,
    /// Two maps of activations that take turns.
    activations: [u32; 2],
    /// Three i32 a frame.
    pub logits: u32,
}

impl Network {
    /// Packs `model` into `constants`.
    ///
    /// # Errors
    /// [`NetworkError`] where a layer is wider than the kernels take.
    pub fn new(model: &Model<'_>, constants: &mut Constants) -> Result<Self, NetworkError> {
        let input = model.input();
        let floats = |scales: &mut dyn Iterator<Item = f32>| scales.collect::<Vec<_>>();
        let stem = model.stem();
        let stem_kernel = [
            "hitgate_stem_1",
            "hitgate_stem_2",
            "hitgate_stem_3",
            "hitgate_stem_4",
        ][input.channels as usize - 1];
        let placed_stem = Stem {
            map: 0,
            out: 0,
            weights: constants.place(&pack::stem(stem, input.channels as usize))?,
            bias: constants.place(&stem.biases().collect::<Vec<_>>())?,
            scale: constants.place(&floats(&mut stem.scales()))?,
            frames: 0,
            side: input.size,
            channels: stem.channels() as u32,
            part: 0,
        };
        let mut side = input.size.div_ceil(2);
        let mut blocks = Vec::new();
        for (number, block) in (1..).zip(model.blocks()) {
            let (depthwise, pointwise) = (block.depthwise(), block.pointwise());
            let (channels, outputs) = (depthwise.channels(), pointwise.channels());
            if Share::LEAST.shared(channels as u32) > SHARED {
                return Err(NetworkError::Channels {
                    block: number,
                    channels: channels as u32,
                    most: most_channels(),
                });
            }
            let stride = block.stride() as u32;
            blocks.push(Separable {
                r#in: 0,
                out: 0,
                depthwise: constants.place(&pack::depthwise(depthwise))?,
                depthwise_bias: constants.place(&depthwise.biases().collect::<Vec<_>>())?,
                depthwise_scale: constants.place(&floats(&mut depthwise.scales()))?,
                pointwise: constants.place(&pack::pointwise(pointwise, channels))?,
                pointwise_bias: constants.place(&pack::grouped(pointwise.biases(), 0))?,
                pointwise_scale: constants.place(&pack::grouped(pointwise.scales(), 1.0))?,
                frames: 0,
                side,
                stride,
                channels: channels as u32,
                outputs: outputs as u32,
                pixels: 0,
                groups: 0,
                parts: 0,
            });
            side = side.div_ceil(stride);
        }
        let head = Head {
            r#in: 0,
            logits: 0,
            scale: constants.place(&floats(&mut model.pool_scales()))?,
            weights: constants.place(model.head().weights())?,
            bias: model.head().biases(),
            pixels: side * side,
            channels: model.pool_scales().len() as u32,
        };
        Ok(Network {
            stem_kernel,
            stem: placed_stem,
            blocks,
            head,
            map_bytes: input.bytes() as u64,
        })
    }

    /// Room for batches of up to `frames` frames.
    ///
    /// # Errors
    /// [`NetworkError::TooLarge`] where the batch has more pixels than a kernel counts.
    pub fn place(&self, frames: u32, working: &mut Working) -> Result<Batch, NetworkError> {
        let bytes = |side: u32, channels: u32| {
            let pixels = filled(side, side) * u64::from(frames);
            let bytes = pixels * u64::from(channels);
            // Numbers of pixels, also of those beyond the last, stand beside three bits; a kernel counts bytes in 32.
            match pixels <= 1 << 28 && bytes <= 1 << 32 {
                true => Ok(bytes),
                false => Err(TooLarge),
            }
        };
        bytes(self.stem.side, 1)?;
        let mut largest = [bytes(self.stem.side.div_ceil(2), self.stem.channels)?, 0];
        for (i, block) in self.blocks.iter().enumerate() {
            let to = &mut largest[(i + 1) % 2];
            *to = bytes(block.side.div_ceil(block.stride), block.outputs)?.max(*to);
        }
        Ok(Batch {
            frames,
            map: working.place(self.map_bytes * u64::from(frames))?,
            activations: [working.place(largest[0])?, working.place(largest[1])?],
            logits: working.place(12 * u64::from(frames))?,
        })
    }

    /// What takes the first `frames` maps of `batch` to logits on a device of so many multiprocessors, in this order.
    pub fn launches(&self, batch: &Batch, frames: u32, multiprocessors: u32) -> Vec<Launch> {
        let frames = frames.min(batch.frames);
        let [mut from, mut to] = batch.activations;
        let side = self.stem.side.div_ceil(2);
        let tiles = (frames * side * side).div_ceil(THREADS);
        let eights = self.stem.channels.div_ceil(8);
        let stem = Stem {
            map: batch.map,
            out: from,
            frames,
            part: 8 * eights.div_ceil((multiprocessors / tiles.max(1)).clamp(1, eights)),
            ..self.stem
        };
        let grid = [tiles, stem.channels.div_ceil(stem.part), 1];
        let mut launches = vec![Launch::new(self.stem_kernel, grid, 0, stem.words())];
        for block in &self.blocks {
            let side = block.side.div_ceil(block.stride);
            // `place` has seen that they are not too many.
            let pixels = frames * filled(side, side) as u32;
            let groups = block.outputs.div_ceil(GROUP as u32);
            let share = Share::new(block.channels, pixels, groups, multiprocessors);
            let layer = Separable {
                r#in: from,
                out: to,
                frames,
                pixels: share.pixels,
                groups: share.groups,
                parts: share.parts,
                ..*block
            };
            let grid = [
                pixels.div_ceil(share.pixels),
                groups.div_ceil(share.groups),
                1,
            ];
            let shared = share.shared(block.channels);
            let kernel = match block.stride {
                1 => "hitgate_separable_1",
                _ => "hitgate_separable_2",
            };
            launches.push(Launch::new(kernel, grid, shared, layer.words()));
            (from, to) = (to, from);
        }
        let head = Head {
            r#in: from,
            logits: batch.logits,
            ..self.head
        };
        let shared = 3 * THREADS * 4 + head.channels;
        launches.push(Launch::new(
            "hitgate_head",
            [frames, 1, 1],
            shared,
            head.words(),
        ));
        launches
    }
}

/// Pixels of so many rows, each filled up to whole runs.
fn filled(rows: u32, side: u32) -> u64 {
    u64::from(rows) * u64::from(side).next_multiple_of(u64::from(RUN))
}

/// The most channels in of a block.
const fn most_channels() -> u32 {
    let mut most = 0;
    while Share::LEAST.shared(most + STEP as u32) <= SHARED {
        most += STEP as u32;
    }
    most
}

/// What a block of threads computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    pixels: u32,
    /// Groups of channels out.
    groups: u32,
    /// Warps that share out the channels in of a product.
    parts: u32,
}

impl Share {
    const LEAST: Share = Share {
        pixels: STRIP / 2,
        groups: 1,
        parts: 1,
    };

    /// As much as keeps every multiprocessor busy. More pixels load weights less often, more groups compute the depthwise half
    /// less often; the groups are shared out last, since the depthwise half is then done anew for each part.
    fn new(channels: u32, pixels: u32, groups: u32, multiprocessors: u32) -> Share {
        let mut share = Share {
            pixels: MOST_PIXELS,
            ..Share::LEAST
        };
        while share.pixels > STRIP && share.shared(channels) > SHARED_OF_MANY {
            share.pixels /= 2;
        }
        // A run of each thread is enough where more would leave multiprocessors with fewer blocks than they run at once.
        let a_run_each = THREADS * RUN / (channels / 4).max(1);
        while share.pixels > STRIP {
            let blocks = pixels.div_ceil(share.pixels);
            let is_enough = share.pixels <= a_run_each.max(4 * STRIP);
            if blocks >= multiprocessors * if is_enough { 1 } else { AT_ONCE } {
                break;
            }
            share.pixels /= 2;
        }
        // Few blocks of many parts each: less of the depthwise half is done anew where they have fewer pixels.
        if multiprocessors / pixels.div_ceil(share.pixels).max(1) >= PARTS_OF_HALVES {
            share.pixels = Share::LEAST.pixels;
        }
        let blocks = pixels.div_ceil(share.pixels).max(1);
        share.groups = groups.div_ceil((multiprocessors / blocks).clamp(1, groups));
        // No warp without a step.
        share.parts = (WARPS / share.products()).clamp(1, channels.div_ceil(STEP as u32));
        if share.shared(channels) > SHARED {
            share.parts = 1;
        }
        share
    }

    /// Strips of pixels times groups of channels: each is a warp's, or shared out.
    const fn products(&self) -> u32 {
        self.pixels.div_ceil(STRIP) * self.groups
    }

    /// Bytes of shared memory as in `kernels/separable.cuh`: rows, 16 bytes a run, and the sums of products that are shared out.
    const fn shared(&self, channels: u32) -> u32 {
        let row = channels.next_multiple_of(STEP as u32) + 16;
        let sums = match self.parts {
            0 | 1 => 0,
            _ => self.products() * STRIP * GROUP as u32 * 4,
        };
        self.pixels.next_multiple_of(STRIP) * row + self.pixels / RUN * 16 + sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_fills_the_device_and_fits_shared_memory() {
        for channels in (8..=most_channels()).step_by(8) {
            for (pixels, groups) in [(1, 1), (49, 32), (12_544, 2), (1 << 20, 32)] {
                for multiprocessors in [1, 8, 132] {
                    let share = Share::new(channels, pixels, groups, multiprocessors);
                    assert!(share.shared(channels) <= SHARED);
                    assert!(share.groups >= 1);
                    assert!((1..=channels.div_ceil(STEP as u32)).contains(&share.parts));
                    assert!(share.pixels == STRIP / 2 || share.pixels.is_multiple_of(STRIP));
                    let blocks = pixels.div_ceil(share.pixels) * groups.div_ceil(share.groups);
                    let smallest = pixels.div_ceil(STRIP) * groups;
                    assert!(blocks >= multiprocessors.min(smallest) / 2, "{share:?}");
                }
            }
        }
    }

    #[test]
    fn few_channels_have_many_pixels_and_few_pixels_half_strips() {
        let share = |channels, pixels, groups| Share::new(channels, pixels, groups, 132);
        assert_eq!(share(8, 1 << 20, 1).pixels, MOST_PIXELS);
        // As many as fit, where multiprocessors still have as many blocks as they run at once; a run of each thread where not.
        assert_eq!(share(32, 132 * 3 * 512, 2).pixels, MOST_PIXELS);
        assert_eq!(share(32, 132 * 3 * 512 - 512, 2).pixels, MOST_PIXELS / 2);
        assert_eq!(share(32, 132 * 128, 2).pixels, 128);
        assert_eq!(share(512, 1 << 20, 16).pixels, STRIP);
        // One frame of 14 x 14 pixels at width 1, and sixteen.
        let one = Share {
            pixels: STRIP / 2,
            groups: 2,
            parts: 4,
        };
        assert_eq!(share(512, 14 * 16, 16), one);
        assert_eq!(share(512, 16 * 14 * 16, 16).pixels, STRIP);
    }

    #[test]
    fn one_channel_more_does_not_fit() {
        assert!(Share::LEAST.shared(most_channels()) <= SHARED);
        assert!(Share::LEAST.shared(most_channels() + 1) > SHARED);
    }
}
