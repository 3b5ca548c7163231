//! `hitgate bench`: how long each stage takes on this machine, and how long it has to.

mod alone;
mod args;
mod cache;
mod check;
mod engine;
mod floor;
mod panel;
mod path;
mod plot;
mod print;
mod rate;
mod rows;
mod subject;
mod table;
mod workers;

use anyhow::Result;
use hdrhistogram::Histogram;
use hitgate_host::allowed_cores;

use crate::machine::Machine;
use crate::progress::Progress;
use crate::tally::{Latencies, histogram};
pub use args::BenchArgs;

use alone::{Compressed, Times};
use args::Stage;
use cache::Cache;
use engine::EngineArg;
use floor::{Meter, Work};
use panel::{Panel, RawWords, View};
use path::Round;
use rate::{Clock, Turn};
use rows::Row;
use subject::{Network, Subject};

/// Different frames that are simulated.
const DISTINCT: u64 = 8;
/// Turns of one core and of all of them, where both are compared.
const ROUNDS: u64 = 4;

/// Runs the command.
pub fn run(args: &BenchArgs) -> Result<()> {
    args.check()?;
    let cores = workers::cores(args.cores.unwrap_or(1).into(), args.pin)?;
    let hardware = args.backend.open(args.check)?;
    let network = Network::open(args)?;
    let count = match args.rate {
        Some(_) => DISTINCT,
        None => DISTINCT.min(args.frames),
    };
    let panel = Panel::simulate(args.detector, count)?;
    let subject = Subject::new(args, network, hardware, panel)?;
    if args.check {
        return check::run(&subject);
    }
    let machine = Machine::here();
    let beyond_the_caches = match Cache::cold(machine.cache) {
        Cache::Cold { bytes } => bytes,
        Cache::Warm => 0,
    };
    let bench = Bench {
        args,
        meter: Meter::new(subject.level, beyond_the_caches),
        together: Meter::new(subject.level, beyond_the_caches),
        subject,
        machine,
        cores,
    };
    bench.measure_floors()?;
    let rows = match args.rate {
        Some(hz) => bench.by_the_clock(hz)?,
        None => bench.back_to_back()?,
    };
    bench.measure_floors()?;
    let floors = bench.meter.floors();
    if let Some(path) = &args.plot {
        plot::write(path, &bench.title(), &rows)?;
    }
    match args.json {
        true => bench.print_json(&rows, &floors),
        false => bench.print_tables(&rows, &floors),
    }
}

/// A measurement as it was asked for.
struct Bench<'a> {
    args: &'a BenchArgs,
    subject: Subject,
    machine: Machine,
    /// Where its workers run.
    cores: Vec<Option<usize>>,
    /// What the first of them cannot beat.
    meter: Meter,
    /// The same of all of them at once, which share the memory.
    together: Meter,
}

impl Bench<'_> {
    fn cache(&self) -> Cache {
        match self.args.warm {
            true => Cache::Warm,
            false => Cache::cold(self.machine.cache),
        }
    }

    /// On the first of the cores, and on all of them at once where there are several.
    fn measure_floors(&self) -> Result<()> {
        let on = |cores: &[Option<usize>], meter: &Meter| {
            workers::at_once(cores, |start| {
                meter.measure(start);
                Ok(())
            })
        };
        on(&self.cores[..1], &self.meter)?;
        if self.cores.len() > 1 {
            on(&self.cores, &self.together)?;
        }
        Ok(())
    }

    /// Bytes a second that all of several cores together read from memory.
    fn shared_bytes_per_s(&self) -> Option<f64> {
        let cores = self.cores.len();
        (cores > 1).then(|| cores as f64 * self.together.floors().bytes.median)
    }

    /// Every stage, on one core, and on all of them where there are several.
    fn back_to_back(&self) -> Result<Vec<Row>> {
        let several = self.cores.len() > 1;
        let sets = match several {
            true => vec![1, self.cores.len()],
            false => vec![1],
        };
        // A GPU's set-up takes longer than what is timed.
        let rounds = match several && !self.args.on_gpu() {
            true => ROUNDS.min(self.args.frames),
            false => 1,
        };
        let frames = self.args.frames.div_ceil(rounds);
        let mut rows: Vec<Row> = Vec::new();
        for _ in 0..rounds {
            for &cores in &sets {
                for row in self.round(&self.cores[..cores], frames)? {
                    let same = |known: &&mut Row| known.is_like(&row) && known.cores == cores;
                    match rows.iter_mut().find(same) {
                        Some(known) => known.latencies.add(&row.latencies)?,
                        None => rows.push(row),
                    }
                }
            }
        }
        Ok(rows)
    }

    /// All that is wanted, once, on these cores at the same time.
    fn round(&self, cores: &[Option<usize>], frames: u64) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        if !self.args.is_alone() {
            for view in self.args.views() {
                rows.extend(self.path(view, cores, frames)?);
            }
        }
        // What several paths share no median of one stage shows.
        if self.args.on_gpu() && cores.len() > 1 {
            return Ok(rows);
        }
        if self.args.wants(Stage::Net) && self.args.engine != EngineArg::None {
            let latencies = self.alone("timing net", cores, frames, |times| {
                match self.args.on_gpu() {
                    true => alone::net_on_gpu(&self.subject, times),
                    false => alone::net(&self.subject, times),
                }
            })?;
            rows.push(Row {
                of_batches: self.args.on_gpu(),
                ..self.row("net", true, None, cores.len(), latencies)?
            });
        }
        if self.args.wants(Stage::Decode) && !self.args.compressed {
            let compressed = Compressed::new(&self.subject);
            let latencies = self.alone("timing decode", cores, frames, |times| {
                compressed.decode(&self.subject, self.cache(), times)
            })?;
            let row = self.row("decode", true, None, cores.len(), latencies)?;
            rows.push(Row {
                mpx: Some(self.subject.panel.pixels() as f64 / 1e6),
                work: self.reading(compressed.bytes()),
                ..row
            });
        }
        let raw = self
            .args
            .wants(Stage::Correct)
            .then(|| self.subject.panel.raw());
        if let Some(raw) = raw.flatten() {
            for view in self.args.views() {
                let latencies = self.alone("timing correct", cores, frames, |times| {
                    alone::correct(&self.subject, &raw, view, self.cache(), times)
                })?;
                let row = self.row("correct", true, Some(view), cores.len(), latencies)?;
                let bytes = self.subject.pixels(view) * RawWords::BYTES as u64;
                rows.push(Row {
                    work: self.reading(bytes),
                    ..row
                });
            }
        }
        Ok(rows)
    }

    /// The path and its stages.
    fn path(&self, view: View, cores: &[Option<usize>], frames: u64) -> Result<Vec<Row>> {
        let total = (path::WARM_UP + frames) * cores.len() as u64;
        let progress = Progress::start(&format!("timing the path, {}", view.name()), total);
        let timed = workers::at_once(cores, |start| {
            let times = Times {
                frames,
                start,
                progress: &progress,
                meter: &self.meter,
            };
            path::time(&self.subject, view, self.cache(), cores.len(), &times)
        });
        progress.clear();
        let (mut latencies, mut batches) = (Latencies::default(), histogram());
        let mut rounds = Vec::new();
        for worker in timed? {
            latencies.merge(&worker.latencies);
            batches.add(&worker.batches)?;
            rounds.push(worker.rounds);
        }
        if self.args.on_gpu() && cores.len() > 1 {
            return Ok(vec![Row {
                of_batches: true,
                by_clock: Some(together(&rounds)),
                ..self.row(Stage::Batch.name(), false, Some(view), cores.len(), batches)?
            }]);
        }
        let idle = |stage: &str| {
            self.args.engine == EngineArg::None && ["decode", "prep", "net"].contains(&stage)
        };
        let wanted = |stage: &str| self.args.stage.is_none_or(|wanted| wanted.name() == stage);
        let stages = latencies
            .stages()
            .filter(|(stage, _)| wanted(stage) && !idle(stage))
            .map(|(stage, of)| self.row(stage, false, Some(view), cores.len(), of.clone()));
        let mut rows: Vec<Row> = stages.collect::<Result<_>>()?;
        let batch = Stage::Batch.name();
        if self.args.on_gpu() && wanted(batch) {
            rows.push(Row {
                of_batches: true,
                ..self.row(batch, false, Some(view), cores.len(), batches)?
            });
        }
        Ok(rows)
    }

    /// A stage by itself, on these cores at the same time.
    fn alone(
        &self,
        what: &str,
        cores: &[Option<usize>],
        frames: u64,
        work: impl Fn(&Times<'_>) -> Result<Histogram<u64>> + Sync,
    ) -> Result<Histogram<u64>> {
        let total = (path::WARM_UP + frames) * cores.len() as u64;
        let progress = Progress::start(what, total);
        let timed = workers::at_once(cores, |start| {
            work(&Times {
                frames,
                start,
                progress: &progress,
                meter: &self.meter,
            })
        });
        progress.clear();
        let mut all = histogram();
        for worker in timed? {
            all.add(&worker)?;
        }
        Ok(all)
    }

    /// The filter by the clock, and the empty one.
    fn by_the_clock(&self, hz: f64) -> Result<Vec<Row>> {
        let source_core = self.args.pin.and_then(|pin| {
            let other = allowed_cores().into_iter().find(|core| *core != pin);
            if other.is_none() {
                tell!(
                    "hitgate: there is one core only: the emulated source shares it with the filter"
                );
            }
            other
        });
        let clock = Clock {
            hz,
            seconds: self.args.seconds.unwrap_or(10.0),
            source_core,
        };
        let filter = match self.args.engine {
            EngineArg::None => Vec::new(),
            _ => self.args.views().map(Turn::Filter).collect(),
        };
        let turns: Vec<Turn> = filter.into_iter().chain([Turn::Empty]).collect();
        let progress = Progress::start("playing by the clock", clock.frames(turns.len()));
        let timed = workers::at_once(&self.cores[..1], |_| {
            rate::time(&self.subject, &turns, clock, &progress)
        });
        progress.clear();
        let rows = timed?.into_iter().flatten().map(|turns| {
            let (view, engine) = match turns.turn {
                Turn::Filter(view) => (Some(view), self.args.engine),
                Turn::Empty => (None, EngineArg::None),
            };
            Ok(Row {
                engine,
                rate: Some(turns.rate),
                ..self.row("path", false, view, 1, turns.latencies)?
            })
        });
        rows.collect()
    }

    /// A row, with what its stage touches and has to do.
    fn row(
        &self,
        stage: &'static str,
        alone: bool,
        view: Option<View>,
        cores: usize,
        latencies: Histogram<u64>,
    ) -> Result<Row> {
        let pixels = view.map_or(0, |view| self.subject.pixels(view));
        let read = view.map(|view| self.subject.pixels_read(view));
        let macs = match view {
            Some(view) => self.subject.multiply_adds(view)?,
            None => self.subject.network.multiply_adds()?,
        };
        let net = Work {
            macs: macs.unwrap_or(0),
            bytes: 0,
        };
        // How much of a compressed frame has to be read the window does not say.
        let prep = match self.args.compressed {
            true => Work::default(),
            false => self.reading(pixels * 2),
        };
        // An empty filter looks at nothing.
        let empty = self.args.engine == EngineArg::None || (stage == "path" && view.is_none());
        let work = match stage {
            // The core's floors are not a GPU's.
            _ if self.args.on_gpu() => Work::default(),
            "net" => net,
            "prep" => prep,
            // A floor of one half of it would say nothing.
            "path" if macs.is_some() && !self.args.warm && !empty => Work {
                macs: net.macs,
                bytes: prep.bytes,
            },
            _ => Work::default(),
        };
        let looks = ["prep", "path", "correct"].contains(&stage) && !empty;
        Ok(Row {
            stage,
            alone,
            view,
            engine: self.args.engine,
            // Nothing of the network by itself has reason to leave the caches.
            cache: if alone && stage == "net" {
                Cache::Warm
            } else {
                self.cache()
            },
            cores,
            batch: self.subject.batch,
            of_batches: false,
            registered: self.subject.hardware.reads_rings().filter(|_| !alone),
            mpx: read.filter(|_| looks).map(|pixels| pixels as f64 / 1e6),
            work,
            latencies,
            by_clock: None,
            rate: None,
        })
    }

    fn reading(&self, bytes: u64) -> Work {
        Work {
            macs: 0,
            bytes: self.cache().memory_bytes(bytes),
        }
    }
}

/// Frames a second of several paths by the clock, of the rounds of each: one lasts from its first frame to its last, whoever has them.
fn together(paths: &[Vec<Round>]) -> f64 {
    let rounds = paths.iter().map(Vec::len).min().unwrap_or(0);
    let (mut frames, mut ns) = (0, 0);
    for round in 0..rounds {
        let of_all = || paths.iter().map(|path| path[round]);
        let began = of_all().map(|round| round.began_ns).min();
        let ended = of_all().map(|round| round.ended_ns).max();
        frames += of_all().map(|round| round.frames).sum::<u64>();
        ns += ended.unwrap_or(0).saturating_sub(began.unwrap_or(0));
    }
    frames as f64 * 1e9 / ns.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_take_turns_are_no_faster_than_one() {
        let round = |began_ns, ended_ns| Round {
            frames: 1,
            began_ns,
            ended_ns,
        };
        // One begins when the other has ended; then one waits for the other.
        let one = vec![round(0, 100), round(300, 400)];
        let other = vec![round(100, 200), round(300, 500)];
        assert_eq!(together(&[one.clone(), other]), 1e7);
        assert_eq!(together(&[one]), 1e7);
        assert_eq!(together(&[]), 0.0);
    }
}
