//! Which CPU level runs: chosen once, by detection or by name, then passed down as a value.

use core::fmt;

use crate::isa::*;
use crate::{Op, Simd};

/// The level that a plan is packed for and runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Level {
    /// Plain loops; every CPU has them.
    Scalar(Scalar),
    /// AVX2: 8 channels a register.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-VNNI: AVX2's registers, one instruction a [`Simd::dot4`].
    #[cfg(target_arch = "x86_64")]
    AvxVnni(AvxVnni),
    /// AVX-512 with VNNI: 16 channels a register, one instruction a [`Simd::dot4`].
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Avx512Vnni),
    /// NEON: 8 channels in two registers.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    /// NEON with `sdot`: one instruction a register of [`Simd::dot4`].
    #[cfg(target_arch = "aarch64")]
    NeonDotprod(NeonDotprod),
    /// NEON with `smmla`: two pixels, two channels and eight inputs in one instruction.
    #[cfg(target_arch = "aarch64")]
    NeonI8mm(NeonI8mm),
}

impl Level {
    /// Names of all levels, lowest first, whether this machine has them or not.
    pub const NAMES: [&'static str; 7] = [
        "scalar",
        "avx2",
        "avxvnni",
        "avx512vnni",
        "neon",
        "neon-dotprod",
        "neon-i8mm",
    ];

    /// The highest level of this machine.
    ///
    /// Needs no `std`. On x86-64 it asks the CPU itself (`cpuid` and `xgetbv`), on 64-bit ARM the Linux
    /// kernel (`getauxval`) or, where there is no operating system, the registers of the core, which
    /// can be read at EL1 and above; on other systems an ARM level is had if the program was compiled
    /// for it. A hypervisor may trap `cpuid`: detect once, then pass the value down.
    pub fn detect() -> Level {
        Level::all_available().fold(Level::Scalar(Scalar), |_, higher| higher)
    }

    /// All levels of this machine, lowest first.
    pub fn all_available() -> impl Iterator<Item = Level> {
        #[cfg(target_arch = "x86_64")]
        let vector = [
            Avx2::detect().map(Level::Avx2),
            AvxVnni::detect().map(Level::AvxVnni),
            Avx512Vnni::detect().map(Level::Avx512Vnni),
        ];
        #[cfg(target_arch = "aarch64")]
        let vector = [
            Neon::detect().map(Level::Neon),
            NeonDotprod::detect().map(Level::NeonDotprod),
            NeonI8mm::detect().map(Level::NeonI8mm),
        ];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let vector: [Option<Level>; 0] = [];
        core::iter::once(Level::Scalar(Scalar)).chain(vector.into_iter().flatten())
    }

    /// The level called `name`.
    ///
    /// # Errors
    /// [`LevelError`] if no level has that name or this machine lacks it; its text lists what there is.
    pub fn by_name(name: &str) -> Result<Level, LevelError> {
        if let Some(level) = Level::all_available().find(|level| level.name() == name) {
            return Ok(level);
        }
        match Level::NAMES.into_iter().find(|known| *known == name) {
            Some(known) => Err(LevelError::Unavailable(known)),
            None => Err(LevelError::Unknown),
        }
    }

    /// The level's name, one of [`Level::NAMES`].
    pub fn name(self) -> &'static str {
        self.run(Name)
    }

    /// Channels a register: packed weights and maps are padded to a multiple of it.
    pub fn lanes(self) -> usize {
        self.run(Lanes)
    }

    /// Where a step of the depthwise convolution has channel `n`: [`Simd::place`].
    pub fn place(self, n: usize) -> usize {
        self.run(Place(n))
    }

    /// Where it has tap `i` of channel `n`: [`Simd::tap_place`].
    pub fn tap_place(self, n: usize, i: usize) -> usize {
        self.run(TapPlace(n, i))
    }

    /// Inputs of one channel that lie side by side in a packed matrix: [`Simd::DEPTH`].
    pub fn depth(self) -> usize {
        self.run(Depth)
    }

    /// Runs `op` with this level's instructions.
    pub fn run<O: Op>(self, op: O) -> O::Output {
        match self {
            Level::Scalar(s) => op.run(s),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(s) => op.run(s),
            #[cfg(target_arch = "x86_64")]
            Level::AvxVnni(s) => op.run(s),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni(s) => op.run(s),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(s) => op.run(s),
            #[cfg(target_arch = "aarch64")]
            Level::NeonDotprod(s) => op.run(s),
            #[cfg(target_arch = "aarch64")]
            Level::NeonI8mm(s) => op.run(s),
        }
    }
}

struct Name;
impl Op for Name {
    type Output = &'static str;
    fn run<S: Simd>(self, _: S) -> &'static str {
        S::NAME
    }
}

struct Lanes;
impl Op for Lanes {
    type Output = usize;
    fn run<S: Simd>(self, _: S) -> usize {
        S::N
    }
}

struct Place(usize);
impl Op for Place {
    type Output = usize;
    fn run<S: Simd>(self, _: S) -> usize {
        S::place(self.0)
    }
}

struct TapPlace(usize, usize);
impl Op for TapPlace {
    type Output = usize;
    fn run<S: Simd>(self, _: S) -> usize {
        S::tap_place(self.0, self.1)
    }
}

struct Depth;
impl Op for Depth {
    type Output = usize;
    fn run<S: Simd>(self, _: S) -> usize {
        S::DEPTH
    }
}

/// Why a level could not be had by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelError {
    /// No level has that name.
    Unknown,
    /// The level exists, but this machine lacks its instructions.
    Unavailable(&'static str),
}

impl fmt::Display for LevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LevelError::Unknown => {
                write!(f, "no such CPU level; there are ")?;
                list(f, Level::NAMES.into_iter())?;
            }
            LevelError::Unavailable(name) => write!(f, "this machine lacks {name}")?,
        }
        write!(f, "; this machine has ")?;
        list(f, Level::all_available().map(Level::name))
    }
}

fn list(f: &mut fmt::Formatter<'_>, names: impl Iterator<Item = &'static str>) -> fmt::Result {
    for (i, name) in names.enumerate() {
        write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
    }
    Ok(())
}

impl core::error::Error for LevelError {}
