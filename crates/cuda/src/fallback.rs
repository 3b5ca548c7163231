//! A device that may be lost, with the CPU behind it.

use hitgate_core::frame::{Fault, Frame};
use hitgate_core::pipeline::{Backend, MAX_BATCH, Scored};

/// What scores batches until it is lost: a GPU, or a test's stand-in for one.
pub trait Device {
    /// The most frames of a batch, at most [`MAX_BATCH`].
    const BATCH: usize;
    /// Why it was lost.
    type Lost;

    /// Scores each of `frames`, as [`Backend::score`].
    ///
    /// # Errors
    /// Why there are no scores, and will be none any more.
    fn score(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> Result<heapless::Vec<Scored, MAX_BATCH>, Self::Lost>;

    /// As [`Backend::map_of`].
    fn map_of(&self, i: usize) -> Option<&[u8]>;
}

/// Frames by who scored them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The device.
    pub device: u64,
    /// Nobody: those of the batch that the device was lost with. They are kept as faults.
    pub lost: u64,
    /// The CPU, since then.
    pub cpu: u64,
}

/// A device, and the CPU that takes over from the batch after the one that the device was lost with. The device is not asked
/// again: after an error of the driver nothing that it says can be believed.
#[derive(Debug)]
pub struct Fallback<D: Device, C> {
    /// Also once it is lost: giving it back may take long, and is for whoever drops this. `None` where it was lost before.
    device: Option<D>,
    /// Why it is.
    lost: Option<D::Lost>,
    cpu: C,
    counts: Counts,
    /// Frames of the last batch.
    last: u64,
}

impl<D: Device, C: Backend> Fallback<D, C> {
    /// Begins with the device.
    pub fn new(device: D, cpu: C) -> Self {
        const { assert!(D::BATCH >= 1 && D::BATCH <= MAX_BATCH) };
        Fallback {
            device: Some(device),
            lost: None,
            cpu,
            counts: Counts::default(),
            last: 0,
        }
    }

    /// Begins with a device that is lost already: the CPU scores all frames, which are counted as fallen back.
    pub fn without(lost: D::Lost, cpu: C) -> Self {
        Fallback {
            device: None,
            lost: Some(lost),
            cpu,
            counts: Counts::default(),
            last: 0,
        }
    }

    /// Who scored how many frames.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Why the device was lost; `None` while it is not.
    pub fn lost(&self) -> Option<&D::Lost> {
        self.lost.as_ref()
    }
}

impl<D: Device, C: Backend> Backend for Fallback<D, C> {
    const BATCH: usize = D::BATCH;

    /// The CPU's own once the device is lost: a frame of a batch would wait for those before it.
    fn batch(&self) -> usize {
        match self.lost {
            None => D::BATCH,
            Some(_) => C::BATCH,
        }
    }

    fn score(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH> {
        let frames = &frames[..frames.len().min(MAX_BATCH)];
        let n = frames.len() as u64;
        self.last = n;
        let Some(device) = self.device.as_mut().filter(|_| self.lost.is_none()) else {
            self.counts.cpu += n;
            let batches = frames.chunks(C::BATCH);
            return batches
                .flat_map(|batch| self.cpu.score(batch, now_ns))
                .collect();
        };
        match device.score(frames, now_ns) {
            Ok(scored) => {
                self.counts.device += n;
                scored
            }
            Err(lost) => {
                self.lost = Some(lost);
                self.counts.lost += n;
                frames
                    .iter()
                    .map(|_| Scored::fault(Fault::Backend))
                    .collect()
            }
        }
    }

    fn map_of(&self, i: usize) -> Option<&[u8]> {
        match &self.device {
            Some(device) if self.lost.is_none() => device.map_of(i),
            // Of several frames the CPU has the last one's alone.
            _ if self.last == 1 => self.cpu.map_of(i),
            _ => None,
        }
    }

    fn fallen_back(&self) -> u64 {
        match self.lost {
            None => 0,
            Some(_) => self.last,
        }
    }
}
