//! Sums over the rows of a contraction's result, made by the blocks that make it: the statistics of a batch norm.
//!
//! The plan sums by ranges of its tile axis. A block has a range of rows of its own, so the partial sums become as many as there
//! are blocks down the result, for those who make them and for those who add them.

use super::{epilogue::columns, heads::loads};
use crate::{
    id::Id,
    plan::{Access, Buffer, Instruction, Loop, Plan},
    tensor::Axis,
};
use std::collections::BTreeMap;

/// The plan with as many partial sums as its contractions have blocks, where they make the sums.
pub(super) fn retiled(plan: &Plan) -> Plan {
    let mut counts: BTreeMap<Id<Buffer>, usize> = BTreeMap::new();
    for kernel in &plan.kernels {
        let (Some(contraction), Some(nest)) = (&kernel.contraction, kernel.after.first()) else { continue };
        counts.extend(columns(plan, contraction, nest).iter().map(|(access, count)| (access.buffer, *count)));
    }
    // What is read together must have one number of parts.
    loop {
        let wrong =
            plan.kernels.iter().flat_map(|kernel| kernel.loops()).find_map(|nest| disagreeing(plan, nest, &counts));
        let Some(wrong) = wrong else { break };
        counts.remove(&wrong);
    }
    let mut plan = plan.clone();
    for kernel in &mut plan.kernels {
        for nest in kernel.head.iter_mut().chain(&mut kernel.before).chain(&mut kernel.after) {
            let read = loads(nest).find_map(|access| {
                let count = *counts.get(&access.buffer)?;
                Some((tile_axis(&plan.buffers[access.buffer.index()], nest)?, count))
            });
            if let Some((position, count)) = read {
                nest.axes[position] = counted(&mut plan.axes, nest.axes[position], count);
                nest.sizes[position] = count;
            }
        }
    }
    for (id, count) in counts {
        let buffer = &mut plan.buffers[id.index()];
        let tiles = buffer.axes[0];
        buffer.len = buffer.len / plan.axes[tiles.index()].size * count;
        buffer.axes[0] = counted(&mut plan.axes, tiles, count);
    }
    plan
}

/// Which of a loop's axes counts the parts of a buffer.
fn tile_axis(buffer: &Buffer, nest: &Loop) -> Option<usize> {
    nest.axes.iter().position(|axis| *axis == buffer.axes[0])
}

/// An axis like the other, of that size.
fn counted(axes: &mut Vec<Axis>, like: Id<Axis>, size: usize) -> Id<Axis> {
    let axis = Axis { size, ..axes[like.index()].clone() };
    let found = axes.iter().position(|known| *known == axis);
    Id::new(found.unwrap_or_else(|| {
        axes.push(axis);
        axes.len() - 1
    }))
}

/// A buffer of those counted that a loop cannot read in another number of parts.
fn disagreeing(plan: &Plan, nest: &Loop, counts: &BTreeMap<Id<Buffer>, usize>) -> Option<Id<Buffer>> {
    let counted = |access: &&Access| counts.contains_key(&access.buffer);
    let first = loads(nest).find(counted)?;
    let Some(position) = tile_axis(plan.buffer(first.buffer), nest) else { return Some(first.buffer) };
    let count = counts[&first.buffer];
    let agrees = |access: &Access| match counts.get(&access.buffer) {
        Some(other) => {
            *other == count && access.partial == 0 && tile_axis(plan.buffer(access.buffer), nest) == Some(position)
        }
        None => access.strides[position] == 0,
    };
    let all = nest.instructions.iter().all(|instruction| match instruction {
        Instruction::Load(access) | Instruction::Store(_, access) | Instruction::Reduce { access, .. } => {
            agrees(access)
        }
        Instruction::Noise { access, .. } => access.strides[position] == 0,
        Instruction::Position(axis) | Instruction::OneHot(_, axis) => *axis != position,
        _ => true,
    });
    (!all).then_some(first.buffer)
}
