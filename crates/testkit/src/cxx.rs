//! The GPU's kernels by a C++ compiler, for a CPU: `CXX` names it, in the words of a command.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Warnings are errors, and floats are what IEEE 754 says.
pub const FLAGS: &str = "-std=c++17 -O2 -Wall -Wextra -Werror -pedantic -Wno-unknown-pragmas \
                         -ffp-contract=off -fno-strict-aliasing";

/// The compiler that `CXX` names, or the system's.
pub fn compiler() -> String {
    std::env::var("CXX").unwrap_or_else(|_| "c++".into())
}

/// Compiles `source` into the program `to`.
///
/// # Errors
/// What the compiler complains of, or that there is none.
pub fn compile(cxx: &str, source: &Path, flags: &[&str], to: &Path) -> Result<(), String> {
    let mut command = cxx.split_whitespace();
    let output = Command::new(command.next().ok_or("CXX names no compiler: unset it")?)
        .args(command)
        .args(flags.iter().flat_map(|flags| flags.split_whitespace()))
        .arg(source)
        .arg("-o")
        .arg(to)
        .output()
        .map_err(|e| format!("no C++ compiler `{cxx}` ({e}): install one, or name yours in CXX"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// A folder below `folder` with the stand-in for the CUDA driver (`crates/cuda/tests/stand_in/driver.cpp`), for a program's
/// `LD_LIBRARY_PATH`.
///
/// # Panics
/// If it does not compile.
pub fn stand_in(folder: &Path) -> PathBuf {
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../cuda/tests/stand_in/driver.cpp"
    );
    let folder = folder.join("stand_in");
    std::fs::create_dir_all(&folder).expect("a folder for the stand-in");
    // Tests that run beside each other may make it at once.
    let draft = folder.join(format!("{}.part", std::process::id()));
    let flags = [FLAGS, "-O3 -shared -fPIC"];
    compile(&compiler(), Path::new(source), &flags, &draft).unwrap_or_else(|e| panic!("{e}"));
    std::fs::rename(draft, folder.join("libcuda.so")).expect("the stand-in in its place");
    folder
}
