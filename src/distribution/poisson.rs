//! The Poisson distribution, with the log of the rate as its parameter.

use super::{Distribution, Domain, HeadSpec, arguments::positive};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node, Scalar},
};

#[derive(Debug)]
pub struct Poisson;

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
        let product = graph.mul(value, heads[0]);
        let rate = graph.exp(heads[0]);
        let density = graph.sub(product, rate);
        let next = graph.shift(value, 1.0);
        let factorial = graph.scalar(Scalar::LogGamma, &[next]);
        let density = graph.sub(density, factorial);
        graph.sum(density, &Axes::from(axis))
    }

    fn mean(&self, graph: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        graph.exp(heads[0])
    }
}
