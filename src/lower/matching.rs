//! What a `match` line adds to the loss: how far one node is from another, or from a clean version
//! of it.

use super::case::{Averages, Lowering};
use crate::{
    id::Id,
    layer::Value,
    model::{Match, Variable},
    names::OutputName,
    tensor::{Axes, AxisKind, Node, OutputKind},
};

/// What keeps a standardised difference finite where a target never changes: batch norm's.
const EPSILON: f64 = 1e-5;

impl Lowering<'_> {
    /// weight · mean over everything of (node − target)², each feature in standard deviations of
    /// the target if the line says so; of the case that was lowered last.
    pub(super) fn matching(&mut self) -> Vec<Node> {
        let model = self.model;
        let lines = &model.objective.matches;
        let cleaned: Vec<Id<Variable>> = lines
            .iter()
            .filter(|line| line.clean)
            .map(|line| line.target)
            .collect();
        let mut clean = if cleaned.is_empty() {
            Vec::new()
        } else {
            self.clean(&cleaned)
        }
        .into_iter();
        let matched = |line: &Match| {
            let clean = if line.clean { clean.next() } else { None };
            self.matched(line, clean)
        };
        lines.iter().map(matched).collect()
    }

    fn matched(&mut self, line: &Match, clean: Option<Node>) -> Node {
        let model = self.model;
        let name = |id: Id<Variable>| model.variables[id.index()].name.clone();
        self.graph.set_origin(&format!(
            "{} match of {} to {}",
            self.case,
            name(line.node),
            name(line.target)
        ));
        let all = model.inference.len();
        let found = self.drawn_again(all, |lowering| lowering.node(line.node));
        let target =
            clean.unwrap_or_else(|| self.drawn_again(all, |lowering| lowering.node(line.target)));
        let axis = self.feature_axis(line.node);
        let own = self.feature_of(target);
        let target = if own == axis {
            target
        } else {
            self.graph.rename(target, own, axis)
        };
        let graph = &mut self.graph;
        let difference = graph.sub(found, target);
        let mut square = graph.square(difference);
        if line.standardized {
            let over = graph.axes_of(target).without(axis);
            let mean = graph.mean(target, &over);
            let centred = graph.sub(target, mean);
            let squares = graph.square(centred);
            let variance = graph.mean(squares, &over);
            let variance = graph.shift(variance, EPSILON);
            square = graph.div(square, variance);
        }
        let all: Axes = graph.axes_of(square).clone();
        let mean = graph.mean(square, &all);
        graph.output(
            OutputKind::Value,
            OutputName::metric("match", &name(line.node)),
            mean,
            Vec::new(),
        );
        graph.scale(mean, line.weight)
    }

    fn node(&mut self, variable: Id<Variable>) -> Node {
        let Value::Dense(node) = self.value(variable) else {
            unreachable!("check refuses classes in `match`")
        };
        node
    }

    /// The values without noise and dropout. Evaluation repeats this pass, and what it infers takes
    /// its statistics from here.
    fn clean(&mut self, variables: &[Id<Variable>]) -> Vec<Node> {
        let model = self.model;
        self.graph.set_origin(&format!("{} clean pass", self.case));
        let kept = self.forget_drawn();
        let noisy = std::mem::replace(&mut self.mode.noisy, false);
        let anew = if self.averages == Averages::Kept {
            Averages::Kept
        } else {
            Averages::MovedAnew
        };
        let averages = std::mem::replace(&mut self.averages, anew);
        self.infer();
        let values = self.drawn_again(model.inference.len(), |lowering| {
            variables
                .iter()
                .map(|&variable| lowering.node(variable))
                .collect()
        });
        self.averages = averages;
        self.mode.noisy = noisy;
        self.restore(kept);
        values
    }

    fn feature_of(&self, node: Node) -> Id<crate::tensor::Axis> {
        let mut axes = self.graph.axes_of(node).iter();
        axes.find(|&axis| self.graph.axis(axis).kind == AxisKind::Feature)
            .expect("a node has features")
    }
}
