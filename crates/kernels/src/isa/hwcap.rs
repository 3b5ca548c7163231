//! What a 64-bit ARM CPU has, asked without `std`.

/// Extensions that the levels need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Features {
    pub(super) neon: bool,
    pub(super) dotprod: bool,
    pub(super) i8mm: bool,
}

impl Features {
    pub(super) fn detect() -> Self {
        // Miri interprets neither inline assembly nor most vector instructions: it runs the scalar level.
        if cfg!(miri) {
            return Features::default();
        }
        let asked = ask();
        Features {
            // The loads and stores of the levels are those of a little-endian CPU.
            neon: (cfg!(target_feature = "neon") || asked.neon) && cfg!(target_endian = "little"),
            dotprod: cfg!(target_feature = "dotprod") || asked.dotprod,
            i8mm: cfg!(target_feature = "i8mm") || asked.i8mm,
        }
    }
}

/// The kernel's answer, which holds for every core of the chip.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn ask() -> Features {
    use core::ffi::c_ulong;
    // SAFETY: *everywhere*: the signature is that of the C library, which every program for these systems has.
    unsafe extern "C" {
        safe fn getauxval(kind: c_ulong) -> c_ulong;
    }
    const AT_HWCAP: c_ulong = 16;
    const AT_HWCAP2: c_ulong = 26;
    const ASIMD: u32 = 1;
    const ASIMDDP: u32 = 20;
    const I8MM: u32 = 13;
    Features {
        neon: getauxval(AT_HWCAP) >> ASIMD & 1 == 1,
        dotprod: getauxval(AT_HWCAP) >> ASIMDDP & 1 == 1,
        i8mm: getauxval(AT_HWCAP2) >> I8MM & 1 == 1,
    }
}

/// This core's own answer. Without an operating system a program runs at EL1 or above, where it may
/// read the registers.
#[cfg(target_os = "none")]
fn ask() -> Features {
    registers()
}

/// No answer: a level is had where the program was compiled for it.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "none")))]
fn ask() -> Features {
    Features::default()
}

/// The identification registers of this core.
#[cfg(any(target_os = "none", test))]
fn registers() -> Features {
    let (pfr0, isar0, isar1): (u64, u64, u64);
    // SAFETY: *everywhere*: every 64-bit ARM CPU has the three, and reading them changes nothing.
    unsafe {
        core::arch::asm!(
            "mrs {pfr0}, id_aa64pfr0_el1",
            "mrs {isar0}, id_aa64isar0_el1",
            "mrs {isar1}, id_aa64isar1_el1",
            pfr0 = out(reg) pfr0,
            isar0 = out(reg) isar0,
            isar1 = out(reg) isar1,
            options(nomem, nostack, preserves_flags),
        );
    }
    let field = |register: u64, bit: u32| register >> bit & 0xf;
    Features {
        // Here it is the absence that has a number.
        neon: field(pfr0, 20) != 0xf,
        dotprod: field(isar0, 44) != 0,
        i8mm: field(isar1, 52) != 0,
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;

    /// Linux answers for the registers too, so that what bare targets ask is tested here.
    #[test]
    fn registers_and_kernel_agree() {
        assert_eq!(registers(), ask());
    }
}
