//! Matrix products in single precision: C[m, n] = A[m, k] · B[k, n], B packed once and shared by all tiles of rows.
//!
//! An element starts at 0, or at what C holds, and the products are added to it one after another in the order of k, by fused
//! multiply-adds where the CPU has them. So it depends neither on the tile that its row is in, nor on how many rows or columns
//! there are; and [`Isa::Avx512`] and [`Isa::Avx2`] give the same bits. Nothing is allocated here.
//!
//! Rows are packed in strips, as high as the registers allow, and a block of strips meets one panel of B after another. What the
//! innermost loops read again and again lies in the first-level cache: with AVX2 a panel, and a strip comes from the second, or
//! from A itself where its rows go on along k; with AVX-512, whose strips are higher, a block is one strip, and the panels come
//! from the second. The sums of a strip and a panel stay in registers.

mod kernel;
mod pack;

use super::isa::Isa;
use kernel::Tile;
use std::ops::Range;

/// How a product is cut up for an instruction set.
struct Blocking {
    /// Columns of a panel of packed B: two vectors.
    width: usize,
    /// Rows of a strip, at most: as many as have their sums in registers.
    rows: usize,
    /// Rows of a block of strips, at most.
    block: usize,
    /// What is summed up before the next block of k, at most.
    depth: usize,
}

const AVX512: Blocking = Blocking { width: 32, rows: 14, block: 14, depth: 1024 };
const OTHERS: Blocking = Blocking { width: 16, rows: 6, block: 96, depth: 512 };

impl Blocking {
    const fn of(isa: Isa) -> &'static Blocking {
        match isa {
            Isa::Avx512 => &AVX512,
            _ => &OTHERS,
        }
    }
}

/// A matrix in memory, by the floats between rows and between columns.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub start: *const f32,
    pub row_stride: usize,
    pub column_stride: usize,
}

/// The rows of A: in memory, or made as they are packed.
#[derive(Clone, Copy)]
pub enum Rows<'a> {
    View(View),
    /// Writes some columns of some rows, without gaps.
    Made(&'a Maker<'a>),
}

/// `(rows, columns, out)`.
pub type Maker<'a> = dyn Fn(Range<usize>, Range<usize>, *mut f32) + 'a;

/// Columns of a panel, at most.
pub const PANEL: usize = AVX512.width;

/// Columns of a panel.
pub fn width(isa: Isa) -> usize {
    Blocking::of(isa).width
}

/// Panels of a B with that many columns.
pub fn panels(isa: Isa, n: usize) -> usize {
    n.div_ceil(Blocking::of(isa).width)
}

/// Floats of a packed B.
pub fn packed_len(isa: Isa, k: usize, n: usize) -> usize {
    panels(isa, n) * Blocking::of(isa).width * k
}

/// Floats of workspace that a tile needs for packing A.
pub fn workspace_len(isa: Isa, k: usize) -> usize {
    let Blocking { block, depth, .. } = Blocking::of(isa);
    block * k.min(*depth)
}

/// Floats of workspace that a tile needs if A is made: its rows, then packed.
pub fn made_workspace_len(isa: Isa, k: usize) -> usize {
    2 * workspace_len(isa, k)
}

/// Packs one panel of B: for each k its columns side by side, 0 where there are none.
///
/// # Safety
/// The CPU must have `isa`, `b` must be readable for `k` rows and `n` columns, and `packed` writable for the whole of
/// [`packed_len`] floats.
pub unsafe fn pack_panel(isa: Isa, k: usize, n: usize, b: View, panel: usize, packed: *mut f32) {
    debug_assert!(panel < panels(isa, n), "the panel is one of B's");
    let full = Blocking::of(isa).width;
    let first = panel * full;
    let width = full.min(n - first);
    // SAFETY: the panel is one of `panels(n)`, each of `full * k` floats.
    let out = unsafe { std::slice::from_raw_parts_mut(packed.add(panel * full * k), full * k) };
    if width < full {
        out.fill(0.0);
    }
    let lines = pack::Lines {
        count: width,
        depth: k,
        start: b.start.wrapping_add(first * b.column_stride),
        line_stride: b.column_stride,
        depth_stride: b.row_stride,
    };
    // SAFETY: the columns from `first` on lie within `b`, and `out` has `full` floats for each k.
    unsafe { lines.pack(isa, out.as_mut_ptr(), full) };
}

/// The rows of a product: `rows` × `n`, summed over `k`.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub rows: usize,
    pub n: usize,
    pub k: usize,
}

/// `length` in parts of at most `most`, as equal as they can be: where each begins, and the end.
fn parts(length: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = length.div_ceil(most);
    (0..count).map(move |part| (part * length / count, (part + 1) * length / count))
}

/// C = A · B, or C += A · B, for packed B.
///
/// # Safety
/// The CPU must have `isa`; `a` must be readable and `c` writable for the extent, `packed` as [`pack_panel`] left it, `workspace`
/// writable for [`workspace_len`] or [`made_workspace_len`] floats; `c` overlaps none of the others.
pub unsafe fn multiply(
    isa: Isa,
    extent: Extent,
    a: Rows<'_>,
    packed: *const f32,
    c: View,
    add: bool,
    workspace: *mut f32,
) {
    let Extent { rows, n, k } = extent;
    let blocking = Blocking::of(isa);
    // A k of 0 leaves zeros.
    let nothing = (k == 0).then_some((0, 0));
    for (from, to) in parts(k, blocking.depth).chain(nothing) {
        for (first, last) in parts(rows, blocking.block) {
            let (count, depth) = (last - first, to - from);
            let rows = match a {
                Rows::View(a) => {
                    let start = a.start.wrapping_add(first * a.row_stride + from * a.column_stride);
                    pack::Lines { count, depth, start, line_stride: a.row_stride, depth_stride: a.column_stride }
                }
                Rows::Made(make) => {
                    let made = workspace.wrapping_add(blocking.block * k.min(blocking.depth));
                    make(first..last, from..to, made);
                    pack::Lines { count, depth, start: made, line_stride: depth, depth_stride: 1 }
                }
            };
            // Few rows may be read where they are, if each goes on along k.
            let packed_left = isa == Isa::Avx512 || rows.depth_stride != 1;
            if packed_left {
                // SAFETY: the block's rows and that part of k lie within `a`, and take at most `workspace_len` floats.
                unsafe { rows.pack_strips(isa, blocking.rows, workspace) };
            }
            for panel in 0..panels(isa, n) {
                let column = panel * blocking.width;
                for (row, end) in parts(last - first, blocking.rows) {
                    let at = (first + row) * c.row_stride + column * c.column_stride;
                    let tile = Tile {
                        depth: to - from,
                        a: if packed_left { workspace.wrapping_add(row * (to - from)) } else { rows.line(row) },
                        a_strides: if packed_left { (1, end - row) } else { (rows.line_stride, 1) },
                        b: packed.wrapping_add((panel * k + from) * blocking.width),
                        c: c.start.wrapping_add(at).cast_mut(),
                        row_stride: c.row_stride,
                        column_stride: c.column_stride,
                        width: blocking.width.min(n - column),
                        add: add || from > 0,
                    };
                    // SAFETY: the strip is packed or lies within `a`, the panel lies within packed B, and the tile within `c`.
                    unsafe { tile.run(isa, end - row) };
                }
            }
        }
    }
}
