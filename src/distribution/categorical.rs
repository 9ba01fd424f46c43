//! The categorical distribution over the classes of a variable, with logits as its parameters.

use super::{Distribution, Domain, HeadSpec, uniform::Uniform};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node},
};

#[derive(Debug)]
pub struct Categorical;

impl Distribution for Categorical {
    fn name(&self) -> &'static str {
        "categorical"
    }

    fn support(&self) -> Domain {
        Domain::Class
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const { &[HeadSpec::unbounded("logits")] }
    }

    fn has_probabilities(&self) -> bool {
        true
    }

    /// One for each class. `check` reads them, since only it knows how many there are.
    fn arguments(&self) -> &'static [&'static str] {
        &["probability", "…"]
    }

    fn constant_heads(&self, _: &[f64]) -> Vec<f64> {
        vec![0.0]
    }

    /// log p(y) = Σ_k y_k log softmax(l)_k, for a one-hot or relaxed y.
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let logs = graph.log_softmax(heads[0], axis);
        graph.contract(value, logs, &Axes::from(axis))
    }

    fn has_kl(&self, p: &dyn Distribution) -> bool {
        p.is::<Categorical>() || p.is::<Uniform>()
    }

    /// Σ_k q_k (log q_k − log p_k). `uniform` has no heads.
    fn kl(&self, graph: &mut Graph, q: &[Node], p: &[Node], axis: Id<Axis>) -> Option<Node> {
        let log_q = graph.log_softmax(q[0], axis);
        let probabilities = graph.exp(log_q);
        let log_p = match p.first() {
            Some(&logits) => graph.log_softmax(logits, axis),
            None => graph.constant(-(graph.axis(axis).size as f64).ln()),
        };
        let ratio = graph.sub(log_q, log_p);
        Some(graph.contract(probabilities, ratio, &Axes::from(axis)))
    }

    fn mean(&self, graph: &mut Graph, heads: &[Node], axis: Id<Axis>) -> Node {
        let logs = graph.log_softmax(heads[0], axis);
        graph.exp(logs)
    }
}
