//! Reconstruction of rows: the mean of each data variable given what is inferred.

use super::{
    evaluation::{Encoding, Encodings},
    results::probability_columns,
    run::{Program, Run},
    selection::Rows,
};
use crate::{
    distribution::Domain,
    error::{Error, Result},
    model::{Role, Variable},
    names::OutputName,
};

impl Run {
    /// Computes the mean of each data variable of each row given what is inferred of the row: that of
    /// p(x | z, …), averaged over samples of the latent variables, and over classes with the
    /// probabilities of q. Labels are hidden. For a `class` variable, it is the probability of each
    /// value. Means are in the units of the data.
    ///
    /// # Errors
    /// If the model generates no data, infers a data variable with another model, or the rows do not
    /// fit the model.
    pub fn reconstruct(&self, rows: &Rows) -> Result<Encodings> {
        self.reconstruct_where(rows, &[])
    }

    /// As [`Run::reconstruct`], where p reads chosen values of `given` variables instead of those of the
    /// rows: `("batch", "0")` by the name of a class, or its number if classes have no names;
    /// `("library", "10000")` for numbers, separated by commas. q reads the values of the rows, so that
    /// only what p makes of the latent variables changes. The means are averaged over several values of a
    /// variable. The rows need no variable that is chosen and that q does not read: see
    /// [`Run::open_data_where`].
    ///
    /// # Errors
    /// As [`Run::reconstruct`], or if a value does not fit the model.
    pub fn reconstruct_where(&self, rows: &Rows, chosen: &[(String, String)]) -> Result<Encodings> {
        self.check_generates("reconstruct rows")?;
        let given = self.chosen_given(chosen)?;
        let mut inferred = self.run_program(Program::Reconstruct(given), rows)?;
        let mut variables = Vec::new();
        let data = self.model.variables.iter();
        for variable in data.filter(|variable| variable.role == Role::Data) {
            let values = inferred.remove(&OutputName::Reconstruct(variable.name.clone()));
            let values = values.expect("the program has every data variable");
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                let row = rows.numbers()[at / variable.size()];
                let message = format!(
                    "row {row}: expected a finite mean of `{}`, found {}",
                    variable.name, values[at]
                );
                let help =
                    "the row's values may be far from the training data, or training diverged";
                return Err(Error::data(message).help(help));
            }
            variables.push(Encoding {
                variable: variable.name.clone(),
                width: variable.size(),
                columns: self.columns(variable),
                values,
            });
        }
        Ok(Encodings { variables })
    }

    /// Checks that the model generates its own data.
    pub(super) fn check_generates(&self, what: &str) -> Result<()> {
        if let Some(upstream) = self.model.upstream.first() {
            let name = &self.model.variables[upstream.variable.index()].name;
            let message = format!("cannot {what}: `{name}` is inferred by another model");
            return Err(Error::unsupported(message).help("use that model's run"));
        }
        if self.model.generative.is_empty() {
            return Err(
                Error::unsupported("the model generates no data to reconstruct")
                    .help("`Run::predict` computes its class probabilities"),
            );
        }
        Ok(())
    }

    /// The names of the columns of a data variable: those of the table that the run was trained on, or
    /// the variable's name and a number.
    pub(super) fn columns(&self, variable: &Variable) -> Vec<String> {
        let (name, size) = (&variable.name, variable.size());
        if variable.domain == Domain::Class {
            let names = self.settings.class_names.get(name);
            return probability_columns(name, size, names.map_or(&[], |names| names));
        }
        match self.settings.columns.get(name) {
            Some(columns) => columns.clone(),
            None if size == 1 => vec![name.clone()],
            None => (0..size)
                .map(|feature| format!("{name}{feature}"))
                .collect(),
        }
    }
}
