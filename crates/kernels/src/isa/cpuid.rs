//! What the CPU has and what the operating system saves at a context switch, asked without `std`.

use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// Feature bits that the levels need; all clear where the CPU cannot be asked.
#[derive(Clone, Copy, Default)]
pub(super) struct Features {
    leaf7_ebx: u32,
    leaf7_ecx: u32,
    leaf7_1_eax: u32,
    /// Register states that the operating system saves (XCR0).
    saved: u64,
}

/// XCR0: SSE and AVX registers.
const AVX_STATE: u64 = 0b110;
/// XCR0: the AVX-512 mask registers and both halves of its vector registers besides.
const AVX512_STATE: u64 = 0b1110_0110;

impl Features {
    pub(super) fn detect() -> Self {
        // Miri interprets neither cpuid nor most vector instructions: it runs the scalar level.
        if cfg!(miri) || __cpuid(0).eax < 7 {
            return Features::default();
        }
        const OSXSAVE_AND_AVX: u32 = 1 << 27 | 1 << 28;
        if __cpuid(1).ecx & OSXSAVE_AND_AVX != OSXSAVE_AND_AVX {
            return Features::default();
        }
        let leaf7 = __cpuid_count(7, 0);
        Features {
            leaf7_ebx: leaf7.ebx,
            leaf7_ecx: leaf7.ecx,
            leaf7_1_eax: if leaf7.eax == 0 {
                0
            } else {
                __cpuid_count(7, 1).eax
            },
            // SAFETY: *asked first*: OSXSAVE is set, so XGETBV is enabled and register 0 exists.
            saved: unsafe { xcr0() },
        }
    }

    pub(super) fn avx2(self) -> bool {
        self.saved & AVX_STATE == AVX_STATE && self.leaf7_ebx >> 5 & 1 == 1
    }

    pub(super) fn avxvnni(self) -> bool {
        self.avx2() && self.leaf7_1_eax >> 4 & 1 == 1
    }

    pub(super) fn avx512vnni(self) -> bool {
        const F_BW_VL: u32 = 1 << 16 | 1 << 30 | 1 << 31;
        self.avx2()
            && self.saved & AVX512_STATE == AVX512_STATE
            && self.leaf7_ebx & F_BW_VL == F_BW_VL
            && self.leaf7_ecx >> 11 & 1 == 1
    }
}

/// # Safety
/// The operating system must have enabled XSAVE (cpuid's OSXSAVE bit).
#[target_feature(enable = "xsave")]
unsafe fn xcr0() -> u64 {
    // SAFETY: *asked first*: register 0 exists wherever XGETBV is enabled, which the caller promised.
    unsafe { _xgetbv(0) }
}
