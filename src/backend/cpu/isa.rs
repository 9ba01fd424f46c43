//! The vector instructions that the CPU at hand has.

/// From the widest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    Avx512,
    /// With fused multiply-add.
    Avx2,
    Portable,
}

impl Isa {
    /// The widest that this CPU has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
            {
                return Isa::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Isa::Avx2;
            }
        }
        Isa::Portable
    }

    /// Whether this CPU has it: what has the wider ones has the narrower ones too.
    pub fn is_there(self) -> bool {
        self >= Isa::detect()
    }

    /// Whether [`Isa::Avx512`] is there, and multiplies pairs of bf16.
    pub fn has_bf16() -> bool {
        #[cfg(target_arch = "x86_64")]
        return Isa::detect() == Isa::Avx512 && is_x86_feature_detected!("avx512bf16");
        #[cfg(not(target_arch = "x86_64"))]
        false
    }
}
