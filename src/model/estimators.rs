//! What must hold between the lines of `objective` and the inference graph.

use super::{
    Bound, Factor, FactorKind, Objective, Role,
    check::{Checker, factor_of},
};
use crate::{diagnostic::Diagnostic, distribution::Domain, id::Id};

pub(super) fn check(
    checker: &mut Checker,
    objective: &Objective,
    (p, q): (&[Factor], &[Factor]),
    treated: &[&str],
) {
    hidden(checker, objective, (p, q), treated);
    drawn(checker, objective, q);
    importance(checker, objective);
}

/// Every discrete variable that may be unobserved is summed over, or a value stands for it.
fn hidden(
    checker: &mut Checker,
    objective: &Objective,
    (p, q): (&[Factor], &[Factor]),
    treated: &[&str],
) {
    if p.is_empty() {
        return;
    }
    for index in 0..checker.variables.len() {
        let (id, variable) = (Id::new(index), checker.variables[index].clone());
        let hidden =
            matches!(variable.role, Role::Label | Role::Latent) && variable.domain == Domain::Class;
        let lines = objective
            .drawn
            .iter()
            .filter(|discrete| discrete.variable == id)
            .map(|discrete| discrete.span);
        let mut lines = lines.skip(usize::from(!objective.sums.contains(&id)));
        if let Some(second) = lines.next() {
            let title = format!(
                "`{}` has two lines that say what to do with it",
                variable.name
            );
            checker.report(
                Diagnostic::error(second, title)
                    .help("keep one of `sum`, `relax`, `score` and `top`"),
            );
        }
        if hidden && !treated.contains(&variable.name.as_str()) && factor_of(q, id).is_some() {
            checker.report(
                Diagnostic::error(
                    variable.span,
                    format!(
                        "`{}` is discrete, and nothing says what to do with it",
                        variable.name
                    ),
                )
                .label("where it is not observed, it cannot be sampled in a differentiable way")
                .help(format!(
                    "add `sum {0}` to `objective`, or `relax {0} by gumbel` for many classes",
                    variable.name
                )),
            );
        }
    }
}

/// A value that stands for a variable fits the bound, and has the samples that it needs.
fn drawn(checker: &mut Checker, objective: &Objective, q: &[Factor]) {
    for discrete in &objective.drawn {
        let name = checker.variable(discrete.variable).name.clone();
        let (estimator, span) = (discrete.estimator, discrete.span);
        let mut report =
            |title: String, help: String| checker.report(Diagnostic::error(span, title).help(help));
        let needs = estimator.least_samples();
        if objective.samples < needs {
            report(
                format!("`{}` needs {needs} samples at least", estimator.name()),
                format!("set `samples {needs}` or more, or `score {name} by learned(…)`"),
            );
        }
        let kind = factor_of(q, discrete.variable).map(|factor| &factor.kind);
        if matches!(kind, Some(FactorKind::Distribution { distribution, .. }) if distribution.name() != "categorical")
        {
            report(
                format!("q of `{name}` has nothing to learn"),
                format!("let q infer it: `… -> {name} ~ categorical(…)`, or write `sum {name}`"),
            );
        }
        // A gradient is kept right by what the rest of the bound is worth, row by row.
        let corrected = estimator.keyword() != "relax";
        if corrected && !objective.free_bits.is_empty() {
            report(
                format!(
                    "`{}` weighs the bound row by row, and `free_bits` is about its mean",
                    estimator.keyword()
                ),
                "remove the line `free_bits`, or `relax` or `sum` the variable".to_string(),
            );
        }
        if corrected && objective.bound != Bound::Evidence && estimator.name() != "leave_one_out" {
            report(
                format!(
                    "the importance-weighted bound cannot take `{}`",
                    estimator.name()
                ),
                format!(
                    "write `score {name} by leave_one_out`, `relax {name} by gumbel` or `sum {name}`"
                ),
            );
        }
    }
}

/// The importance-weighted bound has no terms of single latents.
fn importance(checker: &mut Checker, objective: &Objective) {
    if objective.bound == Bound::Evidence {
        return;
    }
    if !objective.betas.is_empty()
        || !objective.free_bits.is_empty()
        || !objective.analytic.is_empty()
    {
        let latent = objective.betas.iter().map(|beta| beta.variable);
        let latent = latent
            .chain(objective.free_bits.iter().map(|(latent, _)| *latent))
            .chain(objective.analytic.clone());
        let span = latent
            .map(|id| checker.variable(id).span)
            .next()
            .unwrap_or_default();
        checker.report(
            Diagnostic::error(
                span,
                "the importance-weighted bound has no terms of single latents",
            )
            .label("has a line `beta`, `free_bits` or `analytic`")
            .help("remove that line, or the line `bound`"),
        );
    }
}
