//! Noise of evaluation, which belongs to a row's values and not to its place.
//!
//! Noise of training has a number for each place in a batch. In evaluation, a row's results must not
//! depend on where the row stands, or on the other rows. So the program draws noise without the axis of
//! the rows, and shifts it for each row by keys, which the caller derives from the row's values:
//!
//! ```text
//! u[row, sample, …] = (draw[sample, …] − multiplier[sample, …] · key[row, …]) mod 1
//! ```
//!
//! The draw is uniform on (0, 1), the multiplier is odd and below 2¹², and the key is a multiple of
//! 2⁻¹² in [0, 1). The keys of two rows differ by some d, and their numbers by multiplier · d, which is
//! another multiple of d for each sample. So the samples of one row say almost nothing about those of
//! another, and means over rows have the variance of independent noise. (A key that rows share, one of
//! 4,096 on average, gives them the same numbers of one feature.) A common shift for all samples
//! would leave the differences between samples equal in all rows.
//!
//! Every step is exact in single precision: u is the midpoint of one of 2²³ intervals, as the draw is.
//!
//! Normal numbers come from pairs of such numbers by Box and Muller's transform.

use crate::{
    id::Id,
    names::InputName,
    tensor::{Axes, Axis, Graph, Node, NoiseKind, Scalar},
};
use std::f64::consts::TAU;

/// The number of keys: a key is one of these fractions of 1.
const KEYS: f64 = 4096.0;

/// Noise with these axes, of which `row` is one. `name` is the stream's, such as `unlabelled.z`;
/// `sample` is the axis of the samples, if there is one.
pub(super) fn noise(
    graph: &mut Graph,
    name: &str,
    kind: NoiseKind,
    axes: &Axes,
    row: Id<Axis>,
    sample: Option<Id<Axis>>,
) -> Node {
    let mut uniform = |name: &str| uniform(graph, name, axes, row, sample);
    match kind {
        NoiseKind::Uniform => uniform(name),
        NoiseKind::Normal => {
            let (radius, angle) = (
                uniform(&format!("{name}.radius")),
                uniform(&format!("{name}.angle")),
            );
            normal(graph, radius, angle)
        }
    }
}

fn uniform(
    graph: &mut Graph,
    name: &str,
    axes: &Axes,
    row: Id<Axis>,
    sample: Option<Id<Axis>>,
) -> Node {
    let shared = axes.without(row);
    let key_axes = match sample {
        Some(sample) => axes.without(sample),
        None => axes.clone(),
    };
    let key = graph.input(&InputName::RowKey(name.to_string()).to_string(), key_axes);
    let draw = graph.noise(name, NoiseKind::Uniform, shared.clone());
    let multiplier = multiplier(graph, name, shared);
    let product = graph.mul(multiplier, key);
    let whole = graph.scalar(Scalar::Floor, &[product]);
    let shift = graph.sub(product, whole);
    let shifted = graph.sub(draw, shift);
    let zero = graph.constant(0.0);
    let is_below = graph.scalar(Scalar::Greater, &[zero, shifted]);
    graph.add(shifted, is_below)
}

/// An odd number below [`KEYS`] for each sample and feature.
fn multiplier(graph: &mut Graph, name: &str, axes: Axes) -> Node {
    let draw = graph.noise(&format!("{name}.multiplier"), NoiseKind::Uniform, axes);
    let half = graph.scale(draw, KEYS / 2.0);
    let half = graph.scalar(Scalar::Floor, &[half]);
    let even = graph.scale(half, 2.0);
    graph.shift(even, 1.0)
}

/// √(−2 log u) cos 2πv.
fn normal(graph: &mut Graph, radius: Node, angle: Node) -> Node {
    let log = graph.log(radius);
    let square = graph.scale(log, -2.0);
    // The logarithm of a number near 1 may be rounded above 0.
    let square = graph.scalar(Scalar::Relu, &[square]);
    let radius = graph.scalar(Scalar::Sqrt, &[square]);
    let angle = graph.scale(angle, TAU);
    let cosine = graph.scalar(Scalar::Cos, &[angle]);
    graph.mul(radius, cosine)
}
