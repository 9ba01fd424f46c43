//! A loaded contraction: first its right operands are packed, then tiles of rows are multiplied.

use super::{
    super::{
        memory::{Address, Element, Place},
        tile::TileRange,
    },
    blocking::{MOST_WIDTH, Multiplier, View},
    dot::{Piece, RowsAndVector},
    multiply::{Factors, Rows, multiply, pack_panel},
    operands::{Operand, PackedBuffers, PackedOperands},
    split_sum::SplitSum,
    windows::WindowReader,
};
use crate::{
    error::Result,
    plan::{Contraction, Matrix, Product},
};
use std::ops::Range;

/// A loaded contraction.
pub struct LoadedContraction {
    by: Multiplier,
    out: View,
    /// Whether a tile's rows of the result are written to scratch memory instead.
    is_local: bool,
    m: usize,
    n: usize,
    rows_per_index: usize,
    terms: Vec<Term>,
    /// The terms whose right operands this contraction packs.
    packs: Vec<usize>,
    /// The parts of the sum, if it is computed in parts.
    split: Option<SplitSum>,
    /// Whether each row is multiplied by a vector.
    is_by_vector: bool,
}

/// Floats of the rows that are copied out of windows before they are multiplied by a vector.
const MOST_GATHERED: usize = 1 << 13;

/// A product of the sum.
struct Term {
    k: usize,
    left: View,
    right: View,
    /// The operand that is read through windows, if any, and whether it is the left operand.
    reader: Option<(WindowReader, bool)>,
    /// The start of its packed right operand among the shared or the temporary operands.
    packed: usize,
    is_shared: bool,
}

impl Term {
    fn new(product: &Product, places: &[Place]) -> Result<Self> {
        let reader = match &product.windows {
            Some(windows) => {
                let matrix = if windows.left {
                    &product.left
                } else {
                    &product.right
                };
                let address = places[matrix.buffer.index()].address;
                Some((WindowReader::new(windows, address)?, windows.left))
            }
            None => None,
        };
        Ok(Term {
            k: product.k,
            left: view(&product.left, places),
            right: view(&product.right, places),
            reader,
            packed: 0,
            is_shared: false,
        })
    }

    /// Whether rows of the left operand are contiguous floats, in memory or once they are copied out
    /// of windows, and the right operand is in memory.
    fn has_contiguous_rows(&self) -> bool {
        let is_dense = self.left.column_stride == 1 && self.left.element == Element::F32;
        match &self.reader {
            Some((_, is_left)) => *is_left,
            None => is_dense,
        }
    }

    /// Rows that are copied out of windows together.
    fn gathered_rows(&self) -> usize {
        (MOST_GATHERED / self.k.max(1)).max(1)
    }

    fn packed(&self, buffers: PackedBuffers) -> *mut f32 {
        let start = if self.is_shared {
            buffers.shared
        } else {
            buffers.temporary
        };
        start.at(self.packed)
    }

    /// The windows of the left or the right operand, if it is read through windows.
    fn reader(&self, left: bool) -> Option<&WindowReader> {
        self.reader
            .as_ref()
            .filter(|(_, is_left)| *is_left == left)
            .map(|(reader, _)| reader)
    }
}

fn view(matrix: &Matrix, places: &[Place]) -> View {
    let Place { address, element } = places[matrix.buffer.index()];
    View {
        start: address,
        element,
        row_stride: matrix.row_stride,
        column_stride: matrix.column_stride,
    }
}

impl LoadedContraction {
    /// Loads a contraction of a plan with its buffers at `places`, and reserves space in
    /// `operands` for its packed operands. If it `is_local`, each tile writes its rows of the result to
    /// scratch memory.
    ///
    /// # Errors
    /// If the CPU back end does not support the contraction's windows.
    pub fn new(
        contraction: &Contraction,
        places: &[Place],
        operands: &mut PackedOperands,
        is_local: bool,
        by: Multiplier,
    ) -> Result<Self> {
        let split = SplitSum::new(contraction)?;
        let mut temporary = split.as_ref().map_or(0, SplitSum::len);
        let products = contraction.products.iter();
        let mut terms = products
            .map(|product| Term::new(product, places))
            .collect::<Result<Vec<Term>>>()?;
        let is_by_vector = contraction.n == 1
            && split.is_none()
            && terms
                .iter()
                .all(|term| term.has_contiguous_rows() && term.right.element == Element::F32);
        let mut packs = Vec::new();
        for (number, (term, product)) in terms.iter_mut().zip(&contraction.products).enumerate() {
            if split.is_none() {
                let len = match is_by_vector {
                    true => product.k,
                    false => by.packed_len(product.k, contraction.n),
                };
                let operand = Operand::new(contraction, product);
                let can_share = !is_by_vector && term.reader(false).is_none();
                let shared = can_share.then(|| operands.share(operand, len)).flatten();
                let (start, is_first) = shared.unwrap_or((temporary, true));
                if is_first {
                    packs.push(number);
                }
                if shared.is_none() {
                    temporary = temporary.saturating_add(len);
                }
                (term.packed, term.is_shared) = (start, shared.is_some());
            }
        }
        operands.reserve_temporary(temporary);
        Ok(LoadedContraction {
            by,
            out: view(&contraction.out, places),
            is_local,
            m: contraction.m,
            n: contraction.n,
            rows_per_index: contraction.rows_per_index,
            terms,
            packs,
            split,
            is_by_vector,
        })
    }

    /// Floats of workspace per thread.
    pub fn workspace_len(&self) -> usize {
        match &self.split {
            Some(split) => split.workspace_len(self.by),
            None if self.is_by_vector => {
                let windows = self.terms.iter().filter(|term| term.reader(true).is_some());
                let gathered = windows.map(|term| term.gathered_rows().saturating_mul(term.k));
                gathered.max().unwrap_or(0)
            }
            None => {
                let (by, terms) = (self.by, &self.terms);
                let depths = terms.iter().map(|term| by.packed_depth(term.k));
                let depth = depths.fold(0, usize::saturating_add);
                let packed = match terms.iter().any(|term| term.reader(true).is_some()) {
                    true => by.gathered_workspace_len(depth),
                    false => by.workspace_len(depth),
                };
                let columns = terms.iter().filter(|term| term.reader(false).is_some());
                let columns = columns.map(|term| term.k.saturating_mul(MOST_WIDTH));
                packed.max(columns.max().unwrap_or(0))
            }
        }
    }

    /// Floats of the results of a tile with this many indices, if they are in scratch memory.
    pub fn results_len(&self, indices: usize) -> usize {
        let rows = if self.is_local {
            indices.saturating_mul(self.rows_per_index)
        } else {
            0
        };
        rows.saturating_mul(self.out.row_stride)
    }

    /// The number of parts of the phase before the tiles: panels to pack, or parts of the sum.
    pub fn preparations(&self) -> usize {
        match &self.split {
            Some(split) => split.ranges.len(),
            None => self.by.panels(self.n).saturating_mul(self.packs.len()),
        }
    }

    /// Packs a panel of a right operand, or computes a part of the sum.
    ///
    /// # Safety
    /// The contraction's operands must be written, and no other thread may write them, do this part
    /// or use the workspace, which must have [`Self::workspace_len`] floats.
    pub unsafe fn prepare(&self, part: usize, buffers: PackedBuffers, workspace: Address) {
        if let Some(split) = &self.split {
            // SAFETY: as the caller's.
            return unsafe { self.make_part(split, part, buffers, workspace) };
        }
        let (by, panels) = (self.by, self.by.panels(self.n));
        let (term, panel) = (&self.terms[self.packs[part / panels]], part % panels);
        let packed = term.packed(buffers);
        if self.is_by_vector {
            for place in 0..term.k {
                // SAFETY: the plan verifier checks that operands lie in their buffers; the temporary
                // operands have `k` floats for the vector.
                unsafe { *packed.wrapping_add(place) = *term.right.at(place, 0) };
            }
            return;
        }
        let Some(reader) = term.reader(false) else {
            // SAFETY: the plan verifier checks that operands lie in their buffers; `PackedOperands`
            // counted the floats of packed ones.
            return unsafe { pack_panel(by, term.k, self.n, term.right, panel, packed) };
        };
        // Some columns of the operand are read as rows, and packed as a matrix of one panel.
        let columns = panel * by.width()..((panel + 1) * by.width()).min(self.n);
        let packed = packed.wrapping_add(panel * by.panel_len(term.k));
        // SAFETY: the columns are the operand's; the workspace holds `MOST_WIDTH` rows of `k`
        // floats; `PackedOperands` counted the floats of packed operands.
        unsafe {
            let copied = workspace.pointer();
            let (column_stride, row_stride) = reader.copy(columns.clone(), 0..term.k, copied);
            let lines = View {
                start: workspace,
                element: Element::F32,
                row_stride,
                column_stride,
            };
            pack_panel(by, term.k, columns.len(), lines, 0, packed);
        }
    }

    /// Computes the rows of a tile.
    ///
    /// # Safety
    /// The contraction's operands must be written and packed, and no other thread may write them.
    /// No other thread may use the tile's rows of the result, the workspace, which must have
    /// [`Self::workspace_len`] floats, or `results`, which must have [`Self::results_len`] floats.
    pub unsafe fn run(
        &self,
        tile: TileRange,
        buffers: PackedBuffers,
        workspace: Address,
        results: Address,
    ) {
        let first = tile.start * self.rows_per_index;
        let rows = tile.len() * self.rows_per_index;
        let out = if self.is_local {
            View {
                start: results,
                ..self.out
            }
        } else {
            // SAFETY: the plan verifier checks that the result lies in its buffer.
            unsafe { self.out.skip_rows(first) }
        };
        if let Some(split) = &self.split {
            let rows = first..first + rows;
            // SAFETY: as the caller's; the plan verifier checks that the result lies in its buffer.
            return unsafe { split.total(buffers.temporary, out, rows, self.m, self.n) };
        }
        if self.is_by_vector {
            // SAFETY: as the caller's.
            return unsafe {
                self.multiply_by_vectors(first..first + rows, out, buffers, workspace)
            };
        }
        let factors = |number: usize| {
            let term = &self.terms[number];
            let a = match term.reader(true) {
                Some(reader) => Rows::Windows(reader, first),
                // SAFETY: the plan verifier checks that operands lie in their buffers.
                None => Rows::View(unsafe { term.left.skip_rows(first) }),
            };
            Factors {
                k: term.k,
                a,
                packed: term.packed(buffers),
            }
        };
        // SAFETY: the plan verifier checks that the operands and the result lie in their buffers, that
        // rows of the result belong to one tile, and that the result is none of the operands. The
        // rest is as the caller's.
        unsafe {
            multiply(
                self.by,
                (rows, self.n),
                (self.terms.len(), &factors),
                out,
                false,
                workspace.pointer(),
            );
        }
    }

    /// Computes rows of a sum of matrices times vectors. `out` begins with the first of them.
    ///
    /// # Safety
    /// As [`Self::run`].
    unsafe fn multiply_by_vectors(
        &self,
        rows: Range<usize>,
        out: View,
        buffers: PackedBuffers,
        workspace: Address,
    ) {
        for (number, term) in self.terms.iter().enumerate() {
            let (isa, add) = (self.by.isa(), number > 0);
            let vector = term.packed(buffers).cast_const();
            let results = (out.at(0, 0), self.out.row_stride);
            let whole = [Piece {
                offset: 0,
                place: 0,
                len: term.k,
            }];
            let product = RowsAndVector {
                rows: term.left.at(rows.start, 0).cast_const(),
                count: rows.len(),
                stride: term.left.row_stride as isize,
                pieces: &whole,
                vector,
            };
            // SAFETY: the plan verifier checks that the operands and the result lie in their buffers;
            // the workspace has room for a block of gathered rows. The rest is as the caller's.
            unsafe {
                match term.reader(true) {
                    None => product.multiply(isa, results.0, results.1, add),
                    Some(reader) if reader.reads_in_place() => {
                        reader.multiply_rows(isa, rows.clone(), vector, results, add);
                    }
                    Some(reader) => {
                        let gathered = workspace.pointer();
                        for from in rows.clone().step_by(term.gathered_rows()) {
                            let count = term.gathered_rows().min(rows.end - from);
                            reader.copy_rows(from..from + count, 0..term.k, gathered, term.k);
                            let product = RowsAndVector {
                                rows: gathered,
                                count,
                                stride: term.k as isize,
                                ..product
                            };
                            let out = out.at(from - rows.start, 0);
                            product.multiply(isa, out, results.1, add);
                        }
                    }
                }
            }
        }
    }

    /// Computes a part of the sum, block by block of positions.
    ///
    /// # Safety
    /// As [`Self::prepare`].
    unsafe fn make_part(
        &self,
        split: &SplitSum,
        number: usize,
        buffers: PackedBuffers,
        workspace: Address,
    ) {
        let by = self.by;
        let (term, positions) = &split.ranges[number];
        let term = &self.terms[*term];
        // The operand that is read through windows makes the columns.
        let (wide, tall, other) = if split.transposed {
            (self.m, self.n, term.right.transposed())
        } else {
            (self.n, self.m, term.left)
        };
        let panels = workspace.at(split.lines_len());
        let left_workspace = panels.wrapping_add(by.packed_len(split.depth, wide));
        let (reader, _) = term
            .reader
            .as_ref()
            .expect("all products are read through windows");
        for from in positions.clone().step_by(split.depth) {
            let k = split.depth.min(positions.end - from);
            let add = from > positions.start;
            // SAFETY: the positions are the matrix's; the workspace and the parts have the floats
            // that were asked for. The rest is as the caller's.
            unsafe {
                let out = View {
                    start: split.part(buffers.temporary, number),
                    element: Element::F32,
                    row_stride: wide,
                    column_stride: 1,
                };
                let (row_stride, column_stride) =
                    reader.copy(from..from + k, 0..wide, workspace.pointer());
                let right = View {
                    start: workspace,
                    element: Element::F32,
                    row_stride,
                    column_stride,
                };
                for panel in 0..by.panels(wide) {
                    pack_panel(by, k, wide, right, panel, panels);
                }
                let factors = Factors {
                    k,
                    a: Rows::View(other.skip_columns(from)),
                    packed: panels,
                };
                multiply(
                    by,
                    (tall, wide),
                    (1, &|_| factors),
                    out,
                    add,
                    left_workspace,
                );
            }
        }
    }
}
