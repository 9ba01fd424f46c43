//! The kernel families of this CPU: kernels that give the same bits for the same seed.
//!
//! A family fixes how contractions multiply and for which instruction set elementwise loops are
//! compiled. A value proves that this CPU has the instructions.

use super::{
    gemm::Multiplier,
    isa::{Amx, Avx2, Avx512, Avx512Bf16, Isa, cpuid},
};
use crate::{
    backend::Precision,
    error::{Error, Result},
};

/// A kernel family that this CPU has. Training with one family and seed gives the same bits on
/// every CPU that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelFamily {
    /// Products of bf16 in tiles, with AMX; loops with AVX-512.
    Amx(Amx),
    /// Products of bf16 in pairs, with `vdpbf16ps`; loops with AVX-512.
    Avx512Bf16(Avx512Bf16),
    /// Fused multiply-adds and loops with AVX-512.
    Avx512(Avx512),
    /// Fused multiply-adds and loops with AVX2.
    Avx2(Avx2),
    /// The baseline of the architecture, without fused multiply-add.
    Portable,
}

impl KernelFamily {
    /// The families that this CPU has for a precision, the widest instructions first.
    pub fn all(precision: Precision) -> Vec<Self> {
        let families = [
            Amx::detect().map(KernelFamily::Amx),
            Avx512Bf16::detect().map(KernelFamily::Avx512Bf16),
            Avx512::detect().map(KernelFamily::Avx512),
            Avx2::detect().map(KernelFamily::Avx2),
            Some(KernelFamily::Portable),
        ];
        let families = families.into_iter().flatten();
        families
            .filter(|family| family.multiplier(precision).is_some())
            .collect()
    }

    /// The family that is chosen unless one is named: the one with the widest instructions, except
    /// that a table of CPUs says where `vdpbf16ps` is used.
    ///
    /// # Errors
    /// If the CPU does not support the precision.
    pub fn default_for(precision: Precision) -> Result<Self> {
        let mut families = Self::all(precision).into_iter();
        let family = families.find(|family| match family {
            KernelFamily::Avx512Bf16(_) => Processor::detect().is_faster_by_pairs(),
            _ => true,
        });
        family.ok_or_else(|| unsupported(precision))
    }

    /// The family of that [name](KernelFamily::name).
    ///
    /// # Errors
    /// If this CPU has no such family for the precision, with the names of those that it has.
    pub fn named(name: &str, precision: Precision) -> Result<Self> {
        let mut families = Self::all(precision).into_iter();
        let family = families.find(|family| family.name() == name);
        family.ok_or_else(|| missing(name, precision))
    }

    /// The family that a run records under that [title](KernelFamily::title); `None` if this CPU
    /// lacks it for the precision.
    pub fn titled(title: &str, precision: Precision) -> Option<Self> {
        let mut families = Self::all(precision).into_iter();
        families.find(|family| family.title() == title)
    }

    /// The name by which the family is chosen, such as `avx2`.
    pub const fn name(self) -> &'static str {
        self.names().0
    }

    /// The name that a run records, such as `AVX2 with fused multiply-add`.
    pub const fn title(self) -> &'static str {
        self.names().1
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            KernelFamily::Amx(_) => ("amx", "AMX"),
            KernelFamily::Avx512Bf16(_) => ("avx512-bf16", "AVX512-BF16"),
            KernelFamily::Avx512(_) => ("avx512", "AVX-512"),
            KernelFamily::Avx2(_) => ("avx2", "AVX2 with fused multiply-add"),
            KernelFamily::Portable => ("portable", "portable"),
        }
    }

    /// How contractions multiply; `None` if the family does not have the precision.
    const fn multiplier(self, precision: Precision) -> Option<Multiplier> {
        match (precision, self) {
            (Precision::Tf32, _) => None,
            (Precision::Bf16, KernelFamily::Amx(amx)) => Some(Multiplier::Tiles(amx)),
            (Precision::Bf16, KernelFamily::Avx512Bf16(bf16)) => Some(Multiplier::Pairs(bf16)),
            (Precision::F32, KernelFamily::Amx(_) | KernelFamily::Avx512Bf16(_)) => None,
            (Precision::Bf16, _) => Some(Multiplier::Rounded(self.isa())),
            (Precision::F32, _) => Some(Multiplier::F32(self.isa())),
        }
    }

    /// The instruction set of elementwise loops.
    const fn isa(self) -> Isa {
        match self {
            KernelFamily::Amx(amx) => Isa::Avx512(amx.avx512_bf16().avx512()),
            KernelFamily::Avx512Bf16(bf16) => Isa::Avx512(bf16.avx512()),
            KernelFamily::Avx512(avx512) => Isa::Avx512(avx512),
            KernelFamily::Avx2(avx2) => Isa::Avx2(avx2),
            KernelFamily::Portable => Isa::Portable,
        }
    }

    /// How contractions multiply.
    ///
    /// # Errors
    /// If the family does not have the precision.
    pub(super) fn multiplier_for(self, precision: Precision) -> Result<Multiplier> {
        let multiplier = self.multiplier(precision);
        multiplier.ok_or_else(|| missing(self.name(), precision))
    }
}

/// The error for a family that this CPU lacks for a precision.
fn missing(name: &str, precision: Precision) -> Error {
    let names: Vec<&str> = KernelFamily::all(precision)
        .into_iter()
        .map(KernelFamily::name)
        .collect();
    if names.is_empty() {
        return unsupported(precision);
    }
    let message = format!(
        "expected a kernel family that this CPU has for {precision}: {}",
        names.join(", ")
    );
    Error::option("kernel-family", name, message).help("omit the option for the fastest")
}

fn unsupported(precision: Precision) -> Error {
    Error::unsupported(format!(
        "the CPU does not support the precision {precision}"
    ))
    .help("choose f32 or bf16 with the option `precision`, or a GPU with `Device::gpu`")
}

/// A description of the vector instructions that dgc uses on this CPU.
pub fn describe_instructions() -> &'static str {
    match KernelFamily::all(Precision::Bf16).first() {
        Some(KernelFamily::Amx(_)) => "AVX-512 with AVX512-BF16 and AMX",
        Some(KernelFamily::Avx512Bf16(_)) => "AVX-512 with AVX512-BF16",
        Some(family @ (KernelFamily::Avx512(_) | KernelFamily::Avx2(_))) => family.title(),
        Some(KernelFamily::Portable) | None => "no vector instructions that dgc uses",
    }
}

/// The make of a CPU, as CPUID gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Processor {
    vendor: [u8; 12],
    family: u32,
}

/// CPUs whose products of bf16 by `vdpbf16ps` were timed beside fused multiply-adds of rounded
/// operands. The instruction itself tells apart the models of one family: Zen 3, for example, is
/// of Zen 4's family and lacks it.
struct Timed {
    processor: Processor,
    /// Whether `vdpbf16ps` is faster.
    by_pairs: bool,
}

/// `docs/notes/speed.md` has the measurements.
const TIMED: [Timed; 3] = [
    // Xeon with AMX, two cores: 246 GFLOP/s by `vdpbf16ps`, 457 by fused multiply-adds.
    Timed {
        processor: Processor {
            vendor: *b"GenuineIntel",
            family: 0x06,
        },
        by_pairs: false,
    },
    // Zen 4, one core: a step of the ADGM takes 61.5 ms by `vdpbf16ps`, and 89.6 ms in f32.
    Timed {
        processor: Processor {
            vendor: *b"AuthenticAMD",
            family: 0x19,
        },
        by_pairs: true,
    },
    // Zen 5, one core: 545 GFLOP/s by `vdpbf16ps`, 273 by fused multiply-adds.
    Timed {
        processor: Processor {
            vendor: *b"AuthenticAMD",
            family: 0x1A,
        },
        by_pairs: true,
    },
];

impl Processor {
    fn detect() -> Self {
        let ([_, b, c, d], [version, ..]) = (cpuid(0), cpuid(1));
        let mut vendor = [0; 12];
        let words = [b, d, c];
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        vendor
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, byte)| *to = byte);
        let (base, extended) = (version >> 8 & 0xF, version >> 20 & 0xFF);
        Processor {
            vendor,
            // The extended family counts only beyond the largest base family.
            family: if base == 0xF { base + extended } else { base },
        }
    }

    /// Whether `vdpbf16ps` multiplies bf16 faster than fused multiply-adds; false if unknown.
    fn is_faster_by_pairs(self) -> bool {
        let mut timed = TIMED.iter();
        timed.any(|timed| timed.processor == self && timed.by_pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_cpus_multiply_bf16_by_fused_multiply_adds() {
        let is_faster = |vendor: &[u8; 12], family: u32| {
            let processor = Processor {
                vendor: *vendor,
                family,
            };
            processor.is_faster_by_pairs()
        };
        assert!(is_faster(b"AuthenticAMD", 0x19));
        assert!(is_faster(b"AuthenticAMD", 0x1A));
        assert!(!is_faster(b"GenuineIntel", 0x06));
        assert!(!is_faster(b"GenuineIntel", 0x19));
        assert!(!is_faster(b"AuthenticAMD", 0x17));
        assert!(!is_faster(b"\0\0\0\0\0\0\0\0\0\0\0\0", 0));
    }

    /// Linux reads the same numbers.
    #[test]
    fn the_processor_is_that_of_the_system() {
        let Ok(text) = std::fs::read_to_string("/proc/cpuinfo") else {
            eprintln!("SKIPPED: there is no /proc/cpuinfo");
            return;
        };
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            let found = lines.find(|(found, _)| found.trim() == name);
            found.map(|(_, value)| value.trim().to_string())
        };
        let (Some(vendor), Some(family)) = (value("vendor_id"), value("cpu family")) else {
            eprintln!("SKIPPED: the CPU is not an x86");
            return;
        };
        let processor = Processor::detect();
        assert_eq!(processor.vendor, vendor.as_bytes());
        assert_eq!(processor.family.to_string(), family);
    }

    #[test]
    fn every_family_has_its_names() {
        for precision in Precision::ALL {
            for family in KernelFamily::all(precision) {
                assert_eq!(KernelFamily::named(family.name(), precision), Ok(family));
                assert_eq!(
                    KernelFamily::titled(family.title(), precision),
                    Some(family)
                );
                assert!(family.multiplier_for(precision).is_ok());
            }
        }
    }

    #[test]
    fn defaults_are_the_widest_but_for_pairs() {
        let f32 = KernelFamily::all(Precision::F32);
        assert_eq!(KernelFamily::default_for(Precision::F32), Ok(f32[0]));
        assert!(KernelFamily::default_for(Precision::Tf32).is_err());
        let bf16 = KernelFamily::all(Precision::Bf16);
        let default = KernelFamily::default_for(Precision::Bf16).expect("every CPU has bf16");
        match bf16[0] {
            KernelFamily::Avx512Bf16(_) => assert!(bf16[..2].contains(&default)),
            widest => assert_eq!(default, widest),
        }
    }
}
