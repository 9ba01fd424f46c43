//! What an epoch says of the held-out rows.

use crate::{
    error::Result,
    model::Model,
    names::OutputName,
    note::Note,
    run::{
        classification::log_loss,
        data::Source,
        evaluate::{Inferred, Scored, active_units, error, likeliest, mean, rmse},
    },
};
use serde_json::{Value, json};

/// A note for each latent without an active unit among the evaluated rows.
pub(super) fn unused_latents(inferred: &Inferred) -> Vec<Note> {
    let per_row = inferred
        .iter()
        .find(|(output, _)| output.is_number_per_row());
    // The activity of a unit is its variance over rows.
    let rows = per_row.map_or(0, |(_, values)| values.len());
    if rows < 2 {
        return Vec::new();
    }
    let units = active_units(inferred, rows).filter(|units| units.active == 0);
    let note = |latent: &str| {
        let message = format!(
            "the latent `{latent}` has no active unit: its posterior is the same for every row, so \
             the model does not use it"
        );
        Note::new(message).help(format!(
            "let its terms weigh less at first, as in `beta {latent} 1 warmup 10`, or give it \
             `free_bits {latent} 0.1`"
        ))
    };
    units.map(|units| note(units.latent)).collect()
}

/// The metrics of the held-out rows.
pub(super) fn held_out_metrics(
    model: &Model,
    source: &dyn Source,
    scored: &Scored,
) -> Result<Value> {
    let Scored { inferred, on_greys } = scored;
    let mut found = json!({ "rows": source.rows() });
    for (output, values) in on_greys {
        found["greys"][output.to_string()] = json!(mean(values));
    }
    for (output, values) in inferred
        .iter()
        .filter(|(output, _)| output.is_number_per_row())
    {
        found[output.to_string()] = json!(mean(values));
    }
    for units in active_units(inferred, source.rows()) {
        found["active"][units.latent] = json!(units.active);
    }
    let labels: Vec<_> = model.labels().collect();
    for label in &labels {
        let key = |what: &str| match labels.len() {
            1 => what.to_string(),
            _ => format!("{what} of {}", label.name),
        };
        let predicted = &inferred[&OutputName::Predict(label.name.clone())];
        if !label.is_class() {
            let truth = source.values(&label.name)?.unwrap_or_default();
            found[key("RMSE")] = json!(rmse(predicted, &truth));
            continue;
        }
        let classes = source.classes(&label.name)?.unwrap_or_default();
        let probabilities = predicted;
        let predicted = likeliest(probabilities, label.size());
        found[key("error")] = json!(error(&predicted, &classes));
        if let Some(loss) = log_loss(probabilities, label.size(), &classes) {
            found[key("log loss")] = json!(loss);
        }
    }
    Ok(found)
}
