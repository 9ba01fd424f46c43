//! `smooth`: virtual adversarial training (Miyato et al. 2019). The prediction of a label should
//! change little in the direction of the data that changes it most.
//!
//! The direction is a gradient within the loss: a step of the power method on the divergence's
//! curvature, from a random direction d. g = ∇_r KL(q(y | x) ‖ q(y | x + r)) at r = ξ d/‖d‖, again
//! for each round with d = g; then r = ε g/‖g‖.

use super::cost::CostContext;
use crate::{
    distribution::Domain,
    gradient,
    id::Id,
    model::{Role, Smooth, Variable, Weighed},
    names::OutputName,
    tensor::{Axes, Node, NoiseKind, Scalar},
};

/// Keeps the division by the norm of a zero direction finite.
const TINY: f64 = 1e-30;

/// weight · mean over rows and samples of KL(q(y | x) ‖ q(y | x + r)).
pub(super) fn cost<'m>(context: &mut dyn CostContext<'m>, line: &'m Smooth) -> Node {
    let model = context.model();
    let name = &model.variables[line.label.index()].name;
    context.set_origin(&format!("smoothness of q({name} | …)"));
    let data: Vec<Id<Variable>> = model
        .with_role(Role::Data)
        .filter(|id| model.variables[id.index()].domain != Domain::Class)
        .collect();
    let clean = context.log_probabilities(line.label, &[]);
    let clean = context.graph().stop_gradient(clean);
    let mut direction: Vec<Node> = data
        .iter()
        .map(|&id| random_direction(context, id, name))
        .collect();
    for _ in 0..line.rounds {
        let small = with_length(context, &direction, line.step);
        let divergence = divergence(context, line.label, clean, &data, &small);
        let graph = context.graph();
        let all = graph.axes_of(divergence).clone();
        let sum = graph.sum(divergence, &all);
        direction = gradient::reverse(graph, sum, &small);
    }
    let large = with_length(context, &direction, line.radius);
    let divergence = divergence(context, line.label, clean, &data, &large);
    let graph = context.graph();
    let all = graph.axes_of(divergence).clone();
    let mean = graph.mean(divergence, &all);
    let output = OutputName::Metric {
        metric: "smoothness".to_string(),
        case: Some(context.case()),
        variable: name.clone(),
    };
    context.report(output, mean);
    let weight = context.weight(Weighed::Smoothness(line.label), line.ramp);
    context.graph().mul(weight, mean)
}

/// A random direction for one data variable, with axes row and features.
fn random_direction<'m>(
    context: &mut dyn CostContext<'m>,
    data: Id<Variable>,
    label: &str,
) -> Node {
    let name = format!(
        "{label}.smooth.{}",
        context.model().variables[data.index()].name
    );
    let axes = Axes::from(context.row()).with(context.features(data));
    context.noise(&name, NoiseKind::Normal, axes)
}

/// The same direction with that length in each row, over all data, as constants.
fn with_length<'m>(
    context: &mut dyn CostContext<'m>,
    direction: &[Node],
    length: f64,
) -> Vec<Node> {
    let row = Axes::from(context.row());
    let graph = context.graph();
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

/// Σ_k q(k | x) (log q(k | x) − log q(k | x + r)), of each row and sample; `clean` is log q(k | x).
fn divergence<'m>(
    context: &mut dyn CostContext<'m>,
    label: Id<Variable>,
    clean: Node,
    data: &[Id<Variable>],
    change: &[Node],
) -> Node {
    let change: Vec<(Id<Variable>, Node)> =
        data.iter().copied().zip(change.iter().copied()).collect();
    let changed = context.log_probabilities(label, &change);
    let axis = Axes::from(context.features(label));
    let graph = context.graph();
    let ratio = graph.sub(clean, changed);
    let q = graph.exp(clean);
    graph.contract(q, ratio, &axis)
}
