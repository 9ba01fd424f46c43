//! Named axes and sets of them.
//!
//! A value has a *set* of axes: combining values unites their axes, and no operation ever tiles,
//! expands or reshapes.

use crate::id::Id;
use std::fmt;

/// What an axis counts; also the order in which axes lie in memory, outermost first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum AxisKind {
    /// The rows of one case of a batch.
    Row,
    /// Joint Monte Carlo samples.
    Sample,
    /// The values of a discrete variable that is summed over.
    Class,
    /// The rows or the columns of an image.
    Position,
    /// The places within a window of an image.
    Window,
    /// The elements of a variable or of a layer, or the channels of an image.
    Feature,
}

impl AxisKind {
    /// Whether the axis counts applications of a network (rows, samples or classes).
    pub fn is_batch(self) -> bool {
        self <= AxisKind::Class
    }
}

/// A named axis of known size.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Axis {
    /// Such as `unlabelled.row` or `q.z.dense1`. Axes with equal names may differ in size or kind.
    pub name: String,
    /// The number of positions.
    pub size: usize,
    /// What it counts.
    pub kind: AxisKind,
}

/// A set of axes, sorted by id.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Axes(Vec<Id<Axis>>);

impl Axes {
    /// The empty set.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether the set has the axis.
    pub fn contains(&self, axis: Id<Axis>) -> bool {
        self.0.binary_search(&axis).is_ok()
    }

    /// Whether the set has no axis.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of axes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The axes in the order of their ids.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Id<Axis>> + '_ {
        self.0.iter().copied()
    }

    /// The axes of either.
    pub fn union(&self, other: &Axes) -> Axes {
        self.iter().chain(other.iter()).collect()
    }

    /// The axes of both.
    pub fn intersection(&self, other: &Axes) -> Axes {
        self.iter().filter(|&a| other.contains(a)).collect()
    }

    /// The axes of `self` that `other` lacks.
    pub fn minus(&self, other: &Axes) -> Axes {
        self.iter().filter(|&a| !other.contains(a)).collect()
    }

    /// The set with one more axis.
    pub fn with(&self, axis: Id<Axis>) -> Axes {
        self.iter().chain([axis]).collect()
    }

    /// The set without an axis.
    pub fn without(&self, axis: Id<Axis>) -> Axes {
        self.iter().filter(|&a| a != axis).collect()
    }

    /// Whether `other` has every axis of `self`.
    pub fn is_subset(&self, other: &Axes) -> bool {
        self.iter().all(|a| other.contains(a))
    }
}

impl FromIterator<Id<Axis>> for Axes {
    fn from_iter<I: IntoIterator<Item = Id<Axis>>>(axes: I) -> Self {
        let mut axes: Vec<_> = axes.into_iter().collect();
        axes.sort_unstable();
        axes.dedup();
        Axes(axes)
    }
}

impl<const N: usize> From<[Id<Axis>; N]> for Axes {
    fn from(axes: [Id<Axis>; N]) -> Self {
        axes.into_iter().collect()
    }
}

impl From<Id<Axis>> for Axes {
    fn from(axis: Id<Axis>) -> Self {
        Axes(vec![axis])
    }
}

impl fmt::Debug for Axes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.0).finish()
    }
}
