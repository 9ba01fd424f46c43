//! The numbers of training rows, which weights may depend on.

use crate::model::{Model, Weight};

/// The numbers of training rows that a weight such as `0.1 * rows / labelled` refers to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Population {
    /// All training rows.
    pub rows: f64,
    /// Labelled training rows.
    pub labelled: f64,
}

impl Population {
    /// The inputs of a step that depend on these numbers: `weight.LABEL`.
    pub fn weights(&self, model: &Model) -> Vec<(String, f64)> {
        let weights = model.population_weights();
        let changing = weights.filter(|(_, weight)| !matches!(weight, Weight::Number(_)));
        changing
            .map(|(input, weight)| (input.to_string(), weight.value(self.rows, self.labelled)))
            .collect()
    }

    /// The optimiser's input `prior`: the precision of the weights' prior, per training row.
    pub fn prior(&self, model: &Model) -> f64 {
        model
            .train
            .weight_prior
            .map_or(0.0, |scale| 1.0 / (scale * scale * self.rows))
    }
}
