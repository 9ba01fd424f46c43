//! Rematerialisation: selects setup loops that a reader executes itself instead of loading their
//! results.
//!
//! A setup loop computes a vector over features from a few partial sums and parameters, such as a
//! mean or the scale of a batch norm. With a separate launch, its readers would wait for that
//! launch, which takes longer than a thread needs to recompute a single number.

use super::super::{
    nest::{Memory, is_replaced, loads, memory, result, results},
    spec::{Rematerialized, RematerializedLoop},
};
use crate::{
    id::Id,
    plan::{Access, Buffer, Instruction, Loop, Plan},
};
use std::collections::BTreeSet;

/// The maximum number of terms of a sum that a reader adds.
const MOST_TERMS: usize = 32;
/// The maximum number of instructions of a setup loop that a reader repeats.
const MOST_INSTRUCTIONS: usize = 24;

/// The setup loops that `nest` reads, if all can be executed for given indices of the `kept` axes;
/// else empty.
pub(super) fn rematerialize<'p>(
    plan: &'p Plan,
    setup: &'p [Loop],
    nest: &Loop,
    kept: &dyn Fn(usize) -> bool,
) -> Rematerialized<'p> {
    find(plan, setup, nest)
        .and_then(|found| checked(plan, found, nest, kept))
        .unwrap_or_default()
}

/// The setup loops that a loop reads, in order.
struct Found<'p> {
    loops: Vec<&'p Loop>,
    buffers: BTreeSet<Id<Buffer>>,
}

/// Returns `None` if the loop reads another element than the setup loop computes.
fn find<'p>(plan: &'p Plan, setup: &'p [Loop], nest: &Loop) -> Option<Found<'p>> {
    if setup.is_empty() {
        return None;
    }
    let mut found = Found {
        loops: Vec::new(),
        buffers: BTreeSet::new(),
    };
    let mut readers: Vec<&Loop> = vec![nest];
    let others = elementwise_setup(plan, setup);
    let candidates = setup.iter().rev().chain(others.into_iter().rev());
    for (number, maker) in candidates.enumerate() {
        if number == setup.len() {
            // The reader loads these from memory.
            readers.remove(0);
            if readers.is_empty() {
                break;
            }
        }
        let mut is_read = false;
        for result in results(maker) {
            let mut uses = uses(&readers, result.buffer).peekable();
            is_read |= uses.peek().is_some();
            if !uses.all(|(reader, access)| is_same_element(reader, access, maker, result)) {
                return None;
            }
        }
        if is_read {
            let read = results(maker).map(|result| result.buffer);
            let read = read.filter(|buffer| uses(&readers, *buffer).next().is_some());
            found.buffers.extend(read);
            found.loops.insert(0, maker);
            readers.push(maker);
        }
    }
    (!found.loops.is_empty()).then_some(found)
}

/// The setup loops of other kernels that sum nothing, such as a bias times the rows of two cases.
/// The kernel's setup loops may read them.
fn elementwise_setup<'p>(plan: &'p Plan, setup: &'p [Loop]) -> Vec<&'p Loop> {
    let is_own = |other: &Loop| setup.iter().any(|nest| std::ptr::eq(nest, other));
    let sums = |other: &Loop| {
        other
            .instructions
            .iter()
            .any(|instruction| matches!(instruction, Instruction::Reduce { .. }))
    };
    let all = plan.kernels.iter().flat_map(|kernel| &kernel.setup);
    all.filter(|other| !is_own(other) && !sums(other)).collect()
}

/// The loads of a buffer by the given loops.
fn uses<'a>(
    readers: &'a [&'a Loop],
    buffer: Id<Buffer>,
) -> impl Iterator<Item = (&'a Loop, &'a Access)> {
    readers
        .iter()
        .flat_map(|reader| loads(reader).map(move |access| (*reader, access)))
        .filter(move |(_, access)| access.buffer == buffer)
}

/// Whether an access of a loop reads the element that an access of another loop computes: both have
/// the same stride along each axis.
fn is_same_element(nest: &Loop, access: &Access, maker: &Loop, result: &Access) -> bool {
    let strides = |nest: &Loop, access: &Access| -> BTreeSet<(usize, usize)> {
        let axes = nest.axes.iter().zip(&nest.sizes).zip(&access.strides);
        axes.filter(|((_, size), stride)| **size > 1 && **stride > 0)
            .map(|((axis, _), &stride)| (axis.index(), stride))
            .collect()
    };
    access.spans.is_empty()
        && access.partial == 0
        && result.partial == 0
        && strides(nest, access) == strides(maker, result)
}

/// The loops with their shapes; `None` if a loop is too long, or its results would differ when
/// recomputed.
fn checked<'p>(
    plan: &Plan,
    found: Found<'p>,
    nest: &Loop,
    kept: &dyn Fn(usize) -> bool,
) -> Option<Rematerialized<'p>> {
    let indexed: BTreeSet<usize> = (0..nest.axes.len())
        .filter(|&axis| kept(axis))
        .map(|axis| nest.axes[axis].index())
        .collect();
    let replaced: BTreeSet<Memory> = results(nest)
        .map(|access| memory(plan, access.buffer))
        .collect();
    let is_stable = |nest: &Loop| {
        loads(nest).all(|access| {
            let memory = memory(plan, access.buffer);
            access.partial == 0 && !replaced.contains(&memory) && !is_replaced(plan, &memory)
        })
    };
    let check = |nest: &'p Loop| {
        let draws = |instruction: &Instruction| matches!(instruction, Instruction::Noise { .. });
        let is_short = nest.instructions.len() <= MOST_INSTRUCTIONS && !nest.tiled;
        if !is_short || nest.instructions.iter().any(draws) || !is_stable(nest) {
            return None;
        }
        let part = shape(nest, &found.buffers)?;
        let is_indexed = |axis: &usize| indexed.contains(&nest.axes[*axis].index());
        (part.terms <= MOST_TERMS && part.kept.iter().all(is_indexed)).then_some(part)
    };
    let loops = found.loops.iter().map(|nest| check(nest));
    Some(Rematerialized {
        loops: loops.collect::<Option<Vec<_>>>()?,
        buffers: found.buffers,
    })
}

/// The shape of a setup loop for the wanted buffers; `None` if these have different axes.
fn shape<'p>(nest: &'p Loop, wanted: &BTreeSet<Id<Buffer>>) -> Option<RematerializedLoop<'p>> {
    let is_wanted = |number: &usize| match &nest.instructions[*number] {
        Instruction::Store(_, access) | Instruction::Reduce { access, .. } => {
            wanted.contains(&access.buffer)
        }
        _ => false,
    };
    let sinks: Vec<usize> = (0..nest.instructions.len()).filter(is_wanted).collect();
    let kept = |sink: &usize| -> Vec<usize> {
        let access = result(nest, *sink);
        let reduces = matches!(nest.instructions[*sink], Instruction::Reduce { .. });
        (0..nest.axes.len())
            .filter(|&axis| nest.sizes[axis] > 1 && (!reduces || access.strides[axis] > 0))
            .collect()
    };
    let first = kept(sinks.first()?);
    if !sinks.iter().all(|sink| kept(sink) == first) {
        return None;
    }
    let terms = (0..nest.axes.len())
        .filter(|axis| !first.contains(axis))
        .map(|axis| nest.sizes[axis])
        .product();
    Some(RematerializedLoop {
        nest,
        sinks,
        kept: first,
        terms,
    })
}

/// Whether all loops compute vectors over the given axis of the reader.
pub(super) fn is_along(rematerialized: &Rematerialized, nest: &Loop, axis: usize) -> bool {
    rematerialized.loops.iter().all(|part| {
        part.kept
            .iter()
            .all(|&kept| part.nest.axes[kept] == nest.axes[axis])
    })
}
