//! The vector instructions of this CPU, as types that only detection creates.
//!
//! A value of [`Avx2`], [`Avx512`] or [`Avx512Bf16`] proves that this CPU has these instructions:
//! only this file can create one. So a safe function that takes such a value may call code that is
//! compiled for the instructions.

/// Proof of AVX2 and FMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

/// Proof of AVX-512 F, BW, DQ and VL, of AVX2 and of FMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

/// Proof of [`Avx512`] and of AVX512-BF16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512Bf16(Avx512);

/// An instruction set of this CPU for which code is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    Avx512(Avx512),
    Avx2(Avx2),
    /// The baseline of the architecture, without fused multiply-add.
    Portable,
}

impl Avx2 {
    fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Some(Avx2(()));
        }
        None
    }
}

impl Avx512 {
    fn detect() -> Option<Self> {
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
    pub fn detect() -> Option<Self> {
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

impl Isa {
    /// The widest instruction set that this CPU has.
    pub fn detect() -> Self {
        if let Some(avx512) = Avx512::detect() {
            return Isa::Avx512(avx512);
        }
        Avx2::detect().map_or(Isa::Portable, Isa::Avx2)
    }

    /// The name of the instruction set.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Avx512(_) => "AVX-512",
            Isa::Avx2(_) => "AVX2 with fused multiply-add",
            Isa::Portable => "portable",
        }
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

/// A description of the vector instructions that dgc uses on this CPU.
pub fn describe() -> &'static str {
    match Isa::detect() {
        Isa::Avx512(_) if Avx512Bf16::detect().is_some() => "AVX-512 with AVX512-BF16",
        isa @ (Isa::Avx512(_) | Isa::Avx2(_)) => isa.name(),
        Isa::Portable => "no vector instructions that dgc uses",
    }
}
