//! The objective of training: the lines of `objective`.

use super::{CostTerm, Network, Ramp, Variable};
use crate::{diagnostic::Span, estimator::Estimator, id::Id};
use std::sync::Arc;

/// The bound, the handling of discrete variables, and the costs beside the bound.
#[derive(Clone, Debug)]
pub struct Objective {
    /// The number of joint Monte Carlo samples in training, at least 1.
    pub samples: usize,
    /// How samples are combined into the bound.
    pub bound: BoundKind,
    /// The labels and discrete latents that are summed over where they are not observed.
    pub sums: Vec<Id<Variable>>,
    /// The labels and discrete latents that an estimator draws. Every label and every class latent
    /// that q infers is in either `sums` or `drawn`.
    pub drawn: Vec<Discrete>,
    /// The costs that are added to the loss beside the bound, in the order of the registry of
    /// lines; costs with the same keyword are in source order.
    pub costs: Vec<Arc<dyn CostTerm>>,
    /// The factor on the bound of labelled rows; `None` means 1.
    pub labelled: Option<Ramp>,
    /// The factors on log p − log q of variables that q infers, at most one for each variable.
    pub betas: Vec<TermWeight>,
    /// `free_bits z 0.5`: the mean KL term of the latent is not reduced below this many nats.
    pub free_bits: Vec<(Id<Variable>, f64)>,
    /// The latents whose KL is computed in closed form, which `check` found to be exact: those with
    /// an `analytic` line, and from edition 2 on all others that have no `sampled` line.
    pub analytic: Vec<Id<Variable>>,
}

impl Objective {
    /// How a discrete variable is drawn, if it is not summed over.
    pub fn drawn(&self, variable: Id<Variable>) -> Option<&Discrete> {
        self.drawn
            .iter()
            .find(|discrete| discrete.variable == variable)
    }
}

/// How the samples of a row are combined into its bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BoundKind {
    /// The mean over samples of the log-weight.
    Evidence,
    /// 1/(1 − α) times the log of the mean over samples of the weight to the power 1 − α. `bound
    /// importance` is α = 0 (Burda et al. 2016), `bound renyi(0.5)` another (Li and Turner 2016).
    Power(f64),
}

/// `relax y by gumbel(temperature = 0.5)`: a discrete variable that is neither observed nor summed
/// over.
#[derive(Clone, Debug)]
pub struct Discrete {
    /// A label or a class latent.
    pub variable: Id<Variable>,
    /// The estimator that draws its value.
    pub estimator: &'static dyn Estimator,
    /// The arguments, in the order of [`Estimator::arguments`].
    pub arguments: Vec<f64>,
    /// The network of a learned baseline.
    pub network: Option<Network>,
    /// Whether the variable's KL term is computed in closed form: it is wherever that is exact.
    pub closed: bool,
    /// The span of the line.
    pub span: Span,
}

/// `beta z 1 warmup 10 from 3`: the weight of a variable's terms.
#[derive(Clone, Debug)]
pub struct TermWeight {
    /// A label or a latent that q infers.
    pub variable: Id<Variable>,
    /// The weight.
    pub ramp: Ramp,
}
