//! Chosen values of variables, as `NAME=VALUE`: the option `where` of `dgc sample` and `dgc reconstruct`.

use super::{evaluation::class_name, run::Run};
use crate::{
    diagnostic::suggest,
    distribution::Domain,
    error::{Error, Result},
    id::Id,
    lower::Given,
    model::{Model, Role, Variable},
    run::data::{Dataset, check_values},
    tensor::Op,
};
use std::path::Path;

/// The most combinations of chosen values that are averaged.
const MOST_COMBINATIONS: usize = 100;

/// The given variables that are numbers.
pub(super) fn given_numbers(model: &Model) -> impl Iterator<Item = (Id<Variable>, &Variable)> {
    let given = model.with_role(Role::Given);
    given
        .map(|id| (id, &model.variables[id.index()]))
        .filter(|(_, variable)| variable.domain != Domain::Class)
}

/// An example of the option for a variable that is a number.
pub(super) fn example(variable: &Variable) -> String {
    let numbers = vec!["0.5"; variable.size().min(3)].join(",");
    format!("for example: --where {}={numbers}", variable.name)
}

/// The numbers that are chosen for a variable, separated by commas: one for each of its features.
pub(super) fn numbers(variable: &Variable, text: &str) -> Result<Vec<f32>> {
    let shown = format!("{}={text}", variable.name);
    let size = variable.size();
    let s = if size == 1 { "" } else { "s" };
    let numbers: std::result::Result<Vec<f32>, _> = text
        .split(',')
        .map(|number| number.trim().parse())
        .collect();
    let numbers = numbers
        .ok()
        .filter(|numbers| numbers.len() == size)
        .ok_or_else(|| {
            let message = format!("expected {size} number{s}");
            Error::option("where", &shown, message).help(example(variable))
        })?;
    let values = numbers.iter().copied();
    check_values(variable, 0, values, &format!("--where {shown}"))?;
    Ok(numbers)
}

impl Run {
    /// The number of a class that is chosen by its name, or by its number if classes have no names.
    pub(super) fn chosen_class(&self, variable: &Variable, value: &str) -> Result<usize> {
        let name = &variable.name;
        let names = self.settings.class_names.get(name);
        let names = names.map_or(&[][..], |names| names);
        let size = variable.size();
        let class = (0..size).find(|&class| class_name(names, class) == *value);
        class.ok_or_else(|| {
            let all: Vec<String> = (0..size.min(12))
                .map(|class| class_name(names, class))
                .collect();
            let more = if size > 12 { ", …" } else { "" };
            let message = format!("expected a class of `{name}`");
            let help = format!("the classes are {}{more}", all.join(", "));
            Error::option("where", format!("{name}={value}"), message).help(help)
        })
    }

    /// The combinations of the values that are chosen for given variables: a variable may have several.
    pub(super) fn chosen_given(&self, chosen: &[(String, String)]) -> Result<Vec<Vec<Given>>> {
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let model = &self.model;
        let mut combinations: Vec<Vec<Given>> = vec![Vec::new()];
        let mut names: Vec<&str> = Vec::new();
        for (name, value) in chosen {
            if names.contains(&name.as_str()) {
                continue;
            }
            names.push(name);
            let mut given = model.with_role(Role::Given);
            let Some(id) = given.find(|id| model.variables[id.index()].name == *name) else {
                return Err(self.not_given(name, value));
            };
            let of_variable = chosen.iter().filter(|(other, _)| other == name);
            let mut longer = Vec::new();
            for (_, value) in of_variable {
                let variable = &model.variables[id.index()];
                let values = match variable.domain {
                    Domain::Class => vec![self.chosen_class(variable, value)? as f64],
                    _ => {
                        let numbers = numbers(variable, value)?.into_iter();
                        numbers.map(f64::from).collect()
                    }
                };
                longer.extend(combinations.iter().map(|combination| {
                    let given = Given {
                        variable: id,
                        values: values.clone(),
                    };
                    let mut combination = combination.clone();
                    combination.push(given);
                    combination
                }));
            }
            combinations = longer;
            if combinations.len() > MOST_COMBINATIONS {
                let message =
                    format!("expected at most {MOST_COMBINATIONS} combinations of values");
                return Err(Error::option("where", format!("{name}={value}"), message)
                    .help("choose fewer values of a variable"));
            }
        }
        Ok(combinations)
    }

    /// The error of a chosen variable that is not given.
    fn not_given(&self, name: &str, value: &str) -> Error {
        let model = &self.model;
        let given = model.with_role(Role::Given);
        let names: Vec<&str> = given
            .map(|id| model.variables[id.index()].name.as_str())
            .collect();
        let is_other = model.variables.iter().any(|variable| variable.name == name);
        let message = match is_other {
            true => {
                format!("`{name}` is not a given variable, and is inferred or read from the rows")
            }
            false => format!("the model has no given variable `{name}`"),
        };
        let help = suggest(name, names);
        let help = help.unwrap_or_else(|| "omit the option".to_string());
        Error::option("where", format!("{name}={value}"), message).help(help)
    }

    /// As [`Run::open_data`], for [`Run::reconstruct_where`] with these values: the data need no given
    /// variable that has one, unless the inference graph reads it.
    ///
    /// # Errors
    /// As [`Run::open_data`], or if a value does not fit the model.
    pub fn open_data_where(
        &self,
        source: impl AsRef<Path>,
        chosen: &[(String, String)],
    ) -> Result<Dataset> {
        let combinations = self.chosen_given(chosen)?;
        let Some(given) = combinations.first() else {
            return self.open_data(source);
        };
        let graph = self.reconstruction(&combinations);
        let is_read = |name: &str| {
            graph.nodes.iter().any(|node| match &node.op {
                Op::Input { name: input, .. } => {
                    input.rsplit_once('.').is_some_and(|(_, end)| end == name)
                }
                _ => false,
            })
        };
        // A reader looks for variables by their roles, and for none that is latent.
        let mut reader = self.model.clone();
        for given in given {
            let variable = &mut reader.variables[given.variable.index()];
            if !is_read(&variable.name) {
                variable.role = Role::Latent;
            }
        }
        let known = Some(self.settings.known_names());
        Dataset::open_with(source, &reader, known)
    }
}
