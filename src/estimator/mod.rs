//! Estimators: how a discrete variable is drawn that is neither observed nor summed over, and how
//! the gradient through the draw is corrected.
//!
//! To add one: a new file with a unit struct that implements [`Estimator`], and a line in
//! [`ESTIMATORS`].

mod surrogate;
mod relax;
mod score;
mod top;

pub use surrogate::{gradient_alone, greatest, gumbel};

use crate::{
    id::Id,
    layer::Argument,
    tensor::{Axis, Graph, Node},
};
use std::fmt::Debug;

/// The variable that an estimator draws, and the noise to draw it by.
pub struct Choice<'a> {
    /// log q(k | …) along `axis`, the variable's features.
    pub log_q: Node,
    /// The variable's feature axis, which counts its classes.
    pub axis: Id<Axis>,
    /// Uniform noise on (0, 1), with every axis of the value.
    pub uniform: Node,
    /// In the order of [`Estimator::arguments`].
    pub arguments: &'a [f64],
    /// The number that changes in training, if there is one: see [`Estimator::changing`].
    pub changing: Option<Node>,
    /// The axis of the joint samples, if there are several.
    pub sample: Option<Id<Axis>>,
    /// How many joint samples there are.
    pub samples: usize,
}

/// What an estimator drew.
pub struct Drawn {
    /// A one-hot or relaxed vector along the choice's axis.
    pub value: Node,
    /// If several values are drawn: the axis that counts them, and the weight of each in the bound.
    pub slots: Option<(Id<Axis>, Node)>,
}

/// A learned baseline. Its prediction of the learning signal is `mean` + `scale` · `value`.
pub struct Baseline {
    /// The network's output; axes as the parents of q have them, no features.
    pub value: Node,
    /// The running mean of the predicted numbers.
    pub mean: Node,
    /// The running deviation of the predicted numbers.
    pub scale: Node,
}

/// A way to draw a discrete variable with a usable gradient.
pub trait Estimator: Sync + Debug {
    /// As written after `by`: `gumbel`.
    fn name(&self) -> &'static str;

    /// The word that the line in `objective` begins with: `relax`, `score` or `top`.
    fn keyword(&self) -> &'static str;

    /// The numbers in parentheses, in order.
    fn arguments(&self) -> &'static [Argument] {
        &[]
    }

    /// Whether it takes a network: a learned baseline, on the parents of q.
    fn takes_network(&self) -> bool {
        false
    }

    /// Whether the gradient is that of log q of a drawn value times a learning signal. Within the
    /// log of a mean of weights, the bound itself then gives the signal.
    fn is_score_function(&self) -> bool {
        false
    }

    /// Whether [`Estimator::gradient`] reads the bound of each row as a learning signal. The bound
    /// must then be a sum over rows.
    fn reads_learning_signal(&self) -> bool {
        false
    }

    /// Whether it can stand within the log of a mean of weights (`bound importance`).
    fn fits_importance_weights(&self) -> bool {
        false
    }

    /// Joint samples that it needs.
    fn least_samples(&self) -> usize {
        1
    }

    /// The name of the number that changes in training, and its value after `epoch` epochs.
    fn changing(&self, _arguments: &[f64], _epoch: f64) -> Option<(&'static str, f64)> {
        None
    }

    /// The value that stands for the variable.
    fn draw(&self, graph: &mut Graph, choice: &Choice) -> Drawn;

    /// A number whose value is 0, and whose gradient corrects the gradient through `body`. `body`
    /// is the rest of the bound, for each value that was drawn: the learning signal.
    fn gradient(
        &self,
        _graph: &mut Graph,
        _choice: &Choice,
        _drawn: &Drawn,
        _body: Node,
        _: Option<Baseline>,
    ) -> Option<Node> {
        None
    }
}

/// Every estimator, in the order in which `dgc list` shows them.
pub const ESTIMATORS: &[&dyn Estimator] = &[
    &relax::GUMBEL,
    &relax::STRAIGHT_THROUGH,
    &score::LeaveOneOut,
    &score::Learned,
    &top::Top,
];

/// The estimator of that name.
pub fn find(keyword: &str, name: &str) -> Option<&'static dyn Estimator> {
    ESTIMATORS
        .iter()
        .copied()
        .find(|estimator| estimator.keyword() == keyword && estimator.name() == name)
}
