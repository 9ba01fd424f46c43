//! What a model learns by: the lines of `objective`.

use super::{CostTerm, Network, Ramp, Variable};
use crate::{diagnostic::Span, estimator::Estimator, id::Id};
use std::sync::Arc;

/// The bound, how its discrete variables are treated, and the costs beside it.
#[derive(Clone, Debug)]
pub struct Objective {
    /// Joint Monte Carlo samples in training, at least 1.
    pub samples: usize,
    /// How samples make the bound.
    pub bound: BoundKind,
    /// Labels and discrete latents summed over where not observed.
    pub sums: Vec<Id<Variable>>,
    /// Those for which an estimator draws a value. Every label and every class latent that q infers
    /// is in one of the two.
    pub drawn: Vec<Discrete>,
    /// What is added to the loss beside the bound, in the order of the registry of lines, and among
    /// costs of one keyword in the file's order.
    pub costs: Vec<Arc<dyn CostTerm>>,
    /// Factor on the bound of labelled rows; 1 if no line gives one.
    pub labelled: Option<Ramp>,
    /// Factor on a latent's log p − log q, at most one for each latent.
    pub betas: Vec<TermWeight>,
    /// `free_bits z 0.5`: that latent's mean KL term is not pushed below this many nats.
    pub free_bits: Vec<(Id<Variable>, f64)>,
    /// `analytic z`: KL in closed form; checked to be exact on this graph.
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

/// How the samples of a row make its bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BoundKind {
    /// Mean over samples of the log-weight.
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
    /// What draws its value.
    pub estimator: &'static dyn Estimator,
    /// In the order of [`Estimator::arguments`].
    pub arguments: Vec<f64>,
    /// Of a learned baseline.
    pub network: Option<Network>,
    /// Whether the variable's KL term is taken in closed form, which it is where that is exact.
    pub closed: bool,
    /// The line, in the file.
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
