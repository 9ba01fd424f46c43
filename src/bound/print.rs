//! Prints bounds as mathematics.

use super::{Bounds, FactorId, Term};
use crate::model::{self, BoundKind, Model, Notation, Ramp, WeightTarget};

/// The bound of every case and the loss, with one line per term.
pub fn print(model: &Model, bounds: &Bounds) -> String {
    cases(model, bounds) + &loss(model, bounds) + &notes(model, bounds)
}

/// The bound of every case that has one.
pub(super) fn cases(model: &Model, bounds: &Bounds) -> String {
    let mut text = String::new();
    let bounded = |case: &&super::Case| case.bound != Term::Sum(Vec::new());
    for case in bounds.cases.iter().filter(bounded) {
        let observed: Vec<_> = case
            .observed
            .iter()
            .map(|id| model.variables[id.index()].name.clone())
            .chain(partly(model, case).map(|name| format!("{name} where known")))
            .collect();
        text += &format!("{}({}) =\n", case.kind, observed.join(", "));
        write(model, &case.bound, 1, &mut text);
        text.push('\n');
    }
    text
}

/// The names of the labels that some rows of a case have.
pub(super) fn partly<'a>(model: &'a Model, case: &super::Case) -> impl Iterator<Item = &'a str> {
    let partly = case.partly.clone().into_iter();
    partly.map(|id| model.variables[id.index()].name.as_str())
}

/// A factor in mathematical notation: `p(x | y, z)`.
pub fn factor(model: &Model, id: FactorId) -> String {
    model::factor_text(model, id.factor(model))
}

fn write(model: &Model, term: &Term, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let mut scope = |head: String, body: &Term, close: &str| {
        *text += &format!("{indent}{head}\n");
        write(model, body, depth + 1, text);
        *text += &format!("{indent}{close}\n");
    };
    let child = |id: &FactorId| model.variables[id.factor(model).child.index()].name.clone();
    match term {
        Term::LogProb(id) => *text += &format!("{indent}+ log {}\n", factor(model, *id)),
        Term::NegativeLogProb(id) => *text += &format!("{indent}− log {}\n", factor(model, *id)),
        Term::NegativeKl { q, p } => {
            *text += &format!(
                "{indent}− KL({} ‖ {})\n",
                factor(model, *q),
                factor(model, *p)
            );
        }
        Term::Sum(terms) => terms
            .iter()
            .for_each(|term| write(model, term, depth, text)),
        Term::Expect { factor: id, body } => {
            scope(
                format!("+ E[{} ~ {}] (", child(id), factor(model, *id)),
                body,
                ")",
            );
        }
        Term::Enumerate { factor: id, body } => scope(
            format!("+ Σ_{} {} (", child(id), factor(model, *id)),
            body,
            ")",
        ),
        Term::EnumerateMean { factor: id, body } => {
            let q = factor(model, *id);
            scope(
                format!("+ Σ_{} mean_s {q} (− log mean_s {q}", child(id)),
                body,
                ")",
            );
        }
        Term::Choose { factor: id, body } => {
            let discrete = model
                .objective
                .drawn(id.factor(model).child)
                .expect("an estimator draws the variable");
            let (q, by) = (factor(model, *id), discrete.estimator.name());
            scope(format!("+ E[{} ~ {q}, by {by}] (", child(id)), body, ")");
        }
        Term::LogMeanExp { order: 0.0, body } => scope("+ log mean_s exp (".to_string(), body, ")"),
        Term::LogMeanExp { order, body } => {
            let power = 1.0 - order;
            scope(format!("+ 1/{power} log mean_s exp {power} ("), body, ")");
        }
        Term::LogSumExp { variable, body } => {
            scope(
                format!("+ log Σ_{} exp (", model.variables[variable.index()].name),
                body,
                ")",
            );
        }
    }
}

/// The number of joint samples, if the text of the bound mentions s.
pub(super) fn samples(model: &Model) -> Option<usize> {
    let settings = &model.objective;
    (settings.samples > 1 || settings.bound != BoundKind::Evidence).then_some(settings.samples)
}

pub(super) fn notation<'a>(model: &'a Model, bounds: &Bounds) -> Notation<'a> {
    Notation {
        model,
        cases: bounds.cases.iter().map(|case| case.kind).collect(),
    }
}

/// The quantity that a weight multiplies, in words, for a separate line or sentence. `None` if the
/// formula of the loss contains the weight.
pub(super) fn weighted(notation: &Notation, target: WeightTarget, ramp: Ramp) -> Option<String> {
    match target {
        WeightTarget::LabelledBound => Some("the bound of labelled rows".to_string()),
        WeightTarget::Terms(variable) => Some(format!("the terms of {}", notation.name(variable))),
        // A constant weight is part of the cost's formula.
        WeightTarget::Cost { .. } if !ramp.changes() => None,
        WeightTarget::Cost { keyword, subject } => {
            let mut costs = notation.model.objective.costs.iter();
            let cost = costs
                .find(|cost| (cost.keyword(), cost.subject()) == (keyword, subject))
                .expect("a ramp of a cost is one of the model's costs");
            Some(cost.weighted_part(notation))
        }
    }
}

/// The loss that training minimises, on one line.
pub(super) fn loss(model: &Model, bounds: &Bounds) -> String {
    let notation = notation(model, bounds);
    let bounded = bounds
        .cases
        .iter()
        .filter(|case| case.bound != Term::Sum(Vec::new()));
    let mut parts: Vec<String> = bounded
        .map(|case| format!("− mean {}", case.kind))
        .collect();
    let costs = model.objective.costs.iter();
    parts.extend(costs.map(|cost| cost.formula(&notation)));
    let loss = parts.join(" ");
    format!("loss = {}\n", loss.strip_prefix("+ ").unwrap_or(&loss))
}

/// The weights and samples of the loss, one line each.
fn notes(model: &Model, bounds: &Bounds) -> String {
    let settings = &model.objective;
    let notation = notation(model, bounds);
    let mut text = String::new();
    if let Some(samples) = samples(model) {
        text += &format!("with s over {samples} joint samples\n");
    }
    for (target, ramp) in settings.ramps() {
        let Some(what) = weighted(&notation, target, ramp) else {
            continue;
        };
        let Ramp {
            weight,
            warmup,
            from,
            ..
        } = ramp;
        text += &format!("with {what} times {weight}");
        if warmup > 0.0 {
            text += &format!(", from {from} over {warmup} epochs");
        }
        text.push('\n');
    }
    for (latent, nats) in &settings.free_bits {
        text += &format!(
            "with the mean of the terms of {} at most −{nats}\n",
            notation.name(*latent)
        );
    }
    text
}
