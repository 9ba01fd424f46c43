//! The text of `dgc explain`: the bounds and the loss as mathematics, followed by sentences about
//! samples, costs and weights. Also the titles of the numbers that an evaluation reports.

use super::{
    Bounds,
    print::{cases, loss, notation, partly, samples, weighted},
};
use crate::{
    model::{self, Factor, Model, Ramp},
    names::{OutputName, TermName},
};

/// The bound of every case, the loss, and sentences about what the formulas leave out.
pub fn explain(model: &Model, bounds: &Bounds) -> String {
    let mut text = cases(model, bounds) + &loss(model, bounds);
    let sentences = sentences(model, bounds);
    if !sentences.is_empty() {
        text += "\n";
    }
    for sentence in sentences {
        text += &format!("{sentence}\n");
    }
    text
}

fn sentences(model: &Model, bounds: &Bounds) -> Vec<String> {
    let settings = &model.objective;
    let notation = notation(model, bounds);
    let mut sentences: Vec<String> = samples(model)
        .map(|count| match count {
            1 => "There is one joint sample s of the latent variables.".to_string(),
            _ => format!("s runs over {count} joint samples of the latent variables."),
        })
        .into_iter()
        .collect();
    let partly_known = bounds.cases.iter().flat_map(|case| partly(model, case));
    sentences.extend(partly_known.map(|label| {
        format!(
            "Where `{label}` of a labelled row is known, it replaces the draw from q or the sum \
             weighted by q, and −log q of it is 0."
        )
    }));
    sentences.extend(model.row_weight().map(|weight| {
        format!(
            "The bound of a row, and its part of `classify` and `regress`, are multiplied by its \
             weight `{}`.",
            weight.name
        )
    }));
    let costs = settings.costs.iter();
    sentences.extend(costs.filter_map(|cost| cost.remark(&notation)));
    for (target, ramp) in settings.ramps() {
        if let Some(subject) = weighted(&notation, target, ramp) {
            sentences.push(format!("The weight of {subject} {}.", course(ramp)));
        }
    }
    for (latent, nats) in &settings.free_bits {
        sentences.push(format!(
            "The mean of the terms of {} is limited to at most −{nats} nats (free bits).",
            notation.name(*latent)
        ));
    }
    sentences
}

/// `rises linearly from 0 to 1 over the first 10 epochs`.
fn course(ramp: Ramp) -> String {
    let Ramp {
        weight,
        warmup,
        from,
        ..
    } = ramp;
    if !ramp.changes() || from == weight {
        return format!("is {weight}");
    }
    let verb = if from < weight { "rises" } else { "falls" };
    let period = if warmup == 1.0 {
        "the first epoch".to_string()
    } else {
        format!("the first {warmup} epochs")
    };
    let rest = if weight == 0.0 {
        ", and stays at 0"
    } else {
        ""
    };
    format!("{verb} linearly from {from} to {weight} over {period}{rest}")
}

/// The numbers that an evaluation may report for each row, with human-readable titles, in reading
/// order: `log p(x)`, the density of x in its factor, is `log p(x | y, z)`, and `likelihood`, the
/// estimate of the data's marginal density, is `log-likelihood`.
pub fn titles(model: &Model) -> Vec<(OutputName, String)> {
    let mut titles = vec![
        (OutputName::Bound, "bound".to_string()),
        (OutputName::Likelihood, "log-likelihood".to_string()),
    ];
    let child = |found: &Factor| model.variables[found.child.index()].name.clone();
    let text = |found: &Factor| model::factor_text(model, found);
    for p in &model.generative {
        let name = OutputName::Term(TermName::LogP(child(p)));
        titles.push((name, format!("log {}", text(p))));
    }
    for q in &model.inference {
        let name = OutputName::Term(TermName::NegLogQ(child(q)));
        titles.push((name, format!("−log {}", text(q))));
        let prior = model::factor_of(&model.generative, q.child);
        if let Some(p) = prior {
            let name = OutputName::Term(TermName::NegKl(child(q)));
            titles.push((name, format!("−KL({} ‖ {})", text(q), text(p))));
        }
    }
    titles
}
