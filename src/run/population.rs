//! The training rows, as far as weights speak of them.

use crate::model::{Expression, Model};

/// The numbers of training rows that weights such as `0.1 * rows / labelled` are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Population {
    /// All training rows.
    pub rows: f64,
    /// Those with a label.
    pub labelled: f64,
}

impl Population {
    /// The inputs of a step that depend on it: `weight.LABEL`.
    pub fn weights(&self, model: &Model) -> Vec<(String, f64)> {
        let classify = model.objective.classify.iter();
        let given = classify.filter(|classify| !matches!(classify.weight, Expression::Number(_)));
        given
            .map(|classify| {
                let label = &model.variables[classify.label.index()].name;
                (
                    format!("weight.{label}"),
                    classify.weight.value(self.rows, self.labelled),
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
