//! The categorical distribution over the classes of a variable, with logits as its parameters.

use super::{Distribution, Domain, HeadSpec, classes};
use crate::{
    id::Id,
    tensor::{Axis, Graph, Node},
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

    /// log softmax(l).
    fn log_probabilities(&self, graph: &mut Graph, heads: &[Node], axis: Id<Axis>) -> Option<Node> {
        Some(graph.log_softmax(heads[0], axis))
    }

    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        classes::log_prob(self, graph, heads, value, axis)
    }

    fn has_kl(&self, p: &dyn Distribution) -> bool {
        p.support() == Domain::Class
    }

    fn kl(
        &self,
        graph: &mut Graph,
        q: &[Node],
        (p, heads): (&dyn Distribution, &[Node]),
        axis: Id<Axis>,
    ) -> Option<Node> {
        classes::kl(graph, (self, q), (p, heads), axis)
    }

    fn mean(&self, graph: &mut Graph, heads: &[Node], axis: Id<Axis>) -> Node {
        classes::mean(self, graph, heads, axis)
    }
}
