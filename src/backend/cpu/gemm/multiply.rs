//! Multiplying a tile of rows: packs strips of A and multiplies them by the panels of packed B.

use super::{
    super::{isa::Isa, memory::Element},
    blocking::{Blocking, Multiplier, View, parts},
    kernel::{MOST_SEGMENTS, MicroTile, Segment},
    lines::Lines,
    registers::Registers,
    windows::WindowReader,
};
use std::ops::Range;

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

/// One of the products of a sum: its rows of A, and its packed B.
#[derive(Clone, Copy)]
pub(crate) struct Factors<'a> {
    pub k: usize,
    pub a: Rows<'a>,
    /// As [`pack_panel`] left it.
    pub packed: *const f32,
}

/// The rows of A.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// In memory.
    View(View),
    /// Read through windows, from this row of the windows on.
    Windows(&'a WindowReader, usize),
}

/// C = Σ A · B, or C += Σ A · B, over `count` products, each with the same extents but for k.
///
/// Parts of products whose packed rows fit into the workspace together are added while their sums stay
/// in registers.
///
/// # Safety
/// The rows of each product must be readable for `rows` rows and its k, and `c` readable and writable
/// for `rows` rows and `n` columns. `workspace` must be writable for
/// [`Multiplier::workspace_len`] floats, or [`Multiplier::gathered_workspace_len`] if rows are read
/// through windows. `c` and the workspace overlap none of the others, and no other thread uses them.
pub unsafe fn multiply<'a>(
    by: Multiplier,
    (rows, n): (usize, usize),
    (count, factors): (usize, &dyn Fn(usize) -> Factors<'a>),
    c: View,
    add: bool,
    workspace: *mut f32,
) {
    let (blocking, registers) = (by.blocking(), Registers::new(by));
    let depths = (0..count).map(|number| by.packed_depth(factors(number).k));
    let gathered = workspace.wrapping_add(by.workspace_len(depths.sum()));
    let mut pieces = (0..count)
        .flat_map(|number| {
            let factors = factors(number);
            let blocks = blocking.blocks_along_k(by.packed_depth(factors.k));
            blocks.map(move |(from, to)| Piece {
                factors,
                floats: from..to,
            })
        })
        .peekable();
    let mut add = add;
    loop {
        let mut group = Group::default();
        while let Some(piece) = pieces.next_if(|piece| group.has_room(piece, blocking)) {
            group.push(piece);
        }
        for (first, last) in parts(rows, blocking.block) {
            let block = Block {
                by,
                n,
                rows: first..last,
                group: &group,
                c,
                add,
            };
            // SAFETY: as the caller's; the packed rows of a group fit into the workspace.
            unsafe {
                let segments = block.pack(workspace, gathered);
                block.multiply(&registers, segments);
            }
        }
        add = true;
        if pieces.peek().is_none() {
            return;
        }
    }
}

/// A part of a product along k.
#[derive(Clone)]
struct Piece<'a> {
    factors: Factors<'a>,
    /// The floats along k of packed B.
    floats: Range<usize>,
}

/// Pieces that are multiplied together.
#[derive(Default)]
struct Group<'a> {
    pieces: [Option<Piece<'a>>; MOST_SEGMENTS],
    count: usize,
    /// Floats along k.
    depth: usize,
}

impl<'a> Group<'a> {
    fn has_room(&self, piece: &Piece, blocking: &Blocking) -> bool {
        let depth = self.depth + piece.floats.len();
        self.count == 0 || self.count < MOST_SEGMENTS && depth <= blocking.depth
    }

    fn push(&mut self, piece: Piece<'a>) {
        self.depth += piece.floats.len();
        self.pieces[self.count] = Some(piece);
        self.count += 1;
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece<'a>> {
        self.pieces.iter().flatten()
    }
}

/// A block of rows and a group of pieces, times all panels of B.
struct Block<'a> {
    by: Multiplier,
    n: usize,
    rows: Range<usize>,
    group: &'a Group<'a>,
    c: View,
    add: bool,
}

/// The rows of a piece: packed in strips, or read in place.
#[derive(Clone, Copy)]
enum Strips {
    Packed(*const f32),
    InPlace(Lines),
}

impl Block<'_> {
    /// Packs the rows of each piece, unless they are read in place. Rows that are read through
    /// windows are copied to `gathered` first.
    ///
    /// # Safety
    /// As [`multiply`].
    unsafe fn pack(
        &self,
        workspace: *mut f32,
        gathered: *mut f32,
    ) -> [Option<Strips>; MOST_SEGMENTS] {
        let by = self.by;
        let mut out = workspace;
        let mut segments = [None; MOST_SEGMENTS];
        for (piece, segment) in self.group.pieces().zip(&mut segments) {
            // SAFETY: as the caller's.
            let lines = unsafe { self.lines(piece, gathered) };
            *segment = Some(if reads_in_place(by, &lines) {
                Strips::InPlace(lines)
            } else {
                // SAFETY: the lines lie in A, or were gathered; the packed rows of a group take at
                // most a block.
                unsafe { lines.pack_strips(by, out) };
                let strips = out.cast_const();
                out = out.wrapping_add(by.padded(self.rows.len()) * piece.floats.len());
                Strips::Packed(strips)
            });
        }
        segments
    }

    /// The block's rows along a piece.
    ///
    /// # Safety
    /// As [`multiply`].
    unsafe fn lines(&self, piece: &Piece, gathered: *mut f32) -> Lines {
        let Range { start, end } = piece.floats;
        let (k, per_float) = (piece.factors.k, self.by.elements_per_float());
        let along = start * per_float..k.min(end * per_float);
        let (count, depth) = (self.rows.len(), along.len());
        match piece.factors.a {
            Rows::View(a) => Lines {
                count,
                depth,
                element: a.element,
                start: a.at(self.rows.start, along.start),
                line_stride: a.row_stride,
                depth_stride: a.column_stride,
            },
            Rows::Windows(reader, first) => {
                let rows = first + self.rows.start..first + self.rows.end;
                // SAFETY: the rows are the tile's, and the workspace has room for them.
                let (line_stride, depth_stride) = unsafe { reader.copy(rows, along, gathered) };
                Lines {
                    count,
                    depth,
                    element: Element::F32,
                    start: gathered,
                    line_stride,
                    depth_stride,
                }
            }
        }
    }

    /// # Safety
    /// As [`multiply`], with the strips that [`Block::pack`] returned.
    unsafe fn multiply(&self, registers: &Registers, strips: [Option<Strips>; MOST_SEGMENTS]) {
        let (blocking, n) = (self.by.blocking(), self.n);
        let mut segments = [Segment::EMPTY; MOST_SEGMENTS];
        let panels = self.by.panels(n);
        let strips_of_block = self.rows.len().div_ceil(blocking.rows);
        for panel in 0..panels {
            let column = panel * blocking.width;
            // While a panel is multiplied, its strips request the next one, a part each.
            let is_last = panel + 1 == panels;
            let next_step = match is_last {
                true => 0,
                false => blocking.width.div_ceil(strips_of_block),
            };
            for (strip, (row, end)) in blocking.strips(self.rows.len()).enumerate() {
                let both = self.group.pieces().zip(strips.iter().flatten());
                for ((piece, strips), segment) in both.zip(&mut segments) {
                    let depth = piece.floats.len();
                    let (a, a_strides) = match strips {
                        Strips::Packed(start) => (start.wrapping_add(row * depth), (1, end - row)),
                        Strips::InPlace(lines) => (lines.line(row), (lines.line_stride, 1)),
                    };
                    let b = panel * self.by.panel_len(piece.factors.k)
                        + piece.floats.start * blocking.width;
                    let b = piece.factors.packed.wrapping_add(b);
                    let next = match is_last {
                        true => b,
                        false => b
                            .wrapping_add(self.by.panel_len(piece.factors.k))
                            .wrapping_add(strip * depth * next_step),
                    };
                    *segment = Segment {
                        a,
                        b,
                        depth,
                        a_strides,
                        next,
                    };
                }
                let tile = MicroTile {
                    segments: &segments[..self.group.count],
                    next_step,
                    c: self.c.at(self.rows.start + row, column),
                    row_stride: self.c.row_stride,
                    column_stride: self.c.column_stride,
                    width: blocking.width.min(n - column),
                    add: self.add,
                };
                // SAFETY: the strips are packed or lie in A, the panels lie in packed B, and the tile
                // in C.
                unsafe { tile.run(registers, end - row) };
            }
        }
    }
}
