//! Estimators: how to draw a discrete variable that is neither observed nor summed over, and how to
//! correct the gradient through the draw.
//!
//! To add an estimator, add a file with a unit struct that implements [`Estimator`], and a line to
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

/// The variable that an estimator draws, and the noise for the draw.
pub struct Choice<'a> {
    /// log q(k | …) along `axis`, the variable's features.
    pub log_q: Node,
    /// The variable's feature axis, with one position per class.
    pub axis: Id<Axis>,
    /// Uniform noise on (0, 1), with every axis of the value.
    pub uniform: Node,
    /// The arguments, in the order of [`Estimator::arguments`].
    pub arguments: &'a [f64],
    /// The number that changes in training, if there is one: see [`Estimator::changing`].
    pub changing: Option<Node>,
    /// The axis of the joint samples, if there are several.
    pub sample: Option<Id<Axis>>,
    /// The number of joint samples.
    pub samples: usize,
}

/// The values that an estimator has drawn.
pub struct Drawn {
    /// A one-hot or relaxed vector along the choice's axis.
    pub value: Node,
    /// If there are several values: the axis that enumerates them, and the weight of each in the
    /// bound.
    pub slots: Option<(Id<Axis>, Node)>,
}

/// A learned baseline. Its prediction of the learning signal is `mean` + `scale` · `value`.
pub struct Baseline {
    /// The network's output, with the axes of q's parents and without a feature axis.
    pub value: Node,
    /// The running mean of the predicted numbers.
    pub mean: Node,
    /// The running standard deviation of the predicted numbers.
    pub scale: Node,
}

/// A way to draw a discrete variable with a usable gradient.
pub trait Estimator: Sync + Debug {
    /// The name after `by`: `gumbel`.
    fn name(&self) -> &'static str;

    /// The keyword of the line in `objective`: `relax`, `score` or `top`.
    fn keyword(&self) -> &'static str;

    /// The arguments in parentheses, in order.
    fn arguments(&self) -> &'static [Argument] {
        &[]
    }

    /// Whether it takes a network: a learned baseline, on the parents of q.
    fn takes_network(&self) -> bool {
        false
    }

    /// Whether the gradient is that of log q of the drawn value, times a learning signal. Inside
    /// the log of a mean of weights, the bound itself is the signal.
    fn is_score_function(&self) -> bool {
        false
    }

    /// Whether [`Estimator::gradient`] reads the bound of each row as a learning signal. The bound
    /// must then be a sum over rows.
    fn reads_learning_signal(&self) -> bool {
        false
    }

    /// Whether it can be used inside the log of a mean of weights (`bound importance`).
    fn fits_importance_weights(&self) -> bool {
        false
    }

    /// The least number of joint samples.
    fn least_samples(&self) -> usize {
        1
    }

    /// The name of the number that changes in training, and its value after `epoch` epochs. `None`
    /// if no number changes.
    fn changing(&self, _arguments: &[f64], _epoch: f64) -> Option<(&'static str, f64)> {
        None
    }

    /// Draws the value of the variable.
    fn draw(&self, graph: &mut Graph, choice: &Choice) -> Drawn;

    /// A term with value 0, whose gradient corrects the gradient through `body`. `body` is the rest
    /// of the bound for each drawn value, which is the learning signal. `None` if no correction is
    /// needed.
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

/// Every estimator, in the order of `dgc list`.
pub const ESTIMATORS: &[&dyn Estimator] = &[
    &relax::GUMBEL,
    &relax::STRAIGHT_THROUGH,
    &score::LeaveOneOut,
    &score::Learned,
    &top::Top,
];

/// The estimator with that keyword and name.
pub fn find(keyword: &str, name: &str) -> Option<&'static dyn Estimator> {
    ESTIMATORS
        .iter()
        .copied()
        .find(|estimator| estimator.keyword() == keyword && estimator.name() == name)
}
