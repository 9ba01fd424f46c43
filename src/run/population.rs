//! The training rows, as far as weights speak of them.

use crate::model::{Model, Weight};

/// The numbers of training rows that weights such as `0.1 * rows / labelled` are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Population {
    pub rows: f64,
    pub labelled: f64,
}

impl Population {
    /// The inputs of a step that depend on it: `weight.VARIABLE`.
    pub fn weights(&self, model: &Model) -> Vec<(String, f64)> {
        let costs = model.objective.costs.iter();
        let given = costs.filter_map(|cost| Some((cost, cost.population_weight()?)));
        given
            .filter(|(_, weight)| !matches!(weight, Weight::Number(_)))
            .map(|(cost, weight)| {
                let subject = &model.variables[cost.subject().index()].name;
                (
                    format!("weight.{subject}"),
                    weight.value(self.rows, self.labelled),
                )
            })
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
