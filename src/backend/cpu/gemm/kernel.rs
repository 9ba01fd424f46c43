//! The innermost loops: multiply a strip of A and a panel of packed B, with the sums in registers.

#[cfg(target_arch = "x86_64")]
use super::pack_avx512::mask;
use super::{
    super::isa::Isa,
    blocking::{AVX512, Multiplier, OTHERS},
    registers::Registers,
};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Defines a kernel with 16 columns per vector. The expression multiplies a float of a strip, in
/// all lanes of `factor`, by a vector of a panel and adds the product.
#[cfg(target_arch = "x86_64")]
macro_rules! avx512_kernel {
    ($name:ident, $features:literal, |$factor:ident, $columns:ident, $sum:ident| $multiply:expr) => {
        /// `ROWS` rows and `VECTORS` vectors of 16 columns.
        ///
        /// # Safety
        /// As [`MicroTile::run`]; the CPU must have the instructions.
        #[target_feature(enable = $features)]
        unsafe fn $name<const ROWS: usize, const VECTORS: usize>(&self) {
            const WIDTH: usize = AVX512.width;
            let direct = self.column_stride == 1;
            let masks: [u16; VECTORS] =
                std::array::from_fn(|i| mask(self.width.saturating_sub(16 * i).min(16)));
            let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
            if self.add {
                for (row, sums) in sums.iter_mut().enumerate() {
                    let mut line = [0.0; WIDTH];
                    // SAFETY: as the caller's.
                    let start = unsafe { self.previous(row, direct, &mut line) };
                    for (i, sum) in sums.iter_mut().enumerate() {
                        let columns = start.wrapping_add(16 * i);
                        // SAFETY: the mask leaves out what is beyond the columns.
                        *sum = unsafe { _mm512_maskz_loadu_ps(masks[i], columns) };
                    }
                }
            }
            for segment in self.segments {
                debug_assert!(
                    segment.a_strides == (1, ROWS),
                    "strips are packed for these kernels"
                );
                let (mut a, mut b, mut next) = (segment.a, segment.b, segment.next);
                for _ in 0..segment.depth {
                    // SAFETY: `b` walks through a panel, `a` through a strip; what is prefetched is
                    // not accessed; the CPU has the instructions.
                    unsafe {
                        _mm_prefetch::<_MM_HINT_T1>(next.cast());
                        next = next.wrapping_add(self.next_step);
                        let columns: [__m512; VECTORS] =
                            std::array::from_fn(|i| _mm512_loadu_ps(b.add(16 * i)));
                        for (row, sums) in sums.iter_mut().enumerate() {
                            let factor = _mm512_set1_ps(*a.add(row));
                            for (sum, &columns) in sums.iter_mut().zip(&columns) {
                                let ($factor, $columns, $sum) = (factor, columns, *sum);
                                *sum = $multiply;
                            }
                        }
                        a = a.add(ROWS);
                        b = b.add(WIDTH);
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                let mut line = [0.0; WIDTH];
                let start = if direct {
                    self.row(row)
                } else {
                    line.as_mut_ptr()
                };
                for (i, &sum) in sums.iter().enumerate() {
                    // SAFETY: the mask leaves out what is beyond the columns.
                    unsafe { _mm512_mask_storeu_ps(start.wrapping_add(16 * i), masks[i], sum) };
                }
                if !direct {
                    // SAFETY: as the caller's.
                    unsafe { self.store(row, &line) };
                }
            }
        }
    };
}

/// The maximum number of segments of a tile.
pub const MOST_SEGMENTS: usize = 4;

/// A strip of at most [`Blocking::rows`](super::blocking::Blocking) rows, and a panel.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Segment {
    pub a: *const f32,
    /// The panel: for each k, all its packed columns.
    pub b: *const f32,
    /// Floats along k.
    pub depth: usize,
    /// Floats between rows of the strip, and between one k and the next.
    pub a_strides: (usize, usize),
    /// What is prefetched into the second-level cache: a part of the next panel, of which each k takes
    /// [`MicroTile::next_step`] floats.
    pub next: *const f32,
}

impl Segment {
    /// No products.
    pub const EMPTY: Segment = Segment {
        a: std::ptr::null(),
        b: std::ptr::null(),
        depth: 0,
        a_strides: (0, 0),
        next: std::ptr::null(),
    };
}

/// Strips times panels, added up.
pub struct MicroTile<'a> {
    pub segments: &'a [Segment],
    /// The floats of the next panel that are prefetched for each k; 0 if this is the last panel.
    pub next_step: usize,
    pub c: *mut f32,
    pub row_stride: usize,
    pub column_stride: usize,
    /// The number of columns of C.
    pub width: usize,
    /// Whether the sums start with the values of C.
    pub add: bool,
}

impl MicroTile<'_> {
    /// Writes, or adds to, `rows` rows of C.
    ///
    /// # Safety
    /// In each segment, `a` must be readable for `rows` rows and `depth` floats of each, and `b` for the
    /// panel's columns at each of `depth` floats. `c` must be readable and writable for `rows` rows of `width` columns.
    /// `c` overlaps neither `a` nor `b`, and no other thread uses it. Strips for AVX-512 are
    /// packed.
    pub unsafe fn run(&self, registers: &Registers, rows: usize) {
        match registers {
            // SAFETY: as the caller's.
            Registers::Vectors(by) => unsafe { self.vectors(*by, rows) },
            // SAFETY: as the caller's.
            #[cfg(target_arch = "x86_64")]
            Registers::Tiles(registers) => unsafe { self.tiles(registers, rows) },
        }
    }

    /// # Safety
    /// As [`MicroTile::run`]; the registers are those of `by`.
    unsafe fn vectors(&self, by: Multiplier, rows: usize) {
        macro_rules! by_rows {
            ($kernel:ident: $($rows:literal)*) => {
                match rows {
                    // SAFETY: as the caller's; `by` proves that the CPU has the instructions.
                    $($rows => unsafe { self.$kernel::<$rows>() },)*
                    _ => unreachable!("a strip is no higher than a kernel"),
                }
            };
            ($kernel:ident, $vectors:literal: $($rows:literal)*) => {
                match rows {
                    // SAFETY: as the caller's; `by` proves that the CPU has the instructions.
                    $($rows => unsafe { self.$kernel::<$rows, $vectors>() },)*
                    _ => unreachable!("a strip is no higher than a kernel"),
                }
            };
        }
        #[cfg(target_arch = "x86_64")]
        if matches!(by, Multiplier::Pairs(_)) {
            return match self.width <= AVX512.width / 2 {
                true => by_rows!(avx512_pairs, 1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
                false => by_rows!(avx512_pairs, 2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
            };
        }
        match by.isa() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) if self.width <= AVX512.width / 2 => {
                by_rows!(avx512, 1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => by_rows!(avx512, 2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) if self.width <= OTHERS.width / 2 => by_rows!(avx2, 1: 1 2 3 4 5 6),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => by_rows!(avx2, 2: 1 2 3 4 5 6),
            _ => by_rows!(portable: 1 2 3 4 5 6),
        }
    }

    #[cfg(target_arch = "x86_64")]
    avx512_kernel!(avx512, "avx512f", |factor, columns, sum| _mm512_fmadd_ps(
        factor, columns, sum
    ));

    // The instruction adds the product of the upper halves, a pair's first numbers, first.
    #[cfg(target_arch = "x86_64")]
    avx512_kernel!(
        avx512_pairs,
        "avx512f,avx512bf16",
        |factor, columns, sum| {
            let pairs = |floats: __m512| std::mem::transmute::<__m512, __m512bh>(floats);
            _mm512_dpbf16_ps(sum, pairs(factor), pairs(columns))
        }
    );

    /// `ROWS` rows and `VECTORS` vectors of 8 columns.
    ///
    /// # Safety
    /// As [`MicroTile::run`]; the CPU must have the instructions.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2<const ROWS: usize, const VECTORS: usize>(&self) {
        const WIDTH: usize = OTHERS.width;
        // Masked stores are slow on some CPUs, so an incomplete row goes through `line`.
        let direct = self.column_stride == 1 && self.width == 8 * VECTORS;
        let mut sums = [[_mm256_setzero_ps(); VECTORS]; ROWS];
        if self.add {
            for (row, sums) in sums.iter_mut().enumerate() {
                let mut line = [0.0; WIDTH];
                // SAFETY: as the caller's.
                let start = unsafe { self.previous(row, direct, &mut line) };
                // SAFETY: the row, or the line, has all columns.
                *sums = std::array::from_fn(|i| unsafe { _mm256_loadu_ps(start.add(8 * i)) });
            }
        }
        for segment in self.segments {
            // One offset for all rows.
            let starts: [*const f32; ROWS] =
                std::array::from_fn(|row| segment.a.wrapping_add(row * segment.a_strides.0));
            let (mut along, mut b, mut next) = (0, segment.b, segment.next);
            for _ in 0..segment.depth {
                // SAFETY: `b` walks through a panel, `along` through a strip; what is prefetched is not
                // accessed.
                unsafe {
                    _mm_prefetch::<_MM_HINT_T1>(next.cast());
                    next = next.wrapping_add(self.next_step);
                    let columns: [__m256; VECTORS] =
                        std::array::from_fn(|i| _mm256_loadu_ps(b.add(8 * i)));
                    for (start, sums) in starts.iter().zip(&mut sums) {
                        let factor = _mm256_set1_ps(*start.add(along));
                        for (sum, &columns) in sums.iter_mut().zip(&columns) {
                            *sum = _mm256_fmadd_ps(factor, columns, *sum);
                        }
                    }
                    along += segment.a_strides.1;
                    b = b.add(WIDTH);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            let mut line = [0.0; WIDTH];
            let start = if direct {
                self.row(row)
            } else {
                line.as_mut_ptr()
            };
            for (i, &sum) in sums.iter().enumerate() {
                // SAFETY: the row, or the line, has all columns.
                unsafe { _mm256_storeu_ps(start.add(8 * i), sum) };
            }
            if !direct {
                // SAFETY: as the caller's.
                unsafe { self.store(row, &line) };
            }
        }
    }

    /// `ROWS` rows; few enough columns at a time that the sums fit into registers of 4 floats.
    ///
    /// # Safety
    /// As [`MicroTile::run`]; the CPU must have the instructions.
    unsafe fn portable<const ROWS: usize>(&self) {
        const COLUMNS: usize = 8;
        const WIDTH: usize = OTHERS.width;
        let mut lines = [[0.0; WIDTH]; ROWS];
        // SAFETY: as the caller's.
        unsafe { self.load_all(&mut lines) };
        for start in (0..self.width).step_by(COLUMNS) {
            let mut sums = [[0.0f32; COLUMNS]; ROWS];
            for (sums, line) in sums.iter_mut().zip(&lines) {
                sums.copy_from_slice(&line[start..start + COLUMNS]);
            }
            for segment in self.segments {
                let strides = segment.a_strides;
                for k in 0..segment.depth {
                    // SAFETY: within the panel.
                    let b = unsafe {
                        let b = segment.b.add(k * WIDTH + start);
                        b.cast::<[f32; COLUMNS]>().read()
                    };
                    for (row, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: within the strip.
                        let a = unsafe { *segment.a.add(row * strides.0 + k * strides.1) };
                        for column in 0..COLUMNS {
                            sums[column] += a * b[column];
                        }
                    }
                }
            }
            for (sums, line) in sums.iter().zip(&mut lines) {
                line[start..start + COLUMNS].copy_from_slice(sums);
            }
        }
        // SAFETY: as the caller's.
        unsafe { self.store_all(&lines) };
    }

    /// Reads the initial values of the sums.
    ///
    /// # Safety
    /// As [`MicroTile::run`]; the CPU must have the instructions.
    unsafe fn load_all(&self, lines: &mut [[f32; OTHERS.width]]) {
        if self.add {
            for (row, line) in lines.iter_mut().enumerate() {
                // SAFETY: as the caller's.
                unsafe { self.load(row, line) };
            }
        }
    }

    /// # Safety
    /// As [`MicroTile::run`]; the CPU must have the instructions.
    unsafe fn store_all(&self, lines: &[[f32; OTHERS.width]]) {
        for (row, line) in lines.iter().enumerate() {
            // SAFETY: as the caller's.
            unsafe { self.store(row, line) };
        }
    }

    /// The previous columns of a row of C as neighbours: where they are if `direct`, else copied to
    /// `line`.
    ///
    /// # Safety
    /// As [`MicroTile::run`]; the CPU must have the instructions.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    unsafe fn previous(&self, row: usize, direct: bool, line: &mut [f32]) -> *const f32 {
        if direct {
            return self.row(row).cast_const();
        }
        // SAFETY: as the caller's.
        unsafe { self.load(row, line) };
        line.as_ptr()
    }

    fn row(&self, row: usize) -> *mut f32 {
        self.c.wrapping_add(row * self.row_stride)
    }

    /// Reads the columns of C.
    ///
    /// # Safety
    /// As [`MicroTile::run`]; the CPU must have the instructions.
    pub unsafe fn load(&self, row: usize, line: &mut [f32]) {
        if self.column_stride == 1 {
            // SAFETY: the columns of the row are neighbours.
            let columns = unsafe { std::slice::from_raw_parts(self.row(row), self.width) };
            return line[..self.width].copy_from_slice(columns);
        }
        for (column, value) in line[..self.width].iter_mut().enumerate() {
            // SAFETY: the element lies within `c`.
            *value = unsafe { *self.row(row).add(column * self.column_stride) };
        }
    }

    /// Writes the columns of C.
    ///
    /// # Safety
    /// As [`MicroTile::run`]; the CPU must have the instructions.
    pub unsafe fn store(&self, row: usize, line: &[f32]) {
        if self.column_stride == 1 {
            // SAFETY: the columns of the row are neighbours, and nothing else refers to them.
            let columns = unsafe { std::slice::from_raw_parts_mut(self.row(row), self.width) };
            return columns.copy_from_slice(&line[..self.width]);
        }
        for (column, value) in line[..self.width].iter().enumerate() {
            // SAFETY: the element lies within `c`.
            unsafe { *self.row(row).add(column * self.column_stride) = *value };
        }
    }
}
