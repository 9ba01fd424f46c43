//! Virtual adversarial training (Miyato et al. 2019): the prediction of a label may not change much
//! where the data change most to its harm.
//!
//! The direction of harm is a gradient within the loss: a step of the power method on the
//! divergence's curvature, from a random direction d. g = ∇_r KL(q(y | x) ‖ q(y | x + r)) at r = ξ
//! d/‖d‖, again for each round with d = g; then r = ε g/‖g‖.

use super::case::{Averages, Lowering};
use crate::{
    gradient,
    id::Id,
    layer::Value,
    model::{Role, Smooth, Variable, Weighed},
    names::OutputName,
    tensor::{Axes, Node, NoiseKind, OutputKind, Scalar},
};

/// What keeps a norm of nothing from dividing by 0.
const TINY: f64 = 1e-30;

impl Lowering<'_> {
    /// weight · mean over rows and samples of KL(q(y | x) ‖ q(y | x + r)) for each `smooth` line,
    /// of the case that was lowered last.
    pub(super) fn smoothing(&mut self) -> Vec<Node> {
        let model = self.model;
        model
            .objective
            .smooth
            .iter()
            .map(|smooth| self.smoothed(smooth))
            .collect()
    }

    fn smoothed(&mut self, smooth: &Smooth) -> Node {
        let model = self.model;
        let name = &model.variables[smooth.label.index()].name;
        self.graph
            .set_origin(&format!("{} smoothness of q({name} | …)", self.case));
        let data: Vec<Id<Variable>> = (0..model.variables.len())
            .map(Id::new)
            .filter(|&id| {
                model.variables[id.index()].role == Role::Data && !super::is_class(model, id)
            })
            .collect();
        let clean = self.log_probabilities(smooth.label, &[]);
        let clean = self.graph.stop_gradient(clean);
        let mut direction: Vec<Node> = data
            .iter()
            .map(|&id| self.random_direction(id, name))
            .collect();
        for _ in 0..smooth.rounds {
            let small = self.of_length(&direction, smooth.step);
            let change: Vec<(Id<Variable>, Node)> =
                data.iter().copied().zip(small.iter().copied()).collect();
            let divergence = self.divergence(smooth.label, clean, &change);
            let all = self.graph.axes_of(divergence).clone();
            let sum = self.graph.sum(divergence, &all);
            direction = gradient::reverse(&mut self.graph, sum, &small);
        }
        let large = self.of_length(&direction, smooth.radius);
        let change: Vec<(Id<Variable>, Node)> = data.into_iter().zip(large).collect();
        let divergence = self.divergence(smooth.label, clean, &change);
        let all = self.graph.axes_of(divergence).clone();
        let mean = self.graph.mean(divergence, &all);
        let case = self.case;
        self.graph.output(
            OutputKind::Value,
            OutputName::Metric {
                metric: "smoothness".to_string(),
                case: Some(case),
                variable: name.clone(),
            },
            mean,
            Vec::new(),
        );
        let weight = self.ramp_value(Weighed::Smoothness(smooth.label), smooth.ramp);
        self.graph.mul(weight, mean)
    }

    fn random_direction(&mut self, data: Id<Variable>, label: &str) -> Node {
        let name = format!(
            "{}.{label}.smooth.{}",
            self.noise,
            self.model.variables[data.index()].name
        );
        let axes = Axes::from(self.row).with(self.feature_axis(data));
        self.graph.noise(&name, NoiseKind::Normal, axes)
    }

    /// The same direction of that length in each row, over all data, as constants.
    fn of_length(&mut self, direction: &[Node], length: f64) -> Vec<Node> {
        let row = Axes::from(self.row);
        let graph = &mut self.graph;
        let squares: Vec<Node> = direction
            .iter()
            .map(|&part| {
                let square = graph.square(part);
                let features = graph.axes_of(square).minus(&row);
                graph.sum(square, &features)
            })
            .collect();
        let square = graph.total(squares);
        let square = graph.shift(square, TINY);
        let norm = graph.scalar(Scalar::Sqrt, &[square]);
        direction
            .iter()
            .map(|&part| {
                let unit = graph.div(part, norm);
                let scaled = graph.scale(unit, length);
                graph.stop_gradient(scaled)
            })
            .collect()
    }

    /// Σ_k q(k | x) (log q(k | x) − log q(k | x + r)), of each row and sample.
    fn divergence(
        &mut self,
        label: Id<Variable>,
        clean: Node,
        change: &[(Id<Variable>, Node)],
    ) -> Node {
        let changed = self.log_probabilities(label, change);
        let axis = Axes::from(self.feature_axis(label));
        let ratio = self.graph.sub(clean, changed);
        let q = self.graph.exp(clean);
        self.graph.contract(q, ratio, &axis)
    }

    /// log q(y | …) with data changed by so much, by the noise that drew what it reads; running
    /// averages stay as they are.
    pub(super) fn log_probabilities(
        &mut self,
        label: Id<Variable>,
        change: &[(Id<Variable>, Node)],
    ) -> Node {
        let factor = self.inference_of(label);
        let (kept, averages) = (
            self.forget_drawn(),
            std::mem::replace(&mut self.averages, Averages::Kept),
        );
        for &(data, by) in change {
            let value = self.value(data);
            let Value::Dense(value) = value else {
                unreachable!("data are dense")
            };
            let changed = self.graph.add(value, by);
            self.set(data, changed);
        }
        let logs = self.drawn_again(factor.index, |lowering| {
            let (_, heads) = lowering.distribution(factor);
            let axis = lowering.feature_axis(label);
            lowering.graph.log_softmax(heads[0], axis)
        });
        self.restore(kept);
        self.averages = averages;
        logs
    }
}
