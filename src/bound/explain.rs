//! What a model's training maximises, in words: the bounds as mathematics, then a sentence for
//! each weight that changes over time. Also the titles of the numbers that an evaluation reports.

use super::{
    FactorId, Objective,
    print::{cases, factor, factor_of, loss, samples},
};
use crate::model::{Factor, Model, Ramp, Side, Weighed};

/// The bound of every case, the loss, and what the formulas leave out, in sentences.
pub fn explain(model: &Model, objective: &Objective) -> String {
    let mut text = cases(model, objective) + &loss(model, objective);
    let sentences = sentences(model);
    if !sentences.is_empty() {
        text += "\n";
    }
    for sentence in sentences {
        text += &format!("{sentence}\n");
    }
    text
}

fn sentences(model: &Model) -> Vec<String> {
    let settings = &model.objective;
    let name = |id: crate::id::Id<_>| &model.variables[id.index()].name;
    let mut sentences: Vec<String> = samples(model)
        .map(|count| match count {
            1 => "There is one joint sample s of the latent variables.".to_string(),
            _ => format!("s runs over {count} joint samples of the latent variables."),
        })
        .into_iter()
        .collect();
    for smooth in &settings.smooth {
        let q = factor_of(model, Side::Inference, smooth.label);
        sentences.push(format!(
            "The data are moved by a vector of length {}, in the direction that changes {q} most \
             (virtual adversarial training).",
            smooth.radius
        ));
    }
    for (weighed, ramp) in settings.ramps() {
        let subject = match weighed {
            Weighed::Labelled => "the bound of labelled rows".to_string(),
            Weighed::Terms(variable) => format!("the terms of {}", name(variable)),
            Weighed::Smoothness(label) if ramp.changes() => {
                format!("the KL of {}", factor_of(model, Side::Inference, label))
            }
            // Its weight stands in the loss.
            Weighed::Smoothness(_) => continue,
        };
        sentences.push(format!("The weight of {subject} {}.", course(ramp)));
    }
    for (latent, nats) in &settings.free_bits {
        sentences.push(format!(
            "The mean of the terms of {} counts as at most −{nats} nats (free bits).",
            name(*latent)
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
    let rest = if weight == 0.0 { ", and stays 0" } else { "" };
    format!("{verb} linearly from {from} to {weight} over {period}{rest}")
}

/// The numbers that an evaluation may report for each row, with titles for people, in reading
/// order: `log p(x)`, the density of x in its factor, is `log p(x | y, z)`, and `likelihood`, the
/// estimate of the data's marginal density, is `log-likelihood`.
pub fn titles(model: &Model) -> Vec<(String, String)> {
    let mut titles = vec![
        ("bound".to_string(), "bound".to_string()),
        ("likelihood".to_string(), "log-likelihood".to_string()),
    ];
    let child = |found: &Factor| &model.variables[found.child.index()].name;
    for (index, found) in model.generative.iter().enumerate() {
        let title = format!(
            "log {}",
            factor(
                model,
                FactorId {
                    side: Side::Generative,
                    index
                }
            )
        );
        titles.push((format!("log p({})", child(found)), title));
    }
    for (index, found) in model.inference.iter().enumerate() {
        let q = factor(
            model,
            FactorId {
                side: Side::Inference,
                index,
            },
        );
        let p = factor_of(model, Side::Generative, found.child);
        titles.push((format!("-log q({})", child(found)), format!("−log {q}")));
        titles.push((format!("-KL({})", child(found)), format!("−KL({q} ‖ {p})")));
    }
    titles
}
