//! Costs: what a line of `objective` adds to the loss beside the bound, such as `classify y`.
//!
//! A cost is data behind a trait, so that a new one is a new file in `crate::lines` and nothing
//! else: the stages that follow ask a model's costs what they need to know, and none of them looks
//! for a cost of one kind.

use super::{Model, Ramp, Side, Variable, Weight, factor_of, factor_text};
use crate::id::Id;
use std::{any::Any, fmt::Debug};

/// The rows of a batch that a cost is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostRows {
    /// The rows with a label.
    Labelled,
    /// The rows without a label; where a batch has none, or the model has no label, those that
    /// there are.
    Unlabelled,
    /// The mean over each case's rows is added for each case.
    EachCase,
}

/// A term of the loss that is no part of the bound.
pub trait Cost: Any + Debug + Send + Sync {
    /// The keyword of its line: `classify`.
    fn keyword(&self) -> &'static str;

    /// The variable that it is about. A model has one cost of a keyword for each variable.
    fn subject(&self) -> Id<Variable>;

    /// Every variable that it reads.
    fn reads(&self) -> Vec<Id<Variable>> {
        vec![self.subject()]
    }

    /// The variables that it reads from a pass over the networks without noise and dropout.
    fn clean_reads(&self) -> Vec<Id<Variable>> {
        Vec::new()
    }

    fn rows(&self) -> CostRows;

    /// The weight, if it may change over the epochs. It is then the input `KEYWORD.SUBJECT` of a
    /// step.
    fn ramp(&self) -> Option<Ramp> {
        None
    }

    /// The weight, if it may depend on the number of training rows. Unless it is a number, it is
    /// then the input `weight.SUBJECT` of a step. `dgc bound` reports it as `KEYWORD_weight`.
    fn population_weight(&self) -> Option<&Weight> {
        None
    }

    /// The cost with its sign and weight, as mathematics: `+ 0.1 · mean labelled (− log q(y | x))`.
    /// A weight that changes is left out; it has a line of its own.
    fn formula(&self, notation: &Notation) -> String;

    /// What its [`Cost::ramp`] multiplies, in words: `the KL of q(y | x)`.
    fn weighted_part(&self, notation: &Notation) -> String {
        self.formula(notation)
    }
}

/// How a model's loss is written.
pub struct Notation<'a> {
    pub model: &'a Model,
    /// The names of the cases, in their order.
    pub cases: Vec<&'static str>,
}

impl Notation<'_> {
    pub fn name(&self, variable: Id<Variable>) -> &str {
        &self.model.variables[variable.index()].name
    }

    /// `q(y | x)`, for a variable that q infers.
    pub fn posterior(&self, variable: Id<Variable>) -> String {
        let factor = factor_of(&self.model.inference, variable);
        let factor = factor.expect("check finds the factor in q");
        debug_assert_eq!(factor.side, Side::Inference);
        factor_text(self.model, factor)
    }

    /// The mean over [`CostRows::Unlabelled`].
    pub fn mean_unlabelled(&self) -> &'static str {
        if self.cases.len() > 1 {
            "mean unlabelled"
        } else {
            "mean"
        }
    }

    /// The sum of the means over [`CostRows::EachCase`].
    pub fn mean_of_each_case(&self) -> String {
        let means: Vec<String> = self
            .cases
            .iter()
            .map(|case| format!("mean {case}"))
            .collect();
        means.join(" + ")
    }
}
