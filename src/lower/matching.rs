//! `match`: the squared difference of two nodes, or of a node and a clean version of another.

use super::cost::{CostContext, feature_axis_of};
use crate::{
    id::Id,
    model::{Match, Variable},
    names::OutputName,
    tensor::Node,
};

/// Keeps a standardised difference finite where a target does not vary: batch norm's epsilon.
const EPSILON: f64 = 1e-5;

/// The costs of all `match` lines. Those with clean targets share one clean pass.
pub(super) fn costs<'m>(context: &mut dyn CostContext<'m>, lines: &'m [Match]) -> Vec<Node> {
    let cleaned: Vec<Id<Variable>> = lines
        .iter()
        .filter(|line| line.clean)
        .map(|line| line.target)
        .collect();
    let mut clean = Vec::new();
    if !cleaned.is_empty() {
        context.set_origin("clean pass");
        clean = context.clean_values(&cleaned);
    }
    let mut clean = clean.into_iter();
    lines
        .iter()
        .map(|line| {
            let target = if line.clean { clean.next() } else { None };
            cost(context, line, target)
        })
        .collect()
}

/// weight · mean over everything of (node − target)², each feature in standard deviations of the
/// target if the line says so. `clean` is the target without noise, where the line wants that.
fn cost<'m>(context: &mut dyn CostContext<'m>, line: &'m Match, clean: Option<Node>) -> Node {
    let model = context.model();
    let name = |id: Id<Variable>| &model.variables[id.index()].name;
    context.set_origin(&format!(
        "match of {} to {}",
        name(line.node),
        name(line.target)
    ));
    let found = context.value(line.node);
    let target = clean.unwrap_or_else(|| context.value(line.target));
    let axis = context.features(line.node);
    let graph = context.graph();
    let target_axis = feature_axis_of(graph, target);
    let target = if target_axis == axis {
        target
    } else {
        graph.rename(target, target_axis, axis)
    };
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
    let all = graph.axes_of(square).clone();
    let mean = graph.mean(square, &all);
    context.report(OutputName::metric("match", name(line.node)), mean);
    context.graph().scale(mean, line.weight)
}
