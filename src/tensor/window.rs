//! Index maps: the place along an axis at which a value is read.

use super::Axis;
use crate::id::Id;

/// The place p along `axis` that positions along other axes name: p · `divisor` = Σ position ·
/// stride + `offset`. They name no place if p is not an integer, or lies outside the axis.
///
/// A convolution along the height h has the window h = h' · stride + k − padding. A vector of features
/// f becomes an image by f = height · width · c + width · h + w.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The axis along which values are read.
    pub axis: Id<Axis>,
    /// The other axes, each with the stride of its position.
    pub terms: Vec<(Id<Axis>, isize)>,
    /// The number added to the sum of positions.
    pub offset: isize,
    /// The divisor of the sum.
    pub divisor: usize,
}
