//! The places of packed right operands.
//!
//! An operand that several contractions of a program read is packed once a run, by the first of
//! them: the weights of a step are read by the labelled and the unlabelled case, and the activations
//! before two heads by the gradients of both. It has a place in an array of the program. All other
//! operands are packed for each contraction in turn into an array that all programs share.
//!
//! A buffer is written once a run, before anything reads it, so a packed operand stays valid.

use super::super::memory::Address;
use crate::{
    id::Id,
    plan::{Buffer, Contraction, Plan, Product},
};
use std::collections::BTreeMap;

/// The right operands that several contractions read, and the space reserved so far.
pub struct PackedOperands {
    /// The number of products that read each operand.
    readers: BTreeMap<Operand, usize>,
    shared: BTreeMap<Operand, usize>,
    /// The total floats of operands that several contractions read.
    pub shared_len: usize,
    /// The maximum floats of other operands over the contractions.
    pub temporary_len: usize,
}

/// The starts of packed operands.
#[derive(Clone, Copy)]
pub struct PackedBuffers {
    pub shared: Address,
    pub temporary: Address,
}

/// A right operand. Operands with equal buffers, strides and extents have equal packed floats.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Operand {
    buffer: Id<Buffer>,
    row_stride: usize,
    column_stride: usize,
    k: usize,
    n: usize,
}

impl Operand {
    pub fn new(contraction: &Contraction, product: &Product) -> Self {
        let right = &product.right;
        Operand {
            buffer: right.buffer,
            row_stride: right.row_stride,
            column_stride: right.column_stride,
            k: product.k,
            n: contraction.n,
        }
    }
}

impl PackedOperands {
    /// Counts the readers of operands in a plan.
    pub fn new(plan: &Plan) -> Self {
        let mut readers = BTreeMap::new();
        let contractions = plan
            .kernels
            .iter()
            .filter_map(|kernel| kernel.contraction.as_ref());
        for contraction in contractions {
            for product in &contraction.products {
                *readers
                    .entry(Operand::new(contraction, product))
                    .or_default() += 1;
            }
        }
        PackedOperands {
            readers,
            shared: BTreeMap::new(),
            shared_len: 0,
            temporary_len: 0,
        }
    }

    /// The place of an operand with `len` packed floats among the shared operands, and whether this
    /// contraction is its first reader; `None` if it has only one reader.
    pub fn share(&mut self, operand: Operand, len: usize) -> Option<(usize, bool)> {
        if let Some(&start) = self.shared.get(&operand) {
            return Some((start, false));
        }
        if self
            .readers
            .get(&operand)
            .is_none_or(|&readers| readers < 2)
        {
            return None;
        }
        let start = self.shared_len;
        self.shared.insert(operand, start);
        self.shared_len = self.shared_len.saturating_add(len);
        Some((start, true))
    }

    /// Reserves space for a contraction with `len` packed floats that no other contraction reads.
    pub fn reserve_temporary(&mut self, len: usize) {
        self.temporary_len = self.temporary_len.max(len);
    }
}
