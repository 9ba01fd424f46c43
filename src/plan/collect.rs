//! Collects the items of a graph: renamed axes and windows become operand views, contractions that are
//! added become one item, and reductions over rows are split by tile.

use super::{
    NoiseSource,
    layout::{canonical, row_of},
    values::{Item, ItemId, Items, Kind, OperandView, ProductOperands},
};
use crate::{
    id::Id,
    tensor::{Axes, Axis, AxisKind, Graph, Node, Op, Output, ReduceKind, Scalar, Window},
};

pub(super) fn run(graph: &Graph, noise: NoiseSource) -> Items {
    let (users, views) = (count_users(graph), vec![None; graph.nodes.len()]);
    let mut collector = Collector {
        graph,
        noise,
        users,
        views,
        items: Vec::new(),
        copies: Vec::new(),
    };
    // The terms of a sum become part of the sum's item, so nodes are visited on demand, from these.
    let roots: Vec<Node> = collector
        .graph
        .ids()
        .filter(|&node| collector.is_root(node))
        .collect();
    for node in roots {
        collector.view(node);
    }
    let outputs = collector.outputs();
    Items {
        items: collector.items,
        outputs,
    }
}

fn count_users(graph: &Graph) -> Vec<usize> {
    let mut users = vec![0; graph.nodes.len()];
    graph
        .nodes
        .iter()
        .flat_map(|data| data.op.operands())
        .for_each(|operand| users[operand.index()] += 1);
    // An output counts twice, so that it is never merged into its only reader.
    graph
        .outputs
        .iter()
        .for_each(|output| users[output.node.index()] += 2);
    users
}

struct Collector<'a> {
    graph: &'a Graph,
    noise: NoiseSource,
    users: Vec<usize>,
    views: Vec<Option<OperandView>>,
    items: Vec<Item>,
    /// Copies of values in another memory order, by value and order.
    copies: Vec<(OperandView, Vec<Id<Axis>>, ItemId)>,
}

impl Collector<'_> {
    /// Whether a node gets an item for itself. A term of a sum is part of the sum's item.
    fn is_root(&self, node: Node) -> bool {
        let inner = matches!(
            self.graph.op(node),
            Op::Contract(..) | Op::Scalar(Scalar::Add, _)
        );
        !self.is_within_fold(node) && self.users[node.index()] > if inner { 1 } else { 0 }
    }

    /// Whether a fold is computed together with its only reader, a fold over other axes.
    fn is_within_fold(&self, node: Node) -> bool {
        self.users[node.index()] == 1
            && matches!(self.graph.op(node), Op::Fold(inner, _) if !matches!(self.graph.op(*inner), Op::Fold(..)))
            && self.graph.nodes[node.index()..]
                .iter()
                .any(|data| match &data.op {
                    Op::Fold(value, window) if *value == node => {
                        let Op::Fold(_, first) = self.graph.op(node) else {
                            return false;
                        };
                        window.terms.iter().all(|(axis, _)| *axis != first.axis)
                    }
                    _ => false,
                })
    }

    fn push(&mut self, kind: Kind, axes: Axes, origin: usize) -> ItemId {
        self.items.push(Item {
            kind,
            axes,
            order: None,
            origin,
        });
        Id::new(self.items.len() - 1)
    }

    fn push_ordered(&mut self, kind: Kind, order: Vec<Id<Axis>>, origin: usize) -> ItemId {
        self.items.push(Item {
            kind,
            axes: order.iter().copied().collect(),
            order: Some(order),
            origin,
        });
        Id::new(self.items.len() - 1)
    }

    fn view(&mut self, node: Node) -> OperandView {
        if let Some(view) = &self.views[node.index()] {
            return view.clone();
        }
        let data = self.graph.node(node).clone();
        let (axes, origin) = (data.axes.clone(), data.origin);
        let view = match &data.op {
            Op::Constant(bits) => {
                OperandView::direct(self.push(Kind::Constant(f64::from_bits(*bits)), axes, origin))
            }
            Op::Input { name, .. } => {
                OperandView::direct(self.push(Kind::Input(name.clone()), axes, origin))
            }
            Op::Noise { name, kind, .. } => {
                let kind = match self.noise {
                    NoiseSource::Given => Kind::Input(name.clone()),
                    NoiseSource::Generated => Kind::Noise(name.clone(), *kind),
                };
                OperandView::direct(self.push(kind, axes, origin))
            }
            Op::Parameter(parameter) => {
                let order = self.graph.parameter(*parameter).axes.clone();
                OperandView::direct(self.push_ordered(Kind::Parameter(*parameter), order, origin))
            }
            Op::Iota(axis) => OperandView::direct(self.push(Kind::Iota(*axis), axes, origin)),
            Op::StopGradient(value) => self.view(*value),
            Op::Rename(value, from, to) => {
                let view = self.view(*value);
                view.renamed(&self.items[view.item.index()].axes, *from, *to)
            }
            Op::Window(value, window) => self.window(*value, window, origin),
            Op::Fold(value, window) => {
                let mut windows = vec![window.clone()];
                let value = match self.graph.op(*value) {
                    Op::Fold(inner, first) if self.is_within_fold(*value) => {
                        windows.push(first.clone());
                        self.view(*inner)
                    }
                    _ => self.view(*value),
                };
                OperandView::direct(self.push(Kind::Merge(value, windows), axes, origin))
            }
            Op::OneHot(value, axis) => {
                let value = self.view(*value);
                OperandView::direct(self.push(Kind::OneHot(value, *axis), axes, origin))
            }
            Op::Reduce(kind, value, over) => self.reduction(*kind, *value, over, axes, origin),
            Op::Contract(left, right, over) => {
                let product = self.product(*left, *right, over);
                OperandView::direct(self.products(vec![product], axes, origin))
            }
            Op::Scalar(Scalar::Add, _) => self.sum(node),
            Op::Scalar(scalar, operands) => {
                let uses = operands.iter().map(|&operand| self.view(operand)).collect();
                OperandView::direct(self.push(Kind::Scalar(*scalar, uses), axes, origin))
            }
        };
        self.views[node.index()] = Some(view.clone());
        view
    }

    fn axes_of(&self, view: &OperandView) -> Axes {
        view.axes(&self.items[view.item.index()].axes)
    }

    /// A value read through a window.
    fn window(&mut self, value: Node, window: &Window, origin: usize) -> OperandView {
        let view = self.view(value);
        let item = &self.items[view.item.index()];
        // Positions are not in memory, so no window can read them.
        let inline = matches!(item.kind, Kind::Iota(_));
        let read = if inline {
            None
        } else {
            view.through(self.graph, &item.axes, window)
        };
        read.unwrap_or_else(|| {
            let copy = self.copy(&view, &Axes::none(), origin);
            let read = copy.through(self.graph, &self.items[copy.item.index()].axes, window);
            read.expect("a plain operand can be read through a window")
        })
    }

    /// A contraction. The operand that is read through windows makes the rows of the result. If there
    /// is none, the operand with the outermost axis does.
    fn products(&mut self, products: Vec<ProductOperands>, axes: Axes, origin: usize) -> ItemId {
        let ProductOperands {
            left,
            right,
            windows,
            ..
        } = &products[0];
        if !*windows {
            return self.push(Kind::Products(products), axes, origin);
        }
        let outermost = canonical(self.graph, axes.iter())[0];
        let row_operand = match (self.is_strided(left), self.is_strided(right)) {
            (false, _) => left,
            (_, false) => right,
            _ if self.axes_of(left).contains(outermost) => left,
            _ => right,
        };
        let rows = axes.intersection(&self.axes_of(row_operand));
        let columns = axes.minus(&rows);
        let order = [
            canonical(self.graph, rows.iter()),
            canonical(self.graph, columns.iter()),
        ]
        .concat();
        self.push_ordered(Kind::Products(products), order, origin)
    }

    fn is_strided(&self, view: &OperandView) -> bool {
        view.is_strided(&self.items[view.item.index()].axes)
    }

    /// A copy of a value without gaps, in the canonical order of axes. A value without batch and
    /// position axes, such as a weight, gets the axes that are summed over outermost.
    fn copy(&mut self, view: &OperandView, over: &Axes, origin: usize) -> OperandView {
        let axes = self.axes_of(view);
        let many = axes
            .iter()
            .any(|axis| self.graph.axis(axis).kind <= AxisKind::Position);
        let summed = if many {
            Axes::none()
        } else {
            axes.intersection(over)
        };
        let free = axes.minus(&summed);
        let order = [
            canonical(self.graph, summed.iter()),
            canonical(self.graph, free.iter()),
        ]
        .concat();
        if let Some((_, _, copy)) = self
            .copies
            .iter()
            .find(|(value, copied, _)| value == view && *copied == order)
        {
            return OperandView::direct(*copy);
        }
        let copy = self.push_ordered(Kind::Copy(view.clone()), order.clone(), origin);
        self.copies.push((view.clone(), order, copy));
        OperandView::direct(copy)
    }

    /// A product of operands that a contraction can read. At most one of them is read through
    /// windows, and only if the windows show more elements than the item has. Otherwise a copy is no
    /// larger, and quicker to read.
    fn product(&mut self, left: Node, right: Node, over: &Axes) -> ProductOperands {
        let origin = self.graph.node(left).origin;
        let windows = [left, right].iter().any(|&node| self.is_window(node));
        let (mut left, mut right) = (self.view(left), self.view(right));
        let count = |collector: &Self, view: &OperandView| {
            collector.graph.elements(&collector.axes_of(view))
        };
        let item_elements = |collector: &Self, view: &OperandView| {
            collector
                .graph
                .elements(&collector.items[view.item.index()].axes)
        };
        for view in [&mut left, &mut right] {
            if !self.is_strided(view) && count(self, view) <= item_elements(self, view) {
                *view = self.copy(view, over, origin);
            }
        }
        if !self.is_strided(&left) && !self.is_strided(&right) {
            let smaller = if count(self, &left) < count(self, &right) {
                &mut left
            } else {
                &mut right
            };
            *smaller = self.copy(smaller, over, origin);
        }
        for view in [&mut left, &mut right] {
            if windows && self.is_strided(view) && !self.is_in_order(view, over) {
                *view = self.copy(view, over, origin);
            }
        }
        ProductOperands {
            left,
            right,
            windows,
        }
    }

    /// Whether a node is a window, apart from renamed axes.
    fn is_window(&self, node: Node) -> bool {
        match self.graph.op(node) {
            Op::Window(..) => true,
            Op::Rename(value, _, _) | Op::StopGradient(value) => self.is_window(*value),
            _ => false,
        }
    }

    /// Whether the axes that are summed over lie side by side in memory, the free axes too, and both
    /// groups in the canonical order.
    fn is_in_order(&self, view: &OperandView, over: &Axes) -> bool {
        let item = &self.items[view.item.index()];
        let axes = item
            .order
            .clone()
            .unwrap_or_else(|| canonical(self.graph, item.axes.iter()));
        let axes: Vec<Id<Axis>> = axes
            .into_iter()
            .filter_map(|axis| view.reader_axis(axis))
            .collect();
        let (summed, free): (Vec<Id<Axis>>, Vec<Id<Axis>>) =
            axes.iter().copied().partition(|axis| over.contains(*axis));
        let sorted = |axes: &[Id<Axis>]| canonical(self.graph, axes.iter().copied()) == *axes;
        let are_adjacent = axes == [summed.as_slice(), &free].concat()
            || axes == [free.as_slice(), &summed].concat();
        sorted(&summed) && sorted(&free) && are_adjacent
    }

    /// A reduction. One over rows takes two steps: within each tile, then over the tiles.
    fn reduction(
        &mut self,
        kind: ReduceKind,
        value: Node,
        over: &Axes,
        axes: Axes,
        origin: usize,
    ) -> OperandView {
        let value = self.view(value);
        let Some(row) = row_of(self.graph, over) else {
            return OperandView::direct(self.push(Kind::Reduce(kind, value), axes, origin));
        };
        let partial = self.push(Kind::Partial { kind, value, row }, axes.clone(), origin);
        OperandView::direct(self.push(Kind::Combine(kind, partial), axes, origin))
    }

    /// A tree of additions: contractions with equal axes become one, and narrow terms are added
    /// before wide ones.
    fn sum(&mut self, root: Node) -> OperandView {
        let mut leaves = Vec::new();
        self.leaves(root, true, &mut leaves);
        let origin = self.graph.node(root).origin;
        let mut terms: Vec<OperandView> = Vec::new();
        let mut contractions: Vec<(Axes, bool, Vec<ProductOperands>)> = Vec::new();
        for leaf in leaves {
            let read_once = self.users[leaf.index()] == 1;
            match self.graph.op(leaf).clone() {
                Op::Contract(left, right, over) if read_once => {
                    let product = self.product(left, right, &over);
                    // A kernel sums along positions of windows in another way than along other axes.
                    let (axes, windows) = (self.graph.axes_of(leaf), product.windows);
                    match contractions.iter_mut().find(|(sum_axes, in_windows, _)| {
                        sum_axes == axes && *in_windows == windows
                    }) {
                        Some((_, _, products)) => products.push(product),
                        None => contractions.push((axes.clone(), windows, vec![product])),
                    }
                }
                _ => terms.push(self.view(leaf)),
            }
        }
        for (axes, _, products) in contractions {
            terms.push(OperandView::direct(self.products(products, axes, origin)));
        }
        terms.sort_by_key(|term| self.axes_of(term).len());
        let mut terms = terms.into_iter();
        let first = terms.next().expect("an addition has terms");
        terms.fold(first, |sum, term| {
            let axes = self.axes_of(&sum).union(&self.axes_of(&term));
            OperandView::direct(self.push(Kind::Scalar(Scalar::Add, vec![sum, term]), axes, origin))
        })
    }

    /// The terms of a tree of additions. A sum that is also read elsewhere is one term.
    fn leaves(&self, node: Node, root: bool, leaves: &mut Vec<Node>) {
        match self.graph.op(node) {
            Op::Scalar(Scalar::Add, operands) if root || self.users[node.index()] == 1 => {
                operands
                    .iter()
                    .for_each(|&operand| self.leaves(operand, false, leaves));
            }
            _ => leaves.push(node),
        }
    }

    /// For each output, an item that has its memory order and belongs to no other output.
    fn outputs(&mut self) -> Vec<(Output, ItemId)> {
        let mut outputs: Vec<(Output, ItemId)> = Vec::new();
        for output in &self.graph.outputs {
            let view = self.view(output.node);
            let item = &self.items[view.item.index()];
            let output_axes: Axes = output.axes.iter().copied().collect();
            let order = canonical(self.graph, output_axes.iter());
            // Whether the item's kernel can write the output's order.
            let fits_order = match &item.kind {
                Kind::Products(products) => {
                    order == output.axes || products.iter().all(|product| !product.windows)
                }
                // A reduction walks its result along neighbours. The gradient of a parameter with an
                // element for each pixel is in another order: [channel, height, width].
                Kind::Reduce(..) | Kind::Combine(..) => order.last() == output.axes.last(),
                _ => true,
            };
            let is_exclusive = view.is_plain()
                && fits_order
                && item.axes == output_axes
                && !item.kind.is_leaf()
                && !matches!(item.kind, Kind::Partial { .. })
                && outputs.iter().all(|(_, taken)| *taken != view.item);
            let item = match is_exclusive {
                true => view.item,
                false => {
                    let origin = self.graph.node(output.node).origin;
                    self.push_ordered(Kind::Copy(view), output.axes.clone(), origin)
                }
            };
            outputs.push((output.clone(), item));
        }
        outputs
    }
}
