//! Tiling: how many ranges a kernel's tile axis is split into.

use super::{
    Tile,
    domains::Domains,
    fuse::Slot,
    layout::layout,
    values::{ItemId, Kind, ProductOperands},
};
use crate::{
    id::Id,
    tensor::{Axis, AxisKind},
};

/// Elements of an elementwise loop that count as one row of a matrix.
const ELEMENTS_PER_ROW: usize = 512;

/// Chooses the tiles of a kernel, and gives its sums by tile an axis that counts them.
pub(super) fn choose(domains: &mut Domains, slot: &Slot) -> Option<Tile> {
    let tile = tile(domains, slot)?;
    for &item in slot.prologue.iter().chain(&slot.epilogue) {
        if let Kind::Partial { .. } = domains.items.get(item).kind {
            let axis = tile_axis(&mut domains.axes, tile.count);
            domains.tiles.insert(item, (tile, axis));
        }
    }
    Some(tile)
}

/// The axis that counts tiles, added if there is none of that size.
fn tile_axis(axes: &mut Vec<Axis>, count: usize) -> Id<Axis> {
    let axis = Axis {
        name: "tile".to_string(),
        size: count,
        kind: AxisKind::Row,
    };
    let found = axes.iter().position(|other| *other == axis);
    Id::new(found.unwrap_or_else(|| {
        axes.push(axis);
        axes.len() - 1
    }))
}

fn tile(domains: &Domains, slot: &Slot) -> Option<Tile> {
    let axis = slot.tile?;
    let length = domains.graph.axis(axis).size;
    let rows = match slot.contraction {
        Some(id) => rows_per_index(domains, id, axis) * length,
        None => {
            let elements = |&id: &ItemId| domains.elements(&domains.domain(id));
            slot.prologue.iter().map(elements).max().unwrap_or(0) / ELEMENTS_PER_ROW
        }
    };
    let (size, count) = split(length, rows);
    Some(Tile {
        axis,
        length,
        size,
        count,
    })
}

/// Rows of a contraction's matrix for each index of its tile axis.
fn rows_per_index(domains: &Domains, id: ItemId, tile: Id<Axis>) -> usize {
    let Kind::Products(products) = &domains.items.get(id).kind else {
        unreachable!("a contraction has products")
    };
    let ProductOperands { left, right, .. } = &products[0];
    let left = [left, right]
        .into_iter()
        .map(|operand| domains.operand_axes(operand))
        .find(|axes| axes.contains(tile))
        .expect("one operand has the tile axis");
    layout(domains.graph, domains.items, id)
        .iter()
        .filter(|axis| left.contains(**axis) && **axis != tile)
        .map(|&axis| domains.size(axis))
        .product()
}

/// The size and number of the ranges that an axis is split into, for `rows` rows of a matrix.
fn split(length: usize, rows: usize) -> (usize, usize) {
    debug_assert!(length > 0, "an axis has positions");
    // About 128 rows keep a tile in the second-level cache; a power of two divides evenly among
    // cores.
    let wanted = (rows / 96)
        .max(1)
        .next_power_of_two()
        .max(if rows >= 48 { 2 } else { 1 });
    let size = length.div_ceil(wanted.min(length));
    (size, length.div_ceil(size))
}
