//! A float network out of an ONNX file, run by tract in the place of the integers: a yardstick, off the
//! path.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use hitgate_core::frame::Frame;
use hitgate_core::prep::Reduce;
use hitgate_import::onnx::{FloatNet, OnnxFile};
use hitgate_kernels::Level;
use hitgate_sim::D_WATER;

use crate::complaints::Complaints;
use crate::model;
use crate::module::{Input, Prepared};
use crate::open::{Picture, Pictures};
use crate::reading::Reading;
use crate::simulation::ReduceArg;

/// A network and the preparation of its maps, which no ONNX file says.
pub struct FloatModel {
    net: FloatNet,
    /// What the network asks of the preparation.
    pub input: Input,
}

/// Takes the index of a frame and its logits; `None` where the frame cannot be judged.
type Emit<'e> = dyn FnMut(usize, Option<[f32; 3]>) -> Result<()> + 'e;

impl FloatModel {
    /// Reads the network at `path`, for maps that are made by `reduce`; left out, it is the first way
    /// that makes as many channels, which is enough to time the network.
    pub fn open(path: &Path, reduce: Option<ReduceArg>) -> Result<Self> {
        model::refuse_finished(path)?;
        let file = OnnxFile::open(path)?;
        let name = || path.display().to_string();
        let (channels, side) = file.input_shape().with_context(name)?;
        let Some(side) = side else {
            bail!(
                "{}: its input size is left open: export it with a fixed one",
                name()
            );
        };
        let makes = |reduce: &ReduceArg| Reduce::from(*reduce).channels() as usize == channels;
        let like = || ReduceArg::value_variants().iter().copied().find(makes);
        let reduce = reduce.or_else(like).with_context(|| {
            format!(
                "{}: no preparation makes maps of {channels} channels",
                name()
            )
        })?;
        let word = ReduceArg::name(reduce.into());
        let input = Input {
            size: u32::try_from(side)?,
            d_water: D_WATER,
            reduce: reduce.into(),
        };
        let made = input.reduce.channels() as usize;
        if made != channels {
            bail!(
                "{}: it takes maps of {channels} channels, --reduce {word} makes {made}",
                name()
            );
        }
        let net = FloatNet::load(&file, side, channels).with_context(name)?;
        Ok(FloatModel { net, input })
    }

    /// Logits of a prepared map.
    pub fn logits(&self, map: &[u8]) -> Result<[f32; 3]> {
        Ok(self.net.run(map)?)
    }

    /// Prepares and judges every frame of a file, as far as it can be judged; returns how many could
    /// not be read, having said why.
    pub fn file(
        &self,
        path: &Path,
        reading: &Reading<'_>,
        complaints: &Complaints,
        emit: &mut Emit<'_>,
    ) -> Result<usize> {
        let raw = reading.raw.as_ref();
        let opened = Pictures::open_or_say(path, reading.describe, raw.is_some(), complaints);
        let Some(mut pictures) = opened else {
            return Ok(1);
        };
        let mut failed = 0;
        let mut before = None;
        for index in 0..pictures.len() {
            let map = pictures.read(index).and_then(|picture| {
                let Some(place) = picture.module() else {
                    return Ok(None);
                };
                let prepared = pictures.modules[place].prepare(self.input, raw)?;
                // Of frames alike, one after another, it is said once.
                if before.replace(place) != Some(place)
                    && let Some(doubt) = prepared.doubt()
                {
                    complaints.tell(path, format_args!("{}: {doubt}", path.display()));
                }
                Ok(map(&prepared, &picture))
            });
            match map {
                Ok(map) => emit(index, map.map(|map| self.logits(&map)).transpose()?)?,
                Err(error) => {
                    complaints.tell(path, error);
                    failed += 1;
                }
            }
        }
        Ok(failed)
    }
}

/// The map of a frame; `None` where it has a fault.
fn map(prepared: &Prepared, picture: &Picture) -> Option<Vec<u8>> {
    let preparation = prepared.preparation();
    let frame = Frame::parse(picture.frame.bytes()).ok()?;
    let mut words = vec![0; preparation.words()];
    let mut map = vec![0; preparation.map_bytes()];
    let made = preparation.run(Level::detect(), &frame, &mut words, &mut map);
    made.ok()?;
    Some(map)
}
