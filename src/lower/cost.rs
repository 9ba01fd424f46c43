//! What a line of the objective needs to lower the cost that it adds to the loss.

use super::{builder::Averages, case::Case, weight};
use crate::{
    id::Id,
    layer::Value,
    model::{Model, Ramp, Variable, Weighed},
    names::{CaseKind, OutputName},
    tensor::{Axes, Axis, AxisKind, Graph, Node, NoiseKind, OutputKind},
};

/// The case that was lowered last, as the lines of the objective see it. The values that q draws
/// are drawn again by the same noise, so that a line sees what the bound saw.
pub(super) trait CostContext<'m> {
    /// The model, whose objective holds the line.
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

    /// The values of nodes or data without noise and dropout, in one pass. Evaluation repeats this
    /// pass, and what it infers takes its statistics from here.
    fn clean_values(&mut self, variables: &[Id<Variable>]) -> Vec<Node>;

    /// Noise of this case, named `CASE.NAME`.
    fn noise(&mut self, name: &str, kind: NoiseKind, axes: Axes) -> Node;

    /// A weight as it is at a step: an input if it changes in training.
    fn weight(&mut self, weighed: Weighed, ramp: Ramp) -> Node;

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

impl<'m> CostContext<'m> for Case<'m, '_> {
    fn model(&self) -> &'m Model {
        self.model
    }

    fn case(&self) -> CaseKind {
        self.builder.case
    }

    fn row(&self) -> Id<Axis> {
        self.builder.row
    }

    fn graph(&mut self) -> &mut Graph {
        self.builder.graph
    }

    fn features(&mut self, variable: Id<Variable>) -> Id<Axis> {
        self.feature_axis(variable)
    }

    fn log_q(&mut self, label: Id<Variable>) -> Node {
        self.log_prob(self.inference_of(label))
    }

    fn log_probabilities(&mut self, label: Id<Variable>, change: &[(Id<Variable>, Node)]) -> Node {
        let factor = self.inference_of(label);
        let mut cache = self.observed_values();
        let mut pass = self.pass(&mut cache);
        pass.builder.averages = Averages::Kept;
        for &(data, by) in change {
            let value = dense(&mut pass, data);
            let changed = pass.builder.graph.add(value, by);
            pass.set(data, changed);
        }
        pass.resample(factor.index, |case| {
            let (_, heads) = case.distribution(factor);
            let axis = case.feature_axis(label);
            case.builder.graph.log_softmax(heads[0], axis)
        })
    }

    fn value(&mut self, variable: Id<Variable>) -> Node {
        let all = self.model.inference.len();
        self.resample(all, |case| dense(case, variable))
    }

    fn clean_values(&mut self, variables: &[Id<Variable>]) -> Vec<Node> {
        let all = self.model.inference.len();
        let mut cache = self.observed_values();
        let mut pass = self.pass(&mut cache);
        pass.builder.mode.noisy = false;
        if pass.builder.averages == Averages::Moved {
            pass.builder.averages = Averages::MovedFromStored;
        }
        pass.infer();
        pass.resample(all, |case| {
            variables
                .iter()
                .map(|&variable| dense(case, variable))
                .collect()
        })
    }

    fn noise(&mut self, name: &str, kind: NoiseKind, axes: Axes) -> Node {
        self.builder.noise(name, kind, axes)
    }

    fn weight(&mut self, weighed: Weighed, ramp: Ramp) -> Node {
        weight::ramp_value(self, weighed, ramp)
    }
}

/// The value of a variable that is no class.
fn dense(case: &mut Case, variable: Id<Variable>) -> Node {
    match case.value(variable) {
        Value::Dense(node) => node,
        Value::Enumerated(_) => unreachable!("check refuses classes here"),
    }
}

/// The feature axis of a value.
pub(super) fn feature_axis_of(graph: &Graph, node: Node) -> Id<Axis> {
    graph
        .axes_of(node)
        .iter()
        .find(|&axis| graph.axis(axis).kind == AxisKind::Feature)
        .expect("a node has features")
}
