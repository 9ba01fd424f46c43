//! Batch and layer normalisation.

use super::{Context, Layer, Part, image};
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

/// The second half of batch norm: a scale and a shift for each feature or channel.
#[derive(Debug)]
pub struct Affine;

#[derive(Debug)]
pub struct LayerNorm;

/// The value and its part; an image has separate axes for channels, height and width.
fn split_image(context: &mut dyn Context, parts: &[Part]) -> (Node, Part) {
    let [part] = parts else {
        unreachable!("check requires a layer that joins the parents before a normalisation")
    };
    let part = if part.is_image() {
        image(context, part)
    } else {
        part.clone()
    };
    (part.dense(context.graph()), part)
}

/// (x − mean) / √(variance + ε).
fn normalise(graph: &mut Graph, value: Node, mean: Node, variance: Node) -> Node {
    let centred = graph.sub(value, mean);
    let shifted = graph.shift(variance, EPSILON);
    let root = graph.scalar(Scalar::Sqrt, &[shifted]);
    let one = graph.constant(1.0);
    let scale = graph.div(one, root);
    graph.mul(centred, scale)
}

/// The mean and the biased variance over axes of the value.
fn moments(graph: &mut Graph, value: Node, over: &Axes) -> (Node, Node) {
    let mean = graph.mean(value, over);
    let centred = graph.sub(value, mean);
    let square = graph.square(centred);
    (mean, graph.mean(square, over))
}

fn affine(context: &mut dyn Context, value: Node, axes: &[Id<Axis>]) -> Node {
    let weight = context.parameter("weight", axes, Start::Constant(1.0));
    let bias = context.parameter("bias", axes, Start::Constant(0.0));
    let graph = context.graph();
    let scaled = graph.mul(value, weight);
    graph.add(scaled, bias)
}

/// Normalises the features of a part, or the channels of an image, over all other axes of the value
/// (Ioffe and Szegedy 2015).
fn standardize(context: &mut dyn Context, parts: &[Part]) -> Part {
    let (value, part) = split_image(context, parts);
    let axis = part.axes[0];
    let graph = context.graph();
    let over = graph.axes_of(value).without(axis);
    let (mean, variance) = moments(graph, value, &over);
    let stored_mean = context.running_average("running_mean", &[axis], 0.0, mean, MOMENTUM);
    let stored_variance = context.running_average("running_var", &[axis], 1.0, variance, MOMENTUM);
    let (mean, variance) = if context.batch_statistics() {
        (mean, variance)
    } else {
        (stored_mean, stored_variance)
    };
    part.with(normalise(context.graph(), value, mean, variance))
}

impl Layer for BatchNorm {
    fn name(&self) -> &'static str {
        "batchnorm"
    }

    fn normalizes_rows(&self) -> bool {
        true
    }

    fn needs_joined(&self) -> bool {
        true
    }

    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> Part {
        let part = standardize(context, parts);
        let value = part.dense(context.graph());
        part.with(affine(context, value, &part.axes[..1]))
    }
}

impl Layer for Standardize {
    fn name(&self) -> &'static str {
        "standardize"
    }

    fn normalizes_rows(&self) -> bool {
        true
    }

    fn needs_joined(&self) -> bool {
        true
    }

    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> Part {
        standardize(context, parts)
    }
}

impl Layer for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn needs_joined(&self) -> bool {
        true
    }

    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> Part {
        let (value, part) = split_image(context, parts);
        part.with(affine(context, value, &part.axes[..1]))
    }
}

impl Layer for LayerNorm {
    fn name(&self) -> &'static str {
        "layernorm"
    }

    fn needs_joined(&self) -> bool {
        true
    }

    /// Normalises over the features (Ba et al. 2016).
    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> Part {
        let (value, part) = split_image(context, parts);
        let graph = context.graph();
        let (mean, variance) = moments(graph, value, &part.axes.iter().copied().collect());
        let normal = normalise(graph, value, mean, variance);
        part.with(affine(context, normal, &part.axes))
    }
}
