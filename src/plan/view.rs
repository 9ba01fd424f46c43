//! How an item is read as an operand: along other axes, and through windows.

use super::items::ItemId;
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Window},
};

/// A value as an operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    pub item: ItemId,
    /// The item's axes that are not read at the position along the axis of that name, and where
    /// they are.
    moved: Vec<(Id<Axis>, Place)>,
}

/// A place along an axis: Σ position · stride + Σ place that a window names · stride. Where a
/// window names none, the value is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub terms: Vec<(Id<Axis>, usize)>,
    pub windows: Vec<(Window, usize)>,
}

impl Place {
    fn at(axis: Id<Axis>) -> Self {
        Place {
            terms: vec![(axis, 1)],
            windows: Vec::new(),
        }
    }

    /// The place that a window names, times a stride.
    fn through(graph: &Graph, window: &Window, stride: usize) -> Self {
        let direct = window.is_total(graph)
            && window.offset == 0
            && window.terms.iter().all(|(_, own)| *own > 0);
        match direct {
            true => {
                let terms = window
                    .terms
                    .iter()
                    .map(|&(axis, own)| (axis, own as usize * stride));
                Place {
                    terms: terms.collect(),
                    windows: Vec::new(),
                }
            }
            false => Place {
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

impl Use {
    pub fn of(item: ItemId) -> Self {
        Use {
            item,
            moved: Vec::new(),
        }
    }

    /// An item that is written by the names of its places, one for each place along the windows'
    /// axes.
    pub fn merged(graph: &Graph, item: ItemId, windows: &[Window]) -> Self {
        let moved = windows
            .iter()
            .map(|window| (window.axis, Place::through(graph, window, 1)));
        Use {
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
    pub fn place(&self, axis: Id<Axis>) -> Place {
        let moved = self.moved.iter().find(|(known, _)| *known == axis);
        moved.map_or_else(|| Place::at(axis), |(_, place)| place.clone())
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
    fn is_own(&self, of_item: &Axes, axis: Id<Axis>) -> bool {
        of_item.contains(axis) && self.moved.iter().all(|(known, _)| *known != axis)
    }

    /// The same with axis `from` called `to`.
    pub fn renamed(&self, of_item: &Axes, from: Id<Axis>, to: Id<Axis>) -> Self {
        let mut used = self.clone();
        let own = self.is_own(of_item, from);
        let rename = |axis: &mut Id<Axis>| *axis = if *axis == from { to } else { *axis };
        for (_, place) in &mut used.moved {
            place.terms.iter_mut().for_each(|(axis, _)| rename(axis));
            place
                .windows
                .iter_mut()
                .flat_map(|(window, _)| &mut window.terms)
                .for_each(|(axis, _)| rename(axis));
        }
        if own {
            used.moved.push((from, Place::at(to)));
        }
        used.moved
            .retain(|(axis, place)| *place != Place::at(*axis));
        used
    }

    /// The value read through a window; none where it would be one within another.
    pub fn through(&self, graph: &Graph, of_item: &Axes, window: &Window) -> Option<Self> {
        let mut used = self.clone();
        if self.is_own(of_item, window.axis) {
            used.moved
                .push((window.axis, Place::through(graph, window, 1)));
            return Some(used);
        }
        for (_, place) in &mut used.moved {
            let terms = std::mem::take(&mut place.terms);
            for (axis, stride) in terms {
                if axis != window.axis {
                    place.terms.push((axis, stride));
                    continue;
                }
                let inner = Place::through(graph, window, stride);
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
