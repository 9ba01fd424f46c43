//! The view of a case that costs of the objective get.

use super::{builder::Averages, case::Case};
use crate::{
    id::Id,
    layer::Value,
    model::{CostContext, CostTerm, Model, Variable},
    names::CaseKind,
    tensor::{Axes, Axis, Graph, Node, NoiseKind},
};

/// A case whose bound is lowered. Values of q are drawn with the same noise as in the bound, so a cost
/// reads the same values.
pub(super) struct CostCase<'c, 'm, 'g> {
    case: &'c mut Case<'m, 'g>,
    /// The values that costs read without noise and dropout, once the clean pass is lowered.
    clean: Option<Vec<(Id<Variable>, Node)>>,
}

impl<'c, 'm, 'g> CostCase<'c, 'm, 'g> {
    pub(super) fn new(case: &'c mut Case<'m, 'g>) -> Self {
        CostCase { case, clean: None }
    }

    /// The cost times its weight. The clean pass is lowered before the first cost whose keyword reads
    /// from it.
    pub(super) fn lower(&mut self, cost: &dyn CostTerm) -> Node {
        let mut costs = self.case.model.objective.costs.iter();
        let reads_clean =
            costs.any(|other| other.keyword() == cost.keyword() && !other.clean_reads().is_empty());
        if self.clean.is_none() && reads_clean {
            self.clean = Some(self.clean_pass());
        }
        cost.lower(self)
    }

    /// The same on the rows of all cases, for a cost that reads only shared networks. None if the
    /// case shares no network.
    pub(super) fn lower_jointly(&mut self, cost: &dyn CostTerm) -> Option<Node> {
        self.case.jointly(|all| {
            // The shared networks have moved their running averages already.
            all.builder.averages = Averages::Kept;
            CostCase::new(all).lower(cost)
        })
    }

    /// The clean pass: one pass without noise and dropout for all costs that read from it. Evaluation
    /// repeats this pass, so the running averages that evaluation uses come from here.
    fn clean_pass(&mut self) -> Vec<(Id<Variable>, Node)> {
        self.set_origin("clean pass");
        let costs = self.case.model.objective.costs.iter();
        let variables: Vec<Id<Variable>> = costs.flat_map(|cost| cost.clean_reads()).collect();
        let all = self.case.model.inference.len();
        let mut cache = self.case.observed_values();
        let mut pass = self.case.pass(&mut cache);
        pass.builder.mode.noisy = false;
        if pass.builder.averages == Averages::Moved {
            pass.builder.averages = Averages::MovedFromStored;
        }
        pass.share();
        pass.infer();
        pass.resample(all, |case| {
            variables
                .iter()
                .map(|&variable| (variable, dense(case, variable)))
                .collect()
        })
    }
}

impl<'m> CostContext<'m> for CostCase<'_, 'm, '_> {
    fn model(&self) -> &'m Model {
        self.case.model
    }

    fn cases(&self) -> String {
        self.case.builder.rows.words()
    }

    fn row(&self) -> Id<Axis> {
        self.case.builder.row()
    }

    fn graph(&mut self) -> &mut Graph {
        self.case.builder.graph
    }

    fn features(&mut self, variable: Id<Variable>) -> Id<Axis> {
        self.case.feature_axis(variable)
    }

    fn log_q(&mut self, label: Id<Variable>) -> Node {
        let factor = self.case.inference_of(label);
        let density = match self.case.known(label) {
            Some(known) => self.case.log_prob_at(factor, known.value),
            None => self.case.log_prob(factor),
        };
        self.case.average_classes(density)
    }

    fn row_weight(&mut self) -> Option<Node> {
        self.case.row_weight()
    }

    fn is_known(&self, label: Id<Variable>) -> Option<Node> {
        self.case.known(label).map(|known| known.is_known)
    }

    fn log_probabilities(&mut self, label: Id<Variable>, moved: &[(Id<Variable>, Node)]) -> Node {
        let mut cache = self.case.observed_values();
        let mut pass = self.case.pass(&mut cache);
        pass.builder.averages = Averages::Kept;
        for &(data, value) in moved {
            pass.set(data, value);
        }
        log_probabilities(&mut pass, label)
    }

    fn clean_log_probabilities(&mut self, label: Id<Variable>) -> Node {
        let mut cache = self.case.observed_values();
        let mut pass = self.case.pass(&mut cache);
        pass.builder.averages = Averages::Kept;
        pass.builder.mode = pass.builder.mode.clean();
        pass.builder.samples = 1;
        pass.observe_again();
        log_probabilities(&mut pass, label)
    }

    fn data(&mut self, variable: Id<Variable>) -> Node {
        dense(self.case, variable)
    }

    fn mask(&self, variable: Id<Variable>) -> Option<Node> {
        self.case.mask(variable)
    }

    fn value(&mut self, variable: Id<Variable>) -> Node {
        let all = self.case.model.inference.len();
        self.case.resample(all, |case| dense(case, variable))
    }

    fn clean_value(&mut self, variable: Id<Variable>) -> Node {
        let mut values = self.clean.iter().flatten();
        let found = values.find(|(read, _)| *read == variable);
        found.expect("a cost declares its clean reads").1
    }

    fn means(&mut self, value: Node) -> Vec<(CaseKind, Node)> {
        let rows = self.case.builder.rows.clone();
        let graph = &mut *self.case.builder.graph;
        let mut means = Vec::new();
        for part in &rows.parts {
            let value = rows.part(graph, value, part.case);
            let all = graph.axes_of(value).clone();
            means.push((part.case, graph.mean(value, &all)));
        }
        means
    }

    fn noise(&mut self, name: &str, kind: NoiseKind, axes: Axes) -> Node {
        self.case.builder.noise(name, kind, axes)
    }
}

/// log q(k | …) of each class of a label, after the latents before it.
fn log_probabilities(pass: &mut Case, label: Id<Variable>) -> Node {
    let factor = pass.inference_of(label);
    pass.resample(factor.index, |case| {
        let (_, heads) = case.distribution(factor);
        let axis = case.feature_axis(label);
        case.builder.graph.log_softmax(heads[0], axis)
    })
}

/// The value of a variable that is not a class.
fn dense(case: &mut Case, variable: Id<Variable>) -> Node {
    if let Some(known) = case.known(variable) {
        return known.value;
    }
    match case.value(variable) {
        Value::Dense(node) => node,
        Value::Enumerated(_) => unreachable!("check wants an observed variable here"),
    }
}
