//! The graph as the scheduler sees it: views resolved, sums of contractions joined, sums over rows
//! split by tile.
//!
//! An item's operands precede it.

use super::{NoiseSource, schedule::canonical, view::Use};
use crate::{
    id::Id,
    tensor::{
        Axes, Axis, AxisKind, Graph, Node, NoiseKind, Op, Output, Parameter, ReduceKind, Scalar,
        Window,
    },
};

pub(super) type ItemId = Id<Item>;

#[derive(Clone, Debug)]
pub(super) struct Item {
    pub kind: Kind,
    /// The axes of the value; those of a [`Kind::Partial`] are without its `row`, whose tiles stand
    /// for it.
    pub axes: Axes,
    /// How they lie in memory, outermost first, if not in the usual order.
    pub order: Option<Vec<Id<Axis>>>,
    pub origin: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    // Leaves: known before the first kernel.
    Constant(f64),
    Input(String),
    Parameter(Id<Parameter>),
    // Computed in loops.
    Noise(String, NoiseKind),
    Iota(Id<Axis>),
    Scalar(Scalar, Vec<Use>),
    OneHot(Use, Id<Axis>),
    /// Over the axes that the value has and the result lacks.
    Reduce(ReduceKind, Use),
    /// A reduction over the tile axis `row`, and others maybe: one result for each tile.
    Partial {
        kind: ReduceKind,
        value: Use,
        row: Id<Axis>,
    },
    /// The partial results of that item, reduced.
    Combine(ReduceKind, ItemId),
    /// A value laid out otherwise.
    Copy(Use),
    /// Several axes of a value as one, each place of which they name once; maybe others as another.
    Merge(Use, Vec<Window>),
    // A kernel's contraction: the sum of products.
    Products(Vec<ProductOf>),
}

#[derive(Clone, Debug)]
pub(super) struct ProductOf {
    pub left: Use,
    pub right: Use,
    /// Whether one of them is seen through windows.
    pub windows: bool,
}

pub(super) struct Items {
    pub items: Vec<Item>,
    /// The item that each output is read from; its buffer is the output's.
    pub outputs: Vec<(Output, ItemId)>,
}

impl Items {
    pub fn get(&self, id: ItemId) -> &Item {
        &self.items[id.index()]
    }

    pub fn ids(&self) -> impl DoubleEndedIterator<Item = ItemId> + Clone + use<> {
        (0..self.items.len()).map(Id::new)
    }

    pub fn push(&mut self, item: Item) -> ItemId {
        self.items.push(item);
        Id::new(self.items.len() - 1)
    }

    /// Has an elementwise item read another operand.
    pub fn replace(&mut self, id: ItemId, operand: ItemId, other: ItemId) {
        if let Kind::Scalar(_, uses) = &mut self.items[id.index()].kind {
            uses.iter_mut()
                .filter(|used| used.item == operand)
                .for_each(|used| used.item = other);
        }
    }
}

impl Kind {
    pub fn uses(&self) -> Vec<Use> {
        match self {
            Kind::Constant(_)
            | Kind::Input(_)
            | Kind::Parameter(_)
            | Kind::Noise(..)
            | Kind::Iota(_) => Vec::new(),
            Kind::Scalar(_, uses) => uses.clone(),
            Kind::OneHot(value, _)
            | Kind::Reduce(_, value)
            | Kind::Copy(value)
            | Kind::Merge(value, _) => {
                vec![value.clone()]
            }
            Kind::Partial { value, .. } => vec![value.clone()],
            Kind::Combine(_, partial) => vec![Use::of(*partial)],
            Kind::Products(products) => products
                .iter()
                .flat_map(|product| [product.left.clone(), product.right.clone()])
                .collect(),
        }
    }

    pub fn is_leaf(&self) -> bool {
        matches!(
            self,
            Kind::Constant(_) | Kind::Input(_) | Kind::Parameter(_)
        )
    }
}

/// The row axis among these, if there is one: values of one case have one.
pub(super) fn row_of(graph: &Graph, axes: &Axes) -> Option<Id<Axis>> {
    axes.iter()
        .find(|&axis| graph.axis(axis).kind == AxisKind::Row)
}

pub(super) fn gather(graph: &Graph, noise: NoiseSource) -> Items {
    let (users, made) = (count_users(graph), vec![None; graph.nodes.len()]);
    let mut gathering = Gathering {
        graph,
        noise,
        users,
        made,
        items: Vec::new(),
        copies: Vec::new(),
    };
    // What is read within a sum of contractions is made with the sum's root; so every node is made
    // when first asked for.
    let wanted: Vec<Node> = gathering
        .graph
        .ids()
        .filter(|&node| gathering.is_root(node))
        .collect();
    for node in wanted {
        gathering.make(node);
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
    made: Vec<Option<Use>>,
    items: Vec<Item>,
    /// Values that were laid out otherwise for what reads them.
    copies: Vec<(Use, Vec<Id<Axis>>, ItemId)>,
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

    fn make(&mut self, node: Node) -> Use {
        if let Some(made) = &self.made[node.index()] {
            return made.clone();
        }
        let data = self.graph.node(node).clone();
        let (axes, origin) = (data.axes.clone(), data.origin);
        let used = match &data.op {
            Op::Constant(bits) => {
                Use::of(self.push(Kind::Constant(f64::from_bits(*bits)), axes, origin))
            }
            Op::Input { name, .. } => Use::of(self.push(Kind::Input(name.clone()), axes, origin)),
            Op::Noise { name, kind, .. } => {
                let kind = match self.noise {
                    NoiseSource::Given => Kind::Input(name.clone()),
                    NoiseSource::Generated => Kind::Noise(name.clone(), *kind),
                };
                Use::of(self.push(kind, axes, origin))
            }
            Op::Parameter(parameter) => {
                let order = self.graph.parameter(*parameter).axes.clone();
                Use::of(self.push_ordered(Kind::Parameter(*parameter), order, origin))
            }
            Op::Iota(axis) => Use::of(self.push(Kind::Iota(*axis), axes, origin)),
            Op::StopGradient(value) => self.make(*value),
            Op::Rename(value, from, to) => {
                let used = self.make(*value);
                used.renamed(&self.items[used.item.index()].axes, *from, *to)
            }
            Op::Window(value, window) => self.window(*value, window, origin),
            Op::Fold(value, window) => {
                let mut windows = vec![window.clone()];
                let value = match self.graph.op(*value) {
                    Op::Fold(inner, first) if self.is_within_fold(*value) => {
                        windows.push(first.clone());
                        self.make(*inner)
                    }
                    _ => self.make(*value),
                };
                Use::of(self.push(Kind::Merge(value, windows), axes, origin))
            }
            Op::OneHot(value, axis) => {
                let value = self.make(*value);
                Use::of(self.push(Kind::OneHot(value, *axis), axes, origin))
            }
            Op::Reduce(kind, value, over) => self.reduction(*kind, *value, over, axes, origin),
            Op::Contract(left, right, over) => {
                let product = self.product(*left, *right, over);
                Use::of(self.products(vec![product], axes, origin))
            }
            Op::Scalar(Scalar::Add, _) => self.sum(node),
            Op::Scalar(scalar, operands) => {
                let uses = operands.iter().map(|&operand| self.make(operand)).collect();
                Use::of(self.push(Kind::Scalar(*scalar, uses), axes, origin))
            }
        };
        self.made[node.index()] = Some(used.clone());
        used
    }

    fn axes_of(&self, used: &Use) -> Axes {
        used.axes(&self.items[used.item.index()].axes)
    }

    /// A value read through a window.
    fn window(&mut self, value: Node, window: &Window, origin: usize) -> Use {
        let used = self.make(value);
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

    fn is_laid(&self, used: &Use) -> bool {
        used.is_laid(&self.items[used.item.index()].axes)
    }

    /// A value in memory without gaps; of one that is the same for all rows and pixels, the axes
    /// that are summed over outermost.
    fn copy(&mut self, used: &Use, over: &Axes, origin: usize) -> Use {
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
            return Use::of(*copy);
        }
        let copy = self.push_ordered(Kind::Copy(used.clone()), order.clone(), origin);
        self.copies.push((used.clone(), order, copy));
        Use::of(copy)
    }

    /// A product of operands that lie so that a contraction can read them: one of them may be read
    /// through windows, where that is more than there is in memory.
    fn product(&mut self, left: Node, right: Node, over: &Axes) -> ProductOf {
        let origin = self.graph.node(left).origin;
        let windows = [left, right].iter().any(|&node| self.is_window(node));
        let (mut left, mut right) = (self.make(left), self.make(right));
        let count =
            |gathering: &Self, used: &Use| gathering.graph.elements(&gathering.axes_of(used));
        let own = |gathering: &Self, used: &Use| {
            gathering
                .graph
                .elements(&gathering.items[used.item.index()].axes)
        };
        for used in [&mut left, &mut right] {
            if !self.is_laid(used) && count(self, used) <= own(self, used) {
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
    fn is_in_order(&self, used: &Use, over: &Axes) -> bool {
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
    ) -> Use {
        let value = self.make(value);
        let Some(row) = row_of(self.graph, over) else {
            return Use::of(self.push(Kind::Reduce(kind, value), axes, origin));
        };
        let partial = self.push(Kind::Partial { kind, value, row }, axes.clone(), origin);
        Use::of(self.push(Kind::Combine(kind, partial), axes, origin))
    }

    /// A tree of additions: contractions with equal axes become one, and narrow terms are added
    /// before wide ones.
    fn sum(&mut self, root: Node) -> Use {
        let mut leaves = Vec::new();
        self.leaves(root, true, &mut leaves);
        let origin = self.graph.node(root).origin;
        let mut terms: Vec<Use> = Vec::new();
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
                _ => terms.push(self.make(leaf)),
            }
        }
        for (axes, _, products) in joined {
            terms.push(Use::of(self.products(products, axes, origin)));
        }
        terms.sort_by_key(|term| self.axes_of(term).len());
        let mut terms = terms.into_iter();
        let first = terms.next().expect("an addition has terms");
        terms.fold(first, |sum, term| {
            let axes = self.axes_of(&sum).union(&self.axes_of(&term));
            Use::of(self.push(Kind::Scalar(Scalar::Add, vec![sum, term]), axes, origin))
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
            let used = self.make(output.node);
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
