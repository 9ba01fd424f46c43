//! Matrix products in single precision: C[m, n] = A[m, k] · B[k, n], B packed once and shared by all tiles of rows.
//!
//! An element starts at 0, or at what C holds, and the products are added to it one after another in the order of k, by fused
//! multiply-adds where the CPU has them. So it depends neither on the tile that its row is in, nor on how many rows or columns
//! there are; and [`Isa::Avx512`] and [`Isa::Avx2`] give the same bits. Nothing is allocated here.
//!
//! A strip of rows is packed and meets one panel of B after another, so that it stays in the first-level cache while B comes
//! from the second; the sums of a strip and a panel stay in registers.

mod kernel;
mod pack;

use super::isa::Isa;
use kernel::Tile;

/// Columns of a panel of packed B: two of the widest vectors.
const WIDTH: usize = 32;
/// Rows of a strip, at most, by instruction set: as many as have their sums in registers.
const ROWS_AVX512: usize = 14;
const ROWS_OTHERS: usize = 6;
/// What is summed up before the next block of k: a strip of that depth stays near.
const DEPTH: usize = 1024;

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
    ROWS_AVX512 * k.min(DEPTH)
}

/// Packs one panel of B: for each k its columns side by side, 0 where there are none.
///
/// # Safety
/// The CPU must have `isa`, `b` must be readable for `k` rows and `n` columns, and `packed` writable for the whole of
/// [`packed_len`] floats.
pub unsafe fn pack_panel(isa: Isa, k: usize, n: usize, b: View, panel: usize, packed: *mut f32) {
    debug_assert!(panel < panels(n), "the panel is one of B's");
    let first = panel * WIDTH;
    let width = WIDTH.min(n - first);
    // SAFETY: the panel is one of `panels(n)`, each of `WIDTH * k` floats.
    let out = unsafe { std::slice::from_raw_parts_mut(packed.add(panel * WIDTH * k), WIDTH * k) };
    if width < WIDTH {
        out.fill(0.0);
    }
    let lines = pack::Lines {
        count: width,
        depth: k,
        start: b.start.wrapping_add(first * b.column_stride),
        line_stride: b.column_stride,
        depth_stride: b.row_stride,
    };
    // SAFETY: the columns from `first` on lie within `b`, and `out` has `WIDTH` floats for each k.
    unsafe { lines.pack(isa, out.as_mut_ptr(), WIDTH) };
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
/// The CPU must have `isa`; `a` must be readable and `c` writable for the extent, `packed` as [`pack_panel`] left it, `workspace`
/// writable for [`workspace_len`] floats; `c` overlaps none of the others.
pub unsafe fn multiply(isa: Isa, extent: Extent, a: View, packed: *const f32, c: View, add: bool, workspace: *mut f32) {
    let Extent { rows, n, k } = extent;
    let most = if isa == Isa::Avx512 { ROWS_AVX512 } else { ROWS_OTHERS };
    // Strips of nearly equal height, so that the last one is as busy as the others.
    let height = rows.div_ceil(rows.div_ceil(most).max(1)).max(1);
    // Once also for a k of 0, which leaves zeros.
    for from in (0..k.max(1)).step_by(DEPTH) {
        let depth = DEPTH.min(k - from);
        for row in (0..rows).step_by(height) {
            let strip = pack::Lines {
                count: height.min(rows - row),
                depth,
                start: a.start.wrapping_add(row * a.row_stride + from * a.column_stride),
                line_stride: a.row_stride,
                depth_stride: a.column_stride,
            };
            // SAFETY: the strip's rows and that part of k lie within `a`, and take at most `workspace_len` floats.
            unsafe { strip.pack(isa, workspace, strip.count) };
            for panel in 0..panels(n) {
                let column = panel * WIDTH;
                let tile = Tile {
                    depth,
                    a: workspace,
                    b: packed.wrapping_add((panel * k + from) * WIDTH),
                    c: c.start.wrapping_add(row * c.row_stride + column * c.column_stride).cast_mut(),
                    row_stride: c.row_stride,
                    column_stride: c.column_stride,
                    width: WIDTH.min(n - column),
                    add: add || from > 0,
                };
                // SAFETY: the strip is packed, the panel lies within packed B, and the tile within `c`.
                unsafe { tile.run(isa, strip.count) };
            }
        }
    }
}
