//! Packing: lines of a matrix, rows of A or columns of B, laid side by side for each k.

use super::super::isa::Isa;

/// Some lines of a matrix, as many floats apart as the strides say.
#[derive(Clone, Copy)]
pub struct Lines {
    pub count: usize,
    pub depth: usize,
    pub start: *const f32,
    pub line_stride: usize,
    pub depth_stride: usize,
}

impl Lines {
    /// `out[k * stride + line]` = the line's element k.
    ///
    /// # Safety
    /// The CPU must have `isa`, the lines must be readable, and `out` writable, at the places named.
    pub unsafe fn pack(&self, isa: Isa, out: *mut f32, stride: usize) {
        debug_assert!(self.count <= stride, "lines lie side by side");
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx512 && (self.line_stride == 1 || self.depth_stride == 1) {
            for line in (0..self.count).step_by(16) {
                let part = Lines {
                    count: (self.count - line).min(16),
                    start: self.start.wrapping_add(line * self.line_stride),
                    ..*self
                };
                // SAFETY: as the caller's, for some of its lines.
                unsafe {
                    match self.line_stride {
                        1 => part.copy_avx512(out.add(line), stride),
                        _ => part.transpose_avx512(out.add(line), stride),
                    }
                }
            }
            return;
        }
        // Blocks of 8 lines by 8, so that what a cache line holds is used while it is there.
        const BLOCK: usize = 8;
        for from in (0..self.depth).step_by(BLOCK) {
            for first in (0..self.count).step_by(BLOCK) {
                for k in from..self.depth.min(from + BLOCK) {
                    for line in first..self.count.min(first + BLOCK) {
                        // SAFETY: the caller vouches for all lines and all k.
                        unsafe {
                            *out.add(k * stride + line) =
                                *self.start.add(line * self.line_stride + k * self.depth_stride)
                        };
                    }
                }
            }
        }
    }

    /// At most 16 lines, one float apart.
    ///
    /// # Safety
    /// As [`Lines::pack`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    unsafe fn copy_avx512(&self, out: *mut f32, stride: usize) {
        use std::arch::x86_64::*;
        let mask = mask(self.count);
        for k in 0..self.depth {
            // SAFETY: the mask leaves out what is beyond the lines.
            unsafe {
                let lines = _mm512_maskz_loadu_ps(mask, self.start.add(k * self.depth_stride));
                _mm512_mask_storeu_ps(out.add(k * stride), mask, lines);
            }
        }
    }

    /// At most 16 lines with their elements side by side.
    ///
    /// # Safety
    /// As [`Lines::pack`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl")]
    unsafe fn transpose_avx512(&self, out: *mut f32, stride: usize) {
        // Lines that are not there repeat the last one, and are not stored.
        let starts = std::array::from_fn(|i| self.start.wrapping_add(i.min(self.count - 1) * self.line_stride));
        let lines = mask(self.count);
        let whole = self.depth / 4 * 4;
        for k in (0..whole).step_by(4) {
            // SAFETY: all lines have elements k to k + 3, and `out` has room for them.
            unsafe { turn::<4>(&starts, k, lines, out.add(k * stride), stride) };
        }
        // SAFETY: as above, for the elements that remain.
        unsafe {
            match self.depth - whole {
                1 => turn::<1>(&starts, whole, lines, out.add(whole * stride), stride),
                2 => turn::<2>(&starts, whole, lines, out.add(whole * stride), stride),
                3 => turn::<3>(&starts, whole, lines, out.add(whole * stride), stride),
                _ => {}
            }
        }
    }
}

/// Elements `k` to `k + COUNT - 1` of 16 lines, at most 4 of each, to `COUNT` vectors of lines.
///
/// # Safety
/// The lines must be readable there, and `out` writable for the lines in the mask.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl")]
unsafe fn turn<const COUNT: usize>(starts: &[*const f32; 16], k: usize, lines: u16, out: *mut f32, stride: usize) {
    use std::arch::x86_64::*;
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
    // Lines i, i + 4, i + 8 and i + 12 in one vector, so that to turn its 4 by 4 blocks around is to sort all lines.
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
    for (i, &turned) in turned[..COUNT].iter().enumerate() {
        // SAFETY: `out` has room for the lines at each k.
        unsafe { _mm512_mask_storeu_ps(out.add(i * stride), lines, turned) };
    }
}

/// The first `count` lanes of at most 16.
#[cfg(target_arch = "x86_64")]
pub fn mask(count: usize) -> u16 {
    debug_assert!(count <= 16, "a vector has 16 lanes");
    ((1u32 << count) - 1) as u16
}
