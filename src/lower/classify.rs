//! `classify`: the cross-entropy of q(label | …) on labelled rows.

use super::cost::CostContext;
use crate::{
    model::{Classify, Expression},
    names::{CLASSIFICATION, InputName, OutputName},
    tensor::{Axes, Node},
};

/// weight · mean over labelled rows and samples of −log q(label | …), of a case whose rows have
/// labels.
pub(super) fn cost<'m>(context: &mut dyn CostContext<'m>, line: &'m Classify) -> Node {
    let label = &context.model().variables[line.label.index()].name;
    let density = context.log_q(line.label);
    let graph = context.graph();
    let axes = graph.axes_of(density).clone();
    let mean = graph.mean(density, &axes);
    let cross_entropy = graph.neg(mean);
    context.report(OutputName::metric(CLASSIFICATION, label), cross_entropy);
    let graph = context.graph();
    let weight = match line.weight {
        Expression::Number(weight) => graph.constant(weight),
        _ => {
            let name = InputName::number("weight", label).to_string();
            graph.input(&name, Axes::none())
        }
    };
    graph.mul(weight, cross_entropy)
}
