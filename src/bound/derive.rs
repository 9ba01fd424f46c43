//! From a checked model to the bound of each case.

use super::{Case, FactorId, Objective, Term};
use crate::{
    distribution::Domain,
    id::Id,
    model::{Bound, Checked, Factor, FactorKind, Role, Side, Variable},
};
use std::collections::BTreeSet;

/// The bounds of every case: `labelled` and `unlabelled`, or `all` where the model has no label.
pub fn derive(model: &Checked) -> Objective {
    let with_role = |role: Role| -> Vec<Id<Variable>> {
        variables(model).filter(|&id| model.variables[id.index()].role == role).collect()
    };
    let (data, labels) = (with_role(Role::Data), with_role(Role::Label));
    let case = |name, observed: Vec<Id<Variable>>| {
        let bound = bound(model, &observed);
        Case { name, observed, bound }
    };
    let cases = if labels.is_empty() {
        vec![case("all", data)]
    } else {
        let seen = data.iter().chain(&labels).copied().collect();
        vec![case("labelled", seen), case("unlabelled", data)]
    };
    Objective { cases }
}

/// log p(data), estimated by importance sampling with every discrete variable summed over exactly:
/// log mean over samples of Σ over classes of p(everything) / q(continuous latents | …).
pub fn likelihood(model: &Checked, observed: &[Id<Variable>]) -> Term {
    let scopes = scopes(model, observed);
    let mut body = Term::Sum(log_weight(model, observed, false));
    for &factor in scopes.iter().rev() {
        let child = factor.of(model).child;
        if is_class(model, child) {
            body = Term::LogSumExp { variable: child, body: Box::new(body) };
        }
    }
    nest_samples(model, &scopes, Term::LogMeanExp(Box::new(body)))
}

fn variables(model: &Checked) -> impl Iterator<Item = Id<Variable>> + use<> {
    (0..model.variables.len()).map(Id::new)
}

fn is_class(model: &Checked, variable: Id<Variable>) -> bool {
    model.variables[variable.index()].domain == Domain::Class
}

fn factors(model: &Checked, side: Side) -> impl Iterator<Item = (FactorId, &Factor)> {
    let factors = match side {
        Side::Generative => &model.generative,
        Side::Inference => &model.inference,
    };
    factors.iter().enumerate().map(move |(index, factor)| (FactorId { side, index }, factor))
}

/// The factors of q whose children are not observed, in the order in which they are drawn.
fn scopes(model: &Checked, observed: &[Id<Variable>]) -> Vec<FactorId> {
    factors(model, Side::Inference)
        .filter(|(_, factor)| matches!(factor.kind, FactorKind::Distribution { .. }))
        .filter(|(_, factor)| !observed.contains(&factor.child))
        .map(|(id, _)| id)
        .collect()
}

/// log p of every variable and −log q of every unobserved one; of the discrete ones too if `discrete`.
fn log_weight(model: &Checked, observed: &[Id<Variable>], discrete: bool) -> Vec<Term> {
    let p = factors(model, Side::Generative)
        .filter(|(_, factor)| matches!(factor.kind, FactorKind::Distribution { .. }))
        .map(|(id, _)| Term::LogProb(id));
    let q = scopes(model, observed)
        .into_iter()
        .filter(|id| discrete || !is_class(model, id.of(model).child))
        .map(Term::NegativeLogProb);
    p.chain(q).collect()
}

fn bound(model: &Checked, observed: &[Id<Variable>]) -> Term {
    let scopes = scopes(model, observed);
    match model.objective.bound {
        Bound::Evidence => evidence(model, observed, &scopes),
        Bound::Importance => importance(model, observed, &scopes),
    }
}

/// E_q[Σ log p − Σ log q], each term in the outermost scope that knows its variables.
fn evidence(model: &Checked, observed: &[Id<Variable>], scopes: &[FactorId]) -> Term {
    let mut levels: Vec<Vec<Term>> = vec![Vec::new(); scopes.len() + 1];
    for term in analytic(model, log_weight(model, observed, true)) {
        levels[level(model, scopes, &term)].push(term);
    }
    let mut term: Option<Term> = None;
    for (depth, mut terms) in levels.into_iter().enumerate().rev() {
        terms.extend(term);
        let body = if terms.len() == 1 { terms.remove(0) } else { Term::Sum(terms) };
        term = Some(match depth.checked_sub(1) {
            Some(scope) => enter(model, scopes[scope], body),
            None => body,
        });
    }
    term.expect("there is at least the outermost level")
}

/// log mean over samples of exp(log weight), inside the sum over classes: q of a summed class knows no sample (checked).
fn importance(model: &Checked, observed: &[Id<Variable>], scopes: &[FactorId]) -> Term {
    let (classes, continuous): (Vec<_>, Vec<_>) =
        scopes.iter().copied().partition(|id| is_class(model, id.of(model).child));
    let weight = Term::LogMeanExp(Box::new(Term::Sum(log_weight(model, observed, false))));
    let mut body = nest_samples(model, &continuous, weight);
    for &class in classes.iter().rev() {
        body = enter(model, class, Term::Sum(vec![Term::NegativeLogProb(class), body]));
    }
    body
}

/// `body` within the draw of every continuous latent.
fn nest_samples(model: &Checked, scopes: &[FactorId], body: Term) -> Term {
    let continuous = scopes.iter().rev().filter(|id| !is_class(model, id.of(model).child));
    continuous.fold(body, |body, &factor| Term::Expect { factor, body: Box::new(body) })
}

fn enter(model: &Checked, factor: FactorId, body: Term) -> Term {
    let body = Box::new(body);
    if is_class(model, factor.of(model).child) {
        Term::Enumerate { factor, body }
    } else {
        Term::Expect { factor, body }
    }
}

/// The terms of latents with an `analytic` line, in closed form.
fn analytic(model: &Checked, terms: Vec<Term>) -> Vec<Term> {
    let closed = |id: &FactorId| model.objective.analytic.contains(&id.of(model).child);
    let prior_of = |q: FactorId| {
        factors(model, Side::Generative)
            .find(|(_, factor)| factor.child == q.of(model).child)
            .expect("check finds a prior for each latent")
            .0
    };
    terms
        .into_iter()
        .filter_map(|term| match term {
            Term::LogProb(id) if closed(&id) => None,
            Term::NegativeLogProb(q) if closed(&q) => Some(Term::NegativeKl { q, p: prior_of(q) }),
            term => Some(term),
        })
        .collect()
}

/// How many scopes a term stands within: 0 knows observed variables only.
fn level(model: &Checked, scopes: &[FactorId], term: &Term) -> usize {
    let known: BTreeSet<Id<Variable>> = match term {
        Term::LogProb(id) | Term::NegativeLogProb(id) => reads(model, *id, true),
        // A closed form knows the parents alone.
        Term::NegativeKl { q, p } => reads(model, *q, false).union(&reads(model, *p, false)).copied().collect(),
        _ => unreachable!("a log-weight holds densities alone"),
    };
    scopes.iter().rposition(|id| known.contains(&id.of(model).child)).map_or(0, |scope| scope + 1)
}

/// The random variables that a factor's density reads, through deterministic nodes; its child among them if asked for.
fn reads(model: &Checked, factor: FactorId, child: bool) -> BTreeSet<Id<Variable>> {
    let factor = factor.of(model);
    let mut open: Vec<Id<Variable>> = factor.parents.clone();
    open.extend(child.then_some(factor.child));
    let mut found = BTreeSet::new();
    while let Some(variable) = open.pop() {
        if !found.insert(variable) {
            continue;
        }
        if model.variables[variable.index()].role == Role::Node {
            let all = model.generative.iter().chain(&model.inference);
            open.extend(all.filter(|factor| factor.child == variable).flat_map(|factor| factor.parents.iter()));
        }
    }
    found
}
