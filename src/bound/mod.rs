//! Bounds as terms: a small algebra over factors, read as mathematics before anything is lowered.
//!
//! A case fixes which variables are observed. Its bound nests one scope for each unobserved
//! variable, in the order in which `q` draws them; a log-density stands in the outermost scope that
//! knows all of its variables.

mod derive;
mod print;
mod explain;

use crate::{
    id::Id,
    model::{Factor, Model, Side, Variable},
};

pub use derive::{derive, likelihood};
pub use explain::{explain, titles};
pub use print::{factor as factor_text, print};

/// The bounds of every case of a model.
#[derive(Clone, Debug)]
pub struct Objective {
    pub cases: Vec<Case>,
}

/// Rows on which the same variables are observed.
#[derive(Clone, Debug)]
pub struct Case {
    /// `labelled`, `unlabelled`, or `all` for a model without labels.
    pub name: &'static str,
    /// Every data variable, and the labels if they are seen.
    pub observed: Vec<Id<Variable>>,
    pub bound: Term,
    /// The same with every discrete variable summed over: what evaluation reports.
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
        q: FactorId,
        p: FactorId,
    },
    Sum(Vec<Term>),
    /// The mean over samples of the child, drawn from the factor.
    Expect {
        factor: FactorId,
        body: Box<Term>,
    },
    /// Σ over the values k of the child of q(k | …) · body.
    Enumerate {
        factor: FactorId,
        body: Box<Term>,
    },
    /// Σ over the values k of the child of m(k) · (body − log m(k)), m(k) the mean over samples of
    /// q(k | …).
    EnumerateMean {
        factor: FactorId,
        body: Box<Term>,
    },
    /// The mean over what the variable's estimator draws for the child.
    Choose {
        factor: FactorId,
        body: Box<Term>,
    },
    /// 1/(1 − α) · log of the mean over samples of exp((1 − α) body), α the order.
    LogMeanExp {
        order: f64,
        body: Box<Term>,
    },
    /// log Σ over the values of a variable of exp(body).
    LogSumExp {
        variable: Id<Variable>,
        body: Box<Term>,
    },
}

/// A factor of one of the two graphs, by its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FactorId {
    pub side: Side,
    pub index: usize,
}

impl FactorId {
    pub fn of(self, model: &Model) -> &Factor {
        match self.side {
            Side::Generative => &model.generative[self.index],
            Side::Inference => &model.inference[self.index],
        }
    }
}
