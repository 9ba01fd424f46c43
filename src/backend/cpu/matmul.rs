//! Matrix products in single precision: C[m, n] = A[m, k] · B[k, n], B packed once and shared by all tiles of rows.
//!
//! An element is summed over k in order, by fused multiply-adds where the CPU has them: it does not depend on the tile that
//! its row is in, nor on how many rows or columns there are. Nothing is allocated here.

use super::isa::Isa;

/// Columns of a panel of packed B: two of the widest vectors.
const WIDTH: usize = 32;
/// Rows that a kernel holds in registers, by instruction set.
const ROWS_AVX512: usize = 14;
const ROWS_OTHERS: usize = 4;

/// A matrix in memory, by the floats between rows and between columns.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub start: *const f32,
    pub row_stride: usize,
    pub column_stride: usize,
}

/// Panels of a B with that many columns.
pub fn panels(n: usize) -> usize {
    n.div_ceil(WIDTH)
}

/// Floats of a packed B.
pub fn packed_len(k: usize, n: usize) -> usize {
    panels(n) * WIDTH * k
}

/// Floats of workspace that a tile needs for packing A.
pub fn workspace_len(k: usize) -> usize {
    ROWS_AVX512 * k
}

/// Packs one panel of B: for each k its columns side by side, 0 where there are none.
///
/// # Safety
/// `b` must be readable for `k` rows and `n` columns, and `packed` writable for the whole of [`packed_len`] floats.
pub unsafe fn pack_panel(k: usize, n: usize, b: View, panel: usize, packed: *mut f32) {
    let first = panel * WIDTH;
    let width = WIDTH.min(n - first);
    // SAFETY: the panel is one of `panels(n)`, each of `WIDTH * k` floats.
    let out = unsafe { std::slice::from_raw_parts_mut(packed.add(panel * WIDTH * k), WIDTH * k) };
    // SAFETY: columns from `first` on lie within `b`.
    let source = unsafe { b.start.add(first * b.column_stride) };
    if width < WIDTH {
        out.fill(0.0);
    }
    if b.column_stride == 1 {
        for (row, out) in out.chunks_exact_mut(WIDTH).enumerate() {
            // SAFETY: row `row` has `width` columns side by side.
            let columns = unsafe { std::slice::from_raw_parts(source.add(row * b.row_stride), width) };
            out[..width].copy_from_slice(columns);
        }
        return;
    }
    // Blocks of 8 by 8 turn around within registers and a few cache lines.
    const BLOCK: usize = 8;
    for row in (0..k).step_by(BLOCK) {
        let rows = BLOCK.min(k - row);
        for column in (0..width).step_by(BLOCK) {
            let columns = BLOCK.min(width - column);
            // SAFETY: the block lies within the panel's columns and rows of `b`.
            let at =
                |i: usize, j: usize| unsafe { *source.add((row + i) * b.row_stride + (column + j) * b.column_stride) };
            if rows == BLOCK && columns == BLOCK {
                let mut block = [[0.0f32; BLOCK]; BLOCK];
                for j in 0..BLOCK {
                    for (i, line) in block.iter_mut().enumerate() {
                        line[j] = at(i, j);
                    }
                }
                for (i, line) in block.iter().enumerate() {
                    let start = (row + i) * WIDTH + column;
                    out[start..start + BLOCK].copy_from_slice(line);
                }
                continue;
            }
            for i in 0..rows {
                for j in 0..columns {
                    out[(row + i) * WIDTH + column + j] = at(i, j);
                }
            }
        }
    }
}

/// The rows of a product: `rows` × `n`, summed over `k`.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub rows: usize,
    pub n: usize,
    pub k: usize,
}

/// C = A · B, or C += A · B, for packed B.
///
/// # Safety
/// `a` must be readable and `c` writable for the extent, `packed` as [`pack_panel`] left it, `workspace` writable for
/// [`workspace_len`] floats; `c` overlaps none of the others.
pub unsafe fn multiply(isa: Isa, extent: Extent, a: View, packed: *const f32, c: View, add: bool, workspace: *mut f32) {
    let Extent { rows, n, k } = extent;
    let most = if isa == Isa::Avx512 { ROWS_AVX512 } else { ROWS_OTHERS };
    // Strips of nearly equal height, so that the last one is as busy as the others.
    let strips = rows.div_ceil(most).max(1);
    let height = rows.div_ceil(strips);
    let mut row = 0;
    while row < rows {
        let strip = height.min(rows - row);
        // SAFETY: the strip's rows lie within `a`.
        let mut source = View { start: unsafe { a.start.add(row * a.row_stride) }, ..a };
        if a.column_stride != 1 {
            for kk in 0..k {
                for i in 0..strip {
                    // SAFETY: within `a` and within `strip * k` floats of workspace.
                    unsafe {
                        *workspace.add(kk * strip + i) = *source.start.add(i * a.row_stride + kk * a.column_stride)
                    };
                }
            }
            source = View { start: workspace.cast_const(), row_stride: 1, column_stride: strip };
        }
        for panel in 0..panels(n) {
            let width = WIDTH.min(n - panel * WIDTH);
            let tile = Tile {
                k,
                a: source,
                // SAFETY: the panel is within packed B.
                b: unsafe { packed.add(panel * WIDTH * k) },
                // SAFETY: the tile is within `c`.
                c: unsafe { c.start.add(row * c.row_stride + panel * WIDTH * c.column_stride) }.cast_mut(),
                row_stride: c.row_stride,
                column_stride: c.column_stride,
                width,
                add,
            };
            // SAFETY: the tile's parts were checked above; the instruction set is the CPU's.
            unsafe { tile.run(isa, strip) };
        }
        row += strip;
    }
}

/// A few rows of A times one panel of B.
struct Tile {
    k: usize,
    a: View,
    b: *const f32,
    c: *mut f32,
    row_stride: usize,
    column_stride: usize,
    width: usize,
    add: bool,
}

impl Tile {
    /// # Safety
    /// As [`multiply`].
    unsafe fn run(&self, isa: Isa, rows: usize) {
        macro_rules! by_rows {
            ($kernel:ident: $($count:literal)*) => {
                match rows {
                    // SAFETY: the caller vouches for the tile, and for the instruction set.
                    $($count => unsafe { self.$kernel::<$count>() },)*
                    _ => unreachable!("a strip is no higher than a kernel"),
                }
            };
        }
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => by_rows!(avx512: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => by_rows!(avx2: 1 2 3 4),
            _ => by_rows!(portable: 1 2 3 4),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    unsafe fn avx512<const M: usize>(&self) {
        use std::arch::x86_64::*;
        let mut sums = [[_mm512_setzero_ps(); 2]; M];
        let (mut a, mut b) = (self.a.start, self.b);
        for _ in 0..self.k {
            // SAFETY: `b` walks through a panel of `WIDTH * k` floats, `a` through `M` rows of `k` elements.
            unsafe {
                let (left, right) = (_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16)));
                for (row, sum) in sums.iter_mut().enumerate() {
                    let factor = _mm512_set1_ps(*a.add(row * self.a.row_stride));
                    sum[0] = _mm512_fmadd_ps(factor, left, sum[0]);
                    sum[1] = _mm512_fmadd_ps(factor, right, sum[1]);
                }
                a = a.wrapping_add(self.a.column_stride);
                b = b.add(WIDTH);
            }
        }
        for (row, sum) in sums.iter().enumerate() {
            // SAFETY: rows of `c` lie `row_stride` apart; a whole panel of unit stride has `WIDTH` floats.
            unsafe {
                if self.width == WIDTH && self.column_stride == 1 {
                    let c = self.c.add(row * self.row_stride);
                    let (mut left, mut right) = (sum[0], sum[1]);
                    if self.add {
                        left = _mm512_add_ps(_mm512_loadu_ps(c), left);
                        right = _mm512_add_ps(_mm512_loadu_ps(c.add(16)), right);
                    }
                    _mm512_storeu_ps(c, left);
                    _mm512_storeu_ps(c.add(16), right);
                } else {
                    let mut line = [0.0f32; WIDTH];
                    _mm512_storeu_ps(line.as_mut_ptr(), sum[0]);
                    _mm512_storeu_ps(line.as_mut_ptr().add(16), sum[1]);
                    self.store(row, &line);
                }
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2<const M: usize>(&self) {
        // SAFETY: as the caller's.
        unsafe { self.generic::<M>(f32::mul_add) };
    }

    unsafe fn portable<const M: usize>(&self) {
        // SAFETY: as the caller's.
        unsafe { self.generic::<M>(|a, b, c| a * b + c) };
    }

    /// # Safety
    /// As [`multiply`].
    #[inline(always)]
    unsafe fn generic<const M: usize>(&self, multiply_add: impl Fn(f32, f32, f32) -> f32) {
        // In halves, so that the sums fit into registers.
        const HALF: usize = WIDTH / 2;
        let mut lines = [[0.0f32; WIDTH]; M];
        for half in 0..2 {
            let mut sums = [[0.0f32; HALF]; M];
            for kk in 0..self.k {
                // SAFETY: within the panel, and within `M` rows of `k` elements.
                let b = unsafe { &*self.b.add(kk * WIDTH + half * HALF).cast::<[f32; HALF]>() };
                for (row, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: as above.
                    let a = unsafe { *self.a.start.add(row * self.a.row_stride + kk * self.a.column_stride) };
                    sum.iter_mut().zip(b).for_each(|(sum, &b)| *sum = multiply_add(a, b, *sum));
                }
            }
            for (line, sum) in lines.iter_mut().zip(&sums) {
                line[half * HALF..(half + 1) * HALF].copy_from_slice(sum);
            }
        }
        for (row, line) in lines.iter().enumerate() {
            // SAFETY: as the caller's.
            unsafe { self.store(row, line) };
        }
    }

    /// Writes the columns that there are.
    ///
    /// # Safety
    /// As [`multiply`].
    unsafe fn store(&self, row: usize, line: &[f32; WIDTH]) {
        for (column, value) in line[..self.width].iter().enumerate() {
            // SAFETY: the element lies within `c`.
            let c = unsafe { &mut *self.c.add(row * self.row_stride + column * self.column_stride) };
            *c = if self.add { *c + value } else { *value };
        }
    }
}
