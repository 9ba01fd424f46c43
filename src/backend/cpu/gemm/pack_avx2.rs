//! Packing with AVX2, 8 floats at a time.

use super::{
    super::isa::Avx2,
    blocking::{OTHERS, parts},
    lines::Lines,
};
use std::arch::x86_64::*;

impl Lines {
    /// Packs adjacent lines in strips of at most `most` lines, at most 8, as equal as possible, in
    /// the order of k.
    ///
    /// # Safety
    /// The lines must be readable, and `out` writable for `count` floats for each k.
    pub unsafe fn pack_strips_avx2(&self, _: Avx2, most: usize, out: *mut f32) {
        // SAFETY: as the caller's; the CPU has AVX2.
        unsafe { self.cut_avx2(most, out) }
    }

    /// # Safety
    /// As [`Lines::pack_strips_avx2`].
    #[target_feature(enable = "avx2")]
    unsafe fn cut_avx2(&self, most: usize, out: *mut f32) {
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

    /// Packs lines that are adjacent, or whose elements are contiguous.
    ///
    /// # Safety
    /// The lines must be readable, and `out` writable for `stride` floats for each k.
    pub unsafe fn pack_avx2(&self, _: Avx2, out: *mut f32, stride: usize) {
        // SAFETY: as the caller's; the CPU has AVX2.
        unsafe { self.pack_blocks_avx2(out, stride) }
    }

    /// Packs blocks of 8 lines by 8 elements.
    ///
    /// # Safety
    /// As [`Lines::pack_avx2`].
    #[target_feature(enable = "avx2")]
    unsafe fn pack_blocks_avx2(&self, out: *mut f32, stride: usize) {
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
                        // The counts are constants here, so that all is in registers.
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

    /// Packs vectors of lines for `depth` values of k.
    ///
    /// # Safety
    /// `count` lines must be readable from `from` on.
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn block(&self, from: *const f32, count: usize, depth: usize) -> [__m256; 8] {
        let mut block = [_mm256_setzero_ps(); 8];
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
}

/// Loads `count` floats, at most 8, and pads them with zeros.
///
/// # Safety
/// They must be readable.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn load(start: *const f32, count: usize) -> __m256 {
    // SAFETY: the mask leaves out what is beyond `count`.
    unsafe {
        match count {
            8 => _mm256_loadu_ps(start),
            _ => _mm256_maskload_ps(start, mask(count)),
        }
    }
}

/// The mask of the first `count` floats, at most 8.
#[target_feature(enable = "avx2")]
#[inline]
pub fn mask(count: usize) -> __m256i {
    const LANES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let lanes = LANES[8 - count..].as_ptr();
    // SAFETY: at least 8 numbers are left.
    unsafe { _mm256_loadu_si256(lanes.cast()) }
}

/// Transposes 8 rows of 8 floats.
#[target_feature(enable = "avx2")]
#[inline]
fn transpose(rows: [__m256; 8]) -> [__m256; 8] {
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
