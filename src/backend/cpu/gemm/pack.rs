//! Packing: lines of a matrix, rows of A or columns of B, laid side by side for each k, or for each
//! pair of them.

use super::{super::isa::Isa, Multiplier, OTHERS, parts};

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
    /// Where a line begins.
    pub fn line(&self, line: usize) -> *const f32 {
        self.start.wrapping_add(line * self.line_stride)
    }

    /// `out[k * stride + line]` = the line's element k, or pair k.
    ///
    /// # Safety
    /// The CPU must have what `by` names; the lines must be readable at the places named, and `out`
    /// writable for `stride` floats for each k or pair.
    pub unsafe fn pack(&self, by: Multiplier, out: *mut f32, stride: usize) {
        debug_assert!(self.count <= stride, "lines lie side by side");
        match by {
            // SAFETY: as the caller's.
            Multiplier::F32(isa) => unsafe { self.pack_floats(isa, out, stride) },
            Multiplier::Rounded(isa) => {
                // SAFETY: as the caller's; the lines' places have just been written.
                unsafe {
                    self.pack_floats(isa, out, stride);
                    for k in 0..self.depth {
                        let line = std::slice::from_raw_parts_mut(out.add(k * stride), self.count);
                        line.iter_mut()
                            .for_each(|float| *float = half::bf16::from_f32(*float).to_f32());
                    }
                }
            }
            // SAFETY: as the caller's.
            Multiplier::Pairs => unsafe { self.pack_pairs(out, stride) },
        }
    }

    /// # Safety
    /// As [`Lines::pack`].
    unsafe fn pack_pairs(&self, out: *mut f32, stride: usize) {
        #[cfg(target_arch = "x86_64")]
        if self.line_stride == 1 || self.depth_stride == 1 {
            // SAFETY: as the caller's.
            return unsafe { self.pack_avx512::<true>(out, stride) };
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

    /// Lines that are side by side, or whose elements are, 16 at a time.
    ///
    /// # Safety
    /// As [`Lines::pack`].
    #[cfg(target_arch = "x86_64")]
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

    /// # Safety
    /// As [`Lines::pack`].
    unsafe fn pack_floats(&self, isa: Isa, out: *mut f32, stride: usize) {
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx512 && (self.line_stride == 1 || self.depth_stride == 1) {
            // SAFETY: as the caller's.
            return unsafe { self.pack_avx512::<false>(out, stride) };
        }
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx2 && (self.line_stride == 1 || self.depth_stride == 1) && self.count > 3 {
            // SAFETY: as the caller's.
            return unsafe { self.pack_avx2(out, stride) };
        }
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

    /// Strips of at most `most` lines, as equal as they can be, one after another; each as
    /// [`Lines::pack`] packs it, without gaps.
    ///
    /// # Safety
    /// As [`Lines::pack`], with `out` writable for `count` floats for each k or pair.
    pub unsafe fn pack_strips(&self, by: Multiplier, most: usize, out: *mut f32) {
        #[cfg(target_arch = "x86_64")]
        if by == Multiplier::F32(Isa::Avx2) && self.line_stride == 1 && most <= 8 {
            // SAFETY: as the caller's.
            return unsafe { self.cut_avx2(most, out) };
        }
        for (first, end) in parts(self.count, most) {
            let start = self.start.wrapping_add(first * self.line_stride);
            let strip = Lines {
                count: end - first,
                start,
                ..*self
            };
            // SAFETY: as the caller's, for some of its lines.
            unsafe {
                strip.pack(
                    by,
                    out.add(first * self.depth.div_ceil(by.together())),
                    strip.count,
                )
            };
        }
    }

    /// [`Lines::pack_strips`] of lines one float apart: k by k, as they lie in memory.
    ///
    /// # Safety
    /// As [`Lines::pack_strips`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn cut_avx2(&self, most: usize, out: *mut f32) {
        use std::arch::x86_64::*;
        const AHEAD: usize = 12;
        // Where strips begin, and the end: dividing for each k would take longer than copying.
        let mut bounds = [0; 1 + OTHERS.block];
        let strips = self.count.div_ceil(most);
        bounds[1..]
            .iter_mut()
            .zip(parts(self.count, most))
            .for_each(|(bound, (_, end))| *bound = end);
        for k in 0..self.depth {
            let line = self.start.wrapping_add(k * self.depth_stride);
            let later = line.wrapping_add(AHEAD * self.depth_stride);
            for float in (0..self.count).step_by(16) {
                _mm_prefetch::<_MM_HINT_T0>(later.wrapping_add(float).cast());
            }
            for strip in 0..strips {
                let first = bounds[strip];
                let count = bounds[strip + 1] - first;
                // SAFETY: floats are read only where there are lines. Of 8 lines or more no strip
                // has fewer than 4, so that what is written beyond its lines belongs to its next k,
                // which overwrites it.
                unsafe {
                    let to = out.add(first * self.depth + k * count);
                    if k + 1 < self.depth && first + 8 <= self.count {
                        _mm256_storeu_ps(to, _mm256_loadu_ps(line.add(first)));
                    } else {
                        std::ptr::copy_nonoverlapping(line.add(first), to, count);
                    }
                }
            }
        }
    }

    /// Lines, or their elements, that lie side by side, 8 at a time.
    ///
    /// # Safety
    /// As [`Lines::pack`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn pack_avx2(&self, out: *mut f32, stride: usize) {
        use std::arch::x86_64::*;
        for first in (0..self.count).step_by(8) {
            let count = (self.count - first).min(8);
            let start = self.line(first);
            for k in (0..self.depth).step_by(8) {
                let depth = (self.depth - k).min(8);
                let (from, to) = (
                    start.wrapping_add(k * self.depth_stride),
                    out.wrapping_add(k * stride + first),
                );
                // SAFETY: elements are read only where there are lines and k.
                unsafe {
                    if count == 8 && depth == 8 {
                        // With every count known, all is in registers.
                        let block = self.block(from, 8, 8);
                        (0..8).for_each(|i| _mm256_storeu_ps(to.add(i * stride), block[i]));
                        continue;
                    }
                    let block = self.block(from, count, depth);
                    for (i, &vector) in block[..depth].iter().enumerate() {
                        let mut line = [0.0; 8];
                        _mm256_storeu_ps(line.as_mut_ptr(), vector);
                        std::ptr::copy_nonoverlapping(line.as_ptr(), to.add(i * stride), count);
                    }
                }
            }
        }
    }

    /// Vectors of lines for `depth` k.
    ///
    /// # Safety
    /// `count` lines must be readable from `from` on.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn block(
        &self,
        from: *const f32,
        count: usize,
        depth: usize,
    ) -> [std::arch::x86_64::__m256; 8] {
        let mut block = [std::arch::x86_64::_mm256_setzero_ps(); 8];
        // SAFETY: as the caller's.
        unsafe {
            if self.line_stride == 1 {
                for (i, vector) in block[..depth].iter_mut().enumerate() {
                    *vector = load(from.add(i * self.depth_stride), count);
                }
                return block;
            }
            for (i, vector) in block[..count].iter_mut().enumerate() {
                *vector = load(from.add(i * self.line_stride), depth);
            }
        }
        transpose(block)
    }

    /// At most 16 lines, one float apart.
    ///
    /// # Safety
    /// As [`Lines::pack`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn copy_avx512<const PAIRS: bool>(&self, out: *mut f32, stride: usize) {
        use std::arch::x86_64::*;
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
        // SAFETY: pairs are asked for where the CPU has them.
        let store_pair = |at: usize, second| store(at, unsafe { pair(lines(2 * at), second) });
        (0..self.depth / 2).for_each(|at| store_pair(at, lines(2 * at + 1)));
        if self.depth % 2 == 1 {
            store_pair(self.depth / 2, _mm512_setzero_ps());
        }
    }

    /// At most 16 lines with their elements side by side.
    ///
    /// # Safety
    /// As [`Lines::pack`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw")]
    unsafe fn transpose_avx512<const PAIRS: bool>(&self, out: *mut f32, stride: usize) {
        // Lines that are not there repeat the last one, and are not stored.
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

/// Pairs of bf16, the nearest to floats, the first in the upper halves.
///
/// # Safety
/// The CPU must have AVX512-BF16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
unsafe fn pair(
    first: std::arch::x86_64::__m512,
    second: std::arch::x86_64::__m512,
) -> std::arch::x86_64::__m512 {
    use std::arch::x86_64::*;
    // Lane by lane, of two vectors one after the other.
    const TAKEN: [u16; 32] = {
        let (mut taken, mut lane) = ([0; 32], 0);
        while lane < 32 {
            taken[lane] = (lane / 2 + lane % 2 * 16) as u16;
            lane += 1;
        }
        taken
    };
    let halves: __m512i;
    // SAFETY: as the caller's. By its name, since the intrinsic cannot become part of a function
    // that packs floats as well.
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

/// `count` floats, at most 8, and zeros.
///
/// # Safety
/// They must be readable.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load(start: *const f32, count: usize) -> std::arch::x86_64::__m256 {
    use std::arch::x86_64::*;
    const LANES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the mask leaves out what is beyond `count`, and is itself part of an array of 16.
    unsafe {
        match count {
            8 => _mm256_loadu_ps(start),
            _ => _mm256_maskload_ps(
                start,
                _mm256_loadu_si256(LANES.as_ptr().add(8 - count).cast()),
            ),
        }
    }
}

/// Rows as columns.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn transpose(rows: [std::arch::x86_64::__m256; 8]) -> [std::arch::x86_64::__m256; 8] {
    use std::arch::x86_64::*;
    // Pairs of rows, then fours, then all, each within halves of a vector until the halves are
    // exchanged.
    let pairs: [__m256; 8] = std::array::from_fn(|i| {
        let (a, b) = (rows[i / 2 * 2], rows[i / 2 * 2 + 1]);
        if i % 2 == 0 {
            _mm256_unpacklo_ps(a, b)
        } else {
            _mm256_unpackhi_ps(a, b)
        }
    });
    let fours: [__m256; 8] = std::array::from_fn(|i| {
        let (a, b) = (
            pairs[i / 4 * 4 + i % 4 / 2],
            pairs[i / 4 * 4 + i % 4 / 2 + 2],
        );
        if i % 2 == 0 {
            _mm256_shuffle_ps::<0b01_00_01_00>(a, b)
        } else {
            _mm256_shuffle_ps::<0b11_10_11_10>(a, b)
        }
    });
    std::array::from_fn(|i| {
        let (a, b) = (fours[i % 4], fours[i % 4 + 4]);
        if i < 4 {
            _mm256_permute2f128_ps::<0x20>(a, b)
        } else {
            _mm256_permute2f128_ps::<0x31>(a, b)
        }
    })
}

/// Elements `k` to `k + COUNT - 1` of 16 lines, at most 4 of each, to `COUNT` vectors of lines, or
/// of their pairs.
///
/// # Safety
/// The lines must be readable there, and `out` writable for the lines in the mask.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
unsafe fn turn<const COUNT: usize, const PAIRS: bool>(
    starts: &[*const f32; 16],
    k: usize,
    lines: u16,
    out: *mut f32,
    stride: usize,
) {
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
        // What is beyond the elements is 0. SAFETY: pairs are asked for where the CPU has them.
        true => (0..COUNT.div_ceil(2))
            .for_each(|at| store(at, unsafe { pair(turned[2 * at], turned[2 * at + 1]) })),
        false => (0..COUNT).for_each(|at| store(at, turned[at])),
    }
}

/// The first `count` lanes of at most 16.
#[cfg(target_arch = "x86_64")]
pub fn mask(count: usize) -> u16 {
    debug_assert!(count <= 16, "a vector has 16 lanes");
    ((1u32 << count) - 1) as u16
}
