//! Bounds as terms: a small algebra over factors, which prints as mathematics before it is lowered.
//!
//! A case fixes the observed variables, and those that some of its rows have. Its bound nests one scope for each unobserved variable, in
//! the order in which `q` draws them. Each log-density is in the outermost scope in which all of
//! its variables have values.

mod derive;
mod print;
mod explain;

use crate::{
    id::Id,
    model::{Factor, Model, Side, Variable},
};

pub use crate::names::{CaseKind, TermName};
pub(crate) use derive::factors;
pub use derive::{derive, likelihood};
pub use explain::{explain, titles};
pub use print::{factor as factor_text, print};

/// The bounds of all cases of a model, in the order in which a training step processes the cases.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Labelled rows, then unlabelled rows; or the single case of all rows.
    pub cases: Vec<Case>,
}

/// Rows on which the same variables are observed.
#[derive(Clone, Debug)]
pub struct Case {
    /// Labelled and unlabelled rows, or all rows for a model without labels.
    pub kind: CaseKind,
    /// Every data variable, and the labels if each row has them.
    pub observed: Vec<Id<Variable>>,
    /// The labels that some rows have and others lack. The scope of such a label stands in the bound:
    /// where it is known, its value replaces the draw from q, or its one-hot vector the probabilities
    /// of q, and −log q of it is 0.
    pub partly: Vec<Id<Variable>>,
    /// The bound that training maximises.
    pub bound: Term,
    /// The bound that evaluation reports: every discrete variable is summed over.
    pub exact: Term,
}

/// A number per row, in nats.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// log p(child | parents).
    LogProb(FactorId),
    /// −log q(child | parents).
    NegativeLogProb(FactorId),
    /// −KL(q(z | …) ‖ p(z | …)) in closed form.
    NegativeKl {
        /// The posterior.
        q: FactorId,
        /// The prior.
        p: FactorId,
    },
    /// The sum of the terms.
    Sum(Vec<Term>),
    /// The mean over samples of the child, drawn from the factor.
    Expect {
        /// The factor of q that is drawn from.
        factor: FactorId,
        /// The averaged term.
        body: Box<Term>,
    },
    /// Σ over the values k of the child of q(k | …) · body.
    Enumerate {
        /// The factor of q whose child is summed over.
        factor: FactorId,
        /// The weighted term.
        body: Box<Term>,
    },
    /// Σ over the values k of the child of m(k) · (body − log m(k)), m(k) the mean over samples of
    /// q(k | …).
    EnumerateMean {
        /// The factor of q whose child is summed over.
        factor: FactorId,
        /// The weighted term.
        body: Box<Term>,
    },
    /// The mean over the values that the child's estimator draws.
    Choose {
        /// The factor of q that is drawn from.
        factor: FactorId,
        /// The averaged term.
        body: Box<Term>,
    },
    /// 1/(1 − α) · log of the mean over samples of exp((1 − α) body), α the order.
    LogMeanExp {
        /// α; 0 is the importance-weighted bound.
        order: f64,
        /// The log of a weight.
        body: Box<Term>,
    },
    /// log Σ over the values of a variable of exp(body).
    LogSumExp {
        /// The variable that is summed over.
        variable: Id<Variable>,
        /// The log of a weight.
        body: Box<Term>,
    },
}

/// A factor of one of the two graphs, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FactorId {
    /// The graph.
    pub side: Side,
    /// The position in that graph.
    pub index: usize,
}

impl FactorId {
    /// The factor with this id.
    pub fn factor(self, model: &Model) -> &Factor {
        match self.side {
            Side::Generative => &model.generative[self.index],
            Side::Inference => &model.inference[self.index],
        }
    }
}
