//! The gamma distribution, with the logs of the shape α and of the rate β as its parameters. It has
//! a density, but no reparametrised sample.

use super::{Distribution, Domain, HeadSpec, arguments::positive, random::Random};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node, Scalar},
};

#[derive(Debug)]
pub struct Gamma;

impl Distribution for Gamma {
    fn name(&self) -> &'static str {
        "gamma"
    }

    fn support(&self) -> Domain {
        Domain::Positive
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const { &[HeadSpec::log("log_shape"), HeadSpec::log("log_rate")] }
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["shape", "rate"]
    }

    fn check_arguments(&self, arguments: &[f64]) -> Result<(), String> {
        positive("shape", arguments[0])?;
        positive("rate", arguments[1])
    }

    fn constant_heads(&self, arguments: &[f64]) -> Vec<f64> {
        vec![arguments[0].ln(), arguments[1].ln()]
    }

    /// log p(x) = α log β − log Γ(α) + (α − 1) log x − β x.
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let density = graph.scalar(Scalar::Gamma, &[value, heads[0], heads[1]]);
        graph.sum(density, &Axes::from(axis))
    }

    fn draw(&self, heads: &[f64], random: &mut Random) -> Option<f64> {
        Some((random.log_gamma_variable(heads[0].exp()) - heads[1]).exp())
    }

    /// α / β.
    fn mean(&self, graph: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        let log = graph.sub(heads[0], heads[1]);
        graph.exp(log)
    }
}
