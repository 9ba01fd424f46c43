//! The negative binomial distribution, with the logs of the mean m and of the dispersion r as its
//! parameters. Its variance is m + m²/r.

use super::{Distribution, Domain, HeadSpec, arguments::positive, random::Random};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node, Scalar},
};

#[derive(Debug)]
pub struct NegativeBinomial;

/// log p(x), elementwise. What depends on x alone is computed once for all classes and samples.
pub(super) fn log_density(graph: &mut Graph, heads: &[Node], value: Node) -> Node {
    let likely = graph.scalar(Scalar::NegativeBinomial, &[value, heads[0], heads[1]]);
    let remainder = graph.scalar(Scalar::LogFactorialRemainder, &[value]);
    graph.sub(likely, remainder)
}

/// A count: a Poisson variable whose rate is a gamma variable.
pub(super) fn count(random: &mut Random, heads: &[f64]) -> f64 {
    let log_rate = random.log_gamma_variable(heads[1].exp()) + heads[0] - heads[1];
    random.poisson(log_rate.exp())
}

impl Distribution for NegativeBinomial {
    fn name(&self) -> &'static str {
        "negative_binomial"
    }

    fn support(&self) -> Domain {
        Domain::Count
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const { &[HeadSpec::log("log_mean"), HeadSpec::log("log_dispersion")] }
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["mean", "dispersion"]
    }

    fn check_arguments(&self, arguments: &[f64]) -> Result<(), String> {
        positive("mean", arguments[0])?;
        positive("dispersion", arguments[1])
    }

    fn constant_heads(&self, arguments: &[f64]) -> Vec<f64> {
        vec![arguments[0].ln(), arguments[1].ln()]
    }

    /// log p(x) = log Γ(x + r) − log Γ(r) − log x! − r log(1 + m/r) − x log(1 + r/m).
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let density = log_density(graph, heads, value);
        graph.sum(density, &Axes::from(axis))
    }

    fn draw(&self, heads: &[f64], random: &mut Random) -> Option<f64> {
        Some(count(random, heads))
    }

    fn mean(&self, graph: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        graph.exp(heads[0])
    }
}
