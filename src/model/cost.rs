//! Costs: what a line of `objective` adds to the loss beside the bound, such as `classify y`.
//!
//! A cost is data behind a trait, so that a new one is a new file in `crate::lines` and nothing
//! else: the stages that follow ask a model's costs what they need to know, and none of them looks
//! for a cost of one kind.

use super::{Model, Ramp, Side, Variable, Weight, WeightTarget, factor_of, factor_text};
use crate::{
    id::Id,
    names::{CaseKind, InputName, OutputName},
    tensor::{Axes, Axis, AxisKind, Graph, Node, NoiseKind, OutputKind},
};
use std::fmt::Debug;

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
pub trait CostTerm: Debug + Send + Sync {
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

    /// The rows that it reads.
    fn rows(&self) -> CostRows;

    /// The weight, if it may change over the epochs. It is then the input `KEYWORD.SUBJECT` of a
    /// step.
    fn ramp(&self) -> Option<Ramp> {
        None
    }

    /// The weight, if it may depend on the number of training rows, with a name for it that no
    /// other cost has. Unless it is a number, it is the input `NAME.SUBJECT` of a step. `dgc bound`
    /// reports it as `KEYWORD_weight`.
    fn population_weight(&self) -> Option<(&'static str, &Weight)> {
        None
    }

    /// The cost with its sign and weight, as mathematics: `+ 0.1 · mean labelled (− log q(y | x))`.
    /// A weight that changes is left out; it has a line of its own.
    fn formula(&self, notation: &Notation) -> String;

    /// What its [`CostTerm::ramp`] multiplies, in words: `the KL of q(y | x)`.
    fn weighted_part(&self, notation: &Notation) -> String {
        self.formula(notation)
    }

    /// A sentence on what its formula leaves out, for readers of the explained model.
    fn remark(&self, _notation: &Notation) -> Option<String> {
        None
    }

    /// The cost times its weight, as a number without axes, for the rows of the context's case.
    /// Reports what the metrics of a step are to show.
    fn lower(&self, context: &mut dyn CostContext<'_>) -> Node;
}

/// What a cost reads of the case that is being lowered, whose bound is in the graph already. The
/// values that q draws are drawn again by the same noise, so that a cost sees what the bound saw.
/// The lowering implements it.
pub trait CostContext<'m> {
    /// The model, whose objective holds the cost.
    fn model(&self) -> &'m Model;

    /// The case whose rows are read.
    fn case(&self) -> CaseKind;

    /// The axis of the rows.
    fn row(&self) -> Id<Axis>;

    /// The graph that the cost is added to.
    fn graph(&mut self) -> &mut Graph;

    /// The feature axis of a variable; for a label, the axis of its classes.
    fn features(&mut self, variable: Id<Variable>) -> Id<Axis>;

    /// log q(label | …) at the observed label, with axes row and sample.
    fn log_q(&mut self, label: Id<Variable>) -> Node;

    /// log q(k | …) of each class k of a label, with axes row, sample and the label's features,
    /// where each of `change` is added to its data variable. Running averages stay as they are.
    fn log_probabilities(&mut self, label: Id<Variable>, change: &[(Id<Variable>, Node)]) -> Node;

    /// The value of a node or of data, with axes row, sample and its features.
    fn value(&mut self, variable: Id<Variable>) -> Node;

    /// The value of a node or of data without noise and dropout, which [`CostTerm::clean_reads`]
    /// names. One pass over the networks serves all costs.
    fn clean_value(&mut self, variable: Id<Variable>) -> Node;

    /// Noise of this case, named `CASE.NAME`.
    fn noise(&mut self, name: &str, kind: NoiseKind, axes: Axes) -> Node;

    /// The weight of a cost as it is at a step, without axes: an input if it changes over the
    /// epochs or depends on the training rows, else a constant. 1 for a cost without such a weight.
    fn weight(&mut self, cost: &dyn CostTerm) -> Node {
        if let Some(ramp) = cost.ramp() {
            if !ramp.changes() {
                return self.graph().constant(ramp.weight);
            }
            let target = WeightTarget::Cost {
                keyword: cost.keyword(),
                subject: cost.subject(),
            };
            let input = self.model().weight_input(target).to_string();
            return self.graph().input(&input, Axes::none());
        }
        match cost.population_weight() {
            None => self.graph().constant(1.0),
            Some((_, Weight::Number(weight))) => self.graph().constant(*weight),
            Some((kind, _)) => {
                let name = &self.model().variables[cost.subject().index()].name;
                let input = InputName::number(kind, name).to_string();
                self.graph().input(&input, Axes::none())
            }
        }
    }

    /// Nodes made from now on belong to this formula, of this case.
    fn set_origin(&mut self, formula: &str) {
        let origin = format!("{} {formula}", self.case());
        self.graph().set_origin(&origin);
    }

    /// A number that reports show; no axes.
    fn report(&mut self, name: OutputName, value: Node) {
        self.graph()
            .output(OutputKind::Value, name, value, Vec::new());
    }
}

/// The feature axis of a value.
pub fn feature_axis_of(graph: &Graph, node: Node) -> Id<Axis> {
    graph
        .axes_of(node)
        .iter()
        .find(|&axis| graph.axis(axis).kind == AxisKind::Feature)
        .expect("a node has features")
}

/// How a model's loss is written.
pub struct Notation<'a> {
    /// The model whose loss it is.
    pub model: &'a Model,
    /// The names of the cases, in their order.
    pub cases: Vec<CaseKind>,
}

impl Notation<'_> {
    /// The name of a variable.
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
