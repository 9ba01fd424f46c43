//! Contractions: the right operands packed once, then tiles of rows.

use super::{
    Address, Part,
    isa::Isa,
    matmul::{self, Extent, View},
};
use crate::plan::{self, Instruction, Matrix, Plan};
use std::collections::{BTreeMap, BTreeSet};

/// Where the packed operands of a program lie: those that several contractions read are packed by the first of them, and kept;
/// the others share the floats of [`Packing::passing`], from one contraction to the next.
#[derive(Default)]
pub(super) struct Packing {
    uses: BTreeMap<Operand, usize>,
    kept: BTreeMap<Operand, usize>,
    pub kept_len: usize,
    pub passing_len: usize,
}

/// A right operand: its address, strides, k and n.
type Operand = (usize, usize, usize, usize, usize);

fn operand(contraction: &plan::Contraction, product: &plan::Product, addresses: &[Address]) -> Operand {
    let right = &product.right;
    let address = addresses[right.buffer.index()].0 as usize;
    (address, right.row_stride, right.column_stride, product.k, contraction.n)
}

impl Packing {
    /// Counts who reads what. Only what no kernel writes is the same for all, and the weights of a step are such.
    pub fn new(plan: &Plan, addresses: &[Address]) -> Self {
        let mut written = BTreeSet::new();
        for kernel in &plan.kernels {
            for instruction in kernel.loops().flat_map(|nest| &nest.instructions) {
                if let Instruction::Store(_, access) | Instruction::Reduce { access, .. } = instruction {
                    written.insert(addresses[access.buffer.index()].0);
                }
            }
            written.extend(kernel.contraction.iter().map(|contraction| addresses[contraction.out.buffer.index()].0));
        }
        let mut packing = Packing::default();
        for contraction in plan.kernels.iter().filter_map(|kernel| kernel.contraction.as_ref()) {
            for product in &contraction.products {
                if !written.contains(&addresses[product.right.buffer.index()].0) {
                    *packing.uses.entry(operand(contraction, product, addresses)).or_default() += 1;
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
pub(super) struct Packed {
    pub kept: Address,
    pub passing: Address,
}

/// A contraction with its buffers' addresses.
pub(super) struct Product {
    isa: Isa,
    out: View,
    n: usize,
    rows_per_index: usize,
    factors: Vec<Factor>,
    /// The factors whose right operands this contraction packs.
    packs: Vec<usize>,
}

/// One of the products that are summed up.
struct Factor {
    k: usize,
    left: View,
    right: View,
    /// Where its packed right operand begins, among those that are kept or those that pass.
    packed: usize,
    kept: bool,
}

impl Factor {
    fn packed(&self, packed: Packed) -> *mut f32 {
        let start = if self.kept { packed.kept } else { packed.passing };
        start.0.wrapping_add(self.packed)
    }
}

// SAFETY: as of `Address`: threads write to rows of their own.
unsafe impl Send for Product {}
// SAFETY: as above.
unsafe impl Sync for Product {}

impl Product {
    pub fn new(contraction: &plan::Contraction, addresses: &[Address], packing: &mut Packing) -> Self {
        let view = |matrix: &Matrix| View {
            start: addresses[matrix.buffer.index()].0.cast_const(),
            row_stride: matrix.row_stride,
            column_stride: matrix.column_stride,
        };
        let isa = Isa::detect();
        let mut passing = 0;
        let (mut factors, mut packs) = (Vec::new(), Vec::new());
        for (number, product) in contraction.products.iter().enumerate() {
            let len = matmul::packed_len(isa, product.k, contraction.n);
            let kept = packing.keep(operand(contraction, product, addresses), len);
            let (packed, packs_now) = kept.unwrap_or((passing, true));
            if packs_now {
                packs.push(number);
            }
            if kept.is_none() {
                passing += len;
            }
            let (left, right) = (view(&product.left), view(&product.right));
            factors.push(Factor { k: product.k, left, right, packed, kept: kept.is_some() });
        }
        packing.passing_len = packing.passing_len.max(passing);
        let (out, n, rows_per_index) = (view(&contraction.out), contraction.n, contraction.rows_per_index);
        Product { isa, out, n, rows_per_index, factors, packs }
    }

    /// Floats of workspace for each thread.
    pub fn workspace_len(&self) -> usize {
        self.factors.iter().map(|factor| matmul::workspace_len(self.isa, factor.k)).max().unwrap_or(0)
    }

    /// Parts that the packing is split into.
    pub fn panels(&self) -> usize {
        matmul::panels(self.isa, self.n) * self.packs.len()
    }

    /// Packs one part of the right operands.
    pub fn pack(&self, panel: usize, packed: Packed) {
        let panels = matmul::panels(self.isa, self.n);
        let factor = &self.factors[self.packs[panel / panels]];
        // SAFETY: the plan's verifier checks that operands lie within their buffers; `packed` has the floats that `Packing` counted.
        unsafe { matmul::pack_panel(self.isa, factor.k, self.n, factor.right, panel % panels, factor.packed(packed)) };
    }

    /// The rows of a tile.
    pub fn run(&self, part: Part, packed: Packed, workspace: *mut f32) {
        let first = part.start * self.rows_per_index;
        let rows = (part.end - part.start) * self.rows_per_index;
        let from = |view: View| View { start: view.start.wrapping_add(first * view.row_stride), ..view };
        for (number, factor) in self.factors.iter().enumerate() {
            let extent = Extent { rows, n: self.n, k: factor.k };
            // SAFETY: as in `pack`; other threads write other rows.
            unsafe {
                let right = factor.packed(packed).cast_const();
                matmul::multiply(self.isa, extent, from(factor.left), right, from(self.out), number > 0, workspace);
            }
        }
    }
}
