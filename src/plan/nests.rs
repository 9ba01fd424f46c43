//! Loop nests: which items of a kernel share a loop.
//!
//! A loop runs all of its items for one element before it goes on to the next. So an item can read
//! another of the same loop from a register if both are computed over the same axes, and if the
//! operand is complete at that element. A reduction is complete only after its loop.

use super::{
    Tile,
    domains::Domains,
    fuse::Slot,
    tiling,
    values::{ItemId, OperandView},
};
use crate::{id::Id, tensor::Axis};
use std::collections::{BTreeMap, BTreeSet};

/// Items that share a loop nest, in order.
pub(super) struct Nest {
    pub axes: Vec<Id<Axis>>,
    pub items: Vec<ItemId>,
}

/// The tiles of a kernel and the nests of each of its parts.
pub(super) struct KernelNests {
    pub tile: Option<Tile>,
    pub setup: Vec<Nest>,
    pub prologue: Vec<Nest>,
    pub epilogue: Vec<Nest>,
}

impl KernelNests {
    /// Tiles a kernel and groups its items.
    pub fn new(domains: &mut Domains, slot: &Slot) -> Self {
        let tile = tiling::choose(domains, slot);
        KernelNests {
            tile,
            setup: group(domains, &slot.setup),
            prologue: group(domains, &slot.prologue),
            epilogue: group(domains, &slot.epilogue),
        }
    }
}

/// Puts each item into the first loop over its axes in which its operands are available.
///
/// Items that wait for no reduction come first, in narrow loops before wide ones, so that a wide
/// loop finds everything that it reads.
fn group(domains: &Domains, items: &[ItemId]) -> Vec<Nest> {
    let independent = independent_of_reductions(domains, items);
    let mut nests = narrow_first(domains, items, &independent);
    let mut nest_of: BTreeMap<ItemId, usize> = BTreeMap::new();
    for (number, nest) in nests.iter().enumerate() {
        nest_of.extend(nest.items.iter().map(|&id| (id, number)));
    }
    for &id in items.iter().filter(|id| !independent.contains(id)) {
        let axes = domains.domain(id);
        let operands = domains.items.get(id).kind.operands();
        let available = operands.iter().filter_map(|operand| {
            let nest = *nest_of.get(&operand.item)?;
            let same_loop = is_in_register(domains, operand) && nests[nest].axes == axes;
            Some(if same_loop { nest } else { nest + 1 })
        });
        let earliest = available.max().unwrap_or(0);
        let found = (earliest..nests.len()).find(|&nest| nests[nest].axes == axes);
        let nest = found.unwrap_or_else(|| {
            nests.push(Nest {
                axes,
                items: Vec::new(),
            });
            nests.len() - 1
        });
        nests[nest].items.push(id);
        nest_of.insert(id, nest);
    }
    nests
}

/// Whether the rest of a loop over the same axes can read the operand from a register.
fn is_in_register(domains: &Domains, operand: &OperandView) -> bool {
    domains.items.get(operand.item).kind.is_in_register() && operand.is_plain()
}

/// The items whose operands from the list, and theirs in turn, are all read from registers.
fn independent_of_reductions(domains: &Domains, items: &[ItemId]) -> BTreeSet<ItemId> {
    let mut independent: BTreeSet<ItemId> = BTreeSet::new();
    for &id in items {
        let operands = domains.items.get(id).kind.operands();
        let mut listed = operands
            .iter()
            .filter(|operand| items.contains(&operand.item));
        if listed
            .all(|operand| independent.contains(&operand.item) && is_in_register(domains, operand))
        {
            independent.insert(id);
        }
    }
    independent
}

/// One nest for each domain of the independent items, narrow nests first.
fn narrow_first(domains: &Domains, items: &[ItemId], independent: &BTreeSet<ItemId>) -> Vec<Nest> {
    let mut nests: Vec<Nest> = Vec::new();
    for &id in items.iter().filter(|id| independent.contains(id)) {
        let axes = domains.domain(id);
        match nests.iter_mut().find(|nest| nest.axes == axes) {
            Some(nest) => nest.items.push(id),
            None => nests.push(Nest {
                axes,
                items: vec![id],
            }),
        }
    }
    // A loop that feeds a wider one has fewer axes, and so no more elements.
    nests.sort_by_key(|nest| (domains.elements(&nest.axes), nest.axes.len()));
    nests
}
