//! Retiling: adapts the number of partial sums. The plan splits sums by ranges of its tile axis
//! into enough parts for a few cores; a GPU needs more.
//!
//! Sums over the rows of a contraction's result, such as the statistics of a batch norm, are
//! computed by the blocks that compute the result, each for a range of rows; so there are as many
//! partial sums as blocks along the rows. Sums over a whole loop, such as a gradient's norm, get
//! enough parts to keep a GPU busy. The loops that add the parts are changed to match.

use super::{
    super::{nest::loads, spec::THREADS, target::H100},
    epilogue::column_parts,
};
use crate::{
    id::Id,
    plan::{Access, Buffer, Instruction, Kernel, Loop, Plan, Tile},
    tensor::Axis,
};
use std::collections::BTreeMap;

/// The minimum number of terms per thread before a block adds its threads.
const LEAST_NUMBERS: usize = 8;
/// The number of blocks that keeps the GPU's memory busy.
const MOST_TILES: usize = 8 * H100.multiprocessors;

/// The new number of parts of each changed buffer of partial sums.
type Counts = BTreeMap<Id<Buffer>, usize>;

/// The plan with numbers of partial sums for a GPU.
pub fn retiled(plan: &Plan) -> Plan {
    let tiles: Vec<Option<Tile>> = plan.kernels.iter().map(finer).collect();
    let mut counts = wanted(plan, &tiles);
    agree(plan, &tiles, &mut counts);
    let mut plan = plan.clone();
    for (kernel, tile) in plan.kernels.iter_mut().zip(tiles) {
        // All sums of a kernel have the same number of parts; else they keep the plan's number.
        if partial(kernel).all(|access| counts.contains_key(&access.buffer)) {
            kernel.tile = tile.or(kernel.tile);
        }
    }
    recount(&mut plan, &counts);
    plan
}

/// The numbers of parts that suit the producers of the partial sums.
fn wanted(plan: &Plan, tiles: &[Option<Tile>]) -> Counts {
    let mut counts = Counts::new();
    for (kernel, tile) in plan.kernels.iter().zip(tiles) {
        counts.extend(
            tile.iter()
                .flat_map(|tile| partial(kernel).map(|access| (access.buffer, tile.count))),
        );
    }
    for kernel in &plan.kernels {
        if let (Some(contraction), Some(nest)) = (&kernel.contraction, kernel.epilogue.first()) {
            let parts = column_parts(plan, contraction, nest);
            counts.extend(parts.iter().map(|(access, count)| (access.buffer, *count)));
        }
    }
    counts
}

/// Removes changes until all buffers that a loop reads together have the same number of parts.
fn agree(plan: &Plan, tiles: &[Option<Tile>], counts: &mut Counts) {
    let loops = || plan.kernels.iter().flat_map(Kernel::loops);
    while let Some(wrong) = loops().find_map(|nest| disagreeing(plan, nest, counts)) {
        counts.remove(&wrong);
        let finer = plan.kernels.iter().zip(tiles);
        for (kernel, _) in finer.filter(|(_, tile)| tile.is_some()) {
            if partial(kernel).any(|access| access.buffer == wrong) {
                counts.retain(|buffer, _| partial(kernel).all(|access| access.buffer != *buffer));
            }
        }
    }
}

/// Applies the new numbers of parts to the buffers and the loops that read them.
fn recount(plan: &mut Plan, counts: &Counts) {
    for kernel in &mut plan.kernels {
        let loops = kernel.setup.iter_mut().chain(&mut kernel.prologue);
        for nest in loops.chain(&mut kernel.epilogue) {
            let read = loads(nest).find_map(|access| {
                let count = *counts.get(&access.buffer)?;
                let buffer = &plan.buffers[access.buffer.index()];
                Some((tile_axis(buffer, nest)?, count))
            });
            if let Some((position, count)) = read {
                nest.axes[position] = counted(&mut plan.axes, nest.axes[position], count);
                nest.sizes[position] = count;
            }
        }
    }
    for (id, &count) in counts {
        let buffer = &mut plan.buffers[id.index()];
        let tiles = buffer.axes[0];
        buffer.len = buffer.len / plan.axes[tiles.index()].size * count;
        buffer.axes[0] = counted(&mut plan.axes, tiles, count);
    }
}

/// The partial sums that a kernel's loops compute.
fn partial(kernel: &Kernel) -> impl Iterator<Item = &Access> {
    let instructions = kernel
        .prologue
        .iter()
        .chain(&kernel.epilogue)
        .flat_map(|nest| &nest.instructions);
    instructions.filter_map(|instruction| match instruction {
        Instruction::Reduce { access, .. } if access.partial > 0 => Some(access),
        _ => None,
    })
}

/// Divides a kernel whose loops sum all their elements into more and smaller tiles, if the plan has
/// too few for a GPU.
fn finer(kernel: &Kernel) -> Option<Tile> {
    let tile = kernel.tile.filter(|_| kernel.contraction.is_none())?;
    let whole = |access: &Access| access.strides.iter().all(|&stride| stride == 0);
    if partial(kernel).next().is_none() || !partial(kernel).all(whole) {
        return None;
    }
    let most = kernel
        .prologue
        .iter()
        .map(Loop::elements)
        .max()
        .unwrap_or(0);
    let wanted = (most / (THREADS * LEAST_NUMBERS)).clamp(1, MOST_TILES);
    let size = tile.length.div_ceil(wanted);
    let finer = Tile {
        size,
        count: tile.length.div_ceil(size),
        ..tile
    };
    (finer.count > tile.count).then_some(finer)
}

/// The axis of a loop that counts the parts of a buffer.
fn tile_axis(buffer: &Buffer, nest: &Loop) -> Option<usize> {
    nest.axes.iter().position(|axis| *axis == buffer.axes[0])
}

/// A copy of an axis with another size.
fn counted(axes: &mut Vec<Axis>, like: Id<Axis>, size: usize) -> Id<Axis> {
    let axis = Axis {
        size,
        ..axes[like.index()].clone()
    };
    let found = axes.iter().position(|other| *other == axis);
    Id::new(found.unwrap_or_else(|| {
        axes.push(axis);
        axes.len() - 1
    }))
}

/// A changed buffer that a loop cannot read with another number of parts, if any.
fn disagreeing(plan: &Plan, nest: &Loop, counts: &Counts) -> Option<Id<Buffer>> {
    let counted = |access: &&Access| counts.contains_key(&access.buffer);
    let first = loads(nest).find(counted)?;
    let Some(position) = tile_axis(plan.buffer(first.buffer), nest) else {
        return Some(first.buffer);
    };
    let count = counts[&first.buffer];
    let agrees = |access: &Access| match counts.get(&access.buffer) {
        Some(other) => {
            *other == count
                && access.partial == 0
                && tile_axis(plan.buffer(access.buffer), nest) == Some(position)
        }
        None => access.strides[position] == 0,
    };
    let all = nest
        .instructions
        .iter()
        .all(|instruction| match instruction {
            Instruction::Load(access)
            | Instruction::Store(_, access)
            | Instruction::Reduce { access, .. } => agrees(access),
            Instruction::Noise { access, .. } => access.strides[position] == 0,
            Instruction::Position(axis) | Instruction::OneHot(_, axis) => *axis != position,
            _ => true,
        });
    (!all).then_some(first.buffer)
}
