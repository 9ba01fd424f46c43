//! Buffers whose elements are only multiplied: a back end that rounds the operands of contractions
//! may store them rounded, in half of the memory.

use super::{Access, Instruction, Loop, Plan, Storage};
use crate::tensor::Scalar;

impl Plan {
    /// Whether each buffer is working memory that one loop stores, element by element along its
    /// innermost axis, and that only contractions read, as whole matrices. A loop may also ask
    /// whether an element is 0, as the gradient of a ReLU does.
    pub fn multiplied_only(&self) -> Vec<bool> {
        let mut multiplied = vec![false; self.buffers.len()];
        let mut excluded: Vec<bool> = self
            .buffers
            .iter()
            .map(|buffer| !matches!(buffer.storage, Storage::Arena(_)))
            .collect();
        for kernel in &self.kernels {
            for nest in kernel.loops() {
                for (buffer, is_allowed) in uses(nest) {
                    excluded[buffer] |= !is_allowed;
                }
            }
            if let Some(contraction) = &kernel.contraction {
                excluded[contraction.out.buffer.index()] = true;
                for product in &contraction.products {
                    for matrix in [product.left, product.right] {
                        multiplied[matrix.buffer.index()] = true;
                        excluded[matrix.buffer.index()] |= product.windows.is_some();
                    }
                }
            }
        }
        let both = multiplied.iter().zip(&excluded);
        both.map(|(multiplied, excluded)| *multiplied && !excluded)
            .collect()
    }
}

/// The buffers that a loop accesses, and whether the access stores elements or asks if they are 0.
fn uses(nest: &Loop) -> impl Iterator<Item = (usize, bool)> {
    let is_condition = |value: usize| {
        nest.instructions
            .iter()
            .all(|instruction| match instruction {
                Instruction::Scalar(Scalar::Select, operands) => !operands[1..].contains(&value),
                Instruction::Scalar(_, operands) => !operands.contains(&value),
                Instruction::OneHot(other, _)
                | Instruction::Store(other, _)
                | Instruction::Reduce { value: other, .. } => *other != value,
                _ => true,
            })
    };
    let instructions = nest.instructions.iter().enumerate();
    instructions.filter_map(move |(number, instruction)| match instruction {
        Instruction::Load(access) => Some((
            access.buffer.index(),
            by_element(nest, access) && is_condition(number),
        )),
        Instruction::Store(_, access) => Some((access.buffer.index(), by_element(nest, access))),
        Instruction::Reduce { access, .. } => Some((access.buffer.index(), false)),
        _ => None,
    })
}

/// Whether each iteration accesses an element of its own, side by side along the innermost axis.
fn by_element(nest: &Loop, access: &Access) -> bool {
    let moves = |(&stride, &size): (&usize, &usize)| stride > 0 || size == 1;
    access.strides.last() == Some(&1)
        && access.spans.is_empty()
        && access.partial == 0
        && access.strides.iter().zip(&nest.sizes).all(moves)
}
