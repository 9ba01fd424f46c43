//! The order of a value's axes in memory. The canonical order is by kind: rows, samples, classes,
//! positions, windows, features. An output or an item may have another.

use super::values::{ItemId, Items};
use crate::{
    id::Id,
    tensor::{Axes, Axis, AxisKind, Graph},
};

/// The axes of an item's buffer, outermost first: the output's order, the item's or the canonical one.
pub(super) fn layout(graph: &Graph, items: &Items, item: ItemId) -> Vec<Id<Axis>> {
    if let Some((output, _)) = items.outputs.iter().find(|(_, owner)| *owner == item) {
        return output.axes.clone();
    }
    let item = items.get(item);
    item.order
        .clone()
        .unwrap_or_else(|| canonical(graph, item.axes.iter()))
}

/// Some axes in the canonical order, outermost first.
pub(super) fn canonical(graph: &Graph, axes: impl Iterator<Item = Id<Axis>>) -> Vec<Id<Axis>> {
    let mut axes: Vec<Id<Axis>> = axes.collect();
    axes.sort_by_key(|&axis| (graph.axis(axis).kind, axis));
    axes
}

/// The row axis among these, if there is one. A value has at most one.
pub(super) fn row_of(graph: &Graph, axes: &Axes) -> Option<Id<Axis>> {
    axes.iter()
        .find(|&axis| graph.axis(axis).kind == AxisKind::Row)
}
