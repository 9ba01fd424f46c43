//! Weights of terms, and the terms by their weights.

use super::{
    case::Case,
    entry::{Entry, total},
};
use crate::{
    id::Id,
    model::{Ramp, Variable, WeightTarget},
    tensor::{Axes, Node},
};

/// A weight as it is at a step: an input if it changes in training, else a number.
pub(super) fn ramp_value(case: &mut Case, target: WeightTarget, ramp: Ramp) -> Node {
    if ramp.changes() {
        let name = case.model.weight_input(target).to_string();
        case.builder.graph.input(&name, Axes::none())
    } else {
        case.builder.graph.constant(ramp.weight)
    }
}

/// The weight of a variable's terms, if a line gives it one. A label that is observed has a
/// likelihood, which q has no part in.
pub(super) fn term_weight(case: &mut Case, variable: Id<Variable>) -> Option<Node> {
    if case.is_observed(variable) {
        return None;
    }
    let mut betas = case.model.objective.betas.iter();
    let beta = betas.find(|beta| beta.variable == variable)?;
    Some(ramp_value(case, WeightTarget::Terms(variable), beta.ramp))
}

/// The learning signal of a score-function estimator: the sum of the entries, each variable's by
/// its weight.
pub(super) fn learning_signal(case: &mut Case, entries: &[Entry]) -> Node {
    let mut parts = entries.to_vec();
    for beta in &case.model.objective.betas {
        let Some(weight) = term_weight(case, beta.variable) else {
            continue;
        };
        let name = &case.variable(beta.variable).name;
        for part in parts.iter_mut().filter(|part| part.belongs_to(name)) {
            part.node = case.builder.graph.mul(weight, part.node);
        }
    }
    total(case.builder.graph, &parts)
}
