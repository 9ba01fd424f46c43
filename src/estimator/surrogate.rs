//! Values and gradients that several estimators are made of.

use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node, Scalar},
};

/// Standard Gumbel noise: −log(−log u).
pub fn gumbel(graph: &mut Graph, uniform: Node) -> Node {
    let log = graph.log(uniform);
    let negative = graph.neg(log);
    let log = graph.log(negative);
    graph.neg(log)
}

/// The one-hot of the greatest along the axis, of several the first.
pub fn greatest(graph: &mut Graph, values: Node, axis: Id<Axis>) -> Node {
    let along = Axes::from(axis);
    let most = graph.max(values, &along);
    let less = graph.scalar(Scalar::Greater, &[most, values]);
    let (index, beyond) = (
        graph.iota(axis),
        graph.constant(graph.axis(axis).size as f64),
    );
    let candidates = graph.scalar(Scalar::Select, &[less, beyond, index]);
    let negative = graph.neg(candidates);
    let last = graph.max(negative, &along);
    let first = graph.neg(last);
    graph.one_hot(first, axis)
}

/// `signal` · log q of what was drawn, as a gradient alone.
pub fn score(graph: &mut Graph, signal: Node, log_q: Node) -> Node {
    let signal = graph.stop_gradient(signal);
    let nothing = gradient_alone(graph, log_q);
    graph.mul(signal, nothing)
}

/// 0, with the value's gradient.
pub fn gradient_alone(graph: &mut Graph, value: Node) -> Node {
    let stopped = graph.stop_gradient(value);
    graph.sub(value, stopped)
}
