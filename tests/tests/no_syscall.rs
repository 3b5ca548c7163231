//! While frames are there, the judging thread makes no system call: a filter in the kernel kills it at the first.
//!
//! On machines whose clock is read without one, as on all where Linux has a clock in its vDSO.
#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use hitgate_core::link::{LentQueue, Record};
use hitgate_core::net::Model;
use hitgate_core::pipeline::{Node, Stages};
use hitgate_host::MonotonicClock;
use hitgate_kernels::Level;
use hitgate_tests::{MODEL, Memory, header, pipeline, pixels, preparation, put, ring};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

const COLUMNS: u32 = 48;
const ROWS: u32 = 40;
const FRAMES: u64 = 1000;

/// Says which of the two children a process is.
const CHILD: &str = "HITGATE_NO_SYSCALL_CHILD";
/// How a child ends in which every frame was judged.
const WHOLE: i32 = 7;
/// How this child ends, once it knows.
static END: AtomicI32 = AtomicI32::new(0);
/// The signal of a forbidden call.
const SIGSYS: i32 = 31;

/// The host's clock, and a count.
struct Clocked(u64);

impl Node for Clocked {
    fn now_ns(&self) -> u64 {
        MonotonicClock.now_ns()
    }
    fn judged(&mut self, _: &Record, _: &Stages) {
        self.0 += 1;
    }
}

/// From here on this thread may make no system call at all.
fn forbid_all_calls() {
    let filter = SeccompFilter::new(
        BTreeMap::new(),
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into().expect("a known CPU"),
    );
    let program: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
    apply_filter(&program).expect("a kernel with filters");
}

/// The test `child` of this program, in a process of its own.
fn run(which: &str) -> ExitStatus {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command
        .args(["--exact", "child", "--ignored", "--test-threads=1"])
        .env(CHILD, which);
    command.output().expect("a child").status
}

#[test]
#[ignore = "a part of the other two"]
fn child() {
    let which = std::env::var(CHILD).unwrap_or_default();
    if which.is_empty() {
        return;
    }
    let model = Model::parse(MODEL).unwrap();
    let preparations = [preparation(&model, COLUMNS, ROWS)];
    let level = Level::detect();
    let mut memory = Memory::new(&model, level, &preparations);
    let ring = ring(8, (COLUMNS * ROWS * 2) as usize);
    let mut writer = ring.writer().unwrap();
    let cpu = memory.cpu(&model, level, &preparations);
    let mut path = pipeline(&ring, cpu, LentQueue::<4>::new());
    let frames: Vec<_> = (0..16).map(|seed| pixels(COLUMNS, ROWS, seed)).collect();
    let mut node = Clocked(0);
    // The judging thread cannot even say that it is done.
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_millis(1));
            match END.load(Ordering::Acquire) {
                0 => {}
                code => std::process::exit(code),
            }
        }
    });
    // The clock finds its vDSO at the first reading, and pages come in at the first touch.
    for number in 1..=FRAMES {
        if number == 17 {
            forbid_all_calls();
        }
        let mut header = header(COLUMNS, ROWS, number);
        // Faults are kept, and go to the link.
        header.status = u32::from(number % 5 == 0);
        assert!(put(
            &mut writer,
            &header.seal(),
            &frames[number as usize % frames.len()]
        ));
        path.reader().heartbeat(MonotonicClock.now_ms());
        path.step(&mut node).unwrap();
        drop(path.link.take());
        if which == "yields" && number == FRAMES {
            std::thread::yield_now();
        }
    }
    let whole = node.0 == FRAMES && path.accounts().kept() >= FRAMES / 5;
    END.store(if whole { WHOLE } else { 1 }, Ordering::Release);
    // Going away would be a call.
    loop {
        std::hint::spin_loop();
    }
}

#[test]
fn a_thousand_frames_take_no_system_call() {
    let ended = run("judges");
    assert_eq!(ended.code(), Some(WHOLE), "{ended}");
}

#[test]
fn a_single_system_call_would_be_seen() {
    let ended = run("yields");
    assert_eq!(ended.signal(), Some(SIGSYS), "{ended}");
}
