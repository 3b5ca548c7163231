//! Another model, mask, geometry or pedestal without a pause: asked by SIGHUP, the files of the command line are read again, and what
//! they make is handed to the judging thread whole, or not at all.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use crossbeam::channel::{Receiver, Sender, TryRecvError, bounded};
use hitgate_core::interlock::Rules;
use hitgate_core::link::{Identity, Link};
use hitgate_core::net::{Input, Model};
use hitgate_core::pipeline::{Bank, Pipeline};

use crate::backend::Hardware;
use crate::bank::bank;
use crate::description::Description;
use crate::filter::FilterArgs;
use crate::module::Module;
use crate::raw::RawArgs;
use crate::raw_maps::RawMaps;
use crate::second_look::Looked;
use crate::standby::Filter;
use crate::{model, outputs, report};

/// How often somebody looks whether it was asked for.
const LOOK: Duration = Duration::from_millis(50);

/// The judging thread's side.
pub struct Exchange {
    new: Receiver<Bank<Filter>>,
    old: Sender<Bank<Filter>>,
}

/// The other side.
pub struct Hand {
    new: Sender<Bank<Filter>>,
    old: Receiver<Bank<Filter>>,
}

/// The two sides of an exchange of banks.
pub fn exchange() -> (Exchange, Hand) {
    let (new, new_out) = bounded(1);
    let (old_in, old) = bounded(1);
    let exchange = Exchange {
        new: new_out,
        old: old_in,
    };
    (exchange, Hand { new, old })
}

impl Exchange {
    /// Between two steps: goes on with the new bank, where there is one.
    pub fn attend<'m, L: Link<'m>>(&self, pipeline: &mut Pipeline<'m, Filter, L>) {
        if let Ok(mut bank) = self.new.try_recv() {
            // The ring and its caches are the same.
            bank.backend.caches = pipeline.backend.caches.take();
            // There is room: each is taken before the next is made.
            let _ = self.old.try_send(pipeline.swap(bank));
        }
    }
}

impl Hand {
    fn is_alone(&self) -> bool {
        matches!(self.old.try_recv(), Err(TryRecvError::Disconnected))
    }

    /// Hands over a bank, and comes back once it judges, or nobody does any more.
    fn over(&self, bank: Bank<Filter>) {
        if self.new.send(bank).is_err() {
            return;
        }
        // What judged until now is freed here. The judging thread would have to wake a thread that waits.
        while let Err(TryRecvError::Empty) = self.old.try_recv() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What reads, packs and checks, on a thread of its own.
pub struct Reload<'a> {
    /// Set by whoever asks.
    pub asked: Arc<AtomicBool>,
    /// Where banks go.
    pub hand: Hand,
    /// What the command line says of the filter.
    pub filter: &'a FilterArgs,
    /// Where frames are scored.
    pub hardware: &'a Hardware,
    /// What it says of raw words.
    pub raw: &'a RawArgs,
    /// What it says of the interlock.
    pub rules: Option<Rules>,
    /// The ring, beside which the modules are described.
    pub ring: &'a Path,
    /// The file of kept slots, beside which they are described too.
    pub keep: Option<&'a Path>,
    /// What the maps of dropped frames are prepared for, where they are kept.
    pub maps: Option<Input>,
    /// The modules of those who look a second time.
    pub looked: Option<Looked>,
    /// What other threads know of who judges.
    pub judging: &'a Mutex<Identity>,
    /// The model that judges now.
    pub bytes: Vec<u8>,
    /// The modules that it judges.
    pub description: Description,
    /// The maps that make photons of their words, where those are raw.
    pub raw_maps: Option<Arc<RawMaps>>,
}

impl Reload<'_> {
    /// Reads anew whenever it is asked to, until nobody judges any more.
    pub fn run(mut self) {
        while !self.hand.is_alone() {
            if self.asked.swap(false, Ordering::Relaxed) {
                match self.reload() {
                    Ok(said) => tell!("hitgate: {said}"),
                    Err(error) => tell!("hitgate: judging goes on as before: {error:#}"),
                }
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Reads the files, and swaps if all is sound; what there is to say of it.
    fn reload(&mut self) -> Result<String> {
        let bytes = model::bytes(self.filter.model.as_deref())?;
        let description = Description::read(self.ring)?;
        let raw_maps = self.raw.read()?;
        let checksum = |maps: &Option<Arc<RawMaps>>| maps.as_ref().map(|maps| maps.checksum());
        if (&bytes, &description) == (&self.bytes, &self.description)
            && checksum(&raw_maps) == checksum(&self.raw_maps)
        {
            return Ok(match raw_maps {
                None => "read again: model and modules are as before",
                Some(_) => "read again: model, modules and pedestals are as before",
            }
            .into());
        }
        same_frames(&self.description, &description)?;
        self.same_maps(&model::parse(&bytes, self.filter.model.as_deref())?)?;
        let modules = &description.modules;
        let raw = raw_maps.as_ref();
        let bank = bank(&bytes, modules, self.filter, self.rules, raw, self.hardware)?;
        // All that can fail comes before the swap.
        if let Some(keep) = self.keep
            && description != self.description
        {
            let before = *self.judging.lock().unwrap_or_else(PoisonError::into_inner);
            outputs::describe_anew(keep, &description, before.config)?;
        }
        if let Some(looked) = &self.looked {
            looked.replace(modules, raw)?;
        }
        let (identity, threshold) = (bank.identity, bank.policy.threshold);
        self.hand.over(bank);
        *self.judging.lock().unwrap_or_else(PoisonError::into_inner) = identity;
        (self.bytes, self.description, self.raw_maps) = (bytes, description, raw_maps);
        Ok(format!(
            "judging goes on with model {:08x}, configuration {:08x}; keeps P(hit) + P(maybe) ≥ {:.4}{}",
            identity.model,
            identity.config,
            report::probability(threshold),
            self.rules
                .map_or("", |_| ", and all else until it is armed again")
        ))
    }
}

impl Reload<'_> {
    /// A file of maps is for one preparation.
    fn same_maps(&self, model: &Model<'_>) -> Result<()> {
        match self.maps {
            Some(input) if input != model.input() => bail!(
                "the new model's maps are prepared otherwise than those that --keep-maps has written so far: end the run and begin another"
            ),
            _ => Ok(()),
        }
    }
}

/// A ring's frames do not change their shape.
fn same_frames(old: &Description, new: &Description) -> Result<()> {
    if old.session != new.session || old.modules.len() != new.modules.len() {
        bail!("the modules are described as those of another ring");
    }
    let frames = |module: &Module| (module.columns, module.rows, module.pixel_type.clone());
    let pairs = old.modules.iter().zip(&new.modules).enumerate();
    for (number, (old, new)) in pairs {
        if frames(old) != frames(new) {
            bail!(
                "module {number} has frames of {} x {} pixels ({}), and is described as one of {} x {} ({})",
                old.columns,
                old.rows,
                old.pixel_type,
                new.columns,
                new.rows,
                new.pixel_type
            );
        }
        if old.compressed && !new.compressed {
            bail!("module {number} has compressed frames, which its description leaves out");
        }
    }
    Ok(())
}
