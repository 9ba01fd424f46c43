//! Turns the graph's nodes into items: views are resolved, sums of contractions are joined, and sums
//! over rows are split by tile.

use super::{
    NoiseSource,
    layout::{canonical, row_of},
    values::{Item, ItemId, Items, Kind, OperandView, ProductOf},
};
use crate::{
    id::Id,
    tensor::{Axes, Axis, AxisKind, Graph, Node, Op, Output, ReduceKind, Scalar, Window},
};

pub(super) fn run(graph: &Graph, noise: NoiseSource) -> Items {
    let (users, views) = (count_users(graph), vec![None; graph.nodes.len()]);
    let mut gathering = Gathering {
        graph,
        noise,
        users,
        views,
        items: Vec::new(),
        copies: Vec::new(),
    };
    // What is read within a sum of contractions becomes items with the sum's root, so every node is
    // viewed when it is first asked for.
    let wanted: Vec<Node> = gathering
        .graph
        .ids()
        .filter(|&node| gathering.is_root(node))
        .collect();
    for node in wanted {
        gathering.view(node);
    }
    let outputs = gathering.outputs();
    Items {
        items: gathering.items,
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
    // An output counts twice, for its value is wanted as it is.
    graph
        .outputs
        .iter()
        .for_each(|output| users[output.node.index()] += 2);
    users
}

struct Gathering<'a> {
    graph: &'a Graph,
    noise: NoiseSource,
    users: Vec<usize>,
    views: Vec<Option<OperandView>>,
    items: Vec<Item>,
    /// Values that were laid out otherwise for what reads them.
    copies: Vec<(OperandView, Vec<Id<Axis>>, ItemId)>,
}

impl Gathering<'_> {
    /// Whether the node is wanted for itself: not one inside a sum, which is wanted as a part of
    /// it.
    fn is_root(&self, node: Node) -> bool {
        let inner = matches!(
            self.graph.op(node),
            Op::Contract(..) | Op::Scalar(Scalar::Add, _)
        );
        !self.is_within_fold(node) && self.users[node.index()] > if inner { 1 } else { 0 }
    }

    /// Whether a fold is made with another, of other axes, which alone reads it.
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
        let used = match &data.op {
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
                let used = self.view(*value);
                used.renamed(&self.items[used.item.index()].axes, *from, *to)
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
        self.views[node.index()] = Some(used.clone());
        used
    }

    fn axes_of(&self, used: &OperandView) -> Axes {
        used.axes(&self.items[used.item.index()].axes)
    }

    /// A value read through a window.
    fn window(&mut self, value: Node, window: &Window, origin: usize) -> OperandView {
        let used = self.view(value);
        let item = &self.items[used.item.index()];
        // A position is no place in memory.
        let inline = matches!(item.kind, Kind::Iota(_));
        let read = if inline {
            None
        } else {
            used.through(self.graph, &item.axes, window)
        };
        read.unwrap_or_else(|| {
            let copy = self.copy(&used, &Axes::none(), origin);
            let read = copy.through(self.graph, &self.items[copy.item.index()].axes, window);
            read.expect("what is read as it is can be read through a window")
        })
    }

    /// A contraction. What is read through windows makes the rows of its result, or what has its
    /// outermost axis.
    fn products(&mut self, products: Vec<ProductOf>, axes: Axes, origin: usize) -> ItemId {
        let ProductOf {
            left,
            right,
            windows,
            ..
        } = &products[0];
        if !*windows {
            return self.push(Kind::Products(products), axes, origin);
        }
        let outermost = canonical(self.graph, axes.iter())[0];
        let first = match (self.is_laid(left), self.is_laid(right)) {
            (false, _) => left,
            (_, false) => right,
            _ if self.axes_of(left).contains(outermost) => left,
            _ => right,
        };
        let rows = axes.intersection(&self.axes_of(first));
        let columns = axes.minus(&rows);
        let order = [
            canonical(self.graph, rows.iter()),
            canonical(self.graph, columns.iter()),
        ]
        .concat();
        self.push_ordered(Kind::Products(products), order, origin)
    }

    fn is_laid(&self, used: &OperandView) -> bool {
        used.is_laid(&self.items[used.item.index()].axes)
    }

    /// A value in memory without gaps; of one that is the same for all rows and pixels, the axes
    /// that are summed over outermost.
    fn copy(&mut self, used: &OperandView, over: &Axes, origin: usize) -> OperandView {
        let axes = self.axes_of(used);
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
            .find(|(known, same, _)| known == used && *same == order)
        {
            return OperandView::direct(*copy);
        }
        let copy = self.push_ordered(Kind::Copy(used.clone()), order.clone(), origin);
        self.copies.push((used.clone(), order, copy));
        OperandView::direct(copy)
    }

    /// A product of operands that lie so that a contraction can read them: one of them may be read
    /// through windows, where that is more than there is in memory.
    fn product(&mut self, left: Node, right: Node, over: &Axes) -> ProductOf {
        let origin = self.graph.node(left).origin;
        let windows = [left, right].iter().any(|&node| self.is_window(node));
        let (mut left, mut right) = (self.view(left), self.view(right));
        let count = |gathering: &Self, used: &OperandView| {
            gathering.graph.elements(&gathering.axes_of(used))
        };
        let item_elements = |gathering: &Self, used: &OperandView| {
            gathering
                .graph
                .elements(&gathering.items[used.item.index()].axes)
        };
        for used in [&mut left, &mut right] {
            if !self.is_laid(used) && count(self, used) <= item_elements(self, used) {
                *used = self.copy(used, over, origin);
            }
        }
        if !self.is_laid(&left) && !self.is_laid(&right) {
            let smaller = if count(self, &left) < count(self, &right) {
                &mut left
            } else {
                &mut right
            };
            *smaller = self.copy(smaller, over, origin);
        }
        for used in [&mut left, &mut right] {
            if windows && self.is_laid(used) && !self.is_in_order(used, over) {
                *used = self.copy(used, over, origin);
            }
        }
        ProductOf {
            left,
            right,
            windows,
        }
    }

    /// Whether a value is one seen through a window.
    fn is_window(&self, node: Node) -> bool {
        match self.graph.op(node) {
            Op::Window(..) => true,
            Op::Rename(value, _, _) | Op::StopGradient(value) => self.is_window(*value),
            _ => false,
        }
    }

    /// Whether a value's axes lie in the usual order, those that are summed over side by side.
    fn is_in_order(&self, used: &OperandView, over: &Axes) -> bool {
        let item = &self.items[used.item.index()];
        let axes = item
            .order
            .clone()
            .unwrap_or_else(|| canonical(self.graph, item.axes.iter()));
        let axes: Vec<Id<Axis>> = axes
            .into_iter()
            .filter_map(|axis| used.called(axis))
            .collect();
        let (summed, free): (Vec<Id<Axis>>, Vec<Id<Axis>>) =
            axes.iter().copied().partition(|axis| over.contains(*axis));
        let sorted = |axes: &[Id<Axis>]| canonical(self.graph, axes.iter().copied()) == *axes;
        let together = axes == [summed.as_slice(), &free].concat()
            || axes == [free.as_slice(), &summed].concat();
        sorted(&summed) && sorted(&free) && together
    }

    /// A reduction; one over rows in two, by tile and over the tiles.
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
        let mut joined: Vec<(Axes, bool, Vec<ProductOf>)> = Vec::new();
        for leaf in leaves {
            let alone = self.users[leaf.index()] == 1;
            match self.graph.op(leaf).clone() {
                Op::Contract(left, right, over) if alone => {
                    let product = self.product(left, right, &over);
                    // Sums along the positions of windows are made in another way than others.
                    let (axes, windows) = (self.graph.axes_of(leaf), product.windows);
                    match joined
                        .iter_mut()
                        .find(|(known, same, _)| known == axes && *same == windows)
                    {
                        Some((_, _, products)) => products.push(product),
                        None => joined.push((axes.clone(), windows, vec![product])),
                    }
                }
                _ => terms.push(self.view(leaf)),
            }
        }
        for (axes, _, products) in joined {
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

    /// What a tree of additions adds, down to nodes that are read elsewhere too.
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

    /// An item for each output that is laid out as the output and belongs to it alone.
    fn outputs(&mut self) -> Vec<(Output, ItemId)> {
        let mut outputs: Vec<(Output, ItemId)> = Vec::new();
        for output in &self.graph.outputs {
            let used = self.view(output.node);
            let item = &self.items[used.item.index()];
            let wanted: Axes = output.axes.iter().copied().collect();
            let in_order = canonical(self.graph, wanted.iter()) == output.axes;
            let windows = match &item.kind {
                Kind::Products(products) => products.iter().any(|product| product.windows),
                _ => false,
            };
            let owned = used.is_plain()
                && (in_order || !windows)
                && item.axes == wanted
                && !item.kind.is_leaf()
                && !matches!(item.kind, Kind::Partial { .. })
                && outputs.iter().all(|(_, taken)| *taken != used.item);
            let item = match owned {
                true => used.item,
                false => {
                    let origin = self.graph.node(output.node).origin;
                    self.push_ordered(Kind::Copy(used), output.axes.clone(), origin)
                }
            };
            outputs.push((output.clone(), item));
        }
        outputs
    }
}
