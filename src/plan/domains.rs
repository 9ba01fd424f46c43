//! The loop domain of each item: the axes that it is computed over, outermost first.
//!
//! A sum by tile adds an axis that counts the tiles. Such axes follow the graph's.

use super::{
    Tile,
    layout::{canonical, layout},
    values::{ItemId, Items, Kind, OperandView},
};
use crate::{
    id::Id,
    tensor::{Axes, Axis, AxisKind, Graph},
};
use std::collections::BTreeMap;

/// Items with the axes of their loops.
pub(super) struct Domains<'a> {
    pub graph: &'a Graph,
    pub items: &'a Items,
    /// The graph's axes, then those that count tiles.
    pub axes: Vec<Axis>,
    /// For each sum by tile: the tiles of its kernel, and the axis that counts them.
    pub tiles: BTreeMap<ItemId, (Tile, Id<Axis>)>,
}

impl<'a> Domains<'a> {
    pub fn new(graph: &'a Graph, items: &'a Items) -> Self {
        Domains {
            graph,
            items,
            axes: graph.axes.clone(),
            tiles: BTreeMap::new(),
        }
    }

    pub fn size(&self, axis: Id<Axis>) -> usize {
        self.axes[axis.index()].size
    }

    /// The number of elements over some axes.
    pub fn elements(&self, axes: &[Id<Axis>]) -> usize {
        axes.iter().map(|&axis| self.size(axis)).product()
    }

    /// The axes of an operand, as its reader names them.
    pub fn operand_axes(&self, operand: &OperandView) -> Axes {
        operand.axes(&self.items.get(operand.item).axes)
    }

    /// The axes that an item is computed over, outermost first.
    pub fn domain(&self, id: ItemId) -> Vec<Id<Axis>> {
        match &self.items.get(id).kind {
            Kind::Reduce(_, value) | Kind::Partial { value, .. } | Kind::Merge(value, _) => {
                canonical(self.graph, self.operand_axes(value).iter())
            }
            Kind::Combine(_, partial) => {
                let (_, tile_axis) = self.tiles[partial];
                let result = canonical(self.graph, self.items.get(*partial).axes.iter());
                [vec![tile_axis], result].concat()
            }
            Kind::Copy(_) => self.copy_domain(layout(self.graph, self.items, id)),
            _ => canonical(self.graph, self.items.get(id).axes.iter()),
        }
    }

    /// A copy walks its result in memory order. With an axis within a window it walks the canonical
    /// order instead: windows are short, and the canonical order has a long innermost axis.
    fn copy_domain(&self, layout: Vec<Id<Axis>>) -> Vec<Id<Axis>> {
        let is_window = |axis: &Id<Axis>| self.graph.axis(*axis).kind == AxisKind::Window;
        match layout.iter().any(is_window) {
            true => canonical(self.graph, layout.into_iter()),
            false => layout,
        }
    }
}
