//! Contractions: the right operands packed once, then tiles of rows.

use super::{
    self as matmul,
    super::{Address, Part},
    Extent, Multiplier, Rows, View,
    windows::Reader,
};
use crate::plan::{self, Instruction, Matrix, Plan, Windows};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// Where the packed operands of a program lie: those that several contractions read are packed by
/// the first of them, and kept; the others share the floats of [`Packing::passing`], from one
/// contraction to the next.
#[derive(Default)]
pub struct Packing {
    uses: BTreeMap<Operand, usize>,
    kept: BTreeMap<Operand, usize>,
    pub kept_len: usize,
    pub passing_len: usize,
}

/// A right operand: its address, strides, k and n.
type Operand = (usize, usize, usize, usize, usize);

fn operand(
    contraction: &plan::Contraction,
    product: &plan::Product,
    addresses: &[Address],
) -> Operand {
    let right = &product.right;
    let address = addresses[right.buffer.index()].0 as usize;
    (
        address,
        right.row_stride,
        right.column_stride,
        product.k,
        contraction.n,
    )
}

impl Packing {
    /// Counts who reads what. Only what no kernel writes is the same for all, and the weights of a
    /// step are such.
    pub fn new(plan: &Plan, addresses: &[Address]) -> Self {
        let mut written = BTreeSet::new();
        for kernel in &plan.kernels {
            for instruction in kernel.loops().flat_map(|nest| &nest.instructions) {
                if let Instruction::Store(_, access) | Instruction::Reduce { access, .. } =
                    instruction
                {
                    written.insert(addresses[access.buffer.index()].0);
                }
            }
            written.extend(
                kernel
                    .contraction
                    .iter()
                    .map(|contraction| addresses[contraction.out.buffer.index()].0),
            );
        }
        let mut packing = Packing::default();
        for contraction in plan
            .kernels
            .iter()
            .filter_map(|kernel| kernel.contraction.as_ref())
        {
            for product in &contraction.products {
                if !written.contains(&addresses[product.right.buffer.index()].0) {
                    *packing
                        .uses
                        .entry(operand(contraction, product, addresses))
                        .or_default() += 1;
                }
            }
        }
        packing
    }

    /// Where an operand is kept, and whether it is to be packed now; none if it is not kept.
    fn keep(&mut self, operand: Operand, len: usize) -> Option<(usize, bool)> {
        if let Some(&start) = self.kept.get(&operand) {
            return Some((start, false));
        }
        if self.uses.get(&operand).is_none_or(|&uses| uses < 2) {
            return None;
        }
        let start = self.kept_len;
        self.kept.insert(operand, start);
        self.kept_len += len;
        Some((start, true))
    }
}

/// Where packed operands begin.
#[derive(Clone, Copy)]
pub struct Packed {
    pub kept: Address,
    pub passing: Address,
}

/// A contraction with its buffers' addresses.
pub struct Product {
    by: Multiplier,
    out: View,
    m: usize,
    n: usize,
    rows_per_index: usize,
    factors: Vec<Factor>,
    /// The factors whose right operands this contraction packs.
    packs: Vec<usize>,
    /// There if the sum is made in parts.
    parts: Option<Parts>,
}

/// One of the products that are summed up.
struct Factor {
    k: usize,
    left: View,
    right: View,
    /// Of the operand that is read through windows, if one is, and whether that is the left one.
    reader: Option<(Reader, bool)>,
    /// Where its packed right operand begins, among those that are kept or those that pass.
    packed: usize,
    kept: bool,
}

impl Factor {
    fn packed(&self, packed: Packed) -> *mut f32 {
        let start = if self.kept {
            packed.kept
        } else {
            packed.passing
        };
        start.0.wrapping_add(self.packed)
    }

    fn reader(&self, left: bool) -> Option<&Reader> {
        self.reader
            .as_ref()
            .filter(|(_, is_left)| *is_left == left)
            .map(|(reader, _)| reader)
    }
}

// SAFETY: as of `Address`: threads write to rows of their own.
unsafe impl Send for Product {}
// SAFETY: as above.
unsafe impl Sync for Product {}

impl Product {
    pub fn new(
        contraction: &plan::Contraction,
        addresses: &[Address],
        packing: &mut Packing,
        by: Multiplier,
    ) -> Self {
        let view = |matrix: &Matrix| View {
            start: addresses[matrix.buffer.index()].0.cast_const(),
            row_stride: matrix.row_stride,
            column_stride: matrix.column_stride,
        };
        let parts = Parts::new(contraction);
        let mut passing = parts.as_ref().map_or(0, Parts::len);
        let (mut factors, mut packs) = (Vec::new(), Vec::new());
        for (number, product) in contraction.products.iter().enumerate() {
            let len = matmul::packed_len(by, product.k, contraction.n);
            let (left, right) = (view(&product.left), view(&product.right));
            let reader = product.windows.as_ref().map(|windows| {
                let buffer = if windows.left {
                    &product.left
                } else {
                    &product.right
                }
                .buffer;
                (
                    Reader::new(windows, addresses[buffer.index()]),
                    windows.left,
                )
            });
            let mut factor = Factor {
                k: product.k,
                left,
                right,
                reader,
                packed: 0,
                kept: false,
            };
            if parts.is_none() {
                let can_keep = factor.reader(false).is_none();
                let kept = can_keep
                    .then(|| packing.keep(operand(contraction, product, addresses), len))
                    .flatten();
                let (packed, packs_now) = kept.unwrap_or((passing, true));
                if packs_now {
                    packs.push(number);
                }
                if kept.is_none() {
                    passing += len;
                }
                (factor.packed, factor.kept) = (packed, kept.is_some());
            }
            factors.push(factor);
        }
        packing.passing_len = packing.passing_len.max(passing);
        let (m, n, rows_per_index) = (contraction.m, contraction.n, contraction.rows_per_index);
        Product {
            by,
            out: view(&contraction.out),
            m,
            n,
            rows_per_index,
            factors,
            packs,
            parts,
        }
    }

    /// Floats of workspace for each thread.
    pub fn workspace_len(&self) -> usize {
        let each = self.factors.iter().map(|factor| {
            match (&self.parts, factor.reader(true), factor.reader(false)) {
                (Some(parts), ..) => parts.workspace_len(self.by),
                (None, Some(_), _) => matmul::made_workspace_len(self.by, factor.k),
                (None, _, Some(_)) => {
                    (matmul::PANEL * factor.k).max(matmul::workspace_len(self.by, factor.k))
                }
                _ => matmul::workspace_len(self.by, factor.k),
            }
        });
        each.max().unwrap_or(0)
    }

    /// Parts that what comes before the tiles is split into.
    pub fn panels(&self) -> usize {
        match &self.parts {
            Some(parts) => parts.ranges.len(),
            None => matmul::panels(self.by, self.n) * self.packs.len(),
        }
    }

    /// Packs one part of the right operands, or makes one part of the sum.
    pub fn pack(&self, panel: usize, packed: Packed, workspace: *mut f32) {
        if let Some(parts) = &self.parts {
            return self.part(parts, panel, packed, workspace);
        }
        let panels = matmul::panels(self.by, self.n);
        let factor = &self.factors[self.packs[panel / panels]];
        let (mut right, mut panel, mut n, mut to) =
            (factor.right, panel % panels, self.n, factor.packed(packed));
        if let Some(reader) = factor.reader(false) {
            // Some of its columns as rows, which are packed as a matrix of one panel.
            let width = matmul::width(self.by);
            let columns = panel * width..((panel + 1) * width).min(n);
            (n, to) = (
                columns.len(),
                to.wrapping_add(panel * matmul::panel_len(self.by, factor.k)),
            );
            // SAFETY: the columns are the matrix's, and the workspace has the floats that were
            // asked for.
            unsafe { reader.lines(columns, 0..factor.k, workspace, factor.k) };
            (right, panel) = (
                View {
                    start: workspace,
                    row_stride: 1,
                    column_stride: factor.k,
                },
                0,
            );
        }
        // SAFETY: the plan's verifier checks that operands lie within their buffers; `packed` has
        // the floats that `Packing` counted.
        unsafe { matmul::pack_panel(self.by, factor.k, n, right, panel, to) };
    }

    /// The rows of a tile.
    pub fn run(&self, part: Part, packed: Packed, workspace: *mut f32) {
        let first = part.start * self.rows_per_index;
        let rows = (part.end - part.start) * self.rows_per_index;
        if let Some(parts) = &self.parts {
            // SAFETY: the parts were made before, and other threads write other rows.
            return unsafe {
                parts.total(
                    packed.passing.0,
                    self.out,
                    first..first + rows,
                    (self.m, self.n),
                )
            };
        }
        let from = |view: View| View {
            start: view.start.wrapping_add(first * view.row_stride),
            ..view
        };
        for (number, factor) in self.factors.iter().enumerate() {
            let extent = Extent {
                rows,
                n: self.n,
                k: factor.k,
            };
            let reader = factor.reader(true);
            let make = |rows: Range<usize>, columns: Range<usize>, out: *mut f32| {
                let (reader, len) = (
                    reader.expect("rows are made of what is read through windows"),
                    columns.len(),
                );
                // SAFETY: the rows are of this tile, and the workspace has room for them.
                unsafe { reader.lines(first + rows.start..first + rows.end, columns, out, len) };
            };
            let left = if reader.is_some() {
                Rows::Made(&make)
            } else {
                Rows::View(from(factor.left))
            };
            // SAFETY: as in `pack`; other threads write other rows.
            unsafe {
                let right = factor.packed(packed).cast_const();
                matmul::multiply(
                    self.by,
                    extent,
                    left,
                    right,
                    from(self.out),
                    number > 0,
                    workspace,
                );
            }
        }
    }

    /// One part of the sum: what is along the positions of windows, block by block.
    fn part(&self, parts: &Parts, number: usize, packed: Packed, workspace: *mut f32) {
        let (factor, positions) = (
            &self.factors[parts.ranges[number].0],
            parts.ranges[number].1.clone(),
        );
        // The operand that is read through windows makes the columns.
        let (wide, tall) = if parts.turned {
            (self.m, self.n)
        } else {
            (self.n, self.m)
        };
        let (lines, panels) = (workspace, workspace.wrapping_add(parts.lines_len()));
        let left_workspace = panels.wrapping_add(matmul::packed_len(self.by, parts.depth, wide));
        let other = match parts.turned {
            true => View {
                start: factor.right.start,
                row_stride: factor.right.column_stride,
                column_stride: factor.right.row_stride,
            },
            false => factor.left,
        };
        let (reader, _) = factor
            .reader
            .as_ref()
            .expect("each product of a sum in parts is read through windows");
        let out = View {
            start: packed.passing.0.wrapping_add(number * wide * tall),
            row_stride: wide,
            column_stride: 1,
        };
        for from in positions.clone().step_by(parts.depth) {
            let k = parts.depth.min(positions.end - from);
            let right = View {
                start: lines,
                row_stride: wide,
                column_stride: 1,
            };
            let left = View {
                start: other.start.wrapping_add(from * other.column_stride),
                ..other
            };
            let extent = Extent {
                rows: tall,
                n: wide,
                k,
            };
            // SAFETY: the positions are the matrix's; the workspace and the parts have the floats
            // that were asked for.
            unsafe {
                reader.lines(from..from + k, 0..wide, lines, wide);
                (0..matmul::panels(self.by, wide))
                    .for_each(|panel| matmul::pack_panel(self.by, k, wide, right, panel, panels));
                let (add, left) = (from > positions.start, Rows::View(left));
                matmul::multiply(
                    self.by,
                    extent,
                    left,
                    panels.cast_const(),
                    out,
                    add,
                    left_workspace,
                );
            }
        }
    }
}

/// A sum along the positions of windows in parts, each of which one thread makes: there are many
/// positions, and few results. How it is split depends on the plan alone.
struct Parts {
    /// The factor, and its positions.
    ranges: Vec<(usize, Range<usize>)>,
    /// Positions that are multiplied at once.
    depth: usize,
    /// Results of a part.
    results: usize,
    /// What the windows make: the rows of the result if the parts are turned around, else its
    /// columns.
    wide: usize,
    turned: bool,
}

/// Parts of a sum at most, and positions of a part at least.
const MOST_PARTS: usize = 32;
const LEAST_POSITIONS: usize = 512;
/// Floats of all parts at most, where there are more than two.
const MOST_RESULTS: usize = 1 << 22;
/// Floats of the lines that are multiplied at once: half of the second-level cache.
const MOST_LINES: usize = 1 << 16;

impl Parts {
    fn new(contraction: &plan::Contraction) -> Option<Self> {
        fn along(product: &plan::Product) -> Option<&Windows> {
            product
                .windows
                .as_ref()
                .filter(|windows| windows.along_positions)
        }
        let windows: Vec<&Windows> = contraction.products.iter().filter_map(along).collect();
        let turned = windows.first()?.left;
        let alike = windows.len() == contraction.products.len()
            && windows.iter().all(|own| own.left == turned);
        assert!(
            alike,
            "the plan keeps sums along positions apart from others"
        );
        let (wide, results) = (
            if turned { contraction.m } else { contraction.n },
            contraction.m * contraction.n,
        );
        let total: usize = contraction.products.iter().map(|product| product.k).sum();
        let count = (total / LEAST_POSITIONS)
            .min(MOST_PARTS)
            .min(MOST_RESULTS / results)
            .max(2);
        let each = total.div_ceil(count);
        let ranges = contraction
            .products
            .iter()
            .enumerate()
            .flat_map(|(number, product)| {
                let starts = (0..product.k).step_by(each);
                starts.map(move |start| (number, start..(start + each).min(product.k)))
            });
        let depth = (MOST_LINES / wide).clamp(64, 512);
        Some(Parts {
            ranges: ranges.collect(),
            depth,
            results,
            wide,
            turned,
        })
    }

    /// Floats of all parts.
    fn len(&self) -> usize {
        self.ranges.len() * self.results
    }

    /// Floats of lines, to where a cache line begins.
    fn lines_len(&self) -> usize {
        (self.depth * self.wide).next_multiple_of(16)
    }

    /// For lines, the same packed, and the other operand packed.
    fn workspace_len(&self, by: Multiplier) -> usize {
        self.lines_len()
            + matmul::packed_len(by, self.depth, self.wide)
            + matmul::workspace_len(by, self.depth)
    }

    /// Adds the parts up, in order, for some rows of the result.
    ///
    /// # Safety
    /// The parts must have been made, and `out` be writable for the rows.
    unsafe fn total(
        &self,
        parts: *const f32,
        out: View,
        rows: Range<usize>,
        (m, n): (usize, usize),
    ) {
        let (row_stride, column_stride) = if self.turned { (1, m) } else { (n, 1) };
        for row in rows {
            for part in 0..self.ranges.len() {
                for column in 0..n {
                    // SAFETY: as the caller's.
                    unsafe {
                        let from = *parts
                            .add(part * self.results + row * row_stride + column * column_stride);
                        let to = out
                            .start
                            .add(row * out.row_stride + column * out.column_stride)
                            .cast_mut();
                        *to = if part == 0 { from } else { *to + from };
                    }
                }
            }
        }
    }
}
