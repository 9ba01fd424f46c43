//! Items, the values that kernels compute, and operand views, which say how an item reads another.
//!
//! An item's operands precede it in the list. For each axis of an item, a view says where it is read:
//! at the position along an axis of any name, or through windows.

use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, NoiseKind, Output, Parameter, ReduceKind, Scalar, Window},
};

pub(super) type ItemId = Id<Item>;

#[derive(Clone, Debug)]
pub(super) struct Item {
    pub kind: Kind,
    /// The axes of the value. A [`Kind::Partial`] also has an axis of tiles, which is added when its
    /// kernel is tiled.
    pub axes: Axes,
    /// Their order in memory, outermost first, if it is not the canonical one.
    pub order: Option<Vec<Id<Axis>>>,
    pub origin: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    // Leaves, which exist before the first kernel.
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
    /// A reduction over the tile axis `row` and possibly others, with a result for each tile.
    Partial {
        kind: ReduceKind,
        value: OperandView,
        row: Id<Axis>,
    },
    /// A reduction of the partial results of that item over the tiles.
    Combine(ReduceKind, ItemId),
    /// A value in another memory order.
    Copy(OperandView),
    /// A value with several axes merged into one, for each window. Positions along the merged axes
    /// name each place of the new axis once.
    Merge(OperandView, Vec<Window>),
    // The contraction of a kernel, a sum of products.
    Products(Vec<ProductOperands>),
}

#[derive(Clone, Debug)]
pub(super) struct ProductOperands {
    pub left: OperandView,
    pub right: OperandView,
    /// Whether one of them is read through windows.
    pub windows: bool,
}

pub(super) struct Items {
    pub items: Vec<Item>,
    /// The item of each output, whose buffer is the output's.
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

    /// Replaces an operand of an elementwise item.
    pub fn replace(&mut self, id: ItemId, operand: ItemId, other: ItemId) {
        if let Kind::Scalar(_, uses) = &mut self.items[id.index()].kind {
            uses.iter_mut()
                .filter(|used| used.item == operand)
                .for_each(|used| used.item = other);
        }
    }
}

impl Kind {
    pub fn operands(&self) -> Vec<OperandView> {
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

/// How an item is read as an operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OperandView {
    pub item: ItemId,
    /// The item's axes that are read elsewhere than at the position along the same axis.
    moved: Vec<(Id<Axis>, AxisPlace)>,
}

/// A place along an axis: Σ position · stride + Σ (place that a window names) · stride. Where a
/// window names no place, the value is 0.
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

    /// A view that writes an item: positions along the windows' terms name the places along the
    /// windows' axes.
    pub fn merged(graph: &Graph, item: ItemId, windows: &[Window]) -> Self {
        let moved = windows
            .iter()
            .map(|window| (window.axis, AxisPlace::through(graph, window, 1)));
        OperandView {
            item,
            moved: moved.collect(),
        }
    }

    /// Whether strides alone say where the elements lie: axes may be renamed, but there are no
    /// windows.
    pub fn is_strided(&self, item_axes: &Axes) -> bool {
        item_axes
            .iter()
            .all(|axis| self.reader_axis(axis).is_some())
    }

    /// Whether the item is read element by element along its axes.
    pub fn is_plain(&self) -> bool {
        self.moved.is_empty()
    }

    /// Where along one of the item's axes it is read.
    pub fn place(&self, axis: Id<Axis>) -> AxisPlace {
        let moved = self.moved.iter().find(|(other, _)| *other == axis);
        moved.map_or_else(|| AxisPlace::at(axis), |(_, place)| place.clone())
    }

    /// The reader's axis for one of the item's axes, if the reader walks all of it in order.
    pub fn reader_axis(&self, axis: Id<Axis>) -> Option<Id<Axis>> {
        match self.moved.iter().find(|(other, _)| *other == axis) {
            None => Some(axis),
            Some((_, place)) => match (place.terms.as_slice(), place.windows.as_slice()) {
                ([(axis, 1)], []) => Some(*axis),
                _ => None,
            },
        }
    }

    /// The axes of the value as the reader sees it.
    pub fn axes(&self, item_axes: &Axes) -> Axes {
        item_axes
            .iter()
            .flat_map(|axis| self.place(axis).axes().collect::<Vec<_>>())
            .collect()
    }

    /// Whether one of the item's axes is read at the position along the same axis.
    fn reads_directly(&self, item_axes: &Axes, axis: Id<Axis>) -> bool {
        item_axes.contains(axis) && self.moved.iter().all(|(other, _)| *other != axis)
    }

    /// The view with axis `from` renamed to `to`.
    pub fn renamed(&self, item_axes: &Axes, from: Id<Axis>, to: Id<Axis>) -> Self {
        let mut view = self.clone();
        let direct = self.reads_directly(item_axes, from);
        let rename = |axis: &mut Id<Axis>| *axis = if *axis == from { to } else { *axis };
        for (_, place) in &mut view.moved {
            place.terms.iter_mut().for_each(|(axis, _)| rename(axis));
            place
                .windows
                .iter_mut()
                .flat_map(|(window, _)| &mut window.terms)
                .for_each(|(axis, _)| rename(axis));
        }
        if direct {
            view.moved.push((from, AxisPlace::at(to)));
        }
        view.moved
            .retain(|(axis, place)| *place != AxisPlace::at(*axis));
        view
    }

    /// The value read through a window. None if a window would read through another.
    pub fn through(&self, graph: &Graph, item_axes: &Axes, window: &Window) -> Option<Self> {
        let mut view = self.clone();
        if self.reads_directly(item_axes, window.axis) {
            view.moved
                .push((window.axis, AxisPlace::through(graph, window, 1)));
            return Some(view);
        }
        for (_, place) in &mut view.moved {
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
        Some(view)
    }
}
