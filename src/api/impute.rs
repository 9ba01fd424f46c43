//! Imputation: missing values of rows, filled in.

use super::{evaluation::Encodings, run::Run, selection::Rows};
use crate::{
    distribution::Domain,
    error::{Error, Result},
    model::{Role, Variable},
};

impl Run {
    /// Fills in the missing values of each row: a value that is observed stays as it is, and a missing
    /// one becomes its mean as in [`Run::reconstruct`], given what is inferred of the observed ones.
    /// For a `class` variable, the values are the probability of each class: 1 for one that is observed.
    ///
    /// # Errors
    /// If no data variable of the model is declared `with missing`, and as [`Run::reconstruct`].
    pub fn impute(&self, rows: &Rows) -> Result<Encodings> {
        let is_data = |variable: &&Variable| variable.role == Role::Data;
        let data: Vec<&Variable> = self.model.variables.iter().filter(is_data).collect();
        if data.iter().all(|variable| !variable.missing) {
            let message = "no data variable of the model can have missing values";
            return Err(Error::unsupported(message).help(
                "write `with missing` behind the type of the variable, and train the model",
            ));
        }
        let mut filled = self.reconstruct(rows)?;
        for encoding in &mut filled.variables {
            let mut variables = data.iter();
            let variable = variables.find(|variable| variable.name == encoding.variable);
            let Some(observed) = rows.source().values(&encoding.variable)? else {
                continue;
            };
            if variable.is_some_and(|variable| variable.domain == Domain::Class) {
                let rows = encoding.values.chunks_exact_mut(encoding.width);
                for (probabilities, class) in rows.zip(observed) {
                    keep_class(probabilities, class);
                }
                continue;
            }
            for (value, observed) in encoding.values.iter_mut().zip(observed) {
                if !observed.is_nan() {
                    *value = observed;
                }
            }
        }
        Ok(filled)
    }
}

/// Replaces probabilities by those of the class that is observed, if one is.
fn keep_class(probabilities: &mut [f32], class: f32) {
    if class >= 0.0 {
        probabilities.fill(0.0);
        probabilities[class as usize] = 1.0;
    }
}
