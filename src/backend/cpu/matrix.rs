//! Contractions: the right operands packed once, then tiles of rows.

use super::{
    Address, Part,
    isa::Isa,
    matmul::{self, Extent, View},
};
use crate::plan::{self, Matrix};

/// A contraction with its buffers' addresses.
pub(super) struct Product {
    isa: Isa,
    out: View,
    n: usize,
    rows_per_index: usize,
    factors: Vec<Factor>,
}

/// One of the products that are summed up.
struct Factor {
    k: usize,
    left: View,
    right: View,
    /// Where its packed right operand begins.
    packed: usize,
}

// SAFETY: as of `Address`: threads write to rows of their own.
unsafe impl Send for Product {}
// SAFETY: as above.
unsafe impl Sync for Product {}

impl Product {
    pub fn new(contraction: &plan::Contraction, addresses: &[Address]) -> Self {
        let view = |matrix: &Matrix| View {
            start: addresses[matrix.buffer.index()].0.cast_const(),
            row_stride: matrix.row_stride,
            column_stride: matrix.column_stride,
        };
        let mut packed = 0;
        let mut factors = Vec::new();
        for product in &contraction.products {
            factors.push(Factor { k: product.k, left: view(&product.left), right: view(&product.right), packed });
            packed += matmul::packed_len(product.k, contraction.n);
        }
        let (out, n, rows_per_index) = (view(&contraction.out), contraction.n, contraction.rows_per_index);
        Product { isa: Isa::detect(), out, n, rows_per_index, factors }
    }

    /// Floats of the packed right operands.
    pub fn packed_len(&self) -> usize {
        self.factors.last().map_or(0, |last| last.packed + matmul::packed_len(last.k, self.n))
    }

    /// Floats of workspace for each thread.
    pub fn workspace_len(&self) -> usize {
        self.factors.iter().map(|factor| matmul::workspace_len(factor.k)).max().unwrap_or(0)
    }

    /// Parts that the packing is split into.
    pub fn panels(&self) -> usize {
        matmul::panels(self.n) * self.factors.len()
    }

    /// Packs one part of the right operands.
    pub fn pack(&self, panel: usize, packed: Address) {
        let panels = matmul::panels(self.n);
        let factor = &self.factors[panel / panels];
        // SAFETY: the plan's verifier checks that operands lie within their buffers; `packed` has `packed_len` floats.
        unsafe {
            matmul::pack_panel(self.isa, factor.k, self.n, factor.right, panel % panels, packed.0.add(factor.packed))
        };
    }

    /// The rows of a tile.
    pub fn run(&self, part: Part, packed: Address, workspace: *mut f32) {
        let first = part.start * self.rows_per_index;
        let rows = (part.end - part.start) * self.rows_per_index;
        let from = |view: View| View { start: view.start.wrapping_add(first * view.row_stride), ..view };
        for (number, factor) in self.factors.iter().enumerate() {
            let extent = Extent { rows, n: self.n, k: factor.k };
            // SAFETY: as in `pack`; other threads write other rows.
            unsafe {
                let right = packed.0.add(factor.packed).cast_const();
                matmul::multiply(self.isa, extent, from(factor.left), right, from(self.out), number > 0, workspace);
            }
        }
    }
}
