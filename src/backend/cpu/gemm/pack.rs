//! Packing: interleaves lines of a matrix (rows of A or columns of B), so that the elements of all
//! lines for a k, or a pair of k, are adjacent.

use super::{
    super::isa::{Avx512Bf16, Isa},
    blocking::Multiplier,
    lines::Lines,
};

impl Lines {
    /// Whether lines, or the elements of a line, are contiguous in memory.
    fn has_neighbours(&self) -> bool {
        self.line_stride == 1 || self.depth_stride == 1
    }

    /// Sets `out[k * stride + line]` to element k, or pair k, of the line.
    ///
    /// # Safety
    /// The lines must be readable, and `out` writable for `stride` floats for each k or pair.
    pub unsafe fn pack(&self, by: Multiplier, out: *mut f32, stride: usize) {
        debug_assert!(self.count <= stride, "lines do not overlap");
        match by {
            // SAFETY: as the caller's.
            Multiplier::F32(isa) => unsafe { self.pack_floats(isa, out, stride) },
            Multiplier::Rounded(isa) => {
                // SAFETY: as the caller's; the floats have just been written.
                unsafe {
                    self.pack_floats(isa, out, stride);
                    // Without gaps, all lines are rounded at once.
                    let (count, len) = match self.count == stride {
                        true => (1, self.depth * stride),
                        false => (self.depth, self.count),
                    };
                    for at in 0..count {
                        round(
                            isa,
                            std::slice::from_raw_parts_mut(out.add(at * stride), len),
                        );
                    }
                }
            }
            // SAFETY: as the caller's.
            Multiplier::Pairs(bf16) => unsafe { self.pack_pairs(bf16, out, stride) },
            Multiplier::Tiles(_) => unreachable!("tiles are packed as strips and panels"),
        }
    }

    /// Packs a panel of columns of B.
    ///
    /// # Safety
    /// The lines must be readable, and `out` writable for `width` floats for each of
    /// [`Multiplier::packed_depth`] floats along k.
    pub unsafe fn pack_panel(&self, by: Multiplier, out: *mut f32, width: usize) {
        match by {
            // SAFETY: as the caller's.
            Multiplier::Tiles(amx) => unsafe { self.pack_panel_of_tiles(amx, out) },
            // SAFETY: as the caller's.
            _ => unsafe { self.pack(by, out, width) },
        }
    }

    /// # Safety
    /// As [`Lines::pack`].
    unsafe fn pack_pairs(&self, _bf16: Avx512Bf16, out: *mut f32, stride: usize) {
        #[cfg(target_arch = "x86_64")]
        if self.has_neighbours() {
            // SAFETY: as the caller's.
            return unsafe { self.pack_pairs_avx512(_bf16, out, stride) };
        }
        for pair in 0..self.depth.div_ceil(2) {
            for line in 0..self.count {
                let bits = |k: usize| match k < self.depth {
                    // SAFETY: the caller vouches for all lines and all k.
                    true => half::bf16::from_f32(unsafe {
                        *self
                            .start
                            .add(line * self.line_stride + k * self.depth_stride)
                    }),
                    false => half::bf16::ZERO,
                };
                let both = u32::from(bits(2 * pair).to_bits()) << 16
                    | u32::from(bits(2 * pair + 1).to_bits());
                // SAFETY: `out` has room for each pair.
                unsafe { *out.add(pair * stride + line) = f32::from_bits(both) };
            }
        }
    }

    /// # Safety
    /// As [`Lines::pack`].
    unsafe fn pack_floats(&self, isa: Isa, out: *mut f32, stride: usize) {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(avx512) if self.has_neighbours() => {
                // SAFETY: as the caller's.
                unsafe { self.pack_floats_avx512(avx512, out, stride) }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(avx2) if self.has_neighbours() && self.count > 3 => {
                // SAFETY: as the caller's.
                unsafe { self.pack_avx2(avx2, out, stride) }
            }
            // SAFETY: as the caller's.
            _ => unsafe { self.pack_floats_portable(out, stride) },
        }
    }

    /// # Safety
    /// As [`Lines::pack`].
    unsafe fn pack_floats_portable(&self, out: *mut f32, stride: usize) {
        // Blocks of 8 lines by 8, so that what a cache line holds is used while it is there.
        const BLOCK: usize = 8;
        for from in (0..self.depth).step_by(BLOCK) {
            for first in (0..self.count).step_by(BLOCK) {
                for k in from..self.depth.min(from + BLOCK) {
                    for line in first..self.count.min(first + BLOCK) {
                        // SAFETY: the caller vouches for all lines and all k.
                        unsafe {
                            *out.add(k * stride + line) = *self
                                .start
                                .add(line * self.line_stride + k * self.depth_stride)
                        };
                    }
                }
            }
        }
    }

    /// Packs the strips of a block of rows of A one after another without gaps.
    ///
    /// # Safety
    /// The lines must be readable, and `out` writable for a block's rows for each of
    /// [`Multiplier::packed_depth`] floats along k.
    pub unsafe fn pack_strips(&self, by: Multiplier, out: *mut f32) {
        let (blocking, depth) = (by.blocking(), by.packed_depth(self.depth));
        #[cfg(target_arch = "x86_64")]
        if let Multiplier::F32(Isa::Avx2(avx2)) = by
            && self.line_stride == 1
            && blocking.rows <= 8
        {
            // SAFETY: as the caller's.
            return unsafe { self.pack_strips_avx2(avx2, blocking.rows, out) };
        }
        for (first, end) in blocking.strips(self.count) {
            let start = self.line(first);
            let strip = Lines {
                count: end - first,
                start,
                ..*self
            };
            let out = out.wrapping_add(first * depth);
            // SAFETY: as the caller's, for some of its lines.
            unsafe {
                match by {
                    Multiplier::Tiles(amx) => strip.pack_strip_of_tiles(amx, out),
                    _ => strip.pack(by, out, strip.count),
                }
            };
        }
    }
}

/// Rounds floats to the nearest bf16, ties to even; NaN stays NaN.
fn round(isa: Isa, floats: &mut [f32]) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the value proves that the CPU has the instructions.
        Isa::Avx512(_) => unsafe { round_avx512(floats) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the value proves that the CPU has the instructions.
        Isa::Avx2(_) => unsafe { round_avx2(floats) },
        _ => floats.iter_mut().for_each(|float| *float = nearest(*float)),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl")]
fn round_avx512(floats: &mut [f32]) {
    floats.iter_mut().for_each(|float| *float = nearest(*float));
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn round_avx2(floats: &mut [f32]) {
    floats.iter_mut().for_each(|float| *float = nearest(*float));
}

/// The nearest bf16, without a branch, so that loops become vector instructions.
#[inline(always)]
fn nearest(float: f32) -> f32 {
    let bits = float.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1));
    let quiet = bits | 0x0040_0000;
    f32::from_bits(if float.is_nan() { quiet } else { rounded } & 0xFFFF_0000)
}

/// Other architectures have no tiles, so there is no value of `Amx`.
#[cfg(not(target_arch = "x86_64"))]
impl Lines {
    unsafe fn pack_panel_of_tiles(&self, _: super::super::isa::Amx, _: *mut f32) {
        unreachable!("only detection makes a value of `Amx`")
    }

    unsafe fn pack_strip_of_tiles(&self, _: super::super::isa::Amx, _: *mut f32) {
        unreachable!("only detection makes a value of `Amx`")
    }
}
