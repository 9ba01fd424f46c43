//! The values that kernels compute, and how an operand reads them.
//!
//! An item's operands precede it in the list. An operand view says where each axis of an item is read:
//! at the position along an axis of any name, or through windows.

use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, NoiseKind, Output, Parameter, ReduceKind, Scalar, Window},
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
    Scalar(Scalar, Vec<OperandView>),
    OneHot(OperandView, Id<Axis>),
    /// Over the axes that the value has and the result lacks.
    Reduce(ReduceKind, OperandView),
    /// A reduction over the tile axis `row`, and others maybe: one result for each tile.
    Partial {
        kind: ReduceKind,
        value: OperandView,
        row: Id<Axis>,
    },
    /// The partial results of that item, reduced.
    Combine(ReduceKind, ItemId),
    /// A value laid out otherwise.
    Copy(OperandView),
    /// Several axes of a value as one, each place of which they name once; maybe others as another.
    Merge(OperandView, Vec<Window>),
    // A kernel's contraction: the sum of products.
    Products(Vec<ProductOf>),
}

#[derive(Clone, Debug)]
pub(super) struct ProductOf {
    pub left: OperandView,
    pub right: OperandView,
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
    pub fn uses(&self) -> Vec<OperandView> {
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
            Kind::Combine(_, partial) => vec![OperandView::direct(*partial)],
            Kind::Products(products) => products
                .iter()
                .flat_map(|product| [product.left.clone(), product.right.clone()])
                .collect(),
        }
    }

    /// Whether a later item of the same loop can read the result from a register.
    pub fn is_in_register(&self) -> bool {
        !matches!(
            self,
            Kind::Reduce(..) | Kind::Partial { .. } | Kind::Combine(..) | Kind::Merge(..)
        )
    }

    /// Whether the value exists before the first kernel.
    pub fn is_leaf(&self) -> bool {
        matches!(
            self,
            Kind::Constant(_) | Kind::Input(_) | Kind::Parameter(_)
        )
    }
}

/// A value as an operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OperandView {
    pub item: ItemId,
    /// The item's axes that are not read at the position along the axis of that name, and where
    /// they are.
    moved: Vec<(Id<Axis>, AxisPlace)>,
}

/// A place along an axis: Σ position · stride + Σ place that a window names · stride. Where a
/// window names none, the value is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AxisPlace {
    pub terms: Vec<(Id<Axis>, usize)>,
    pub windows: Vec<(Window, usize)>,
}

impl AxisPlace {
    fn at(axis: Id<Axis>) -> Self {
        AxisPlace {
            terms: vec![(axis, 1)],
            windows: Vec::new(),
        }
    }

    /// The place that a window names, times a stride.
    fn through(graph: &Graph, window: &Window, stride: usize) -> Self {
        let direct = window.is_total(graph)
            && window.offset == 0
            && window.terms.iter().all(|(_, step)| *step > 0);
        match direct {
            true => {
                let terms = window
                    .terms
                    .iter()
                    .map(|&(axis, step)| (axis, step as usize * stride));
                AxisPlace {
                    terms: terms.collect(),
                    windows: Vec::new(),
                }
            }
            false => AxisPlace {
                terms: Vec::new(),
                windows: vec![(window.clone(), stride)],
            },
        }
    }

    fn axes(&self) -> impl Iterator<Item = Id<Axis>> + '_ {
        let windows = self
            .windows
            .iter()
            .flat_map(|(window, _)| window.terms.iter().map(|(axis, _)| *axis));
        self.terms.iter().map(|(axis, _)| *axis).chain(windows)
    }
}

impl OperandView {
    pub fn direct(item: ItemId) -> Self {
        OperandView {
            item,
            moved: Vec::new(),
        }
    }

    /// An item that is written by the names of its places, one for each place along the windows'
    /// axes.
    pub fn merged(graph: &Graph, item: ItemId, windows: &[Window]) -> Self {
        let moved = windows
            .iter()
            .map(|window| (window.axis, AxisPlace::through(graph, window, 1)));
        OperandView {
            item,
            moved: moved.collect(),
        }
    }

    /// Whether the item's elements are read as they lie in memory, whatever its axes are called.
    pub fn is_laid(&self, of_item: &Axes) -> bool {
        of_item.iter().all(|axis| self.called(axis).is_some())
    }

    /// Whether the item is read as it is.
    pub fn is_plain(&self) -> bool {
        self.moved.is_empty()
    }

    /// Where along one of the item's axes it is read.
    pub fn place(&self, axis: Id<Axis>) -> AxisPlace {
        let moved = self.moved.iter().find(|(known, _)| *known == axis);
        moved.map_or_else(|| AxisPlace::at(axis), |(_, place)| place.clone())
    }

    /// What one of the item's axes is called here, if all of it is read in order.
    pub fn called(&self, axis: Id<Axis>) -> Option<Id<Axis>> {
        match self.moved.iter().find(|(known, _)| *known == axis) {
            None => Some(axis),
            Some((_, place)) => match (place.terms.as_slice(), place.windows.as_slice()) {
                ([(used, 1)], []) => Some(*used),
                _ => None,
            },
        }
    }

    /// The axes of the value as it is used, for those of the item.
    pub fn axes(&self, of_item: &Axes) -> Axes {
        of_item
            .iter()
            .flat_map(|axis| self.place(axis).axes().collect::<Vec<_>>())
            .collect()
    }

    /// Whether the position along an axis is that of an axis of the item with that name.
    fn reads_directly(&self, of_item: &Axes, axis: Id<Axis>) -> bool {
        of_item.contains(axis) && self.moved.iter().all(|(known, _)| *known != axis)
    }

    /// The same with axis `from` called `to`.
    pub fn renamed(&self, of_item: &Axes, from: Id<Axis>, to: Id<Axis>) -> Self {
        let mut used = self.clone();
        let direct = self.reads_directly(of_item, from);
        let rename = |axis: &mut Id<Axis>| *axis = if *axis == from { to } else { *axis };
        for (_, place) in &mut used.moved {
            place.terms.iter_mut().for_each(|(axis, _)| rename(axis));
            place
                .windows
                .iter_mut()
                .flat_map(|(window, _)| &mut window.terms)
                .for_each(|(axis, _)| rename(axis));
        }
        if direct {
            used.moved.push((from, AxisPlace::at(to)));
        }
        used.moved
            .retain(|(axis, place)| *place != AxisPlace::at(*axis));
        used
    }

    /// The value read through a window; none where it would be one within another.
    pub fn through(&self, graph: &Graph, of_item: &Axes, window: &Window) -> Option<Self> {
        let mut used = self.clone();
        if self.reads_directly(of_item, window.axis) {
            used.moved
                .push((window.axis, AxisPlace::through(graph, window, 1)));
            return Some(used);
        }
        for (_, place) in &mut used.moved {
            let terms = std::mem::take(&mut place.terms);
            for (axis, stride) in terms {
                if axis != window.axis {
                    place.terms.push((axis, stride));
                    continue;
                }
                let inner = AxisPlace::through(graph, window, stride);
                place.terms.extend(inner.terms);
                place.windows.extend(inner.windows);
            }
            if place
                .windows
                .iter()
                .any(|(outer, _)| outer.terms.iter().any(|(axis, _)| *axis == window.axis))
            {
                return None;
            }
        }
        Some(used)
    }
}
