//! `main.cpp`, compiled with the kernels, and what it makes of a device's memory.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use hitgate_cuda::Launch;
use hitgate_cuda::driver::{Context, Gpu, OpenError, Piece};
use hitgate_testkit::cxx::{self, FLAGS, compile};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels/main.cpp");
/// They see who reads beyond memory, or a word that is not aligned.
const SANITIZERS: &str = "-fsanitize=address,undefined -fno-sanitize-recover=all";

fn program() -> &'static Path {
    static PROGRAM: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels");
        let (cxx, source) = (cxx::compiler(), Path::new(SOURCE));
        if compile(&cxx, source, &[FLAGS, SANITIZERS], &program).is_err() {
            println!("NOT TESTED HERE: reads beyond memory (`{cxx}` has no sanitizers)");
            compile(&cxx, source, &[FLAGS], &program)?;
        }
        Ok(program)
    });
    PROGRAM.as_ref().unwrap_or_else(|e| panic!("{e}"))
}

/// The order in which threads and blocks take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Forwards,
    Backwards,
}

pub const ORDERS: [Order; 2] = [Order::Forwards, Order::Backwards];

/// Runs `launches` on `memory`, one after another.
///
/// # Errors
/// What the program complained of.
///
/// # Panics
/// If a GPU leaves other bytes.
pub fn run(launches: &[Launch], order: Order, memory: &mut [u8]) -> Result<(), String> {
    let before = memory.to_vec();
    on_cpu(launches, order, memory)?;
    if let Some(left) = on_gpu(launches, &before) {
        let other = left.iter().zip(&*memory).position(|(gpu, cpu)| gpu != cpu);
        assert_eq!(other, None, "the first byte where the GPU's memory differs");
    }
    Ok(())
}

/// What `launches` make of `memory` on a GPU, where there is one.
fn on_gpu(launches: &[Launch], memory: &[u8]) -> Option<Vec<u8>> {
    let bytes = memory.len();
    let context = match Context::open(0) {
        Ok(context) => context,
        Err(OpenError::Failed(failed)) => panic!("{failed}"),
        Err(lack) => {
            println!("NOT TESTED HERE: the kernels on a GPU ({lack})");
            return None;
        }
    };
    let mut gpu = Gpu::new(&context, memory, bytes as u64, bytes).unwrap();
    let recorded = gpu.record(launches).unwrap();
    let none = Piece {
        from: 0,
        place: 0,
        bytes: 0,
    };
    let all = Piece { bytes, ..none };
    (gpu.run(none, std::iter::empty(), recorded, &[all], || false)).unwrap();
    Some(gpu.pinned_bytes().unwrap().to_vec())
}

fn on_cpu(launches: &[Launch], order: Order, memory: &mut [u8]) -> Result<(), String> {
    let mut child = Command::new(program())
        // What compute-sanitizer puts before a program's libraries, where it looks at this one, is none of that one's.
        .env_remove("LD_PRELOAD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut head = Vec::new();
    let mut word = |word: usize| head.extend((word as u32).to_le_bytes());
    [memory.len(), launches.len(), order as usize]
        .into_iter()
        .for_each(&mut word);
    let mut tail = Vec::new();
    for launch in launches {
        let [x, y, z] = launch.grid;
        let parameters: &[u8] = bytemuck::cast_slice(&launch.parameters);
        for word in [
            launch.kernel.len() as u32,
            x,
            y,
            z,
            launch.shared,
            parameters.len() as u32,
        ] {
            tail.extend(word.to_le_bytes());
        }
        tail.extend(launch.kernel.bytes());
        tail.extend(parameters);
    }
    // It reads everything before it writes. Where it ends early its complaint tells why.
    let mut stdin = child.stdin.take().ok_or("no pipe")?;
    let _ = [&head, &*memory, &tail].map(|part| stdin.write_all(part));
    drop(stdin);
    let mut left = Vec::new();
    let read = child.stdout.take().ok_or("no pipe")?.read_to_end(&mut left);
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    if !output.status.success() || read.is_err() || left.len() != memory.len() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    memory.copy_from_slice(&left);
    Ok(())
}

#[test]
fn a_missing_compiler_is_named() {
    let said = compile(
        "no-such-compiler",
        Path::new(SOURCE),
        &[FLAGS],
        Path::new("nowhere"),
    )
    .unwrap_err();
    assert!(said.contains("`no-such-compiler`"), "{said}");
    assert!(said.contains("name yours in CXX"), "{said}");
}

#[test]
fn a_kernel_that_is_not_there_or_takes_other_parameters_is_named() {
    let launch = |kernel, words: usize| Launch {
        kernel,
        grid: [1; 3],
        shared: 0,
        parameters: vec![0; words].into(),
    };
    let said = run(&[launch("hitgate_none", 1)], Order::Forwards, &mut [0; 256]).unwrap_err();
    assert_eq!(said, "host: no kernel hitgate_none\n");
    let said = run(&[launch("hitgate_head", 1)], Order::Forwards, &mut [0; 256]).unwrap_err();
    assert_eq!(said, "host: other parameters than those of hitgate_head\n");
}
