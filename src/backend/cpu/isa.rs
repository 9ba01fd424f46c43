//! The vector instructions of this CPU, as types that only detection creates.
//!
//! A value of [`Avx2`], [`Avx512`] or [`Avx512Bf16`] proves that this CPU has these instructions:
//! only this file can create one. So a safe function that takes such a value may call code that is
//! compiled for the instructions.

use std::sync::OnceLock;

/// Proof of AVX2 and FMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

/// Proof of AVX-512 F, BW, DQ and VL, of AVX2 and of FMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

/// Proof of [`Avx512`] and of AVX512-BF16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512Bf16(Avx512);

/// Proof of [`Avx512Bf16`] and of AMX with bf16, which the system lets this process use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amx(Avx512Bf16);

/// An instruction set of this CPU for which code is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    Avx512(Avx512),
    Avx2(Avx2),
    /// The baseline of the architecture, without fused multiply-add.
    Portable,
}

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Some(Avx2(()));
        }
        None
    }
}

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        Avx2::detect()?;
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
        {
            return Some(Avx512(()));
        }
        None
    }
}

impl Avx512Bf16 {
    pub(super) fn detect() -> Option<Self> {
        let avx512 = Avx512::detect()?;
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512bf16") {
            return Some(Avx512Bf16(avx512));
        }
        let _ = avx512;
        None
    }

    /// The proof of AVX-512, which AVX512-BF16 includes.
    pub const fn avx512(self) -> Avx512 {
        self.0
    }
}

impl Amx {
    pub(super) fn detect() -> Option<Self> {
        let bf16 = Avx512Bf16::detect()?;
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if amx::is_present() && amx::is_permitted() {
            return Some(Amx(bf16));
        }
        let _ = bf16;
        None
    }

    /// The proof of AVX512-BF16, which every CPU with AMX has.
    pub const fn avx512_bf16(self) -> Avx512Bf16 {
        self.0
    }
}

/// What the CPU says of itself in a leaf: the registers A, B, C and D. All are 0 on CPUs without
/// such leaves.
pub fn cpuid(leaf: u32) -> [u32; 4] {
    #[cfg(target_arch = "x86_64")]
    {
        // The oldest compiler that dgc supports needs `unsafe` here, later ones do not.
        #[allow(unused_unsafe)]
        // SAFETY: every CPU of this architecture has the instruction.
        let found = unsafe { std::arch::x86_64::__cpuid_count(leaf, 0) };
        [found.eax, found.ebx, found.ecx, found.edx]
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = leaf;
        [0; 4]
    }
}

/// Detection of AMX, which the standard library does not offer yet.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx {
    use super::cpuid;
    use std::arch::asm;

    /// Whether the CPU has AMX-TILE and AMX-BF16, and the system saves tile registers.
    pub fn is_present() -> bool {
        const OSXSAVE: u32 = 1 << 27;
        const AMX_BF16: u32 = 1 << 22;
        const AMX_TILE: u32 = 1 << 24;
        const TILE_STATE: u64 = 0b11 << 17;
        let has = |register: u32, bits: u32| register & bits == bits;
        let ([last, ..], [_, _, c, _]) = (cpuid(0), cpuid(1));
        if last < 7 || !has(c, OSXSAVE) {
            return false;
        }
        let [_, _, _, d] = cpuid(7);
        if !has(d, AMX_BF16 | AMX_TILE) {
            return false;
        }
        let (low, high): (u32, u32);
        // SAFETY: the system has enabled the instruction, as OSXSAVE says.
        unsafe {
            asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high,
                options(nomem, nostack, preserves_flags));
        }
        (u64::from(high) << 32 | u64::from(low)) & TILE_STATE == TILE_STATE
    }

    /// Asks Linux to let the threads of this process use tile registers.
    pub fn is_permitted() -> bool {
        const ARCH_PRCTL: usize = 158;
        const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
        const TILE_DATA: usize = 18;
        let result: isize;
        // SAFETY: the call takes two numbers and changes nothing but the permission.
        unsafe {
            asm!("syscall", inlateout("rax") ARCH_PRCTL as isize => result,
                in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") TILE_DATA,
                lateout("rcx") _, lateout("r11") _, options(nostack));
        }
        result == 0
    }
}

impl Isa {
    /// The widest instruction set that this CPU has.
    pub fn detect() -> Self {
        if let Some(avx512) = Avx512::detect() {
            return Isa::Avx512(avx512);
        }
        Avx2::detect().map_or(Isa::Portable, Isa::Avx2)
    }

    /// Every instruction set that this CPU has, the widest first.
    #[cfg(test)]
    pub fn all() -> Vec<Self> {
        let (avx512, avx2) = (Avx512::detect(), Avx2::detect());
        let vectors = avx512
            .map(Isa::Avx512)
            .into_iter()
            .chain(avx2.map(Isa::Avx2));
        vectors.chain([Isa::Portable]).collect()
    }
}

/// The bytes of a core's first-level data cache; 32 KiB if the CPU does not report them.
pub fn first_level_cache() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| reported_cache().unwrap_or(32 << 10))
}

/// The bytes of a core's first-level data cache, as the CPU reports them.
fn reported_cache() -> Option<usize> {
    // Leaf 4 describes caches on Intel's CPUs, and leaf 0x8000001D on AMD's, alike.
    let leaves = [(0, 4), (0x8000_0000, 0x8000_001D)];
    let caches = leaves.into_iter().filter_map(|(first, leaf)| {
        let [last, ..] = cpuid(first);
        if last < leaf {
            return None;
        }
        let [a, b, c, _] = cpuid(leaf);
        let (kind, level) = (a & 0x1F, a >> 5 & 0x7);
        let field = |from: u32, bits: u32| (b >> from & ((1 << bits) - 1)) as usize + 1;
        let (line, partitions, ways) = (field(0, 12), field(12, 10), field(22, 10));
        ((kind, level) == (1, 1)).then(|| line * partitions * ways * (c as usize + 1))
    });
    caches.max()
}
