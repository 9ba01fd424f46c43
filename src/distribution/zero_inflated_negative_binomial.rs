//! The zero-inflated negative binomial distribution: 0 with a probability π, else negative binomial.
//! Its parameters are the logs of the mean and of the dispersion, and the logit of π.

use super::{
    Distribution, Domain, HeadSpec,
    arguments::{positive, within_unit},
    negative_binomial,
    random::Random,
    zero_inflated_poisson::{ZERO_LOGITS, inflate, inflated_mean, logit},
};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node},
};

#[derive(Debug)]
pub struct ZeroInflatedNegativeBinomial;

impl Distribution for ZeroInflatedNegativeBinomial {
    fn name(&self) -> &'static str {
        "zero_inflated_negative_binomial"
    }

    fn support(&self) -> Domain {
        Domain::Count
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const {
            &[
                HeadSpec::log("log_mean"),
                HeadSpec::log("log_dispersion"),
                ZERO_LOGITS,
            ]
        }
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["mean", "dispersion", "zeros"]
    }

    fn check_arguments(&self, arguments: &[f64]) -> Result<(), String> {
        positive("mean", arguments[0])?;
        positive("dispersion", arguments[1])?;
        within_unit("zeros", arguments[2])
    }

    fn constant_heads(&self, arguments: &[f64]) -> Vec<f64> {
        vec![arguments[0].ln(), arguments[1].ln(), logit(arguments[2])]
    }

    /// See [`inflate`].
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let density = negative_binomial::log_density(graph, &heads[..2], value);
        let density = inflate(graph, heads[2], value, density);
        graph.sum(density, &Axes::from(axis))
    }

    fn draw(&self, heads: &[f64], random: &mut Random) -> Option<f64> {
        let is_zero = random.bernoulli(heads[2]) == 1.0;
        Some(if is_zero {
            0.0
        } else {
            negative_binomial::count(random, heads)
        })
    }

    fn mean(&self, graph: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        inflated_mean(graph, heads[2], heads[0])
    }
}
