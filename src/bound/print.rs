//! Bounds, printed as mathematics.

use super::{FactorId, Objective, Term};
use crate::{
    id::Id,
    model::{Bound, Model, Ramp, Side, Variable, Weighed},
};

/// The bound of every case and the loss, a line for each term.
pub fn print(model: &Model, objective: &Objective) -> String {
    cases(model, objective) + &loss(model, objective) + &notes(model)
}

/// The bound of every case that has one.
pub(super) fn cases(model: &Model, objective: &Objective) -> String {
    let mut text = String::new();
    let bounded = |case: &&super::Case| case.bound != Term::Sum(Vec::new());
    for case in objective.cases.iter().filter(bounded) {
        let observed: Vec<_> = case
            .observed
            .iter()
            .map(|id| model.variables[id.index()].name.as_str())
            .collect();
        text += &format!("{}({}) =\n", case.name, observed.join(", "));
        write(model, &case.bound, 1, &mut text);
        text.push('\n');
    }
    text
}

/// `p(x | y, z)`, as a reader of the figure would write it.
pub fn factor(model: &Model, id: FactorId) -> String {
    let factor = id.of(model);
    let name = |id: &Id<Variable>| model.variables[id.index()].name.clone();
    let letter = factor.side.letter();
    if factor.parents.is_empty() {
        return format!("{letter}({})", name(&factor.child));
    }
    let parents: Vec<_> = factor.parents.iter().map(name).collect();
    format!("{letter}({} | {})", name(&factor.child), parents.join(", "))
}

fn write(model: &Model, term: &Term, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let mut scope = |head: String, body: &Term, close: &str| {
        *text += &format!("{indent}{head}\n");
        write(model, body, depth + 1, text);
        *text += &format!("{indent}{close}\n");
    };
    let child = |id: &FactorId| model.variables[id.of(model).child.index()].name.clone();
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
                .drawn(id.of(model).child)
                .expect("it is drawn");
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

/// The factor of a variable in p or in q, as [`factor`] writes it.
pub(super) fn factor_of(model: &Model, side: Side, child: Id<Variable>) -> String {
    let factors = match side {
        Side::Generative => &model.generative,
        Side::Inference => &model.inference,
    };
    match factors.iter().position(|factor| factor.child == child) {
        Some(index) => factor(model, FactorId { side, index }),
        None => String::new(),
    }
}

/// The number of joint samples, where the text of the bound speaks of s.
pub(super) fn samples(model: &Model) -> Option<usize> {
    let settings = &model.objective;
    (settings.samples > 1 || settings.bound != Bound::Evidence).then_some(settings.samples)
}

/// What training minimises, on one line.
pub(super) fn loss(model: &Model, objective: &Objective) -> String {
    let settings = &model.objective;
    let name = |id: Id<Variable>| &model.variables[id.index()].name;
    let q_of = |label: Id<Variable>| factor_of(model, Side::Inference, label);
    let bounded = objective
        .cases
        .iter()
        .filter(|case| case.bound != Term::Sum(Vec::new()));
    let mut parts: Vec<String> = bounded
        .map(|case| format!("− mean {}", case.name))
        .collect();
    for classify in &settings.classify {
        parts.push(format!(
            "+ {} · mean labelled (− log {})",
            classify.weight,
            q_of(classify.label)
        ));
    }
    for smooth in &settings.smooth {
        let (q, radius) = (q_of(smooth.label), smooth.radius);
        // A weight that changes is said below.
        let weight = if smooth.ramp.changes() {
            String::new()
        } else {
            format!("{} · ", smooth.ramp.weight)
        };
        let means: Vec<String> = objective
            .cases
            .iter()
            .map(|case| format!("mean {}", case.name))
            .collect();
        let (means, moved) = (
            means.join(" + "),
            format!("{q} where the data are moved by {radius} to its harm"),
        );
        parts.push(format!("+ {weight}({means}) KL({q} ‖ {moved})"));
    }
    // These are over the rows whose labels are unseen.
    let mean = if objective.cases.len() > 1 {
        "mean unlabelled"
    } else {
        "mean"
    };
    for inform in &settings.inform {
        let q = q_of(inform.label);
        parts.push(format!(
            "− {} · (H({mean} {q}) − {mean} H({q}))",
            inform.weight
        ));
    }
    for line in &settings.matches {
        let (node, target) = (name(line.node), name(line.target));
        let clean = if line.clean { "clean " } else { "" };
        let over = if line.standardized {
            format!(" / var {clean}{target}")
        } else {
            String::new()
        };
        parts.push(format!(
            "+ {} · {mean} ({node} − {clean}{target})²{over}",
            line.weight
        ));
    }
    let loss = parts.join(" ");
    format!("loss = {}\n", loss.strip_prefix("+ ").unwrap_or(&loss))
}

/// The weights and samples of the loss, a line for each.
fn notes(model: &Model) -> String {
    let settings = &model.objective;
    let name = |id: Id<Variable>| &model.variables[id.index()].name;
    let mut text = String::new();
    if let Some(samples) = samples(model) {
        text += &format!("with s over {samples} joint samples\n");
    }
    for (weighed, ramp) in settings.ramps() {
        let what = match weighed {
            Weighed::Labelled => "the bound of labelled rows".to_string(),
            Weighed::Terms(variable) => format!("the terms of {}", name(variable)),
            Weighed::Smoothness(label) if ramp.changes() => {
                format!("the KL of {}", factor_of(model, Side::Inference, label))
            }
            // Its weight stands before it.
            Weighed::Smoothness(_) => continue,
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
            name(*latent)
        );
    }
    text
}
