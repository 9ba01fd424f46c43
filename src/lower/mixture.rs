//! Distributions of several components: their heads have an axis of components, which a density is
//! summed over.

use super::{
    case::{Averages, Lowering},
    network::Scope,
};
use crate::{
    bound::FactorId,
    distribution::{Distribution, Domain},
    estimator::{greatest, gumbel},
    id::Id,
    layer::Context,
    model::{Components, Factor, FactorKind, Heads, Mixture, Variable},
    tensor::{Axes, Axis, AxisKind, Node, NoiseKind, Scalar, Start},
};

impl Lowering<'_> {
    /// The distribution's heads for each component.
    pub(super) fn components(
        &mut self,
        factor: &Factor,
        distribution: &dyn Distribution,
        mixture: &Mixture,
    ) -> Vec<Node> {
        let component = self.component_axis(factor, mixture);
        match &mixture.source {
            Components::Learned => {
                let out = self.feature_axis(factor.child);
                // Where a distribution lies is its first head; from one place all components would
                // learn the same.
                let start = |index| {
                    if index == 0 {
                        Start::Normal(1.0)
                    } else {
                        Start::Constant(0.0)
                    }
                };
                let one = |(index, head): (usize, &&str)| {
                    let mut scope = Scope {
                        prefix: self.mixture_name(factor),
                        lowering: self,
                    };
                    let value = scope.parameter(head, &[component, out], start(index));
                    self.held(head, value)
                };
                distribution.heads().iter().enumerate().map(one).collect()
            }
            Components::Pseudo(data) => self.at_pseudo_inputs(factor, component, data),
        }
    }

    /// The heads of q where pseudo-inputs stand for the data. Batch norm takes the statistics of
    /// the pseudo-inputs in training, and leaves the running averages to the data.
    fn at_pseudo_inputs(
        &mut self,
        factor: &Factor,
        component: Id<Axis>,
        data: &[Id<Variable>],
    ) -> Vec<Node> {
        let prefix = format!("{}.pseudo", self.factor_name(factor));
        let inputs: Vec<Node> = data
            .iter()
            .map(|&id| self.pseudo_input(&prefix, component, id))
            .collect();
        let known = self.forget_drawn();
        for (&id, input) in data.iter().zip(inputs) {
            self.set(id, input);
        }
        let averages = std::mem::replace(&mut self.averages, Averages::Kept);
        // What is random in a network is drawn for them apart.
        let outside = std::mem::replace(&mut self.noise, prefix);
        let (_, heads) = self.distribution(self.inference_of(factor.child));
        (self.noise, self.averages) = (outside, averages);
        self.restore(known);
        heads
    }

    /// A parameter for each component and feature, mapped to the values that the variable takes.
    fn pseudo_input(&mut self, prefix: &str, component: Id<Axis>, data: Id<Variable>) -> Node {
        let axis = self.feature_axis(data);
        let variable = &self.model.variables[data.index()];
        let mut scope = Scope {
            prefix: prefix.to_string(),
            lowering: self,
        };
        let free = scope.parameter(&variable.name, &[component, axis], Start::Normal(1.0));
        let graph = scope.graph();
        match variable.domain {
            Domain::Real => free,
            Domain::Binary | Domain::Unit => graph.scalar(Scalar::Sigmoid, &[free]),
            Domain::Positive | Domain::Count => graph.exp(free),
            Domain::Class => {
                let logs = graph.log_softmax(free, axis);
                graph.exp(logs)
            }
        }
    }

    /// log Σ_k π_k exp(density of component k); the density itself where there is one component.
    pub(super) fn over_components(&mut self, id: FactorId, density: Node) -> Node {
        let Some((component, weights)) = self.weights(id) else {
            return density;
        };
        let weighted = self.graph.add(density, weights);
        self.graph.log_sum_exp(weighted, &Axes::from(component))
    }

    /// Σ_k π_k of a value of each component.
    pub(super) fn mean_of_components(&mut self, id: FactorId, value: Node) -> Node {
        let Some((component, weights)) = self.weights(id) else {
            return value;
        };
        let weights = self.graph.exp(weights);
        self.graph.contract(weights, value, &Axes::from(component))
    }

    /// The heads of a component that is drawn for each row by its weight.
    pub(super) fn of_one_component(&mut self, id: FactorId, heads: Vec<Node>) -> Vec<Node> {
        let Some((component, weights)) = self.weights(id) else {
            return heads;
        };
        let name = self.model.variables[id.of(self.model).child.index()]
            .name
            .clone();
        let axes = Axes::from(self.row).with(component);
        let uniform = self.graph.noise(
            &format!("{}.{name}.component", self.noise),
            NoiseKind::Uniform,
            axes,
        );
        let noise = gumbel(&mut self.graph, uniform);
        let perturbed = self.graph.add(weights, noise);
        let chosen = greatest(&mut self.graph, perturbed, component);
        heads
            .into_iter()
            .map(|head| self.graph.contract(chosen, head, &Axes::from(component)))
            .collect()
    }

    /// The axis of the components and the logs of their weights, of a mixture.
    fn weights(&mut self, id: FactorId) -> Option<(Id<Axis>, Node)> {
        let factor = id.of(self.model);
        let FactorKind::Distribution {
            heads: Heads::Mixture(mixture),
            ..
        } = &factor.kind
        else {
            return None;
        };
        let component = self.component_axis(factor, mixture);
        let logs = match mixture.source {
            Components::Learned => {
                let mut scope = Scope {
                    prefix: self.mixture_name(factor),
                    lowering: self,
                };
                // Not only `logits`: a Bernoulli's head has that name.
                let logits = scope.parameter("weight_logits", &[component], Start::Constant(0.0));
                scope.graph().log_softmax(logits, component)
            }
            Components::Pseudo(_) => self.graph.constant(-(mixture.components as f64).ln()),
        };
        Some((component, logs))
    }

    fn component_axis(&mut self, factor: &Factor, mixture: &Mixture) -> Id<Axis> {
        let name = format!(
            "{}.component",
            self.model.variables[factor.child.index()].name
        );
        self.graph.new_axis(Axis {
            name,
            size: mixture.components,
            kind: AxisKind::Class,
        })
    }

    /// `p.z.mixture`.
    fn mixture_name(&self, factor: &Factor) -> String {
        format!("{}.mixture", self.factor_name(factor))
    }
}
