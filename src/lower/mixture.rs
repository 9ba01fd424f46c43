//! Mixture distributions. Their heads have an axis of components, and a density is a sum over it.

use super::{builder::Builder, network::clamp_head};
use crate::{
    distribution::{Distribution, Domain},
    estimator::{greatest, gumbel},
    id::Id,
    layer::Context,
    model::{Components, Mixture, Variable},
    tensor::{Axes, Axis, AxisKind, Node, NoiseKind, Scalar, Start},
};

/// The components of a factor's distribution: their axis and the logs of their weights.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    component: Id<Axis>,
    /// log π over the components, or a number if all weights are equal.
    logs: Node,
}

/// The heads of learned components. `prefix` is the factor's name: `p.z`.
pub(super) fn learned_heads(
    builder: &mut Builder,
    prefix: &str,
    variable: &Variable,
    distribution: &dyn Distribution,
    mixture: &Mixture,
) -> Vec<Node> {
    let component = component_axis(builder, variable, mixture);
    let out = builder.feature_axis(variable);
    // The first head is the location. Components with the same initial location would stay equal.
    let start = |index| match index {
        0 => Start::Normal(1.0),
        _ => Start::Constant(0.0),
    };
    let mut heads = Vec::new();
    for (index, head) in distribution.heads().iter().enumerate() {
        let mut context = builder.layer(parameters(prefix));
        let value = context.parameter(head.name, &[component, out], start(index));
        heads.push(clamp_head(builder, head, value));
    }
    heads
}

/// A pseudo-input: a parameter for each component and feature, mapped to the variable's domain.
pub(super) fn pseudo_input(
    builder: &mut Builder,
    prefix: &str,
    component: Id<Axis>,
    variable: &Variable,
) -> Node {
    let axis = builder.feature_axis(variable);
    let mut context = builder.layer(prefix);
    let free = context.parameter(&variable.name, &[component, axis], Start::Normal(1.0));
    let graph = context.graph();
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

/// The axis of the components of a variable's prior.
pub(super) fn component_axis(
    builder: &mut Builder,
    variable: &Variable,
    mixture: &Mixture,
) -> Id<Axis> {
    builder.graph.new_axis(Axis {
        name: format!("{}.component", variable.name),
        size: mixture.components,
        kind: AxisKind::Class,
    })
}

/// The weights of the components.
pub(super) fn weights(
    builder: &mut Builder,
    prefix: &str,
    variable: &Variable,
    mixture: &Mixture,
) -> Weights {
    let component = component_axis(builder, variable, mixture);
    let logs = match mixture.source {
        Components::Learned => {
            let mut context = builder.layer(parameters(prefix));
            // A Bernoulli has a head named `logits`.
            let logits = context.parameter("weight_logits", &[component], Start::Constant(0.0));
            context.graph().log_softmax(logits, component)
        }
        Components::Pseudo(_) => builder.graph.constant(-(mixture.components as f64).ln()),
    };
    Weights { component, logs }
}

impl Weights {
    /// log Σ_k π_k exp(log density of component k).
    pub(super) fn log_density(self, builder: &mut Builder, density: Node) -> Node {
        let weighted = builder.graph.add(density, self.logs);
        builder
            .graph
            .log_sum_exp(weighted, &Axes::from(self.component))
    }

    /// Σ_k π_k · (value of component k).
    pub(super) fn mean(self, builder: &mut Builder, value: Node) -> Node {
        let weights = builder.graph.exp(self.logs);
        builder
            .graph
            .contract(weights, value, &Axes::from(self.component))
    }

    /// Draws a component for each row and sample, and gives its heads. `name` is the variable's.
    pub(super) fn draw(self, builder: &mut Builder, name: &str, heads: Vec<Node>) -> Vec<Node> {
        let axes = Axes::from(builder.row()).with(self.component);
        let axes: Axes = axes.iter().chain(builder.sample).collect();
        let uniform = builder.noise(&format!("{name}.component"), NoiseKind::Uniform, axes);
        let graph = &mut *builder.graph;
        let noise = gumbel(graph, uniform);
        let perturbed = graph.add(self.logs, noise);
        let chosen = greatest(graph, perturbed, self.component);
        heads
            .into_iter()
            .map(|head| graph.contract(chosen, head, &Axes::from(self.component)))
            .collect()
    }
}

/// The prefix of the names of a mixture's parameters, such as `p.z.mixture`.
fn parameters(prefix: &str) -> String {
    format!("{prefix}.mixture")
}
