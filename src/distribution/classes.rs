//! What all distributions over classes have in common: functions of the logarithms of their
//! probabilities.

use super::Distribution;
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node},
};

fn logs(
    distribution: &dyn Distribution,
    graph: &mut Graph,
    heads: &[Node],
    axis: Id<Axis>,
) -> Node {
    let logs = distribution.log_probabilities(graph, heads, axis);
    logs.expect("a distribution over classes has probabilities")
}

/// log p(y) = Σ_k y_k log p_k, for a one-hot or relaxed y.
pub(super) fn log_prob(
    distribution: &dyn Distribution,
    graph: &mut Graph,
    heads: &[Node],
    value: Node,
    axis: Id<Axis>,
) -> Node {
    let logs = logs(distribution, graph, heads, axis);
    graph.contract(value, logs, &Axes::from(axis))
}

/// Σ_k q_k (log q_k − log p_k), if p is a distribution over classes too.
pub(super) fn kl(
    graph: &mut Graph,
    (q, q_heads): (&dyn Distribution, &[Node]),
    (p, p_heads): (&dyn Distribution, &[Node]),
    axis: Id<Axis>,
) -> Option<Node> {
    let log_q = logs(q, graph, q_heads, axis);
    let probabilities = graph.exp(log_q);
    let log_p = p.log_probabilities(graph, p_heads, axis)?;
    let ratio = graph.sub(log_q, log_p);
    Some(graph.contract(probabilities, ratio, &Axes::from(axis)))
}

/// The probabilities.
pub(super) fn mean(
    distribution: &dyn Distribution,
    graph: &mut Graph,
    heads: &[Node],
    axis: Id<Axis>,
) -> Node {
    let logs = logs(distribution, graph, heads, axis);
    graph.exp(logs)
}
