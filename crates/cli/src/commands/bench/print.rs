//! A measurement as programs and people read it.

use anyhow::Result;
use serde_json::json;

use super::engine::EngineArg;
use super::floor::Floors;
use super::rows::Row;
use super::{Bench, table};
use crate::machine::{COMMIT, VERSION};
use crate::simulation::ReduceArg;

impl Bench<'_> {
    /// What was measured, in a line.
    pub fn title(&self) -> String {
        let how = match self.args.rate {
            Some(hz) => format!("{hz} Hz"),
            None => self.cache().name().into(),
        };
        let detector = match self.args.compressed {
            true => format!("{}, compressed", self.args.detector.name()),
            false => self.args.detector.name().into(),
        };
        let network = self.subject.network.name();
        format!("{detector}, {network}, {}, {how}", self.isa())
    }

    fn isa(&self) -> &'static str {
        match self.args.engine {
            EngineArg::Tract => "tract",
            _ if self.args.on_gpu() => "cuda",
            _ => self.subject.level.name(),
        }
    }

    /// A line for each row.
    pub fn print_json(&self, rows: &[Row], floors: &Floors) -> Result<()> {
        let input = self.subject.network.input()?;
        let common = json!({
            "machine": self.machine.cpu,
            "machine_cores": self.machine.cores,
            "clock_mhz": self.machine.mhz,
            "os": self.machine.os,
            "version": VERSION,
            "commit": COMMIT,
            "detector": self.args.detector.name(),
            "columns": self.subject.panel.columns,
            "rows": self.subject.panel.rows,
            "pixel_type": "u16",
            "compressed": self.args.compressed,
            "model": self.subject.network.name(),
            "model_crc": self.subject.network.crc(),
            "width": self.subject.network.width()?,
            "input": input.size,
            "reduce": ReduceArg::name(input.reduce),
            "channels": input.reduce.channels(),
            "multiply_adds": self.subject.network.multiply_adds()?,
            "isa": self.isa(),
            "gpu": self.subject.hardware.gpu(),
            "pinned": self.args.pin,
            "peak_gmacs": floors.macs.highest / 1e9,
            "median_gmacs": floors.macs.median / 1e9,
            "read_gb_s": floors.bytes.highest / 1e9,
            "median_read_gb_s": floors.bytes.median / 1e9,
            "shared_read_gb_s": self.shared_bytes_per_s().map(|rate| rate / 1e9),
        });
        for row in rows {
            let one_core = rows.iter().find(|one| one.is_like(row) && one.cores == 1);
            say!("{}", row.json(&common, floors, one_core));
        }
        Ok(())
    }

    /// Tables, and what their numbers mean.
    pub fn print_tables(&self, rows: &[Row], floors: &Floors) -> Result<()> {
        let subject = &self.subject;
        let input = subject.network.input()?;
        say!("machine    {}", self.machine);
        say!("hitgate    {VERSION}, commit {COMMIT}, {}", self.isa());
        say!(
            "detector   {}, {} x {} pixels of u16{}",
            self.args.detector.name(),
            subject.panel.columns,
            subject.panel.rows,
            match self.args.compressed {
                true => ", compressed",
                false => "",
            }
        );
        let mut network = format!("network    {}", subject.network.name());
        if let Some(width) = subject.network.width()? {
            network += &format!(", width {width}");
        }
        network += &format!(
            ", {0} x {0} cells ({1})",
            input.size,
            ReduceArg::name(input.reduce)
        );
        if let Some(macs) = subject.network.multiply_adds()? {
            network += &format!(", {:.1} million multiply-adds", macs as f64 / 1e6);
        }
        say!("{network}");
        if let Some(gpu) = self.subject.hardware.gpu() {
            let batch = self.subject.batch;
            let copied = match rows.iter().any(|row| row.registered == Some(false)) {
                true => ", copied once more from a ring that could not be registered",
                false => "",
            };
            say!("GPU        {gpu}, {batch} frames at once{copied}");
        }
        say!(
            "this core  {:.0} G multiply-adds/s at most, {:.0} mostly; reads {:.1} GB/s from memory, {:.1} mostly",
            floors.macs.highest / 1e9,
            floors.macs.median / 1e9,
            floors.bytes.highest / 1e9,
            floors.bytes.median / 1e9
        );
        if let Some(rate) = self.shared_bytes_per_s() {
            say!(
                "{:<2} cores   read {:.1} GB/s from memory, all at once",
                self.cores.len(),
                rate / 1e9
            );
        }
        say!("");
        match self.args.rate {
            Some(hz) => self.print_rates(hz, rows),
            None => self.print_stages(rows, floors),
        }
        Ok(())
    }

    fn print_stages(&self, rows: &[Row], floors: &Floors) {
        let in_the_path = format!("in the path, {}, µs", self.cache().name());
        for (heading, alone) in [(in_the_path.as_str(), false), ("by itself, µs", true)] {
            let of = |row: &&Row| row.cores == 1 && row.alone == alone;
            let group: Vec<&Row> = rows.iter().filter(of).collect();
            if !group.is_empty() {
                say!("{}", table::of(heading, &group, floors));
            }
        }
        let cores = self.cores.len();
        if cores > 1 {
            let many = |one: &&Row| {
                rows.iter()
                    .find(|row| row.cores == cores && row.is_like(one))
            };
            let ones = rows.iter().filter(|row| row.cores == 1);
            let pairs: Vec<_> = ones.filter_map(|one| Some((one, many(&one)?))).collect();
            say!("{}", table::of_cores(cores, &pairs));
        }
        if self.args.on_gpu() {
            return say!(
                "prep and net are a frame's shares of its batch, by the GPU's clock, and copies are among prep. What a GPU\n\
                 cannot beat bench/gpu.sh measures."
            );
        }
        say!(
            "The floor is what this core cannot beat: the network's multiply-adds at the rate above, and\n\
             what has to come from memory at that bandwidth. The path has both to do. The clock wanders:\n\
             multiply-adds were timed between the frames too, and p50 is compared with the floor at the\n\
             median rates."
        );
        if self.args.compressed {
            say!(
                "How much of a compressed frame has to be read is not known: reading has no floor here."
            );
        }
        if self.args.warm {
            say!(
                "Frames lie in the caches of the core that wrote them: reading them has no floor here."
            );
        }
    }

    fn print_rates(&self, hz: f64, rows: &[Row]) {
        let seconds = rows
            .iter()
            .find_map(|row| Some(row.rate?.seconds))
            .unwrap_or(0.0);
        let heading = format!("{hz} Hz, {seconds} s each, µs");
        say!("{}", table::of_rates(&heading, rows));
        say!(
            "From the time that a frame is due to its record; the period is {:.1} µs. The empty filter keeps\n\
             every frame unseen, by turns with the other: what it shows is the machine's own noise. Both poll\n\
             the ring.",
            1e6 / hz
        );
        let late_ns = rows
            .iter()
            .filter_map(|row| Some(row.rate?.source_late_ns))
            .max();
        say!(
            "The emulated source handed a frame over up to {:.1} µs late, which counts as latency; a lapped\n\
             frame found the ring full when it was due.",
            late_ns.unwrap_or(0) as f64 / 1e3
        );
    }
}
