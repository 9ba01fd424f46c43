//! Contractions on a tile of rows.

use super::{Address, Part};
use crate::plan::{self, Matrix};

/// A contraction with its buffers' addresses.
pub(super) struct Product {
    out: Operand,
    n: usize,
    rows_per_index: usize,
    products: Vec<(usize, Operand, Operand)>,
}

#[derive(Clone, Copy)]
struct Operand {
    address: Address,
    row_stride: usize,
    column_stride: usize,
}

impl Product {
    pub fn new(contraction: &plan::Contraction, addresses: &[Address]) -> Self {
        let operand = |matrix: &Matrix| Operand {
            address: addresses[matrix.buffer.index()],
            row_stride: matrix.row_stride,
            column_stride: matrix.column_stride,
        };
        let products = contraction.products.iter();
        Product {
            out: operand(&contraction.out),
            n: contraction.n,
            rows_per_index: contraction.rows_per_index,
            products: products.map(|product| (product.k, operand(&product.left), operand(&product.right))).collect(),
        }
    }

    /// The rows of a tile.
    pub fn run(&self, part: Part) {
        let first = part.start * self.rows_per_index;
        let rows = (part.end - part.start) * self.rows_per_index;
        for (number, (k, left, right)) in self.products.iter().enumerate() {
            // SAFETY: the plan's verifier checks that the matrices lie within their buffers; other threads write other rows.
            unsafe {
                gemm::gemm(
                    rows,
                    self.n,
                    *k,
                    self.out.address.0.add(first * self.out.row_stride),
                    self.out.column_stride as isize,
                    self.out.row_stride as isize,
                    number > 0,
                    left.address.0.add(first * left.row_stride).cast_const(),
                    left.column_stride as isize,
                    left.row_stride as isize,
                    right.address.0.cast_const(),
                    right.column_stride as isize,
                    right.row_stride as isize,
                    if number > 0 { 1.0 } else { 0.0 },
                    1.0f32,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            }
        }
    }
}
