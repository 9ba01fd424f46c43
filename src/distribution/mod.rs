//! Distributions: heads, support, log-density and sampling. Each distribution is one file, written
//! with the tensor builder.
//!
//! To add a distribution, add a file with a unit struct that implements [`Distribution`], and a
//! line to [`DISTRIBUTIONS`]. `docs/contributing/distribution.md` works through an example.

mod arguments;
mod random;
mod bernoulli;
mod beta;
mod uniform;
mod classes;
mod categorical;
mod gamma;
mod laplace;
mod negative_binomial;
mod normal;
mod log_normal;
mod ordinal;
mod poisson;
mod student_t;
mod von_mises;
mod zero_inflated_poisson;
mod zero_inflated_negative_binomial;
#[cfg(test)]
#[allow(dead_code, reason = "the guide's example, which is only compiled")]
#[path = "../../docs/contributing/examples/exponential.rs"]
mod guide_example;

use crate::{
    id::Id,
    tensor::{Axis, Graph, Node},
};
use std::{any::Any, fmt::Debug};

/// The values that each element of a variable takes; `Class` is a single value out of `size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Domain {
    /// `real`: any number.
    Real,
    /// `positive`: above 0.
    Positive,
    /// `unit`: between 0 and 1, both excluded.
    Unit,
    /// `binary`: 0 or 1; grey levels in between are probabilities.
    Binary,
    /// `count`: 0, 1, 2, …
    Count,
    /// `class`: one of K values.
    Class,
}

impl Domain {
    /// Every domain, with its name in a model.
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

/// The largest magnitude of a head that is a logarithm: positive parameters lie between e⁻³⁰ and
/// e³⁰, standard deviations between 3·10⁻⁷ and 3·10⁶. Beyond that, single precision cannot
/// distinguish a value from its mean. The density of a nearly impossible class, or its gradient,
/// would be infinite, and infinity times a probability of 0 is NaN.
pub const LOG_BOUND: f64 = 30.0;

/// The numbers that a head takes. They decide how a learned head is clamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadRange {
    /// Any number, not clamped: a mean, logits.
    Unbounded,
    /// The logarithm of a positive parameter: clamped to ±[`LOG_BOUND`].
    Log,
}

/// A head: one parameter of a distribution, computed by a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSpec {
    /// The name in a model and in parameter names: `log_variance`.
    pub name: &'static str,
    /// The numbers that it takes.
    pub range: HeadRange,
    /// How many numbers it has.
    pub extent: HeadExtent,
}

/// How many numbers a head has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadExtent {
    /// One for each feature of the child: each feature has a mean, each class a logit.
    Features,
    /// A single one, whatever the size of the child. It has no bias, whose place a
    /// [`Shared`] parameter takes.
    Single,
}

/// A learned parameter of a distribution that is the same for all rows, such as thresholds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shared {
    /// The name behind that of the factor: `threshold.first`.
    pub name: &'static str,
    /// How many numbers it has.
    pub size: usize,
    /// Their initial value.
    pub start: f64,
}

impl HeadSpec {
    /// A head that takes any number.
    pub const fn unbounded(name: &'static str) -> Self {
        HeadSpec {
            name,
            range: HeadRange::Unbounded,
            extent: HeadExtent::Features,
        }
    }

    /// A head that is a single number, whatever the size of the child, and takes any value.
    pub const fn single(name: &'static str) -> Self {
        HeadSpec {
            name,
            range: HeadRange::Unbounded,
            extent: HeadExtent::Single,
        }
    }

    /// A head that is the logarithm of a positive parameter.
    pub const fn log(name: &'static str) -> Self {
        HeadSpec {
            name,
            range: HeadRange::Log,
            extent: HeadExtent::Features,
        }
    }

    /// Checks that a constant head is in range, where single precision can compute its density.
    ///
    /// # Errors
    ///
    /// A message such as "`log_variance` must be from -30 to 30, found 46.1".
    pub fn check(&self, value: f64) -> Result<(), String> {
        let most = match self.range {
            HeadRange::Unbounded => 1e18,
            HeadRange::Log => LOG_BOUND,
        };
        match value.abs() <= most {
            true => Ok(()),
            false => Err(format!(
                "`{}` must be from -{most} to {most}, found {value:.4}",
                self.name
            )),
        }
    }
}

/// A distribution of a variable given its parents.
///
/// The value of a class variable is a one-hot or relaxed vector over `axis`. The value of any other
/// variable is one number per feature of `axis`.
pub trait Distribution: Any + Sync + Debug {
    /// As written in a model: `normal`.
    fn name(&self) -> &'static str;

    /// The type of its values.
    fn support(&self) -> Domain;

    /// Whether values that differ by 2π are the same, so that they must be in radians.
    fn is_periodic(&self) -> bool {
        false
    }

    /// The outputs of the linear layers after a network, such as `mean` and `log_variance`. The
    /// first is the location, if the distribution has one.
    fn heads(&self) -> &'static [HeadSpec];

    /// Learned parameters of a child of this size that are the same for all rows. Where a function
    /// takes heads, these stand behind them, each with a feature axis of its own.
    fn shared(&self, _size: usize) -> Vec<Shared> {
        Vec::new()
    }

    /// The names of [`Distribution::heads`].
    fn head_names(&self) -> Vec<&'static str> {
        self.heads().iter().map(|head| head.name).collect()
    }

    /// Whether it is a distribution over classes with heads, so that a network on the parents can
    /// predict the class.
    fn has_probabilities(&self) -> bool {
        false
    }

    /// log p of each class along `axis`, of a distribution over classes.
    fn log_probabilities(&self, graph: &mut Graph, heads: &[Node], axis: Id<Axis>) -> Option<Node> {
        let _ = (graph, heads, axis);
        None
    }

    /// The names of constant arguments: `["mean", "scale"]` for `normal(0, 1)`. Empty if the
    /// distribution takes no constants.
    fn arguments(&self) -> &'static [&'static str] {
        &[]
    }

    /// Checks that constant arguments are in range.
    ///
    /// # Errors
    ///
    /// A message such as "`scale` must be above 0, found -1".
    fn check_arguments(&self, _arguments: &[f64]) -> Result<(), String> {
        Ok(())
    }

    /// Head values for constant arguments, one number for each of [`Distribution::heads`].
    fn constant_heads(&self, arguments: &[f64]) -> Vec<f64>;

    /// log p(value), summed over `axis`, the child's features. `value` and each of `heads` may have
    /// any other axes.
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node;

    /// A reparametrised sample. `noise` is standard normal or uniform on (0, 1), as
    /// [`Distribution::noise`] says, and has every axis of the sample. `None` if the distribution
    /// has no reparametrised sample, and so cannot be a latent's posterior.
    fn sample(&self, graph: &mut Graph, heads: &[Node], noise: Node) -> Option<Node> {
        let _ = (graph, heads, noise);
        None
    }

    /// log p of [`Distribution::sample`] with this noise, summed over `axis`. `None` if there is no sample.
    /// A distribution that computes it from the noise keeps digits that the sample lacks: where the
    /// deviation is small, the sample rounds to the mean.
    fn log_prob_of_sample(
        &self,
        graph: &mut Graph,
        heads: &[Node],
        noise: Node,
        axis: Id<Axis>,
    ) -> Option<Node> {
        let sample = self.sample(graph, heads, noise)?;
        Some(self.log_prob(graph, heads, sample, axis))
    }

    /// The noise that [`Distribution::sample`] takes.
    fn noise(&self) -> Option<NoiseKind> {
        None
    }

    /// Draws one value, of the heads in double precision. `None` for a distribution over classes, which
    /// are drawn from their probabilities, and for one that cannot be drawn.
    fn draw(&self, heads: &[f64], random: &mut Random) -> Option<f64> {
        let _ = (heads, random);
        None
    }

    /// The mean of the distribution, for pictures and reconstructions. For `bernoulli` and
    /// `categorical`, the probabilities.
    fn mean(&self, graph: &mut Graph, heads: &[Node], axis: Id<Axis>) -> Node;

    /// The variance of each feature. Every distribution with a [`Distribution::sample`] has it.
    fn variance(&self, _graph: &mut Graph, _heads: &[Node]) -> Option<Node> {
        None
    }

    /// Whether [`Distribution::kl`] has a closed form for a prior `p`: `p.is::<Normal>()`.
    fn has_kl(&self, _p: &dyn Distribution) -> bool {
        false
    }

    /// KL(q ‖ p) in closed form, summed over `axis`, for the heads of `self`, which is q, and for a
    /// p that [`Distribution::has_kl`] accepts, with its heads.
    fn kl(
        &self,
        _graph: &mut Graph,
        _q: &[Node],
        _p: (&dyn Distribution, &[Node]),
        _axis: Id<Axis>,
    ) -> Option<Node> {
        None
    }
}

impl dyn Distribution {
    /// Whether it is the distribution `D`.
    pub fn is<D: Distribution>(&self) -> bool {
        (self as &dyn Any).is::<D>()
    }
}

pub use crate::tensor::NoiseKind;
pub use random::Random;

/// Every distribution, in the order of `dgc list`.
pub const DISTRIBUTIONS: &[&dyn Distribution] = &[
    &normal::Normal,
    &log_normal::LogNormal,
    &laplace::Laplace,
    &student_t::StudentT,
    &von_mises::VonMises,
    &bernoulli::Bernoulli,
    &categorical::Categorical,
    &ordinal::Ordinal,
    &uniform::Uniform,
    &poisson::Poisson,
    &negative_binomial::NegativeBinomial,
    &zero_inflated_poisson::ZeroInflatedPoisson,
    &zero_inflated_negative_binomial::ZeroInflatedNegativeBinomial,
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
