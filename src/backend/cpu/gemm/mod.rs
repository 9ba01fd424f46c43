//! Matrix products with sums in single precision: C[m, n] = A[m, k] · B[k, n], B packed once and
//! shared by all tiles of rows.
//!
//! An element starts at 0, or at what C holds, and the products are added to it one after another
//! in the order of k, by fused multiply-adds where the CPU has them. So it depends neither on the
//! tile that its row is in, nor on how many rows or columns there are; and [`Isa::Avx512`] and
//! [`Isa::Avx2`] give the same bits. Nothing is allocated here.
//!
//! Operands may be rounded to bfloat16 as they are packed. A product of two such is exact in single
//! precision, so an instruction that multiplies pairs of them ([`Multiplier::Pairs`]) gives the
//! bits that fused multiply-adds give, twice as fast; but what is smaller than the least normal
//! number, 1.2e-38, is 0 to it.
//!
//! Rows are packed in strips, as high as the registers allow, and a block of strips meets one panel
//! of B after another. What the innermost loops read again and again lies in the first-level cache:
//! with AVX2 a panel, and a strip comes from the second, or from A itself where its rows go on
//! along k; with AVX-512, whose strips are higher, a block is one strip, and the panels come from
//! the second. The sums of a strip and a panel stay in registers.

mod kernel;
mod pack;
mod windows;
mod contraction;
#[cfg(test)]
mod tests;

pub(super) use contraction::{Packed, Packing, Product};

use super::{super::Precision, isa::Isa};
use kernel::Tile;
use std::ops::Range;

/// What multiplies, and what operands are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multiplier {
    F32(Isa),
    /// In single precision, operands rounded to bf16 as they are packed.
    Rounded(Isa),
    /// Pairs of bf16, neighbours along k, by `vdpbf16ps`; a pair takes a float's place.
    Pairs,
}

impl Multiplier {
    /// The fastest that this CPU has; none if it rounds to what `precision` says in no way.
    pub fn new(precision: Precision) -> Option<Self> {
        match precision {
            Precision::F32 => Some(Multiplier::F32(Isa::detect())),
            Precision::Tf32 => None,
            Precision::Bf16 if Isa::has_bf16() => Some(Multiplier::Pairs),
            Precision::Bf16 => Some(Multiplier::Rounded(Isa::detect())),
        }
    }

    const fn isa(self) -> Isa {
        match self {
            Multiplier::F32(isa) | Multiplier::Rounded(isa) => isa,
            Multiplier::Pairs => Isa::Avx512,
        }
    }

    /// Elements along k that take a float's place.
    const fn together(self) -> usize {
        match self {
            Multiplier::Pairs => 2,
            _ => 1,
        }
    }

    const fn blocking(self) -> &'static Blocking {
        match self.isa() {
            Isa::Avx512 => &AVX512,
            _ => &OTHERS,
        }
    }
}

/// How a product is cut up for an instruction set.
struct Blocking {
    /// Columns of a panel of packed B: two vectors.
    width: usize,
    /// Rows of a strip, at most: as many as have their sums in registers.
    rows: usize,
    /// Rows of a block of strips, at most.
    block: usize,
    /// Floats along k that are multiplied before the next block, at most.
    depth: usize,
}

const AVX512: Blocking = Blocking {
    width: 32,
    rows: 14,
    block: 14,
    depth: 1024,
};
const OTHERS: Blocking = Blocking {
    width: 16,
    rows: 6,
    block: 96,
    depth: 512,
};

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
pub fn width(by: Multiplier) -> usize {
    by.blocking().width
}

/// Panels of a B with that many columns.
pub fn panels(by: Multiplier, n: usize) -> usize {
    n.div_ceil(width(by))
}

/// Floats of a packed panel.
pub fn panel_len(by: Multiplier, k: usize) -> usize {
    width(by) * k.div_ceil(by.together())
}

/// Floats of a packed B.
pub fn packed_len(by: Multiplier, k: usize, n: usize) -> usize {
    panels(by, n) * panel_len(by, k)
}

/// Floats of workspace that a tile needs for packing A.
pub fn workspace_len(by: Multiplier, k: usize) -> usize {
    let Blocking { block, depth, .. } = by.blocking();
    block * k.div_ceil(by.together()).min(*depth)
}

/// Floats of workspace that a tile needs if A is made: its rows, then packed.
pub fn made_workspace_len(by: Multiplier, k: usize) -> usize {
    (1 + by.together()) * workspace_len(by, k)
}

/// Packs one panel of B: for each k, or pair of them, its columns side by side, 0 where there are
/// none.
///
/// # Safety
/// The CPU must have what `by` names, `b` must be readable for `k` rows and `n` columns, and
/// `packed` writable for the whole of [`packed_len`] floats.
pub unsafe fn pack_panel(
    by: Multiplier,
    k: usize,
    n: usize,
    b: View,
    panel: usize,
    packed: *mut f32,
) {
    debug_assert!(panel < panels(by, n), "the panel is one of B's");
    let (full, len) = (width(by), panel_len(by, k));
    let first = panel * full;
    let width = full.min(n - first);
    // SAFETY: the panel is one of `panels(n)`, each of `len` floats.
    let out = unsafe { std::slice::from_raw_parts_mut(packed.add(panel * len), len) };
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
    // SAFETY: the columns from `first` on lie within `b`, and `out` has `full` floats for each k,
    // or pair of them.
    unsafe { lines.pack(by, out.as_mut_ptr(), full) };
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
/// The CPU must have what `by` names; `a` must be readable and `c` writable for the extent,
/// `packed` as [`pack_panel`] left it, `workspace` writable for [`workspace_len`] or
/// [`made_workspace_len`] floats; `c` overlaps none of the others.
pub unsafe fn multiply(
    by: Multiplier,
    extent: Extent,
    a: Rows<'_>,
    packed: *const f32,
    c: View,
    add: bool,
    workspace: *mut f32,
) {
    let Extent { rows, n, k } = extent;
    let (blocking, isa, together) = (by.blocking(), by.isa(), by.together());
    // A k of 0 leaves zeros.
    let nothing = (k == 0).then_some((0, 0));
    for (from, to) in parts(k.div_ceil(together), blocking.depth).chain(nothing) {
        // What lies along k, and the floats that it is packed to.
        let (along, floats) = (from * together..k.min(to * together), to - from);
        for (first, last) in parts(rows, blocking.block) {
            let (count, depth) = (last - first, along.len());
            let rows = match a {
                Rows::View(a) => {
                    let start = a
                        .start
                        .wrapping_add(first * a.row_stride + along.start * a.column_stride);
                    pack::Lines {
                        count,
                        depth,
                        start,
                        line_stride: a.row_stride,
                        depth_stride: a.column_stride,
                    }
                }
                Rows::Made(make) => {
                    let made = workspace.wrapping_add(workspace_len(by, k));
                    make(first..last, along.clone(), made);
                    pack::Lines {
                        count,
                        depth,
                        start: made,
                        line_stride: depth,
                        depth_stride: 1,
                    }
                }
            };
            // Few rows may be read where they are, if each goes on along k.
            let packed_left =
                by != Multiplier::F32(isa) || isa == Isa::Avx512 || rows.depth_stride != 1;
            if packed_left {
                // SAFETY: the block's rows and that part of k lie within `a`, and take at most
                // `workspace_len` floats.
                unsafe { rows.pack_strips(by, blocking.rows, workspace) };
            }
            for panel in 0..panels(by, n) {
                let column = panel * blocking.width;
                for (row, end) in parts(last - first, blocking.rows) {
                    let at = (first + row) * c.row_stride + column * c.column_stride;
                    let tile = Tile {
                        depth: floats,
                        a: if packed_left {
                            workspace.wrapping_add(row * floats)
                        } else {
                            rows.line(row)
                        },
                        a_strides: if packed_left {
                            (1, end - row)
                        } else {
                            (rows.line_stride, 1)
                        },
                        b: packed.wrapping_add(panel * panel_len(by, k) + from * blocking.width),
                        c: c.start.wrapping_add(at).cast_mut(),
                        row_stride: c.row_stride,
                        column_stride: c.column_stride,
                        width: blocking.width.min(n - column),
                        add: add || from > 0,
                    };
                    // SAFETY: the strip is packed or lies within `a`, the panel lies within packed
                    // B, and the tile within `c`.
                    unsafe { tile.run(by, end - row) };
                }
            }
        }
    }
}
