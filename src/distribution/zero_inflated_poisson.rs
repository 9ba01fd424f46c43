//! The zero-inflated Poisson distribution: 0 with a probability π, else Poisson. Its parameters are the
//! log of the rate and the logit of π.

use super::{
    Distribution, Domain, HeadSpec,
    arguments::{positive, within_unit},
    poisson,
    random::Random,
};
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph, Node, Scalar},
};

#[derive(Debug)]
pub struct ZeroInflatedPoisson;

/// The head of zero-inflated distributions: the logit of the probability of a 0 that is not a count.
pub(super) const ZERO_LOGITS: HeadSpec = HeadSpec::unbounded("zero_logits");

/// The log-density of a zero-inflated count, elementwise, from the `density` of the count and the logit
/// l of π: log(π + (1 − π) p(0)) = log(exp(l) + p(0)) − log(1 + exp(l)) for 0, and
/// log (1 − π) p(x) = log p(x) − log(1 + exp(l)) for other counts.
pub(super) fn inflate(graph: &mut Graph, logit: Node, value: Node, density: Node) -> Node {
    let of_zero = graph.scalar(Scalar::LogAddExp, &[logit, density]);
    let joint = graph.scalar(Scalar::Select, &[value, density, of_zero]);
    let normaliser = graph.scalar(Scalar::Softplus, &[logit]);
    graph.sub(joint, normaliser)
}

/// (1 − π) · mean of the count.
pub(super) fn inflated_mean(graph: &mut Graph, logit: Node, log_mean: Node) -> Node {
    let negative = graph.neg(logit);
    let share = graph.scalar(Scalar::Sigmoid, &[negative]);
    let mean = graph.exp(log_mean);
    graph.mul(share, mean)
}

/// The logit of a probability.
pub(super) fn logit(probability: f64) -> f64 {
    probability.ln() - (-probability).ln_1p()
}

impl Distribution for ZeroInflatedPoisson {
    fn name(&self) -> &'static str {
        "zero_inflated_poisson"
    }

    fn support(&self) -> Domain {
        Domain::Count
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const { &[HeadSpec::log("log_rate"), ZERO_LOGITS] }
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["rate", "zeros"]
    }

    fn check_arguments(&self, arguments: &[f64]) -> Result<(), String> {
        positive("rate", arguments[0])?;
        within_unit("zeros", arguments[1])
    }

    fn constant_heads(&self, arguments: &[f64]) -> Vec<f64> {
        vec![arguments[0].ln(), logit(arguments[1])]
    }

    /// See [`inflate`].
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let negative = poisson::negative_log_density(graph, heads[0], value);
        let density = graph.neg(negative);
        let density = inflate(graph, heads[1], value, density);
        graph.sum(density, &Axes::from(axis))
    }

    fn draw(&self, heads: &[f64], random: &mut Random) -> Option<f64> {
        let is_zero = random.bernoulli(heads[1]) == 1.0;
        Some(if is_zero {
            0.0
        } else {
            random.poisson(heads[0].exp())
        })
    }

    fn mean(&self, graph: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        inflated_mean(graph, heads[1], heads[0])
    }
}
