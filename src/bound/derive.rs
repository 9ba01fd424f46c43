//! Derives the bound of each case from a checked model.

use super::{Bounds, Case, CaseKind, FactorId, Term};
use crate::{
    distribution::Domain,
    id::Id,
    model::{BoundKind, Factor, FactorKind, Model, Role, Side, Variable},
};
use std::collections::BTreeSet;

/// The bounds of every case: `labelled` and `unlabelled`, or `all` where the model has no label.
pub fn derive(model: &Model) -> Bounds {
    let data = model.always_observed();
    let labels: Vec<Id<Variable>> = model.with_role(Role::Label).collect();
    let case = |kind, observed: Vec<Id<Variable>>, partly: Vec<Id<Variable>>| {
        let [bound, exact] = [false, true].map(|exact| bound(model, &observed, &partly, exact));
        Case {
            kind,
            observed,
            partly,
            bound,
            exact,
        }
    };
    let cases = if labels.is_empty() {
        vec![case(CaseKind::All, data, Vec::new())]
    } else {
        let (partly, seen): (Vec<_>, Vec<_>) = labels
            .into_iter()
            .partition(|label| model.variables[label.index()].missing);
        let seen = data.iter().copied().chain(seen).collect();
        vec![
            case(CaseKind::Labelled, seen, partly),
            case(CaseKind::Unlabelled, data, Vec::new()),
        ]
    };
    Bounds { cases }
}

/// log p(data), estimated by importance sampling with every discrete variable summed over exactly:
/// log mean over samples of Σ over classes of p(everything) / q(continuous latents | …).
pub fn likelihood(model: &Model, observed: &[Id<Variable>]) -> Term {
    let scopes = scopes(model, observed);
    let mut body = Term::Sum(log_weight(model, observed, |child| !is_class(model, child)));
    for &factor in scopes.iter().rev() {
        let child = factor.factor(model).child;
        if is_class(model, child) {
            body = Term::LogSumExp {
                variable: child,
                body: Box::new(body),
            };
        }
    }
    let estimate = Term::LogMeanExp {
        order: 0.0,
        body: Box::new(body),
    };
    let continuous = scopes
        .iter()
        .rev()
        .filter(|id| !is_class(model, id.factor(model).child));
    continuous.fold(estimate, |body, &factor| Term::Expect {
        factor,
        body: Box::new(body),
    })
}

fn is_class(model: &Model, variable: Id<Variable>) -> bool {
    model.variables[variable.index()].domain == Domain::Class
}

/// The factors of a graph with their ids, parents before children.
pub(crate) fn factors(model: &Model, side: Side) -> impl Iterator<Item = (FactorId, &Factor)> {
    let factors = match side {
        Side::Generative => &model.generative,
        Side::Inference => &model.inference,
    };
    factors
        .iter()
        .enumerate()
        .map(move |(index, factor)| (FactorId { side, index }, factor))
}

/// The factors of q whose children are not observed, in the order in which they are drawn.
fn scopes(model: &Model, observed: &[Id<Variable>]) -> Vec<FactorId> {
    factors(model, Side::Inference)
        .filter(|(_, factor)| matches!(factor.kind, FactorKind::Distribution { .. }))
        .filter(|(_, factor)| !observed.contains(&factor.child))
        .map(|(id, _)| id)
        .collect()
}

/// log p of every variable, and −log q of every unobserved variable for which `counts` is true.
fn log_weight(
    model: &Model,
    observed: &[Id<Variable>],
    counts: impl Fn(Id<Variable>) -> bool,
) -> Vec<Term> {
    let p = factors(model, Side::Generative)
        .filter(|(_, factor)| matches!(factor.kind, FactorKind::Distribution { .. }))
        .map(|(id, _)| Term::LogProb(id));
    let q = scopes(model, observed)
        .into_iter()
        .filter(|id| counts(id.factor(model).child))
        .map(Term::NegativeLogProb);
    p.chain(q).collect()
}

/// Whether a variable is summed over. In an exact bound, every discrete variable is.
fn is_summed(model: &Model, variable: Id<Variable>, exact: bool) -> bool {
    is_class(model, variable) && (exact || model.objective.drawn(variable).is_none())
}

fn bound(model: &Model, observed: &[Id<Variable>], partly: &[Id<Variable>], exact: bool) -> Term {
    if model.generative.is_empty() {
        // A classifier has no bound.
        return Term::Sum(Vec::new());
    }
    let scopes = scopes(model, observed);
    match model.objective.bound {
        BoundKind::Evidence => {
            // A closed form has no value of the variable, so it cannot take one that is known.
            let sampled = [observed, partly].concat();
            evidence(model, observed, &sampled, &scopes, exact)
        }
        BoundKind::Power(order) => importance(model, observed, &scopes, order, exact),
    }
}

/// E_q[Σ log p − Σ log q], each term in the outermost scope in which its variables have values. The terms
/// of the variables in `sampled` have no closed form.
fn evidence(
    model: &Model,
    observed: &[Id<Variable>],
    sampled: &[Id<Variable>],
    scopes: &[FactorId],
    exact: bool,
) -> Term {
    let mut levels: Vec<Vec<Term>> = vec![Vec::new(); scopes.len() + 1];
    for term in analytic(model, log_weight(model, observed, |_| true), sampled, exact) {
        levels[level(model, scopes, &term)].push(term);
    }
    let mut term: Option<Term> = None;
    for (depth, mut terms) in levels.into_iter().enumerate().rev() {
        terms.extend(term);
        let body = if terms.len() == 1 {
            terms.remove(0)
        } else {
            Term::Sum(terms)
        };
        term = Some(match depth.checked_sub(1) {
            Some(scope) => enter(model, scopes[scope], body, exact),
            None => body,
        });
    }
    term.expect("there is at least the outermost level")
}

/// The log of a mean over samples, inside the sums over classes. If q of a summed class reads
/// samples, the class is weighted by its mean probability over the samples: Σ_k m_k (log W_k − log
/// m_k) ≤ log Σ_k W_k for any m, by Jensen's inequality.
fn importance(
    model: &Model,
    observed: &[Id<Variable>],
    scopes: &[FactorId],
    order: f64,
    exact: bool,
) -> Term {
    let weight = log_weight(model, observed, |child| !is_summed(model, child, exact));
    let innermost = Term::LogMeanExp {
        order,
        body: Box::new(Term::Sum(weight)),
    };
    scopes.iter().rev().fold(innermost, |body, &factor| {
        if is_summed(model, factor.factor(model).child, exact) {
            return Term::EnumerateMean {
                factor,
                body: Box::new(body),
            };
        }
        enter(model, factor, body, exact)
    })
}

/// `body` inside the scope of a factor's child.
fn enter(model: &Model, factor: FactorId, body: Term, exact: bool) -> Term {
    let (child, body) = (factor.factor(model).child, Box::new(body));
    match (is_class(model, child), is_summed(model, child, exact)) {
        (true, true) => Term::Enumerate { factor, body },
        (true, false) => Term::Choose { factor, body },
        _ => Term::Expect { factor, body },
    }
}

/// Replaces terms by closed forms: for latents and labels in the list `analytic` of the objective, and
/// for drawn classes that have a closed form. Those in `sampled` keep their terms.
fn analytic(model: &Model, terms: Vec<Term>, sampled: &[Id<Variable>], exact: bool) -> Vec<Term> {
    let closed = |id: &FactorId| {
        let child = id.factor(model).child;
        let drawn = model
            .objective
            .drawn(child)
            .is_some_and(|discrete| discrete.closed);
        let has_closed_form = model.objective.analytic.contains(&child) || drawn && !exact;
        has_closed_form && !sampled.contains(&child)
    };
    let prior = |q: FactorId| {
        factors(model, Side::Generative)
            .find(|(_, factor)| factor.child == q.factor(model).child)
            .expect("check finds a prior for each latent")
            .0
    };
    terms
        .into_iter()
        .filter_map(|term| match term {
            Term::LogProb(id) if closed(&id) => None,
            Term::NegativeLogProb(q) if closed(&q) => Some(Term::NegativeKl { q, p: prior(q) }),
            term => Some(term),
        })
        .collect()
}

/// The number of scopes around a term. At 0, only observed variables have values.
fn level(model: &Model, scopes: &[FactorId], term: &Term) -> usize {
    let read: BTreeSet<Id<Variable>> = match term {
        Term::LogProb(id) | Term::NegativeLogProb(id) => reads(model, *id, true),
        // A closed form reads only the parents.
        Term::NegativeKl { q, p } => reads(model, *q, false)
            .union(&reads(model, *p, false))
            .copied()
            .collect(),
        _ => unreachable!("a log-weight has only densities"),
    };
    scopes
        .iter()
        .rposition(|id| read.contains(&id.factor(model).child))
        .map_or(0, |scope| scope + 1)
}

/// The variables that a factor's density reads, directly or through deterministic nodes; with its
/// child if `child` is true.
fn reads(model: &Model, factor: FactorId, child: bool) -> BTreeSet<Id<Variable>> {
    let factor = factor.factor(model);
    let mut open: Vec<Id<Variable>> = factor.parents.clone();
    open.extend(child.then_some(factor.child));
    let mut found = BTreeSet::new();
    while let Some(variable) = open.pop() {
        if !found.insert(variable) {
            continue;
        }
        if model.variables[variable.index()].role == Role::Node {
            let all = model.generative.iter().chain(&model.inference);
            open.extend(
                all.filter(|factor| factor.child == variable)
                    .flat_map(|factor| factor.parents.iter()),
            );
        }
    }
    found
}
