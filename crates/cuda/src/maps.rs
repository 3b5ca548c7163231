//! The network alone, on maps that somebody else has prepared: as many at once as pay, where a path's batch has few.

use std::sync::Arc;
use std::time::Instant;

use hitgate_core::net::Model;

use crate::cuda::CudaError;
use crate::driver::{Context, Failed, Gpu, Piece, Recorded, Times};
use crate::memory::Constants;
use crate::network::Network;

/// A GPU that holds a model, and has room for so many maps at once.
#[derive(Debug)]
pub struct Maps {
    gpu: Gpu,
    network: Recorded,
    /// The maps, the first of the pinned memory.
    maps: Piece,
    /// Three i32 each, behind them.
    logits: Piece,
}

impl Maps {
    /// Packs the model for batches of `most` maps, at least one, and has the GPU prove at each place of one that it gives the
    /// model's golden logits, within `proof_ns`.
    ///
    /// # Errors
    /// [`CudaError`] says what does not fit, or fails.
    pub fn new(
        context: &Arc<Context>,
        model: &Model<'_>,
        most: u32,
        proof_ns: u64,
    ) -> Result<Self, CudaError> {
        let began = Instant::now();
        let most = most.max(1);
        let mut constants = Constants::new();
        let network = Network::new(model, &mut constants)?;
        let mut working = constants.behind()?;
        let batch = network.place(most, &mut working)?;
        let maps = Piece {
            from: 0,
            place: batch.map,
            bytes: most as usize * model.input().bytes(),
        };
        let logits = Piece {
            from: maps.bytes,
            place: batch.logits,
            bytes: most as usize * 12,
        };
        let pinned = maps.bytes + logits.bytes;
        let mut gpu = Gpu::new(context, constants.bytes(), working.bytes(), pinned)?;
        let launches = network.launches(&batch, most, context.multiprocessors());
        let network = gpu.record(&launches)?;
        let mut prepared = Maps {
            gpu,
            network,
            maps,
            logits,
        };

        let golden = model.golden();
        let late = || began.elapsed().as_nanos() > u128::from(proof_ns);
        prepared.run(&golden.map.repeat(most as usize), late)?;
        for found in prepared.found()? {
            if found != golden.logits {
                let expected = golden.logits;
                return Err(CudaError::Golden { found, expected });
            }
        }
        Ok(prepared)
    }

    /// The logits of `maps`, one behind the other, in their order; of what is beyond those that there is room for none. Waits for
    /// the GPU, however late it is.
    ///
    /// # Errors
    /// Where the GPU is lost.
    pub fn logits(&mut self, maps: &[u8]) -> Result<impl Iterator<Item = [i32; 3]>, Failed> {
        let bytes = maps.len().min(self.maps.bytes);
        let judged = bytes * (self.logits.bytes / 12) / self.maps.bytes;
        self.run(&maps[..bytes], || false)?;
        Ok(self.found()?.take(judged))
    }

    /// How long the network takes by the GPU's clock, for a whole batch of the maps that it has already, in ns. Waits for it,
    /// however late it is.
    ///
    /// # Errors
    /// Where the GPU is lost.
    pub fn time(&mut self) -> Result<u64, Failed> {
        let none = Piece {
            bytes: 0,
            ..self.maps
        };
        let times = (self.gpu).run(none, std::iter::empty(), self.network, &[], || false)?;
        Ok(times.last_ns)
    }

    /// Sends `maps`, which there is room for, and judges all that are there.
    fn run(&mut self, maps: &[u8], late: impl Fn() -> bool) -> Result<Times, Failed> {
        let bytes = maps.len();
        self.gpu.pinned()?[..bytes].copy_from_slice(maps);
        let sent = Piece { bytes, ..self.maps };
        (self.gpu).run(sent, std::iter::empty(), self.network, &[self.logits], late)
    }

    /// The logits that came back.
    fn found(&self) -> Result<impl Iterator<Item = [i32; 3]>, Failed> {
        let bytes = &self.gpu.pinned_bytes()?[self.logits.from..];
        let threes = bytes.as_chunks::<4>().0.as_chunks::<3>().0;
        Ok(threes.iter().map(|three| three.map(i32::from_le_bytes)))
    }
}
