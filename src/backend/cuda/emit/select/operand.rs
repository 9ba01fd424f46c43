//! Prologues: selects operands that a contraction computes while it loads them, such as a batch
//! norm and its activation, or the factors of a gradient.
//!
//! The contraction then need not wait for the loop that would store the operand. If the loop needs
//! vectors over k, such as the scales of a batch norm, each block computes them once, in shared
//! memory.

use super::{
    super::{
        nest::{in_arena, is_replaced, memory, needed},
        spec::{Computed, Operand, Strides},
    },
    rematerialize::{is_along, rematerialize},
    tiles::{Way, way},
};
use crate::plan::{Contraction, Instruction, Kernel, Loop, Plan, Product, elements};

/// The maximum number of arrays of the operand's size from which its elements are computed: each is
/// loaded once per adjacent tile.
const MOST_WIDE: usize = 2;
/// The maximum number of instructions per element.
const MOST_INSTRUCTIONS: usize = 32;
/// The maximum number of floats of shared memory for vectors over k; a tile uses up to 40 of 48
/// KiB.
const MOST_SHARED: usize = 2000;

/// The operands of each product of a contraction by tiles: left and right.
pub(super) fn operands<'p>(plan: &'p Plan, contraction: &'p Contraction) -> Vec<[Operand<'p>; 2]> {
    let is_tiled = way(contraction) != Way::Rows;
    let mut shared = 0;
    let mut compute = |strides: Strides| {
        let computed = computed(plan, strides).filter(|_| is_tiled)?;
        shared += computed.shared_floats();
        (shared <= MOST_SHARED).then(|| Operand::Computed(Box::new(computed)))
    };
    let mut both = |product: &'p Product| {
        let windows = |is_left: bool| {
            product
                .windows
                .as_ref()
                .filter(|windows| windows.left == is_left)
        };
        let [left, right] = strides(product);
        [(left, windows(true)), (right, windows(false))].map(|(strides, windows)| match windows {
            Some(windows) => Operand::Windows(windows),
            None => compute(strides).unwrap_or(Operand::Memory(strides)),
        })
    };
    contraction.products.iter().map(&mut both).collect()
}

/// The operands of a product in memory.
pub(super) fn strides(product: &Product) -> [Strides; 2] {
    let (left, right, k) = (product.left, product.right, product.k);
    [
        Strides {
            buffer: left.buffer,
            across: left.row_stride,
            along: left.column_stride,
            k,
        },
        Strides {
            buffer: right.buffer,
            across: right.column_stride,
            along: right.row_stride,
            k,
        },
    ]
}

/// The prologue of an operand; `None` if the operand must be in memory.
fn computed(plan: &Plan, operand: Strides) -> Option<Computed<'_>> {
    if !in_arena(plan, operand.buffer) || operand.along != 1 {
        return None;
    }
    let (kernel, nest, sink) = only_maker(plan, operand)?;
    // k must be exactly the last axis, so that vectors over that axis are vectors over k.
    let rows = nest.axes.len().checked_sub(1)?;
    let dense: Vec<usize> = (0..nest.sizes.len())
        .map(|axis| nest.sizes[axis + 1..].iter().product())
        .collect();
    let Instruction::Store(_, access) = &nest.instructions[sink] else {
        return None;
    };
    if nest.sizes[rows] != operand.k || operand.across != operand.k || access.strides != dense {
        return None;
    }
    let needed = needed(nest, &[sink]);
    if !is_cheap(plan, nest, &needed) {
        return None;
    }
    let (nest, rows) = narrowed(nest, rows, &needed);
    let rematerialized = rematerialize(plan, &kernel.setup, &nest, &|axis| axis == rows);
    let rematerialized = Some(rematerialized).filter(|loops| is_along(loops, &nest, rows));
    Some(Computed {
        nest,
        rows,
        sink,
        rematerialized: rematerialized.unwrap_or_default(),
    })
}

/// The only prologue loop of the plan that stores an operand, with its kernel and the store.
fn only_maker(plan: &Plan, operand: Strides) -> Option<(&Kernel, &Loop, usize)> {
    let store = |nest: &Loop| -> Option<usize> {
        nest.instructions.iter().position(|instruction| {
            matches!(instruction, Instruction::Store(_, access) if access.buffer == operand.buffer)
        })
    };
    let mut makers = plan.kernels.iter().flat_map(|kernel| {
        let loops = kernel.prologue.iter();
        loops.filter_map(move |nest| Some((kernel, nest, store(nest)?)))
    });
    makers.next().filter(|_| makers.next().is_none())
}

/// Whether an element needs few instructions and loads, and has the same value at each computation.
fn is_cheap(plan: &Plan, nest: &Loop, needed: &[bool]) -> bool {
    let (mut wide, mut count) = (0, 0);
    for (instruction, _) in nest.instructions.iter().zip(needed).filter(|(_, n)| **n) {
        count += 1;
        match instruction {
            Instruction::Noise { .. } | Instruction::Reduce { .. } => return false,
            Instruction::Load(access) => {
                if access.partial > 0 || is_replaced(plan, &memory(plan, access.buffer)) {
                    return false;
                }
                wide += usize::from(elements(nest, access) == nest.elements());
            }
            _ => {}
        }
    }
    wide <= MOST_WIDE && count <= MOST_INSTRUCTIONS
}

/// The loop, reduced to the needed instructions, with the row axes joined if every access permits
/// it. Also returns the number of row axes.
fn narrowed(nest: &Loop, rows: usize, needed: &[bool]) -> (Loop, usize) {
    let mut nest = nest.clone();
    for (instruction, _) in nest
        .instructions
        .iter_mut()
        .zip(needed)
        .filter(|(_, n)| !**n)
    {
        *instruction = Instruction::Constant(0.0);
    }
    if rows < 2
        || !nest
            .instructions
            .iter()
            .all(|step| walks_as_one(&nest, step, rows))
    {
        return (nest, rows);
    }
    let gone = rows - 1;
    nest.sizes[gone] = nest.sizes[..rows].iter().product();
    nest.sizes.drain(..gone);
    nest.axes.drain(..gone);
    for instruction in &mut nest.instructions {
        match instruction {
            Instruction::Load(access) | Instruction::Store(_, access) => {
                access.strides.drain(..gone);
                access
                    .spans
                    .iter_mut()
                    .for_each(|span| drop(span.strides.drain(..gone)));
            }
            Instruction::Position(axis) | Instruction::OneHot(_, axis) => *axis -= gone,
            _ => {}
        }
    }
    (nest, 1)
}

/// Whether an instruction's accesses permit joining the first `rows` axes.
fn walks_as_one(nest: &Loop, instruction: &Instruction, rows: usize) -> bool {
    match instruction {
        Instruction::Load(access) | Instruction::Store(_, access) => (1..rows).all(|axis| {
            let size = nest.sizes[axis];
            access.strides[axis - 1] == access.strides[axis] * size
                && access
                    .spans
                    .iter()
                    .all(|span| span.strides[axis - 1] == span.strides[axis] * size as isize)
        }),
        Instruction::Position(axis) | Instruction::OneHot(_, axis) => *axis >= rows,
        _ => true,
    }
}
