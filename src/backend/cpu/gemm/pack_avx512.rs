//! Packing with AVX-512: 16 floats or 16 pairs of bf16 at a time.

use super::{
    super::isa::{Avx512, Avx512Bf16},
    lines::Lines,
};
use std::arch::x86_64::*;

impl Lines {
    /// Packs floats of lines that are adjacent, or whose elements are contiguous.
    ///
    /// # Safety
    /// The lines must be readable, and `out` writable for `stride` floats for each k.
    pub unsafe fn pack_floats_avx512(&self, _: Avx512, out: *mut f32, stride: usize) {
        // SAFETY: as the caller's; the CPU has AVX-512.
        unsafe { self.pack_avx512::<false>(out, stride) }
    }

    /// Packs pairs of bf16 of lines that are adjacent, or whose elements are contiguous.
    ///
    /// # Safety
    /// The lines must be readable, and `out` writable for `stride` floats for each pair of k.
    pub unsafe fn pack_pairs_avx512(&self, _: Avx512Bf16, out: *mut f32, stride: usize) {
        // SAFETY: as the caller's; the CPU has AVX-512 and AVX512-BF16.
        unsafe { self.pack_avx512::<true>(out, stride) }
    }

    /// Packs 16 lines at a time.
    ///
    /// # Safety
    /// As [`Lines::pack_pairs_avx512`] for `PAIRS`, else as [`Lines::pack_floats_avx512`]; the CPU
    /// must have the instructions.
    unsafe fn pack_avx512<const PAIRS: bool>(&self, out: *mut f32, stride: usize) {
        for line in (0..self.count).step_by(16) {
            let part = Lines {
                count: (self.count - line).min(16),
                start: self.start.wrapping_add(line * self.line_stride),
                ..*self
            };
            // SAFETY: as the caller's, for some of its lines.
            unsafe {
                match self.line_stride {
                    1 => part.copy_avx512::<PAIRS>(out.add(line), stride),
                    _ => part.transpose_avx512::<PAIRS>(out.add(line), stride),
                }
            }
        }
    }

    /// Packs at most 16 lines that are adjacent.
    ///
    /// # Safety
    /// As [`Lines::pack_avx512`].
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn copy_avx512<const PAIRS: bool>(&self, out: *mut f32, stride: usize) {
        let mask = mask(self.count);
        // SAFETY: the mask leaves out what is beyond the lines.
        let lines = |k: usize| unsafe {
            _mm512_maskz_loadu_ps(mask, self.start.add(k * self.depth_stride))
        };
        // SAFETY: `out` has room for the lines at each k or pair.
        let store =
            |at: usize, lines| unsafe { _mm512_mask_storeu_ps(out.add(at * stride), mask, lines) };
        if !PAIRS {
            return (0..self.depth).for_each(|k| store(k, lines(k)));
        }
        // SAFETY: as the caller's: for `PAIRS` the CPU has AVX512-BF16.
        let store_pair = |at: usize, second| store(at, unsafe { pair(lines(2 * at), second) });
        (0..self.depth / 2).for_each(|at| store_pair(at, lines(2 * at + 1)));
        if self.depth % 2 == 1 {
            store_pair(self.depth / 2, _mm512_setzero_ps());
        }
    }

    /// Packs at most 16 lines whose elements are contiguous.
    ///
    /// # Safety
    /// As [`Lines::pack_avx512`].
    #[target_feature(enable = "avx512f,avx512vl,avx512bw")]
    unsafe fn transpose_avx512<const PAIRS: bool>(&self, out: *mut f32, stride: usize) {
        // Missing lines repeat the last one, and are not stored.
        let starts = std::array::from_fn(|i| {
            self.start
                .wrapping_add(i.min(self.count - 1) * self.line_stride)
        });
        let lines = mask(self.count);
        let whole = self.depth / 4 * 4;
        let to = |k: usize| out.wrapping_add(if PAIRS { k / 2 } else { k } * stride);
        for k in (0..whole).step_by(4) {
            // SAFETY: all lines have elements k to k + 3, and `out` has room for them.
            unsafe { turn::<4, PAIRS>(&starts, k, lines, to(k), stride) };
        }
        // SAFETY: as above, for the elements that remain.
        unsafe {
            match self.depth - whole {
                1 => turn::<1, PAIRS>(&starts, whole, lines, to(whole), stride),
                2 => turn::<2, PAIRS>(&starts, whole, lines, to(whole), stride),
                3 => turn::<3, PAIRS>(&starts, whole, lines, to(whole), stride),
                _ => {}
            }
        }
    }
}

/// Rounds floats to the nearest bf16 and combines them in pairs, the first in the upper halves.
///
/// # Safety
/// The CPU must have AVX512-BF16.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
unsafe fn pair(first: __m512, second: __m512) -> __m512 {
    // For each lane of the result, its lane among those of two vectors one after the other.
    const TAKEN: [u16; 32] = {
        let (mut taken, mut lane) = ([0; 32], 0);
        while lane < 32 {
            taken[lane] = (lane / 2 + lane % 2 * 16) as u16;
            lane += 1;
        }
        taken
    };
    let halves: __m512i;
    // By its name, since the intrinsic cannot be inlined into a function that packs floats as well.
    // SAFETY: the CPU has the instruction, which only works on registers; the table has 32 lanes.
    unsafe {
        std::arch::asm!(
            "vcvtne2ps2bf16 {}, {}, {}",
            lateout(zmm_reg) halves, in(zmm_reg) first, in(zmm_reg) second,
            options(pure, nomem, nostack, preserves_flags),
        );
        _mm512_castsi512_ps(_mm512_permutexvar_epi16(
            _mm512_loadu_si512(TAKEN.as_ptr().cast()),
            halves,
        ))
    }
}

/// Transposes elements `k` to `k + COUNT - 1`, at most 4, of 16 lines to `COUNT` vectors of lines,
/// or of their pairs.
///
/// # Safety
/// The lines must be readable there, and `out` writable for the lines in the mask; for `PAIRS` the
/// CPU must have AVX512-BF16.
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
unsafe fn turn<const COUNT: usize, const PAIRS: bool>(
    starts: &[*const f32; 16],
    k: usize,
    lines: u16,
    out: *mut f32,
    stride: usize,
) {
    let four = |line: usize| {
        let start = starts[line].wrapping_add(k);
        // SAFETY: the line has these elements; the mask leaves out what is beyond its end.
        unsafe {
            match COUNT {
                4 => _mm_loadu_ps(start),
                _ => _mm_maskz_loadu_ps(mask(COUNT) as u8, start),
            }
        }
    };
    // Lines i, i + 4, i + 8 and i + 12 in one vector, so that to turn its 4 by 4 blocks around is
    // to sort all lines.
    let vector = |i: usize| {
        let vector = _mm512_castps128_ps512(four(i));
        let vector = _mm512_insertf32x4::<1>(vector, four(i + 4));
        let vector = _mm512_insertf32x4::<2>(vector, four(i + 8));
        _mm512_insertf32x4::<3>(vector, four(i + 12))
    };
    let (a, b, c, d) = (vector(0), vector(1), vector(2), vector(3));
    let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
    let (ab_high, cd_high) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
    let turned = [
        _mm512_shuffle_ps::<0b01_00_01_00>(ab, cd),
        _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd),
        _mm512_shuffle_ps::<0b01_00_01_00>(ab_high, cd_high),
        _mm512_shuffle_ps::<0b11_10_11_10>(ab_high, cd_high),
    ];
    // SAFETY: `out` has room for the lines at each k or pair.
    let store =
        |at: usize, turned| unsafe { _mm512_mask_storeu_ps(out.add(at * stride), lines, turned) };
    match PAIRS {
        // What is beyond the elements is 0.
        true => (0..COUNT.div_ceil(2)).for_each(|at| {
            // SAFETY: as the caller's: for `PAIRS` the CPU has AVX512-BF16.
            store(at, unsafe { pair(turned[2 * at], turned[2 * at + 1]) });
        }),
        false => (0..COUNT).for_each(|at| store(at, turned[at])),
    }
}

/// A mask of the first `count` lanes, at most 16.
pub fn mask(count: usize) -> u16 {
    debug_assert!(count <= 16, "a vector has 16 lanes");
    ((1u32 << count) - 1) as u16
}
