//! What must hold between the lines of `objective` and the inference graph.

use super::{
    Bound, Factor, Objective, Role,
    check::{Checker, factor_of},
};
use crate::{diagnostic::Diagnostic, distribution::Domain, id::Id};

pub(super) fn check(checker: &mut Checker, objective: &Objective, q: &[Factor]) {
    sums(checker, objective, q);
    importance(checker, objective, q);
}

/// Every discrete variable that may be unobserved is summed over.
fn sums(checker: &mut Checker, objective: &Objective, q: &[Factor]) {
    for index in 0..checker.variables.len() {
        let (id, variable) = (Id::new(index), checker.variables[index].clone());
        let hidden = matches!(variable.role, Role::Label | Role::Latent) && variable.domain == Domain::Class;
        if hidden && !objective.sums.contains(&id) && factor_of(q, id).is_some() {
            checker.report(
                Diagnostic::error(
                    variable.span,
                    format!("`{}` is discrete, and nothing says what to do with it", variable.name),
                )
                .label("where it is not observed, it cannot be sampled in a differentiable way")
                .help(format!("add `sum {}` to `objective`", variable.name)),
            );
        }
    }
}

/// The importance-weighted bound sums over a class outside the samples, so q of the class may not read one.
fn importance(checker: &mut Checker, objective: &Objective, q: &[Factor]) {
    if objective.bound != Bound::Importance {
        return;
    }
    for (position, factor) in q.iter().enumerate() {
        let class = objective.sums.contains(&factor.child);
        let sampled = q[..position].iter().any(|earlier| {
            let child = checker.variable(earlier.child);
            child.role == Role::Latent && child.domain != Domain::Class && factor.parents.contains(&earlier.child)
        });
        if class && sampled {
            let name = checker.variable(factor.child).name.clone();
            checker.report(
                Diagnostic::error(factor.span, format!("the importance-weighted bound cannot sum over `{name}` here"))
                    .label("reads a sampled latent")
                    .help("use `bound evidence`, or let q infer the class from data alone"),
            );
        }
    }
    if !objective.betas.is_empty() || !objective.free_bits.is_empty() || !objective.analytic.is_empty() {
        let latent = objective.betas.iter().map(|beta| beta.latent);
        let latent =
            latent.chain(objective.free_bits.iter().map(|(latent, _)| *latent)).chain(objective.analytic.clone());
        let span = latent.map(|id| checker.variable(id).span).next().unwrap_or_default();
        checker.report(
            Diagnostic::error(span, "the importance-weighted bound has no terms of single latents")
                .help("remove `bound importance`, or the lines `beta`, `free_bits` and `analytic`"),
        );
    }
}
