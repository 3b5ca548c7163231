//! `hitgate run --metrics`: counters of the run for Prometheus, over HTTP.
//!
//! A thread of its own answers from what is in shared memory anyway, the ring's control page and its records;
//! the judging thread does nothing for it.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use hitgate_core::link::{Identity, Record};
use hitgate_core::verdict::Verdict;
use hitgate_host::Ring;
use hitgate_kernels::Level;
use hitgate_ring::Seq;

use crate::machine::{COMMIT, VERSION};
use crate::ring_state::{EndState, RingState};
use crate::second_look::Watch;
use crate::tally;
use crate::traffic::Traffic;

/// How often somebody who asks is looked for.
const LOOKING: Duration = Duration::from_millis(20);
/// How long one may take to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest question.
const QUESTION: usize = 8 << 10;
/// Records that the latencies are taken from, at most.
const RECENT: u64 = 4096;

/// Where questions come in.
pub struct Endpoint(TcpListener);

impl Endpoint {
    /// Listens at `address`, such as `127.0.0.1:9464`.
    ///
    /// # Errors
    /// Where it is no address, or somebody else listens there.
    pub fn listen(address: &str) -> Result<Self> {
        let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => anyhow::anyhow!(
                "--metrics {address}: an address and a port are needed, such as 127.0.0.1:9464"
            ),
            ErrorKind::AddrInUse => anyhow::anyhow!(
                "--metrics {address}: another program, perhaps another `hitgate run`, listens there: choose another port"
            ),
            _ => anyhow::anyhow!("--metrics {address}: cannot listen there: {error}"),
        })?;
        listener
            .set_nonblocking(true)
            .context("cannot listen for metrics without waiting")?;
        Ok(Endpoint(listener))
    }

    /// The address, with the port that the system chose where 0 was asked for.
    pub fn address(&self) -> Result<SocketAddr> {
        self.0.local_addr().context("the metrics have no address")
    }

    /// Answers with what `metrics` says, one after another, until `done`.
    pub fn serve(&self, done: &AtomicBool, metrics: impl Fn() -> Result<String>) {
        while !done.load(Ordering::Relaxed) {
            match self.0.accept() {
                // Whoever asks and goes away is no concern of the run.
                Ok((stream, _)) => drop(answer(stream, &metrics)),
                Err(_) => std::thread::sleep(LOOKING),
            }
        }
    }
}

/// Answers one question and closes.
fn answer(mut stream: TcpStream, metrics: impl Fn() -> Result<String>) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let question = question(&mut stream)?;
    let mut words = question.split(' ');
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (status, text) = match (method, path) {
        (Some("GET"), "/metrics") => match metrics() {
            Ok(text) => ("200 OK", text),
            Err(error) => ("503 Service Unavailable", format!("{error:#}\n")),
        },
        (Some("GET"), _) => ("404 Not Found", "the metrics are at /metrics\n".into()),
        _ => ("405 Method Not Allowed", "only GET is answered\n".into()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}

/// The first line of a question, once the whole question is there.
fn question(stream: &mut TcpStream) -> std::io::Result<String> {
    let until = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || bytes.len() > QUESTION {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let mut part = [0; 1024];
        match stream.read(&mut part)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&part[..n]),
        }
    }
    let line = bytes
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

/// What the metrics are taken from.
pub struct Sources<'r> {
    /// The ring.
    pub ring: &'r Ring,
    /// What goes through the sink.
    pub traffic: &'r Traffic,
    /// What the interlock last told, where there is one.
    pub interlock: Option<&'r Watch>,
    /// Model and configuration that judge now.
    pub identity: &'r Mutex<Identity>,
    /// The CPU level.
    pub level: Level,
    /// The GPU, where there is one.
    pub gpu: Option<&'r str>,
}

impl Sources<'_> {
    /// All metrics in Prometheus's text format.
    ///
    /// # Errors
    /// Where the ring cannot be read.
    pub fn text(&self) -> Result<String> {
        let state = RingState::of(self.ring)?;
        let mut text = Exposition::default();
        self.build(&mut text);
        frames(&mut text, &state);
        self.latencies(&mut text, &state)?;
        ring(&mut text, &state);
        self.link(&mut text);
        if let Some(watch) = self.interlock {
            interlock(&mut text, watch);
        }
        Ok(text.0)
    }

    fn build(&self, text: &mut Exposition) {
        let identity = *self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = format!(
            "version=\"{VERSION}\",commit=\"{COMMIT}\",level=\"{}\",gpu=\"{}\",model=\"{:08x}\",config=\"{:08x}\"",
            self.level.name(),
            self.gpu.unwrap_or_default(),
            identity.model,
            identity.config
        );
        let help =
            "Program, CPU level, GPU, and checksums of the model and of the whole configuration.";
        text.family("build_info", "gauge", help)
            .sample(&labels, 1.0);
    }

    /// Of the records that are in the ring, so that it costs the judging thread nothing.
    fn latencies(&self, text: &mut Exposition, state: &RingState) -> Result<()> {
        let monitor = self.ring.monitor()?;
        let end = state.done();
        let recent = u64::from(state.layout.records()).min(RECENT).min(end);
        let mut latencies: Histogram<u64> = tally::histogram();
        for position in end - recent..end {
            if let Some(bytes) = monitor.record(Seq::from_position(position))
                && let Some(record) = Record::parse(&bytes)
            {
                latencies.saturating_record(u64::from(record.latency_ns));
            }
        }
        let help =
            "From taking a slot to its decision, of the frames whose records are in the ring.";
        let mut family = text.family("recent_latency_seconds", "gauge", help);
        for quantile in ["0.5", "0.9", "0.99", "1"] {
            let q = quantile.parse().unwrap_or(1.0);
            let seconds = latencies.value_at_quantile(q) as f64 / 1e9;
            family.sample(&format!("quantile=\"{quantile}\""), seconds);
        }
        Ok(())
    }

    fn link(&self, text: &mut Exposition) {
        let Traffic {
            frames,
            bytes,
            lines_lost,
            maps,
            maps_lost,
        } = self.traffic;
        for (name, help, count) in [
            (
                "link_sent_frames_total",
                "Kept frames that were written.",
                frames,
            ),
            (
                "link_sent_bytes_total",
                "Payload of kept frames that was written.",
                bytes,
            ),
            (
                "record_lines_left_out_total",
                "Records without a line in --records, for a slow disk.",
                lines_lost,
            ),
            (
                "maps_written_total",
                "Maps of dropped frames that were written by --keep-maps.",
                maps,
            ),
            (
                "maps_left_out_total",
                "Dropped frames without a map in --keep-maps, for a slow disk.",
                maps_lost,
            ),
        ] {
            text.counter(name, help, &[("", count.get())]);
        }
    }
}

/// What became of the frames.
fn frames(text: &mut Exposition, state: &RingState) {
    let books = &state.books;
    let verdicts = |keeps: bool| -> Vec<_> {
        let verdicts = Verdict::ALL.into_iter().filter(|v| v.keeps() == keeps);
        verdicts
            .map(|verdict| {
                (
                    format!("reason=\"{}\"", verdict.reason()),
                    books.of(verdict),
                )
            })
            .collect()
    };
    let [hit, maybe, miss, unjudged] = books.lost_link;
    let by_class = |[hit, maybe, miss]: [u64; 3], none: u64| {
        [
            ("class=\"hit\"", hit),
            ("class=\"maybe\"", maybe),
            ("class=\"miss\"", miss),
            ("class=\"none\"", none),
        ]
    };
    text.counter(
        "frames_expected_total",
        "Frames that the source's numbers say there were.",
        &[("", books.expected)],
    );
    text.counter(
        "frames_repeated_total",
        "Frames whose number had come before, or that came out of order.",
        &[("", books.repeated)],
    );
    text.counter(
        "frames_received_total",
        "Frames with a committed record; expected + repeated = received + lost.",
        &[("", books.received)],
    );
    text.counter(
        "frames_lost_total",
        "Frames that never came, or that the device overwrote before they were read, by cause.",
        &[
            ("cause=\"source\"", books.lost_source),
            ("cause=\"lapped\"", books.lost_lapped),
        ],
    );
    text.counter(
        "frames_kept_total",
        "Received frames that go on, by reason; received = kept + dropped.",
        &verdicts(true),
    );
    text.counter(
        "frames_dropped_total",
        "Received frames that do not, by reason.",
        &verdicts(false),
    );
    text.counter(
        "frames_judged_total",
        "Received frames by the network's class; none where there is no score.",
        &by_class(books.classes, books.unjudged()),
    );
    text.counter(
        "link_lost_frames_total",
        "Kept frames that the link gave up, by class.",
        &by_class([hit, maybe, miss], unjudged),
    );
    text.counter(
        "frames_fallen_back_total",
        "Frames that the GPU did not score, because it was lost.",
        &[("", books.fallen_back)],
    );
    let help = "1 while the equations of the books hold.";
    let balance = if state.problem().is_none() { 1.0 } else { 0.0 };
    text.family("books_balance", "gauge", help)
        .sample("", balance);
}

/// The ring, and who is at its ends.
fn ring(text: &mut Exposition, state: &RingState) {
    text.counter(
        "source_frames_total",
        "Frames that the source finished in the ring.",
        &[("", state.source.produced)],
    );
    text.counter(
        "source_stalls_total",
        "Times that the source found the ring full.",
        &[("", state.source.stalls)],
    );
    text.counter(
        "source_frames_given_up_total",
        "Frames that the source gave up itself.",
        &[("", state.source.lost_at_source)],
    );
    text.counter(
        "link_waits_total",
        "Times that frames waited because half of the slots were lent.",
        &[("", state.consumer.waits)],
    );
    for (name, help, value) in [
        (
            "ring_slots",
            "Slots of the ring.",
            u64::from(state.layout.slots()),
        ),
        (
            "ring_frames_waiting",
            "Frames in the ring that wait to be judged.",
            state.to_judge(),
        ),
        (
            "ring_slots_out",
            "Slots of judged frames, or copies of a free-running ring's, that are not back, most of them lent to the link.",
            state.slots_out(),
        ),
    ] {
        text.family(name, "gauge", help).sample("", value as f64);
    }
    let help =
        "Seconds since an end of the ring gave a sign of life; no number where it never did.";
    let mut family = text.family("heartbeat_age_seconds", "gauge", help);
    let mut age = |end: &str, state: EndState| {
        let seconds = state.silent_ms.map_or(f64::NAN, |ms| f64::from(ms) / 1e3);
        family.sample(&format!("end=\"{end}\""), seconds);
    };
    age("source", state.source_end);
    age("filter", state.filter_end);
}

fn interlock(text: &mut Exposition, watch: &Watch) {
    let seen = watch.seen();
    for (name, help, value) in [
        (
            "interlock_armed",
            "1 while misses are dropped, 0 in shadow.",
            f64::from(u8::from(seen.armed)),
        ),
        (
            "hits_missed_estimate",
            "Hits among the misses so far, as second looks at a sample say.",
            seen.hits_missed as f64,
        ),
        (
            "hit_loss_ratio",
            "Share of all hits that are misses, as second looks at a sample say.",
            seen.loss,
        ),
        (
            "hit_loss_ratio_upper_bound",
            "Upper bound of that share over the window, 95 % confidence.",
            seen.loss_bound,
        ),
    ] {
        text.family(name, "gauge", help).sample("", value);
    }
    text.counter(
        "second_looks_total",
        "Drawn frames that were looked at again, by the side of the threshold that they are on.",
        &[
            ("side=\"kept\"", seen.looks_kept),
            ("side=\"missed\"", seen.looks_missed),
        ],
    );
}

/// Text in Prometheus's exposition format, version 0.0.4.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    /// Begins a metric; samples follow.
    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        // Writing into a string does not fail.
        let _ = write!(
            self.0,
            "# HELP hitgate_{name} {help}\n# TYPE hitgate_{name} {kind}\n"
        );
        Family { text: self, name }
    }

    /// A counter with its samples: labels and value.
    fn counter(&mut self, name: &'static str, help: &str, samples: &[(impl AsRef<str>, u64)]) {
        let mut family = self.family(name, "counter", help);
        for (labels, value) in samples {
            family.line(labels.as_ref(), &value.to_string());
        }
    }
}

struct Family<'t> {
    text: &'t mut Exposition,
    name: &'static str,
}

impl Family<'_> {
    fn sample(&mut self, labels: &str, value: f64) {
        self.line(labels, &value.to_string());
    }

    fn line(&mut self, labels: &str, value: &str) {
        let name = self.name;
        let _ = match labels {
            "" => writeln!(self.text.0, "hitgate_{name} {value}"),
            _ => writeln!(self.text.0, "hitgate_{name}{{{labels}}} {value}"),
        };
    }
}
