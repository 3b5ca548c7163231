//! Labelled maps → scores, by the integer network and by the float one.

use std::num::NonZero;

use hitgate_core::net::{Arena, InferError, Model, Plan, PlanError};
use hitgate_core::verdict::Class;
use hitgate_kernels::Level;

use crate::metrics::Scored;
use crate::onnx::{FloatNet, OnnxError};

/// Prepared maps of known class, one after another.
#[derive(Clone, Copy, Debug)]
pub struct Maps<'a> {
    levels: &'a [u8],
    classes: &'a [Class],
    length: usize,
}

impl<'a> Maps<'a> {
    /// Maps of `length` bytes each, channels last. `None` if `levels` does not hold one for each of
    /// `classes`.
    pub fn new(levels: &'a [u8], classes: &'a [Class], length: usize) -> Option<Self> {
        let fits = length > 0 && levels.len() == classes.len().checked_mul(length)?;
        fits.then_some(Maps {
            levels,
            classes,
            length,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Bytes of one map.
    pub fn map_bytes(&self) -> usize {
        self.length
    }

    /// Each map and its class.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a [u8], Class)> + Clone + 'a {
        self.levels
            .chunks_exact(self.length)
            .zip(self.classes.iter().copied())
    }

    /// At most `count` maps, as evenly divided among the classes as they allow, spread over all.
    pub fn sample(&self, count: usize) -> Vec<&'a [u8]> {
        Class::ALL
            .into_iter()
            .flat_map(|class| {
                let members: Vec<&[u8]> =
                    self.iter().filter(|m| m.1 == class).map(|m| m.0).collect();
                let wanted = count.div_ceil(3).min(members.len());
                (0..wanted)
                    .map(move |i| members[i * members.len() / wanted])
                    .collect::<Vec<_>>()
            })
            .take(count)
            .collect()
    }

    /// Runs of maps, as many as there are cores.
    fn shares(&self) -> Vec<Maps<'a>> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let share = self.len().div_ceil(threads).max(1);
        let levels = self.levels.chunks(share * self.length);
        levels
            .zip(self.classes.chunks(share))
            .map(|(levels, classes)| Maps {
                levels,
                classes,
                length: self.length,
            })
            .collect()
    }
}

/// Why maps could not be scored by the integer network.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The weights could not be packed.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A map does not fit.
    #[error(transparent)]
    Infer(#[from] InferError),
}

/// Scores of the integer network, on the best level of this CPU and all cores.
///
/// # Errors
/// [`ScoreError::Infer`] if the maps have another size than the model's input.
pub fn integer(model: &Model<'_>, maps: Maps<'_>) -> Result<Vec<Scored>, ScoreError> {
    let level = Level::detect();
    let memory = Plan::memory(model, level);
    let mut packed = vec![0; memory.packed];
    let plan = Plan::new(model, level, &mut packed)?;
    on_all_cores(maps, |share| {
        let mut memory = vec![0; memory.arena];
        let mut arena = Arena::new(&mut memory);
        share
            .iter()
            .map(|(map, truth)| {
                Ok(Scored::new(
                    truth,
                    model.score(plan.infer(&mut arena, map)?),
                ))
            })
            .collect()
    })
}

/// Scores of the float network, its logits divided by `temperature`.
///
/// # Errors
/// [`OnnxError`] if a map does not fit, or an output is not three logits.
pub fn float(net: &FloatNet, maps: Maps<'_>, temperature: f32) -> Result<Vec<Scored>, OnnxError> {
    on_all_cores(maps, |share| {
        share
            .iter()
            .map(|(map, truth)| Ok(Scored::from_logits(truth, net.run(map)?, temperature)))
            .collect()
    })
}

fn on_all_cores<E: Send>(
    maps: Maps<'_>,
    score: impl Fn(Maps<'_>) -> Result<Vec<Scored>, E> + Sync,
) -> Result<Vec<Scored>, E> {
    std::thread::scope(|scope| {
        let score = &score;
        let handles: Vec<_> = maps
            .shares()
            .into_iter()
            .map(|share| scope.spawn(move || score(share)))
            .collect();
        let mut all = Vec::with_capacity(maps.len());
        for handle in handles {
            let scored = handle
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.extend(scored?);
        }
        Ok(all)
    })
}
