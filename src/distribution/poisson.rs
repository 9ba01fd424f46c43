//! The Poisson distribution, with the log of the rate as its parameter.

use super::{Distribution, Domain, HeadSpec, arguments::positive, random::Random};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node, Scalar},
};

#[derive(Debug)]
pub struct Poisson;

/// −log p(x), elementwise, in two parts that do not cancel: the divergence of λ from x, and the
/// remainder of Stirling's formula.
pub(super) fn negative_log_density(graph: &mut Graph, log_rate: Node, value: Node) -> Node {
    let divergence = graph.scalar(Scalar::PoissonDivergence, &[value, log_rate]);
    let remainder = graph.scalar(Scalar::LogFactorialRemainder, &[value]);
    graph.add(divergence, remainder)
}

impl Distribution for Poisson {
    fn name(&self) -> &'static str {
        "poisson"
    }

    fn support(&self) -> Domain {
        Domain::Count
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

    /// log p(x) = x log λ − λ − log x!.
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let sum = negative_log_density(graph, heads[0], value);
        let sum = graph.sum(sum, &Axes::from(axis));
        graph.neg(sum)
    }

    fn draw(&self, heads: &[f64], random: &mut Random) -> Option<f64> {
        Some(random.poisson(heads[0].exp()))
    }

    fn mean(&self, graph: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        graph.exp(heads[0])
    }
}
