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
            neon: cfg!(target_feature = "neon"),
            dotprod: cfg!(target_feature = "dotprod") || asked.dotprod,
            i8mm: cfg!(target_feature = "i8mm") || asked.i8mm,
        }
    }
}

/// The kernel's answer, which holds for every core of the chip.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn ask() -> Features {
    use core::ffi::c_ulong;
    // SAFETY: the signature is that of the C library, which every program for these systems has.
    unsafe extern "C" {
        safe fn getauxval(kind: c_ulong) -> c_ulong;
    }
    const AT_HWCAP: c_ulong = 16;
    const AT_HWCAP2: c_ulong = 26;
    const HWCAP_ASIMDDP: u32 = 20;
    const HWCAP2_I8MM: u32 = 13;
    Features {
        neon: true,
        dotprod: getauxval(AT_HWCAP) >> HWCAP_ASIMDDP & 1 == 1,
        i8mm: getauxval(AT_HWCAP2) >> HWCAP2_I8MM & 1 == 1,
    }
}

/// This core's own answer. Without an operating system a program runs at EL1 or above, where it may
/// read the registers.
#[cfg(target_os = "none")]
fn ask() -> Features {
    let (isar0, isar1): (u64, u64);
    // SAFETY: both registers exist on every 64-bit ARM CPU, and reading them changes nothing.
    unsafe {
        core::arch::asm!(
            "mrs {isar0}, id_aa64isar0_el1",
            "mrs {isar1}, id_aa64isar1_el1",
            isar0 = out(reg) isar0,
            isar1 = out(reg) isar1,
            options(nomem, nostack, preserves_flags),
        );
    }
    Features {
        neon: true,
        dotprod: isar0 >> 44 & 0xf != 0,
        i8mm: isar1 >> 52 & 0xf != 0,
    }
}

/// No answer: a level is had where the program was compiled for it.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "none")))]
fn ask() -> Features {
    Features::default()
}
