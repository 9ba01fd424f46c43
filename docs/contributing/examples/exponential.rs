//! The exponential distribution, its parameter the log of the rate.

use super::{Distribution, Domain, HeadSpec, NoiseKind, arguments::positive};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node},
};

/// `exponential`: log p(x) = log λ − λ x.
#[derive(Debug)]
pub struct Exponential;

impl Distribution for Exponential {
    fn name(&self) -> &'static str {
        "exponential"
    }

    fn support(&self) -> Domain {
        Domain::Positive
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const { &[HeadSpec::log("log_rate")] }
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["rate"]
    }

    fn check_arguments(&self, arguments: &[f64]) -> Result<(), String> {
        positive("rate", arguments[0])
    }

    fn constant_heads(&self, arguments: &[f64]) -> Vec<f64> {
        vec![arguments[0].ln()]
    }

    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let rate = graph.exp(heads[0]);
        let product = graph.mul(rate, value);
        let density = graph.sub(heads[0], product);
        graph.sum(density, &Axes::from(axis))
    }

    fn noise(&self) -> Option<NoiseKind> {
        Some(NoiseKind::Uniform)
    }

    /// −log(u) / λ.
    fn sample(&self, graph: &mut Graph, heads: &[Node], noise: Node) -> Option<Node> {
        let log = graph.log(noise);
        let size = graph.neg(log);
        let rate = graph.exp(heads[0]);
        Some(graph.div(size, rate))
    }

    fn mean(&self, graph: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        let negative = graph.neg(heads[0]);
        graph.exp(negative)
    }
}
