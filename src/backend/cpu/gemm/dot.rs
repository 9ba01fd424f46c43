//! Matrices times vectors, in single precision: a dot product for each row.
//!
//! A panel of a packed vector would be zeros but for one column, so rows are read where they are. A
//! row is cut into vectors of 16 elements, each piece of it from its own first element on. Their
//! products are added in 2 · 16 sums, those of every other vector in the first 16 and the rest in the
//! others, and the sums pair by pair. So the bits depend on the row alone, and those of AVX-512
//! and AVX2 are the same.

use super::super::isa::Isa;
#[cfg(target_arch = "x86_64")]
use super::pack_avx2::mask;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// The elements of a vector.
const LANES: usize = 16;

/// A part of a row that is contiguous in memory.
#[derive(Clone, Copy, Default)]
pub struct Piece {
    /// Floats from the row's start to the piece.
    pub offset: isize,
    /// The place of its first element's factor in the vector.
    pub place: usize,
    pub len: usize,
}

/// Rows with the same pieces, and a vector.
#[derive(Clone, Copy)]
pub struct RowsAndVector<'a> {
    /// The start of the first row. It may lie outside of the array, if the pieces lie inside.
    pub rows: *const f32,
    pub count: usize,
    /// Floats from a row's start to the next one's.
    pub stride: isize,
    pub pieces: &'a [Piece],
    pub vector: *const f32,
}

impl RowsAndVector<'_> {
    /// Writes the dot product of each row to `out`, or adds it there. `out_stride` is the floats
    /// between results.
    ///
    /// # Safety
    /// Each piece of each row, and its factors in the vector, must be readable. `out` must be writable
    /// for `count` results, which lie in neither, and no other thread may use them.
    pub unsafe fn multiply(self, isa: Isa, out: *mut f32, out_stride: usize, add: bool) {
        // SAFETY: the value proves that the CPU has the instructions; the rest is as the caller's.
        unsafe {
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512(_) => self.avx512(out, out_stride, add),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2(_) => self.avx2(out, out_stride, add),
                _ => self.portable(out, out_stride, add),
            }
        }
    }

    /// Calls `visit` for the vectors of row `row`, with the start of both factors, and their elements.
    #[inline(always)]
    fn vectors(self, row: usize, mut visit: impl FnMut(*const f32, *const f32, usize)) {
        let start = self.rows.wrapping_offset(row as isize * self.stride);
        for piece in self.pieces {
            let left = start.wrapping_offset(piece.offset);
            let right = self.vector.wrapping_add(piece.place);
            let mut from = 0;
            while from < piece.len {
                let len = LANES.min(piece.len - from);
                visit(left.wrapping_add(from), right.wrapping_add(from), len);
                from += LANES;
            }
        }
    }

    /// Computes each row's dot product with `dot`.
    ///
    /// # Safety
    /// As [`Self::multiply`].
    #[inline(always)]
    unsafe fn each(self, out: *mut f32, out_stride: usize, add: bool, dot: impl Fn(usize) -> f32) {
        for row in 0..self.count {
            let product = dot(row);
            // SAFETY: as the caller's.
            unsafe {
                let to = out.wrapping_add(row * out_stride);
                *to = if add { *to + product } else { product };
            }
        }
    }

    /// # Safety
    /// As [`Self::multiply`].
    unsafe fn portable(self, out: *mut f32, out_stride: usize, add: bool) {
        let dot = |row| {
            let (mut even, mut odd) = ([0.0; LANES], [0.0; LANES]);
            self.vectors(row, |left, right, len| {
                for (lane, sum) in even[..len].iter_mut().enumerate() {
                    // SAFETY: as the caller's.
                    *sum += unsafe { *left.add(lane) * *right.add(lane) };
                }
                std::mem::swap(&mut even, &mut odd);
            });
            for (sum, odd) in even.iter_mut().zip(odd) {
                *sum += odd;
            }
            let mut half = LANES / 2;
            while half > 0 {
                for lane in 0..half {
                    even[lane] += even[lane + half];
                }
                half /= 2;
            }
            even[0]
        };
        // SAFETY: as the caller's.
        unsafe { self.each(out, out_stride, add, dot) };
    }

    /// # Safety
    /// As [`Self::multiply`], and the CPU must have the instructions.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    unsafe fn avx512(self, out: *mut f32, out_stride: usize, add: bool) {
        let dot = |row| {
            let (mut even, mut odd) = (_mm512_setzero_ps(), _mm512_setzero_ps());
            self.vectors(row, |left, right, len| {
                let mask = (0xffff_u32 >> (LANES - len)) as __mmask16;
                // SAFETY: as the caller's; masked floats are not read.
                let sum = unsafe {
                    let x = _mm512_maskz_loadu_ps(mask, left);
                    let y = _mm512_maskz_loadu_ps(mask, right);
                    _mm512_mask3_fmadd_ps(x, y, even, mask)
                };
                (even, odd) = (odd, sum);
            });
            let sum = _mm512_add_ps(even, odd);
            let upper = _mm512_extractf32x8_ps::<1>(sum);
            total(_mm256_add_ps(_mm512_castps512_ps256(sum), upper))
        };
        // SAFETY: as the caller's.
        unsafe { self.each(out, out_stride, add, dot) };
    }

    /// # Safety
    /// As [`Self::multiply`], and the CPU must have the instructions.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2(self, out: *mut f32, out_stride: usize, add: bool) {
        const HALF: usize = LANES / 2;
        let dot = |row| {
            let (mut even, mut odd) = ([_mm256_setzero_ps(); 2], [_mm256_setzero_ps(); 2]);
            self.vectors(row, |left, right, len| {
                let mut sums = even;
                for (half, sum) in sums.iter_mut().enumerate() {
                    let from = half * HALF;
                    let (left, right) = (left.wrapping_add(from), right.wrapping_add(from));
                    // SAFETY: as the caller's; masked floats are not read.
                    *sum = unsafe {
                        if len == LANES {
                            _mm256_fmadd_ps(_mm256_loadu_ps(left), _mm256_loadu_ps(right), *sum)
                        } else {
                            let mask = mask(len.saturating_sub(from).min(HALF));
                            let x = _mm256_maskload_ps(left, mask);
                            let y = _mm256_maskload_ps(right, mask);
                            let added = _mm256_fmadd_ps(x, y, *sum);
                            _mm256_blendv_ps(*sum, added, _mm256_castsi256_ps(mask))
                        }
                    };
                }
                (even, odd) = (odd, sums);
            });
            let [low, high] = [0, 1].map(|half| _mm256_add_ps(even[half], odd[half]));
            total(_mm256_add_ps(low, high))
        };
        // SAFETY: as the caller's.
        unsafe { self.each(out, out_stride, add, dot) };
    }
}

/// Adds sums in pairs: those of the halves, of their halves and so on.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn total(sums: __m256) -> f32 {
    let sum = _mm_add_ps(
        _mm256_castps256_ps128(sums),
        _mm256_extractf128_ps::<1>(sums),
    );
    let sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)))
}
