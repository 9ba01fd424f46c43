//! A matrix times a vector, in single precision: a dot product for each row.
//!
//! A panel of a packed vector would be zeros but for one column. The products of a row are added in
//! 32 sums, that of element i to sum i modulo 32, and the sums pair by pair. So the bits depend on
//! the row alone, and those of AVX-512 and AVX2 are the same.

use super::super::isa::Isa;

const LANES: usize = 32;

/// Rows side by side in memory, and a vector.
#[derive(Clone, Copy)]
pub struct RowsAndVector {
    pub rows: *const f32,
    pub count: usize,
    /// Floats between rows.
    pub stride: usize,
    pub vector: *const f32,
    pub k: usize,
}

impl RowsAndVector {
    /// Writes the dot product of each row to `out`, or adds it there. `out_stride` is the floats
    /// between results.
    ///
    /// # Safety
    /// Each row and the vector must be readable for `k` floats. `out` must be writable for `count`
    /// results, which lie in neither, and no other thread may use them.
    pub unsafe fn multiply(self, isa: Isa, out: *mut f32, out_stride: usize, add: bool) {
        for row in 0..self.count {
            let left = self.rows.wrapping_add(row * self.stride);
            // SAFETY: the value proves that the CPU has the instructions; the rest is as the caller's.
            unsafe {
                let to = out.wrapping_add(row * out_stride);
                let product = match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512(_) => avx512(left, self.vector, self.k),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2(_) => avx2(left, self.vector, self.k),
                    _ => portable(left, self.vector, self.k),
                };
                *to = if add { *to + product } else { product };
            }
        }
    }
}

/// Adds the sums in pairs.
fn total(mut sums: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}

/// # Safety
/// Both must be readable for `k` floats.
unsafe fn portable(left: *const f32, right: *const f32, k: usize) -> f32 {
    let mut sums = [0.0; LANES];
    for place in 0..k {
        // SAFETY: as the caller's.
        sums[place % LANES] += unsafe { *left.add(place) * *right.add(place) };
    }
    total(sums)
}

/// # Safety
/// As [`portable`], and the CPU must have the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn avx512(left: *const f32, right: *const f32, k: usize) -> f32 {
    use std::arch::x86_64::*;
    const FLOATS: usize = 16;
    // SAFETY: as the caller's; masked floats are not read.
    unsafe {
        let mut sums = [_mm512_setzero_ps(); LANES / FLOATS];
        for from in (0..k).step_by(LANES) {
            for (part, sum) in sums.iter_mut().enumerate() {
                let from = from + part * FLOATS;
                let there = k.saturating_sub(from).min(FLOATS);
                let mask = ((1u32 << there) - 1) as __mmask16;
                let x = _mm512_maskz_loadu_ps(mask, left.wrapping_add(from));
                let y = _mm512_maskz_loadu_ps(mask, right.wrapping_add(from));
                *sum = _mm512_mask3_fmadd_ps(x, y, *sum, mask);
            }
        }
        total(std::mem::transmute::<[__m512; LANES / FLOATS], [f32; LANES]>(sums))
    }
}

/// # Safety
/// As [`portable`], and the CPU must have the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(left: *const f32, right: *const f32, k: usize) -> f32 {
    use std::arch::x86_64::*;
    const FLOATS: usize = 8;
    let whole = k / LANES * LANES;
    // SAFETY: as the caller's.
    unsafe {
        let mut sums = [_mm256_setzero_ps(); LANES / FLOATS];
        for from in (0..whole).step_by(LANES) {
            for (part, sum) in sums.iter_mut().enumerate() {
                let from = from + part * FLOATS;
                let (x, y) = (
                    _mm256_loadu_ps(left.add(from)),
                    _mm256_loadu_ps(right.add(from)),
                );
                *sum = _mm256_fmadd_ps(x, y, *sum);
            }
        }
        let mut sums = std::mem::transmute::<[__m256; LANES / FLOATS], [f32; LANES]>(sums);
        for place in whole..k {
            let sum = &mut sums[place - whole];
            *sum = (*left.add(place)).mul_add(*right.add(place), *sum);
        }
        total(sums)
    }
}
