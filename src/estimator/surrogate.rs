//! Values and gradients that several estimators share.

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

/// The one-hot vector of the greatest value along the axis; the first one if several are equal.
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

/// A term with value 0 and the gradient of `signal` · `log_q`, the signal being a constant.
pub fn score(graph: &mut Graph, signal: Node, log_q: Node) -> Node {
    let signal = graph.stop_gradient(signal);
    let slope = gradient_alone(graph, log_q);
    graph.mul(signal, slope)
}

/// A term with value 0 and the gradient of `value`.
pub fn gradient_alone(graph: &mut Graph, value: Node) -> Node {
    let stopped = graph.stop_gradient(value);
    graph.sub(value, stopped)
}
