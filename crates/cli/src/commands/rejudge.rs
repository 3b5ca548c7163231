//! `hitgate rejudge`: what another model says of the frames that were dropped.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use hitgate_core::cpu::Cpu;
use hitgate_core::frame::{FrameHeader, PixelType};
use hitgate_core::link::{Identity, Record};
use hitgate_core::net::Input;
use hitgate_core::verdict::{Class, Policy, Verdict};
use serde_json::{Value, json};

use crate::filter::{self, FilterArgs, FilterMemory};
use crate::maps_file::MapsFile;
use crate::progress::Progress;
use crate::{model, report};

/// Judge dropped frames again, from what `run --keep-maps` kept of them
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hitgate run --keep kept.slots --keep-maps dropped.maps --sample 1000
  hitgate rejudge dropped.maps --model new.hgm
  hitgate rejudge dropped.maps --model new.hgm --json > again.jsonl
  hitgate rejudge dropped.maps --threshold 0.02     # the model built in, more careful

A table of the old reasons against the new verdicts, or with --json a line for every frame. The model
has to take maps of the same preparation. Of a map that the same model judged the answer has to be
the same to the bit: where it is not the program says so and exits with 1.")]
pub struct RejudgeArgs {
    /// Files of maps that `hitgate run --keep-maps` wrote
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Model file (.hgm) to judge with; the one built in if left out
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Keep a frame when P(hit) + P(maybe) is at least this, from 0 to 1; the model's own if left out
    #[arg(long, value_name = "T", value_parser = filter::probability)]
    threshold: Option<f64>,
    /// CPU level, such as scalar or avx2 (`inspect` lists them); the best one if left out
    #[arg(long, value_name = "LEVEL")]
    isa: Option<String>,
    /// Print one JSON line a frame
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &RejudgeArgs) -> Result<()> {
    let filter = FilterArgs {
        model: args.model.clone(),
        threshold: args.threshold,
        isa: args.isa.clone(),
        sample: 0,
        sample_seed: 0,
        deadline_us: None,
    };
    let level = filter.level()?;
    let bytes = model::bytes(args.model.as_deref())?;
    let model = model::parse_for(&bytes, args.model.as_deref(), level)?;
    let name = (args.model.as_ref()).map_or("built in".into(), |path| path.display().to_string());
    let mut files = Vec::new();
    for path in &args.files {
        let maps = MapsFile::open(path)?;
        require_alike(&maps.input, &model.input(), path, &name)?;
        files.push((path, maps));
    }
    let policy = filter.policy(&model);
    let mut memory = FilterMemory::new(&model, level, &[]);
    let mut judge = Judge {
        cpu: memory.cpu(&model, level, &[])?,
        policy,
        identity: Identity {
            model: crc32fast::hash(&bytes),
            config: 0,
        },
    };

    let total: usize = files.iter().map(|(_, maps)| maps.len()).sum();
    let progress = Progress::start("judging again", total as u64);
    let mut table = Table::default();
    let mut unreadable = 0;
    let mut map = vec![0; model.input().bytes()];
    for (path, maps) in &files {
        for i in 0..maps.len() {
            progress.advance();
            let old = match maps.read(i, &mut map) {
                Ok(old) => old,
                Err(error) => {
                    tell!("hitgate: {error:#}");
                    unreadable += 1;
                    continue;
                }
            };
            let new = judge
                .again(&old, &map)
                .with_context(|| format!("map {i} of {}", path.display()))?;
            table.add(&old, &new);
            if args.json {
                say!("{}", line(&old, &new));
            }
        }
    }
    progress.clear();
    if !args.json {
        say!(
            "maps       {} dropped frames, {} x {} x {}, dropped by model {}",
            table.frames(),
            model.input().size,
            model.input().size,
            model.input().channels,
            table.old_models()
        );
        say!(
            "model      {name}, crc {:08x}, on {}, keeps P(hit) + P(maybe) ≥ {:.4}",
            judge.identity.model,
            level.name(),
            report::probability(policy.threshold)
        );
        say_on!("{}", table.text());
    }
    if table.other_answers > 0 {
        bail!(
            "of {} frames this very model gave another answer before: one of the two machines, or the file of maps, is not to be trusted",
            table.other_answers
        );
    }
    if unreadable > 0 {
        bail!(
            "{unreadable} maps could not be read; the other {} were judged",
            table.frames()
        );
    }
    Ok(())
}

/// Refuses a model that takes other maps.
fn require_alike(maps: &Input, model: &Input, path: &Path, name: &str) -> Result<()> {
    if maps == model {
        return Ok(());
    }
    let words = |input: &Input| {
        format!(
            "{0} x {0} x {1}, {2}, to {3:.2} Å",
            input.size,
            input.channels,
            report::reduction(input.reduce),
            input.d_water
        )
    };
    bail!(
        "{} holds maps of {}, and this model ({name}) takes {}: only a model of the same preparation can judge them",
        path.display(),
        words(maps),
        words(model)
    )
}

/// A model, and what it decides.
struct Judge<'m> {
    cpu: Cpu<'m>,
    policy: Policy,
    identity: Identity,
}

impl Judge<'_> {
    /// The record that the frame of `old` gets for its map alone.
    fn again(&mut self, old: &Record, map: &[u8]) -> Result<Record> {
        let score = self.cpu.score_prepared(map)?;
        let header = FrameHeader {
            frame_number: old.frame_number,
            pulse_key: old.pulse_key,
            module_id: old.module,
            ..FrameHeader::new(1, 1, PixelType::U8)
        };
        let decision = self.policy.decide(&header, Ok(score), None, 0, 0);
        Ok(Record::new(
            &header,
            Some(score),
            &decision,
            self.identity,
            0,
        ))
    }
}

/// Old verdict and new one as a line of JSON.
fn line(old: &Record, new: &Record) -> Value {
    let side = |record: &Record| {
        json!({
            "verdict": if record.verdict().keeps() { "keep" } else { "drop" },
            "reason": record.verdict().reason(),
            "class": report::class_word(record),
            "p_hit": report::probability(record.p_hit),
            "p_maybe": report::probability(record.p_maybe),
            "p_miss": report::probability(record.p_miss),
            "model": format!("{:08x}", record.model),
        })
    };
    json!({
        "seq": old.seq,
        "frame_number": old.frame_number,
        "pulse_key": old.pulse_key,
        "module": old.module,
        "old": side(old),
        "new": side(new),
    })
}

/// The reasons that drop a frame.
const DROPS: [Verdict; 2] = [Verdict::DropMiss, Verdict::DropVeto];

/// Old reasons against new verdicts.
#[derive(Default)]
struct Table {
    /// Frames by old reason, and whether they would be kept.
    kept: [[u64; 2]; DROPS.len()],
    /// Frames by old reason (row) and new class (column).
    classes: [[u64; 3]; DROPS.len()],
    /// Models that judged before.
    models: BTreeSet<u32>,
    /// Frames that this very model judged before.
    same: u64,
    /// And how many of them have another answer now.
    other_answers: u64,
}

impl Table {
    fn add(&mut self, old: &Record, new: &Record) {
        let row = usize::from(old.verdict() == Verdict::DropVeto);
        self.kept[row][usize::from(new.verdict().keeps())] += 1;
        if let Some(class) = new.class() {
            self.classes[row][class as usize] += 1;
        }
        self.models.insert(old.model);
        if old.model == new.model {
            self.same += 1;
            self.other_answers += u64::from(report::score(old) != report::score(new));
        }
    }

    fn frames(&self) -> u64 {
        self.kept.iter().flatten().sum()
    }

    fn old_models(&self) -> String {
        let names: Vec<_> = self.models.iter().map(|crc| format!("{crc:08x}")).collect();
        match names.is_empty() {
            true => "–".into(),
            false => names.join(", "),
        }
    }

    fn text(&self) -> String {
        use std::fmt::Write;
        let mut text = String::from(
            "was dropped for  frames   now kept           called hit  maybe    miss\n",
        );
        for (row, verdict) in DROPS.into_iter().enumerate() {
            let [dropped, kept] = self.kept[row];
            let frames = dropped + kept;
            let [hit, maybe, miss] = Class::ALL.map(|class| self.classes[row][class as usize]);
            let _ = writeln!(
                text,
                "  {:<14} {frames:>7}    {kept:>7} {:>8}    {hit:>7} {maybe:>6} {miss:>7}",
                verdict.reason(),
                report::percent(kept, frames),
            );
        }
        if self.same > 0 {
            let _ = writeln!(
                text,
                "same model {} of {} answers are the same to the bit",
                self.same - self.other_answers,
                self.same
            );
        }
        text
    }
}
