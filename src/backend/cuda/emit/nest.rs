//! Analyses of a plan's loop nests: the buffers that they load and store, the instructions that a
//! result needs, and the buffers that share memory.

use crate::{
    id::Id,
    plan::{Access, Buffer, Instruction, Kernel, Loop, Plan, Storage},
};
use std::collections::BTreeSet;

/// Memory that passes values between pieces of work. Buffers with the same place are the same
/// memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Memory {
    Buffer(Id<Buffer>),
    Parameter(usize),
    Gradient(usize),
    /// The partial sums of the contraction with this name.
    Scratch(String),
}

/// The memory of a buffer.
pub(super) fn memory(plan: &Plan, id: Id<Buffer>) -> Memory {
    match plan.buffer(id).storage {
        Storage::Parameter(index) => Memory::Parameter(index),
        Storage::Gradient(index) => Memory::Gradient(index),
        _ => Memory::Buffer(id),
    }
}

/// Whether a buffer is in working memory.
pub(super) fn in_arena(plan: &Plan, id: Id<Buffer>) -> bool {
    matches!(plan.buffer(id).storage, Storage::Arena(_))
}

/// The buffers that a loop loads.
pub(super) fn loads(nest: &Loop) -> impl Iterator<Item = &Access> {
    nest.instructions
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::Load(access) => Some(access),
            _ => None,
        })
}

/// The buffers that a loop stores or reduces.
pub(super) fn results(nest: &Loop) -> impl Iterator<Item = &Access> {
    nest.instructions
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::Store(_, access) | Instruction::Reduce { access, .. } => Some(access),
            _ => None,
        })
}

/// The access through which a sink stores or reduces.
pub(super) fn result(nest: &Loop, sink: usize) -> &Access {
    match &nest.instructions[sink] {
        Instruction::Store(_, access) | Instruction::Reduce { access, .. } => access,
        _ => unreachable!("a sink stores or reduces"),
    }
}

/// The sinks of a loop: the instructions that store or reduce.
pub(super) fn sinks(nest: &Loop) -> Vec<usize> {
    let is_sink = |&number: &usize| {
        matches!(
            nest.instructions[number],
            Instruction::Store(..) | Instruction::Reduce { .. }
        )
    };
    (0..nest.instructions.len()).filter(is_sink).collect()
}

/// For each instruction, whether a sink needs it. A sink needs itself.
pub(super) fn needed(nest: &Loop, sinks: &[usize]) -> Vec<bool> {
    let mut needed = vec![false; nest.instructions.len()];
    sinks.iter().for_each(|&sink| needed[sink] = true);
    for number in (0..needed.len()).rev() {
        if needed[number] {
            operands(&nest.instructions[number])
                .iter()
                .for_each(|&operand| needed[operand] = true);
        }
    }
    needed
}

fn operands(instruction: &Instruction) -> Vec<usize> {
    match instruction {
        Instruction::Scalar(_, operands) => operands.clone(),
        Instruction::OneHot(value, _)
        | Instruction::Store(value, _)
        | Instruction::Reduce { value, .. } => {
            vec![*value]
        }
        _ => Vec::new(),
    }
}

/// Whether a loop writes memory that it reads.
pub(super) fn replaces(plan: &Plan, nest: &Loop) -> bool {
    let read: BTreeSet<Memory> = loads(nest)
        .map(|access| memory(plan, access.buffer))
        .collect();
    results(nest).any(|access| read.contains(&memory(plan, access.buffer)))
}

/// Whether a plan overwrites a parameter or a gradient. A value recomputed from it later would
/// differ.
pub(super) fn is_replaced(plan: &Plan, wanted: &Memory) -> bool {
    matches!(wanted, Memory::Parameter(_) | Memory::Gradient(_))
        && plan
            .kernels
            .iter()
            .flat_map(Kernel::loops)
            .flat_map(results)
            .any(|access| memory(plan, access.buffer) == *wanted)
}

/// The number of a loop's axes, outermost first, that form the rows of a matrix with `m` rows.
pub(super) fn row_axes(nest: &Loop, m: usize) -> Option<usize> {
    (0..=nest.sizes.len()).find(|&count| nest.sizes[..count].iter().product::<usize>() == m)
}
