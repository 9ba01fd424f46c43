//! Batch and layer normalisation.

use super::{Context, Layer, Part};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node, Scalar, Start},
};

const EPSILON: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

#[derive(Debug)]
pub struct BatchNorm;

/// Batch norm without its scale and shift.
#[derive(Debug)]
pub struct Standardize;

/// A scale and a shift of each feature: what batch norm ends with.
#[derive(Debug)]
pub struct Affine;

#[derive(Debug)]
pub struct LayerNorm;

/// (x − mean) / √(variance + ε).
fn normalise(graph: &mut Graph, value: Node, mean: Node, variance: Node) -> Node {
    let centred = graph.sub(value, mean);
    let shifted = graph.shift(variance, EPSILON);
    let root = graph.scalar(Scalar::Sqrt, &[shifted]);
    let one = graph.constant(1.0);
    let scale = graph.div(one, root);
    graph.mul(centred, scale)
}

/// The mean, and the biased variance about it, over axes of the value.
fn moments(graph: &mut Graph, value: Node, over: &Axes) -> (Node, Node) {
    let mean = graph.mean(value, over);
    let centred = graph.sub(value, mean);
    let square = graph.square(centred);
    (mean, graph.mean(square, over))
}

fn affine(context: &mut dyn Context, value: Node, axis: Id<Axis>) -> Node {
    let weight = context.parameter("weight", &[axis], Start::Constant(1.0));
    let bias = context.parameter("bias", &[axis], Start::Constant(0.0));
    let graph = context.graph();
    let scaled = graph.mul(value, weight);
    graph.add(scaled, bias)
}

/// A part's features normalised over every axis that the value has but theirs (Ioffe and Szegedy 2015).
fn standardize(context: &mut dyn Context, part: &Part) -> Node {
    let axis = part.axis;
    let value = part.dense(context.graph());
    let graph = context.graph();
    let over = graph.axes_of(value).without(axis);
    let (mean, variance) = moments(graph, value, &over);
    let stored_mean = context.running_average("running_mean", &[axis], 0.0, mean, MOMENTUM);
    let stored_variance = context.running_average("running_var", &[axis], 1.0, variance, MOMENTUM);
    let (mean, variance) = if context.batch_statistics() { (mean, variance) } else { (stored_mean, stored_variance) };
    normalise(context.graph(), value, mean, variance)
}

impl Layer for BatchNorm {
    fn name(&self) -> &'static str {
        "batchnorm"
    }

    fn needs_joined(&self) -> bool {
        true
    }

    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> (Node, Id<Axis>) {
        let normal = standardize(context, &parts[0]);
        (affine(context, normal, parts[0].axis), parts[0].axis)
    }
}

impl Layer for Standardize {
    fn name(&self) -> &'static str {
        "standardize"
    }

    fn needs_joined(&self) -> bool {
        true
    }

    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> (Node, Id<Axis>) {
        (standardize(context, &parts[0]), parts[0].axis)
    }
}

impl Layer for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn needs_joined(&self) -> bool {
        true
    }

    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> (Node, Id<Axis>) {
        let value = parts[0].dense(context.graph());
        (affine(context, value, parts[0].axis), parts[0].axis)
    }
}

impl Layer for LayerNorm {
    fn name(&self) -> &'static str {
        "layernorm"
    }

    fn needs_joined(&self) -> bool {
        true
    }

    /// Over the features (Ba et al. 2016).
    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> (Node, Id<Axis>) {
        let axis = parts[0].axis;
        let graph = context.graph();
        let value = parts[0].dense(graph);
        let (mean, variance) = moments(graph, value, &Axes::from(axis));
        let normal = normalise(graph, value, mean, variance);
        (affine(context, normal, axis), axis)
    }
}
