//! The numbers of training rows, which weights and class frequencies are computed from.

use crate::{
    distribution::Domain,
    error::Result,
    model::{Model, Role, Variable, Weight},
};
use std::collections::BTreeMap;

/// The numbers of training rows that a weight such as `0.1 * rows / labelled` refers to, and those of
/// each class.
#[derive(Clone, Debug, PartialEq)]
pub struct Population {
    /// All training rows.
    pub rows: f64,
    /// Labelled training rows.
    pub labelled: f64,
    /// The rows of each class of an observed variable, by its name: of a label among the labelled
    /// training rows, of data among all.
    pub classes: BTreeMap<String, Vec<f64>>,
}

impl Population {
    /// Counts `rows` rows, of which those at the places `labelled` have all labels. `classes` gives the
    /// class of each row of a variable; `None` if the data lack it.
    ///
    /// # Errors
    /// If the classes cannot be read.
    pub fn new(
        model: &Model,
        rows: usize,
        labelled: &[usize],
        classes: impl Fn(&Variable) -> Result<Option<Vec<i32>>>,
    ) -> Result<Self> {
        let mut counts = BTreeMap::new();
        for variable in &model.variables {
            let is_label = variable.role == Role::Label;
            if variable.domain != Domain::Class || !(is_label || variable.role == Role::Data) {
                continue;
            }
            let Some(classes) = classes(variable)? else {
                continue;
            };
            let counted: Vec<i32> = match is_label {
                true => labelled.iter().map(|&row| classes[row]).collect(),
                false => classes,
            };
            counts.insert(variable.name.clone(), count(variable, &counted));
        }
        Ok(Population {
            rows: rows as f64,
            labelled: labelled.len() as f64,
            classes: counts,
        })
    }

    /// The inputs of a step that depend on these numbers: `weight.LABEL` and `class_weight.LABEL`.
    pub fn weights(&self, model: &Model) -> Vec<(String, Vec<f64>)> {
        let weights = model.population_weights();
        let changing = weights.filter(|(_, weight)| !matches!(weight, Weight::Number(_)));
        let numbers = changing.map(|(input, weight)| {
            let value = weight.value(self.rows, self.labelled);
            (input.to_string(), vec![value])
        });
        let classes = model.class_weights();
        let classes = classes.map(|(input, label)| (input.to_string(), self.class_weights(label)));
        numbers.chain(classes).collect()
    }

    /// For each class, 1 / (number of classes · frequency), so that the sum over the rows of a class is
    /// the same for all. Only classes with rows count; others have the weight 0.
    fn class_weights(&self, variable: &Variable) -> Vec<f64> {
        let counts = self.counts(variable);
        let present = counts.iter().filter(|&&count| count > 0.0).count() as f64;
        let rows: f64 = counts.iter().sum();
        let weight = |&count: &f64| match count > 0.0 {
            true => rows / (present * count),
            false => 0.0,
        };
        counts.iter().map(weight).collect()
    }

    /// The logarithm of (rows of the class + 1) / (rows + classes), for each class. No class has the
    /// frequency 0, which would make the bound of such a row infinite.
    pub fn log_frequencies(&self, variable: &Variable) -> Vec<f64> {
        let counts = self.counts(variable);
        let total = counts.iter().sum::<f64>() + counts.len() as f64;
        let logs = counts.iter().map(|count| ((count + 1.0) / total).ln());
        logs.collect()
    }

    fn counts(&self, variable: &Variable) -> Vec<f64> {
        let counts = self.classes.get(&variable.name).cloned();
        counts.unwrap_or_else(|| vec![0.0; variable.size()])
    }

    /// The optimiser's input `prior`: the precision of the weights' prior, per training row.
    pub fn prior(&self, model: &Model) -> f64 {
        model
            .train
            .weight_prior
            .map_or(0.0, |scale| 1.0 / (scale * scale * self.rows))
    }
}

/// The number of rows of each class.
fn count(variable: &Variable, classes: &[i32]) -> Vec<f64> {
    let mut counts = vec![0.0; variable.size()];
    for &class in classes {
        let class = usize::try_from(class).ok();
        if let Some(count) = class.and_then(|class| counts.get_mut(class)) {
            *count += 1.0;
        }
    }
    counts
}
