//! The beta distribution, with log α and log β as its parameters. It has a density, but no
//! reparametrised sample.

use super::{Distribution, Domain, HeadSpec, arguments::positive, random::Random};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node, Scalar},
};

#[derive(Debug)]
pub struct Beta;

impl Distribution for Beta {
    fn name(&self) -> &'static str {
        "beta"
    }

    fn support(&self) -> Domain {
        Domain::Unit
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const { &[HeadSpec::log("log_alpha"), HeadSpec::log("log_beta")] }
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["alpha", "beta"]
    }

    fn check_arguments(&self, arguments: &[f64]) -> Result<(), String> {
        positive("alpha", arguments[0])?;
        positive("beta", arguments[1])
    }

    fn constant_heads(&self, arguments: &[f64]) -> Vec<f64> {
        vec![arguments[0].ln(), arguments[1].ln()]
    }

    /// log p(x) = log Γ(α + β) − log Γ(α) − log Γ(β) + (α − 1) log x + (β − 1) log(1 − x).
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let density = graph.scalar(Scalar::Beta, &[value, heads[0], heads[1]]);
        graph.sum(density, &Axes::from(axis))
    }

    fn draw(&self, heads: &[f64], random: &mut Random) -> Option<f64> {
        let alpha = random.log_gamma_variable(heads[0].exp());
        let beta = random.log_gamma_variable(heads[1].exp());
        Some(1.0 / (1.0 + (beta - alpha).exp()))
    }

    /// α / (α + β).
    fn mean(&self, graph: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        let log = graph.sub(heads[0], heads[1]);
        graph.scalar(Scalar::Sigmoid, &[log])
    }
}
