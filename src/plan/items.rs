//! The graph as the scheduler sees it: views resolved, sums of contractions joined, sums over rows split by tile.
//!
//! An item's operands precede it.

use super::NoiseSource;
use crate::{
    id::Id,
    tensor::{Axes, Axis, AxisKind, Graph, Node, NoiseKind, Op, Output, Parameter, ReduceKind, Scalar},
};

pub(super) type ItemId = Id<Item>;

#[derive(Clone, Debug)]
pub(super) struct Item {
    pub kind: Kind,
    /// The axes of the value; those of a [`Kind::Partial`] are without its `row`, whose tiles stand for it.
    pub axes: Axes,
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
    /// A value laid out as an output wants it.
    Copy(Use),
    // A kernel's contraction: the sum of products.
    Products(Vec<ProductOf>),
}

/// Left, right, and the axes that are summed over.
pub(super) type ProductOf = (Use, Use, Axes);

/// A value as an operand, with some of its axes called otherwise: `(of the item, as used)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    pub item: ItemId,
    pub renamed: Vec<(Id<Axis>, Id<Axis>)>,
}

impl Use {
    pub fn of(item: ItemId) -> Self {
        Use { item, renamed: Vec::new() }
    }

    /// The item's axis that is called `axis` here.
    pub fn original(&self, axis: Id<Axis>) -> Option<Id<Axis>> {
        if let Some((original, _)) = self.renamed.iter().find(|(_, used)| *used == axis) {
            return Some(*original);
        }
        let hidden = self.renamed.iter().any(|(original, _)| *original == axis);
        (!hidden).then_some(axis)
    }

    /// What an axis of the item is called here.
    pub fn called(&self, axis: Id<Axis>) -> Id<Axis> {
        self.renamed.iter().find(|(original, _)| *original == axis).map_or(axis, |(_, used)| *used)
    }
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

    pub fn ids(&self) -> impl DoubleEndedIterator<Item = ItemId> + use<> {
        (0..self.items.len()).map(Id::new)
    }
}

impl Kind {
    pub fn uses(&self) -> Vec<Use> {
        match self {
            Kind::Constant(_) | Kind::Input(_) | Kind::Parameter(_) | Kind::Noise(..) | Kind::Iota(_) => Vec::new(),
            Kind::Scalar(_, uses) => uses.clone(),
            Kind::OneHot(value, _) | Kind::Reduce(_, value) | Kind::Copy(value) => vec![value.clone()],
            Kind::Partial { value, .. } => vec![value.clone()],
            Kind::Combine(_, partial) => vec![Use::of(*partial)],
            Kind::Products(products) => {
                products.iter().flat_map(|(left, right, _)| [left.clone(), right.clone()]).collect()
            }
        }
    }

    pub fn is_leaf(&self) -> bool {
        matches!(self, Kind::Constant(_) | Kind::Input(_) | Kind::Parameter(_))
    }
}

/// The row axis among these, if there is one: values of one case have one.
pub(super) fn row_of(graph: &Graph, axes: &Axes) -> Option<Id<Axis>> {
    axes.iter().find(|&axis| graph.axis(axis).kind == AxisKind::Row)
}

pub(super) fn gather(graph: &Graph, noise: NoiseSource) -> Items {
    let mut gathering =
        Gathering { graph, noise, users: count_users(graph), made: vec![None; graph.nodes.len()], items: Vec::new() };
    // What is read within a sum of contractions is made with the sum's root; so every node is made when first asked for.
    let wanted: Vec<Node> = gathering.graph.ids().filter(|&node| gathering.is_root(node)).collect();
    for node in wanted {
        gathering.make(node);
    }
    let outputs = gathering.outputs();
    Items { items: gathering.items, outputs }
}

fn count_users(graph: &Graph) -> Vec<usize> {
    let mut users = vec![0; graph.nodes.len()];
    graph.nodes.iter().flat_map(|data| data.op.operands()).for_each(|operand| users[operand.index()] += 1);
    // An output counts twice, for its value is wanted as it is.
    graph.outputs.iter().for_each(|output| users[output.node.index()] += 2);
    users
}

struct Gathering<'a> {
    graph: &'a Graph,
    noise: NoiseSource,
    users: Vec<usize>,
    made: Vec<Option<Use>>,
    items: Vec<Item>,
}

impl Gathering<'_> {
    /// Whether the node is wanted for itself: not one inside a sum, which is wanted as a part of it.
    fn is_root(&self, node: Node) -> bool {
        let inner = matches!(self.graph.op(node), Op::Contract(..) | Op::Scalar(Scalar::Add, _));
        self.users[node.index()] > if inner { 1 } else { 0 }
    }

    fn push(&mut self, kind: Kind, axes: Axes, origin: usize) -> ItemId {
        self.items.push(Item { kind, axes, origin });
        Id::new(self.items.len() - 1)
    }

    fn make(&mut self, node: Node) -> Use {
        if let Some(made) = &self.made[node.index()] {
            return made.clone();
        }
        let data = self.graph.node(node).clone();
        let (axes, origin) = (data.axes.clone(), data.origin);
        let used = match &data.op {
            Op::Constant(bits) => Use::of(self.push(Kind::Constant(f64::from_bits(*bits)), axes, origin)),
            Op::Input { name, .. } => Use::of(self.push(Kind::Input(name.clone()), axes, origin)),
            Op::Noise { name, kind, .. } => {
                let kind = match self.noise {
                    NoiseSource::Given => Kind::Input(name.clone()),
                    NoiseSource::Generated => Kind::Noise(name.clone(), *kind),
                };
                Use::of(self.push(kind, axes, origin))
            }
            Op::Parameter(parameter) => Use::of(self.push(Kind::Parameter(*parameter), axes, origin)),
            Op::Iota(axis) => Use::of(self.push(Kind::Iota(*axis), axes, origin)),
            Op::StopGradient(value) => self.make(*value),
            Op::Rename(value, from, to) => {
                let mut used = self.make(*value);
                let original = used.original(*from).expect("a renamed value has the axis");
                used.renamed.retain(|(known, _)| *known != original);
                if original != *to {
                    used.renamed.push((original, *to));
                }
                used
            }
            Op::OneHot(value, axis) => {
                let value = self.make(*value);
                Use::of(self.push(Kind::OneHot(value, *axis), axes, origin))
            }
            Op::Reduce(kind, value, over) => self.reduction(*kind, *value, over, axes, origin),
            Op::Contract(left, right, over) => {
                let products = vec![(self.make(*left), self.make(*right), over.clone())];
                Use::of(self.push(Kind::Products(products), axes, origin))
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

    /// A reduction; one over rows in two, by tile and over the tiles.
    fn reduction(&mut self, kind: ReduceKind, value: Node, over: &Axes, axes: Axes, origin: usize) -> Use {
        let value = self.make(value);
        let Some(row) = row_of(self.graph, over) else {
            return Use::of(self.push(Kind::Reduce(kind, value), axes, origin));
        };
        let partial = self.push(Kind::Partial { kind, value, row }, axes.clone(), origin);
        Use::of(self.push(Kind::Combine(kind, partial), axes, origin))
    }

    /// A tree of additions: contractions with equal axes become one, and narrow terms are added before wide ones.
    fn sum(&mut self, root: Node) -> Use {
        let mut leaves = Vec::new();
        self.leaves(root, true, &mut leaves);
        let origin = self.graph.node(root).origin;
        let mut terms: Vec<Use> = Vec::new();
        let mut joined: Vec<(Axes, Vec<ProductOf>)> = Vec::new();
        for leaf in leaves {
            let alone = self.users[leaf.index()] == 1;
            match self.graph.op(leaf).clone() {
                Op::Contract(left, right, over) if alone => {
                    let product = (self.make(left), self.make(right), over);
                    let axes = self.graph.axes_of(leaf);
                    match joined.iter_mut().find(|(known, _)| known == axes) {
                        Some((_, products)) => products.push(product),
                        None => joined.push((axes.clone(), vec![product])),
                    }
                }
                _ => terms.push(self.make(leaf)),
            }
        }
        for (axes, products) in joined {
            terms.push(Use::of(self.push(Kind::Products(products), axes, origin)));
        }
        let axes_of = |items: &[Item], used: &Use| -> Axes {
            items[used.item.index()].axes.iter().map(|axis| used.called(axis)).collect()
        };
        terms.sort_by_key(|term| axes_of(&self.items, term).len());
        let mut terms = terms.into_iter();
        let first = terms.next().expect("an addition has terms");
        terms.fold(first, |sum, term| {
            let axes = axes_of(&self.items, &sum).union(&axes_of(&self.items, &term));
            Use::of(self.push(Kind::Scalar(Scalar::Add, vec![sum, term]), axes, origin))
        })
    }

    /// What a tree of additions adds, down to nodes that are read elsewhere too.
    fn leaves(&self, node: Node, root: bool, leaves: &mut Vec<Node>) {
        match self.graph.op(node) {
            Op::Scalar(Scalar::Add, operands) if root || self.users[node.index()] == 1 => {
                operands.iter().for_each(|&operand| self.leaves(operand, false, leaves));
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
            let owned = used.renamed.is_empty()
                && item.axes == wanted
                && !item.kind.is_leaf()
                && !matches!(item.kind, Kind::Partial { .. })
                && outputs.iter().all(|(_, taken)| *taken != used.item);
            let item = match owned {
                true => used.item,
                false => self.push(Kind::Copy(used), wanted, self.graph.node(output.node).origin),
            };
            outputs.push((output.clone(), item));
        }
        outputs
    }
}
