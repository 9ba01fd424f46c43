//! The Bernoulli distribution, with the logit as its parameter. Values between 0 and 1 count as
//! probabilities of 1.

use super::{Distribution, Domain, HeadSpec, arguments::within_unit, random::Random};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node, Scalar},
};

#[derive(Debug)]
pub struct Bernoulli;

impl Distribution for Bernoulli {
    fn name(&self) -> &'static str {
        "bernoulli"
    }

    fn support(&self) -> Domain {
        Domain::Binary
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const { &[HeadSpec::unbounded("logits")] }
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["probability"]
    }

    fn check_arguments(&self, arguments: &[f64]) -> Result<(), String> {
        within_unit("probability", arguments[0])
    }

    fn constant_heads(&self, arguments: &[f64]) -> Vec<f64> {
        vec![(arguments[0] / (1.0 - arguments[0])).ln()]
    }

    /// log p(x) = x l − log(1 + exp(l)).
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let product = graph.mul(value, heads[0]);
        let normaliser = graph.scalar(Scalar::Softplus, &[heads[0]]);
        let density = graph.sub(product, normaliser);
        graph.sum(density, &Axes::from(axis))
    }

    fn draw(&self, heads: &[f64], random: &mut Random) -> Option<f64> {
        Some(random.bernoulli(heads[0]))
    }

    fn mean(&self, graph: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        graph.scalar(Scalar::Sigmoid, &[heads[0]])
    }
}
