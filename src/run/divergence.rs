//! Whether training has diverged: whether its loss is far worse than that of the first parameters.
//!
//! Losses are compared at equal weights. A weight that rises makes every loss larger, so the loss of
//! the first step is computed anew with the weights of the step that is judged.

use crate::{
    distribution::Domain,
    id::Id,
    model::{Model, Role, Variable, factor_of},
    names::{CaseKind, OutputName},
};

/// A loss is far worse than the first one if it exceeds it by more than this multiple of its size.
const FACTOR: f64 = 10.0;

/// The outputs of a step, by name.
pub type Reported = [(OutputName, f64)];

/// Whether a loss is far worse than `first`, the loss of the first parameters with the same weights.
/// A first loss near 0 counts as one nat for each number that the model explains.
pub fn is_far_worse(model: &Model, loss: f64, first: f64) -> bool {
    loss - first > FACTOR * first.abs().max(numbers(model))
}

/// The numbers of a row that the model explains: those of data and labels with a factor in p, or the
/// labels of a classifier.
fn numbers(model: &Model) -> f64 {
    let variables = model.variables.iter().enumerate();
    let explained = variables.filter(|(index, variable)| match variable.role {
        Role::Label => true,
        Role::Data => factor_of(&model.generative, Id::new(*index)).is_some(),
        _ => false,
    });
    let numbers = explained.map(|(_, variable)| match variable.domain {
        Domain::Class => 1.0,
        _ => variable.size() as f64,
    });
    numbers.sum::<f64>().max(1.0)
}

/// The loss of the parameters of a step with the weights after `to` epochs, where the step used those
/// after `from` epochs.
pub fn loss_at(model: &Model, reported: &Reported, from: f64, to: f64) -> f64 {
    let loss = reported
        .iter()
        .find(|(name, _)| *name == OutputName::Loss)
        .map_or(f64::NAN, |(_, loss)| *loss);
    loss + weighted(model, reported, to) - weighted(model, reported, from)
}

/// The parts of the loss that weights with a ramp multiply, with the weights after `epoch` epochs.
fn weighted(model: &Model, reported: &Reported, epoch: f64) -> f64 {
    let bounds = reported.iter().filter_map(|(name, bound)| match name {
        OutputName::CaseBound(case) => Some((*case, *bound)),
        _ => None,
    });
    let bounds = bounds.map(|(case, bound)| {
        let bound = weighted_bound(model, reported, (case, bound), epoch);
        match model
            .objective
            .labelled
            .filter(|_| case == CaseKind::Labelled)
        {
            Some(ramp) => -ramp.after(epoch) * bound,
            None => -bound,
        }
    });
    let costs = model.objective.costs.iter().filter_map(|cost| {
        let weight = cost.ramp()?.after(epoch);
        let subject = &model.variables[cost.subject().index()].name;
        let parts = reported.iter().filter(|(name, _)| {
            matches!(name, OutputName::Metric { metric, variable, .. }
                if metric == cost.metric() && variable == subject)
        });
        Some(weight * parts.map(|(_, part)| part).sum::<f64>())
    });
    bounds.chain(costs).sum()
}

/// The bound of a case with weights and free bits on the terms of inferred variables.
fn weighted_bound(
    model: &Model,
    reported: &Reported,
    (case, bound): (CaseKind, f64),
    epoch: f64,
) -> f64 {
    let objective = &model.objective;
    let mut result = bound;
    for (index, variable) in model.variables.iter().enumerate() {
        let id: Id<Variable> = Id::new(index);
        if variable.role == Role::Label && case == CaseKind::Labelled {
            continue;
        }
        let mut betas = objective.betas.iter();
        let beta = betas.find(|beta| beta.variable == id);
        let mut free = objective.free_bits.iter();
        let free = free.find(|(free, _)| *free == id).map(|(_, nats)| -nats);
        if beta.is_none() && free.is_none() {
            continue;
        }
        let terms = reported.iter().filter(|(name, _)| {
            matches!(name, OutputName::CaseTerm(of, term)
                if *of == case && term.variable() == Some(&variable.name))
        });
        let terms: f64 = terms.map(|(_, term)| term).sum();
        let clamped = free.map_or(terms, |most| terms.min(most));
        let weight = beta.map_or(1.0, |beta| beta.ramp.after(epoch));
        result += weight * clamped - terms;
    }
    result
}
