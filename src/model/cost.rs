//! Costs: the terms that lines of `objective` add to the loss beside the bound, such as `classify
//! y`.
//!
//! A cost implements the trait [`CostTerm`], so a new cost is a new file in `crate::lines` and
//! nothing else. Later stages use the trait, and none of them has code for a particular cost.

use super::{Model, Ramp, Side, Variable, Weight, WeightTarget, factor_of, factor_text};
use crate::{
    id::Id,
    names::{CaseKind, InputName, OutputName},
    tensor::{Axes, Axis, AxisKind, Graph, Node, NoiseKind, OutputKind, Scalar},
};
use std::fmt::Debug;

/// The rows of a batch over which a cost is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostRows {
    /// The rows with a label.
    Labelled,
    /// The rows without a label. If a batch has none, or the model has no label, all rows.
    Unlabelled,
    /// The rows of each case: the cost adds one mean for each case.
    EachCase,
}

/// A term of the loss that is not part of the bound.
pub trait CostTerm: Debug + Send + Sync {
    /// The keyword of the cost's line: `classify`.
    fn keyword(&self) -> &'static str;

    /// The variable that the line names. A model has at most one cost per keyword and variable.
    fn subject(&self) -> Id<Variable>;

    /// The name of the metric that a training step shows: the mean that the cost's weight
    /// multiplies.
    fn metric(&self) -> &'static str {
        self.keyword()
    }

    /// Every variable that the cost reads.
    fn reads(&self) -> Vec<Id<Variable>> {
        vec![self.subject()]
    }

    /// The variables whose values the cost takes from a pass without noise and dropout.
    fn clean_reads(&self) -> Vec<Id<Variable>> {
        Vec::new()
    }

    /// The rows that the cost reads.
    fn rows(&self) -> CostRows;

    /// Whether the cost computes statistics over the rows that it reads.
    fn normalizes_rows(&self) -> bool {
        false
    }

    /// The weight, if it may change over the epochs. It is then the input `KEYWORD.SUBJECT` of a
    /// training step.
    fn ramp(&self) -> Option<Ramp> {
        None
    }

    /// The weight, if it may depend on the number of training rows, with a name that no other cost
    /// uses. Unless it is a constant, it is the input `NAME.SUBJECT` of a training step. `dgc
    /// bound` reports it as `KEYWORD_weight`.
    fn population_weight(&self) -> Option<(&'static str, &Weight)> {
        None
    }

    /// Whether it weighs labelled rows by their class, so that a training step needs the weights of
    /// the classes of its subject: [`CostContext::class_weight`].
    fn weighs_classes(&self) -> bool {
        false
    }

    /// The cost with its sign and weight, as mathematics: `+ 0.1 · mean labelled (− log q(y | x))`.
    /// A weight that changes is left out, because it is printed on a separate line.
    fn formula(&self, notation: &Notation) -> String;

    /// The quantity that [`CostTerm::ramp`] multiplies, in words: `the KL of q(y | x)`.
    fn weighted_part(&self, notation: &Notation) -> String {
        self.formula(notation)
    }

    /// A sentence that `dgc explain` adds to the formula.
    fn remark(&self, _notation: &Notation) -> Option<String> {
        None
    }

    /// Builds the cost times its weight, without axes, for the rows of the context: those of a case,
    /// or for [`CostRows::EachCase`] possibly those of all cases. Reports the metrics that a training
    /// step shows.
    fn lower(&self, context: &mut dyn CostContext<'_>) -> Node;
}

/// The case that is being lowered, as a cost sees it. The graph already contains the bound of the
/// case. Samples of q use the same noise as the bound, so a cost sees the values that the bound
/// sees. The lowering implements this trait.
pub trait CostContext<'m> {
    /// The model, whose objective holds the cost.
    fn model(&self) -> &'m Model;

    /// The cases whose rows the cost reads, in words: `labelled`, or `labelled and unlabelled`.
    fn cases(&self) -> String;

    /// The axis of the rows.
    fn row(&self) -> Id<Axis>;

    /// The graph that the cost is added to.
    fn graph(&mut self) -> &mut Graph;

    /// The feature axis of a variable; for a label, the axis of its classes.
    fn features(&mut self, variable: Id<Variable>) -> Id<Axis>;

    /// log q(label | …) at the observed label, with axes row and sample. A row without the label has
    /// some number.
    fn log_q(&mut self, label: Id<Variable>) -> Node;

    /// The weight of each row in training (axes row); `None` if the model has none.
    fn row_weight(&mut self) -> Option<Node>;

    /// 1 in rows that have a label, else 0 (axes row); `None` if all rows have it.
    fn is_known(&self, label: Id<Variable>) -> Option<Node>;

    /// The mean of a value (axes row, and others) over the rows that have a label and over its other
    /// axes; 0 if no row has it.
    fn mean_known(&mut self, label: Id<Variable>, value: Node) -> Node {
        let (is_known, row) = (self.is_known(label), Axes::from(self.row()));
        let graph = self.graph();
        let axes = graph.axes_of(value).clone();
        let Some(is_known) = is_known else {
            return graph.mean(value, &axes);
        };
        let per_row = graph.mean(value, &axes.minus(&row));
        let zero = graph.constant(0.0);
        let counted = graph.scalar(Scalar::Select, &[is_known, per_row, zero]);
        let (total, rows) = (graph.sum(counted, &row), graph.sum(is_known, &row));
        let one = graph.constant(1.0);
        let rows = graph.scalar(Scalar::Max, &[rows, one]);
        graph.scalar(Scalar::Div, &[total, rows])
    }

    /// log q(k | …) of each class k of a label, with axes row, sample and the label's features, where
    /// the data variables in `moved` have these values. Running averages are not updated.
    fn log_probabilities(&mut self, label: Id<Variable>, moved: &[(Id<Variable>, Node)]) -> Node;

    /// The same without randomness, with axes row and the label's features: binary data are not drawn from
    /// their greys, latents are at the means of q, and noise and dropout are off.
    fn clean_log_probabilities(&mut self, label: Id<Variable>) -> Node;

    /// The values of an observed variable, with axes row and its features. A class is one-hot.
    fn data(&mut self, variable: Id<Variable>) -> Node;

    /// 1 where data have a value, else 0, with axes row and features; `None` if no value is missing.
    fn mask(&self, variable: Id<Variable>) -> Option<Node>;

    /// The value of a node or of data, with axes row, sample and its features.
    fn value(&mut self, variable: Id<Variable>) -> Node;

    /// The value of a node or of data without noise and dropout. [`CostTerm::clean_reads`] must
    /// name the variable. All costs share one pass over the networks.
    fn clean_value(&mut self, variable: Id<Variable>) -> Node;

    /// The means of a value over the rows of each case, and over its other axes.
    fn means(&mut self, value: Node) -> Vec<(CaseKind, Node)>;

    /// Noise for the rows of each case, named `CASE.NAME`.
    fn noise(&mut self, name: &str, kind: NoiseKind, axes: Axes) -> Node;

    /// The weight of a cost in a training step, without axes: an input if it changes over the
    /// epochs or depends on the training rows, else a constant. 1 if the cost has neither weight.
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

    /// The weight of the class of each row (axes row), for an observed label: an input of a training
    /// step with a weight for each class. See [`Model::class_weights`].
    fn class_weight(&mut self, label: Id<Variable>) -> Node {
        let (class, axis) = (self.data(label), self.features(label));
        let input = self.model().class_weight_input(label).to_string();
        let graph = self.graph();
        let weights = graph.input(&input, Axes::from(axis));
        graph.contract(class, weights, &Axes::from(axis))
    }

    /// Sets the origin of the nodes that follow to a formula of this case.
    fn set_origin(&mut self, formula: &str) {
        let origin = format!("{} {formula}", self.cases());
        self.graph().set_origin(&origin);
    }

    /// Adds an output that reports show; the value has no axes.
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

/// The notation in which a model's loss is printed.
pub struct Notation<'a> {
    /// The model whose loss it is.
    pub model: &'a Model,
    /// The cases, in the order of the loss.
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

    /// The text of the mean over [`CostRows::Unlabelled`].
    pub fn mean_unlabelled(&self) -> &'static str {
        if self.cases.len() > 1 {
            "mean unlabelled"
        } else {
            "mean"
        }
    }

    /// The text of the sum of means over [`CostRows::EachCase`].
    pub fn mean_of_each_case(&self) -> String {
        let means: Vec<String> = self
            .cases
            .iter()
            .map(|case| format!("mean {case}"))
            .collect();
        means.join(" + ")
    }
}
