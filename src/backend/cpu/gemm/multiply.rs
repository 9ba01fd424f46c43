//! Multiplying a tile of rows: packs strips of A and multiplies them by the panels of packed B.

use super::{
    super::{isa::Isa, memory::Element},
    blocking::{Extent, Multiplier, View, parts},
    kernel::{MicroTile, Registers},
    lines::Lines,
};
use std::ops::Range;

/// The rows of A: in memory, or produced by a function during packing.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    View(View),
    /// Writes a range of columns of a range of rows without gaps: `(rows, columns, out)`.
    Gathered(&'a GatherRows<'a>),
}

pub type GatherRows<'a> = dyn Fn(Range<usize>, Range<usize>, *mut f32) + 'a;

/// Packs a panel of B: the panel's columns for each k, or for each pair of k; columns beyond B are
/// 0.
///
/// # Safety
/// `b` must be readable for `k` rows and `n` columns. `packed` must be writable for the panel, of
/// the [`Multiplier::packed_len`] floats of all, and nothing else may use the panel meanwhile.
pub unsafe fn pack_panel(
    by: Multiplier,
    k: usize,
    n: usize,
    b: View,
    panel: usize,
    packed: *mut f32,
) {
    debug_assert!(panel < by.panels(n), "the panel is one of B's");
    let (width, len) = (by.width(), by.panel_len(k));
    let first = panel * width;
    let count = width.min(n - first);
    // SAFETY: the panel is one of `by.panels(n)`, each of `len` floats; it is not used elsewhere.
    let out = unsafe { std::slice::from_raw_parts_mut(packed.add(panel * len), len) };
    if count < width {
        out.fill(0.0);
    }
    let lines = Lines {
        count,
        depth: k,
        element: b.element,
        start: b.at(0, first),
        line_stride: b.column_stride,
        depth_stride: b.row_stride,
    };
    // SAFETY: the columns from `first` on lie in `b`; `out` has `width` floats for each k, or pair
    // of them.
    unsafe { lines.pack_panel(by, out.as_mut_ptr(), width) };
}

/// Whether a strip is read in place, without packing: in AVX2 and portable kernels, if the elements
/// of its rows are contiguous. A packed strip is read faster, but packing takes time.
fn reads_in_place(by: Multiplier, rows: &Lines) -> bool {
    matches!(by, Multiplier::F32(Isa::Avx2(_) | Isa::Portable)) && rows.depth_stride == 1
}

/// C = A · B, or C += A · B, for packed B.
///
/// # Safety
/// `a` must be readable and `c` readable and writable for the extent, `packed` as [`pack_panel`]
/// left it, and `workspace` writable for [`Multiplier::workspace_len`] floats, or
/// [`Multiplier::gathered_workspace_len`] for rows that are gathered. `c` and the workspace overlap
/// none of the others, and no other thread uses them.
pub unsafe fn multiply(
    by: Multiplier,
    extent: Extent,
    a: Rows<'_>,
    packed: *const f32,
    c: View,
    add: bool,
    workspace: *mut f32,
) {
    let (blocking, per_float) = (by.blocking(), by.elements_per_float());
    // A k of 0 leaves zeros.
    let empty = (extent.k == 0).then_some((0, 0));
    let registers = Registers::new(by);
    let depth = by.packed_depth(extent.k);
    for (from, to) in blocking.blocks_along_k(depth).chain(empty) {
        let along = from * per_float..extent.k.min(to * per_float);
        for (first, last) in parts(extent.rows, blocking.block) {
            let gathered = workspace.wrapping_add(by.workspace_len(extent.k));
            let rows = block_of_rows(a, first..last, along.clone(), gathered);
            let in_place = reads_in_place(by, &rows);
            if !in_place {
                // SAFETY: the block's rows and that part of k lie in `a`, or were gathered, and
                // take at most `workspace_len` floats.
                unsafe { rows.pack_strips(by, workspace) };
            }
            let block = Block {
                by,
                extent,
                rows,
                strips: (!in_place).then_some(workspace.cast_const()),
                first,
                floats: from..to,
                packed,
                c,
                add: add || from > 0,
            };
            // SAFETY: as the caller's; the strips have just been packed.
            unsafe { block.multiply(&registers) };
        }
    }
}

/// A range of rows of A along a part of k. Rows that a function produces are written to `gathered`.
fn block_of_rows(
    a: Rows<'_>,
    rows: Range<usize>,
    along: Range<usize>,
    gathered: *mut f32,
) -> Lines {
    let (count, depth) = (rows.len(), along.len());
    match a {
        Rows::View(a) => Lines {
            count,
            depth,
            element: a.element,
            start: a.at(rows.start, along.start),
            line_stride: a.row_stride,
            depth_stride: a.column_stride,
        },
        Rows::Gathered(gather) => {
            gather(rows, along, gathered);
            Lines {
                count,
                depth,
                element: Element::F32,
                start: gathered,
                line_stride: depth,
                depth_stride: 1,
            }
        }
    }
}

/// A block of rows and a part of k, times all panels of B.
struct Block {
    by: Multiplier,
    extent: Extent,
    rows: Lines,
    /// The rows, packed in strips unless they are read in place.
    strips: Option<*const f32>,
    /// The block's first row, in C.
    first: usize,
    /// The floats along k of packed B.
    floats: Range<usize>,
    packed: *const f32,
    c: View,
    add: bool,
}

impl Block {
    /// # Safety
    /// As [`multiply`], and the strips must be packed.
    unsafe fn multiply(&self, registers: &Registers) {
        let (blocking, n, depth) = (self.by.blocking(), self.extent.n, self.floats.len());
        let panel_len = self.by.panel_len(self.extent.k);
        for panel in 0..self.by.panels(n) {
            let column = panel * blocking.width;
            let b = panel * panel_len + self.floats.start * blocking.width;
            for (row, end) in blocking.strips(self.rows.count) {
                let (a, a_strides) = match self.strips {
                    Some(strips) => (strips.wrapping_add(row * depth), (1, end - row)),
                    None => (self.rows.line(row), (self.rows.line_stride, 1)),
                };
                let tile = MicroTile {
                    depth,
                    a,
                    a_strides,
                    b: self.packed.wrapping_add(b),
                    c: self.c.at(self.first + row, column),
                    row_stride: self.c.row_stride,
                    column_stride: self.c.column_stride,
                    width: blocking.width.min(n - column),
                    add: self.add,
                };
                // SAFETY: the strip is packed or lies in A, the panel lies in packed B, and the tile
                // in C.
                unsafe { tile.run(registers, end - row) };
            }
        }
    }
}
