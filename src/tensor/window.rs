//! Index maps: where along an axis a value is read.

use super::Axis;
use crate::id::Id;

/// The place p along `axis` that positions along other axes name: p · `divisor` = Σ position ·
/// stride + `offset`. Some name no place: p is no whole number then, or outside the axis.
///
/// A window of a convolution along the height h is h = h' · stride + k − padding; a vector of
/// features f is an image by f = height · width · c + width · h + w.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The axis along which values are read.
    pub axis: Id<Axis>,
    /// The other axes, each with the stride of its position.
    pub terms: Vec<(Id<Axis>, isize)>,
    /// What is added to the sum of positions.
    pub offset: isize,
    /// What the sum is divided by.
    pub divisor: usize,
}
