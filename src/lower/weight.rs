//! Weights of terms, and sums of weighted terms.

use super::{
    case::Case,
    entry::{Entry, total},
};
use crate::{
    id::Id,
    model::{Ramp, Variable, WeightTarget},
    tensor::{Axes, Node},
};

/// The weight at a step: an input if it changes in training, else a number.
pub(super) fn ramp_value(case: &mut Case, target: WeightTarget, ramp: Ramp) -> Node {
    if ramp.changes() {
        let name = case.model.weight_input(target).to_string();
        case.builder.graph.input(&name, Axes::none())
    } else {
        case.builder.graph.constant(ramp.weight)
    }
}

/// The weight of a variable's terms, if a line gives one. A label of a labelled row has no weight: its
/// term is a likelihood that does not depend on q, where it is observed.
pub(super) fn term_weight(case: &mut Case, variable: Id<Variable>) -> Option<Node> {
    if case.is_observed(variable) || case.known(variable).is_some() {
        return None;
    }
    let mut betas = case.model.objective.betas.iter();
    let beta = betas.find(|beta| beta.variable == variable)?;
    Some(ramp_value(case, WeightTarget::Terms(variable), beta.ramp))
}

/// The learning signal of a score-function estimator: the sum of the entries, times the weights of
/// their variables.
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
