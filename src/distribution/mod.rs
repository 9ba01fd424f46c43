//! Distributions: heads, links, support, log-density and sampling, one file each, written with the
//! tensor builder.
//!
//! To add one: a new file with a unit struct that implements [`Distribution`], and a line in
//! [`DISTRIBUTIONS`]. `docs/contributing/distribution.md` works through an example.

mod arguments;
mod bernoulli;
mod beta;
mod categorical;
mod gamma;
mod laplace;
mod negative_binomial;
mod normal;
mod log_normal;
mod poisson;
mod uniform;

use crate::{
    id::Id,
    tensor::{Axis, Graph, Node},
};
use std::fmt::Debug;

/// What values a variable takes, each element on its own; `Class` is one value out of `size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Domain {
    /// `real`: any number.
    Real,
    /// `positive`: above 0.
    Positive,
    /// `unit`: between 0 and 1, both excluded.
    Unit,
    /// `binary`: 0 or 1; grey levels between stand for probabilities.
    Binary,
    /// `count`: 0, 1, 2, …
    Count,
    /// `class`: one of K values.
    Class,
}

impl Domain {
    /// Every domain, by the name that it has in a model.
    pub const NAMES: &[(&str, Domain)] = &[
        ("real", Domain::Real),
        ("positive", Domain::Positive),
        ("unit", Domain::Unit),
        ("binary", Domain::Binary),
        ("count", Domain::Count),
        ("class", Domain::Class),
    ];

    /// As written in a model: `real`.
    pub fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, domain)| *domain == self);
        found.expect("each domain has a name").0
    }

    /// The domain of that name.
    pub fn find(name: &str) -> Option<Domain> {
        let found = Self::NAMES.iter().find(|(listed, _)| *listed == name);
        found.map(|(_, domain)| *domain)
    }
}

/// How far a head that is a logarithm may be from 0: positive parameters lie between e⁻³⁰ and e³⁰,
/// standard deviations between 3·10⁻⁷ and 3·10⁶. Farther out single precision cannot tell a value
/// from its mean, and the density of a class that is all but impossible, or its gradient, is
/// infinite; times its probability of 0 that is no number.
pub const LOG_BOUND: f64 = 30.0;

/// The numbers that a head takes, which decides how a learned one is clamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadRange {
    /// Any number, not clamped: a mean, logits.
    Unbounded,
    /// The logarithm of a positive parameter: clamped to ±[`LOG_BOUND`].
    Log,
}

/// A head: one parameter of a distribution, which a network gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSpec {
    /// As in a model and in the names of parameters: `log_variance`.
    pub name: &'static str,
    /// The numbers that it takes.
    pub range: HeadRange,
}

impl HeadSpec {
    /// A head that takes any number.
    pub const fn unbounded(name: &'static str) -> Self {
        HeadSpec {
            name,
            range: HeadRange::Unbounded,
        }
    }

    /// A head that is the logarithm of a positive parameter.
    pub const fn log(name: &'static str) -> Self {
        HeadSpec {
            name,
            range: HeadRange::Log,
        }
    }
}

/// A distribution of a variable given its parents.
///
/// A value of a class variable is a one-hot or relaxed vector over `axis`; of any other, one number
/// per feature of `axis`.
pub trait Distribution: Sync + Debug {
    /// As written in a model: `normal`.
    fn name(&self) -> &'static str;

    /// The values that it is a distribution over.
    fn support(&self) -> Domain;

    /// The outputs of the linear layers on a network, such as `mean` and `log_variance`. Each has
    /// the child's features. The first is the location, where there is one.
    fn heads(&self) -> &'static [HeadSpec];

    /// The names of [`Distribution::heads`].
    fn head_names(&self) -> Vec<&'static str> {
        self.heads().iter().map(|head| head.name).collect()
    }

    /// Whether its one head is a logit for each class, so that a network on the parents can
    /// predict the class.
    fn has_probabilities(&self) -> bool {
        false
    }

    /// The names of constant arguments: `["mean", "scale"]` for `normal(0, 1)`. Empty where
    /// constants make no sense.
    fn arguments(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether constant arguments are in range, as a message such as "`scale` must be positive".
    fn check_arguments(&self, _arguments: &[f64]) -> Result<(), String> {
        Ok(())
    }

    /// Head values for constant arguments, one number for each of [`Distribution::heads`].
    fn constant_heads(&self, arguments: &[f64]) -> Vec<f64>;

    /// log p(value), summed over `axis`, the child's features. `value` and each of `heads` may have
    /// any other axes.
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node;

    /// A reparametrised sample from noise named by the caller, or `None` where there is none: then
    /// it can't be a latent's posterior. `noise` is standard normal or uniform on (0, 1), by
    /// [`Distribution::noise`], with every axis of the sample.
    fn sample(&self, graph: &mut Graph, heads: &[Node], noise: Node) -> Option<Node> {
        let _ = (graph, heads, noise);
        None
    }

    /// The noise that [`Distribution::sample`] takes.
    fn noise(&self) -> Option<NoiseKind> {
        None
    }

    /// The mean of the distribution, for pictures and reconstructions. Probabilities for
    /// `bernoulli` and `categorical`.
    fn mean(&self, graph: &mut Graph, heads: &[Node], axis: Id<Axis>) -> Node;

    /// Whether [`Distribution::kl`] to the distribution of that name has a closed form.
    fn has_kl(&self, _other: &str) -> bool {
        false
    }

    /// KL(q ‖ p) in closed form, summed over `axis`, where `self` is q and p is one that
    /// [`Distribution::has_kl`] names.
    fn kl(&self, _graph: &mut Graph, _q: &[Node], _p: &[Node], _axis: Id<Axis>) -> Option<Node> {
        None
    }
}

pub use crate::tensor::NoiseKind;

/// Every distribution, by the order in which `dgc list` shows them.
pub const DISTRIBUTIONS: &[&dyn Distribution] = &[
    &normal::Normal,
    &log_normal::LogNormal,
    &laplace::Laplace,
    &bernoulli::Bernoulli,
    &categorical::Categorical,
    &uniform::Uniform,
    &poisson::Poisson,
    &negative_binomial::NegativeBinomial,
    &gamma::Gamma,
    &beta::Beta,
];

/// The distribution of that name.
pub fn find(name: &str) -> Option<&'static dyn Distribution> {
    DISTRIBUTIONS
        .iter()
        .copied()
        .find(|distribution| distribution.name() == name)
}
