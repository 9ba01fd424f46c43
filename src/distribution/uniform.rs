//! The discrete uniform distribution over the classes of a variable.

use super::{Distribution, Domain, HeadSpec};
use crate::{
    id::Id,
    tensor::{Axis, Graph, Node},
};

#[derive(Debug)]
pub struct Uniform;

impl Distribution for Uniform {
    fn name(&self) -> &'static str {
        "uniform"
    }

    fn support(&self) -> Domain {
        Domain::Class
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const { &[] }
    }

    fn constant_heads(&self, _: &[f64]) -> Vec<f64> {
        Vec::new()
    }

    /// −log K.
    fn log_probabilities(&self, graph: &mut Graph, _: &[Node], axis: Id<Axis>) -> Option<Node> {
        let classes = graph.axis(axis).size as f64;
        Some(graph.constant(-classes.ln()))
    }

    /// log p(y) = −log K.
    fn log_prob(&self, graph: &mut Graph, _: &[Node], _: Node, axis: Id<Axis>) -> Node {
        let classes = graph.axis(axis).size as f64;
        graph.constant(-classes.ln())
    }

    fn mean(&self, graph: &mut Graph, _: &[Node], axis: Id<Axis>) -> Node {
        let classes = graph.axis(axis).size as f64;
        graph.constant(1.0 / classes)
    }
}
