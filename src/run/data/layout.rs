//! The columns of a table that each variable takes.

use super::{
    checks::width,
    columns::number_of,
    names::{check_lengths, listed},
    parts::SPLIT,
    tables::KnownNames,
};
use crate::{
    diagnostic::suggest,
    error::{Error, Result},
    model::{Model, Variable},
};
use std::collections::{BTreeMap, BTreeSet};

/// Which columns each variable takes.
pub struct ColumnLayout<'a> {
    /// The variables, with the places of their columns.
    pub variables: Vec<(&'a Variable, Vec<usize>)>,
    /// The column that says to which part a row belongs.
    pub split: Option<usize>,
    /// The variable that took all columns that nothing else took.
    takes_rest: Option<&'a str>,
    /// The names of all columns.
    names: Vec<&'a str>,
    /// The columns that nothing takes.
    pub unused: Vec<&'a str>,
}

impl<'a> ColumnLayout<'a> {
    /// Finds the columns of a model's variables. `header` has the names of all columns, `lists` the places of
    /// those with a list of numbers in each row, and `numeric` finds the names of those with numbers.
    ///
    /// # Errors
    /// If a variable has no columns, or another number of them.
    pub fn new(
        model: &'a Model,
        header: &[&'a str],
        lists: &BTreeSet<usize>,
        known: Option<KnownNames>,
        numeric: &dyn Fn() -> Result<BTreeSet<String>>,
        place: &str,
    ) -> Result<Self> {
        let mut taken = vec![false; header.len()];
        let mut variables: Vec<(&Variable, Vec<usize>)> = Vec::new();
        for variable in model.read_variables() {
            let names = known.and_then(|known| known.columns.get(&variable.name));
            let columns = match names {
                Some(names) => known_columns(names, header, place)?,
                None => own_columns(variable, header, lists),
            };
            columns.iter().for_each(|&column| taken[column] = true);
            variables.push((variable, columns));
        }
        for (variable, columns) in &variables {
            if width(variable) == 1 && variable.role.is_always_observed() && columns.is_empty() {
                return Err(missing_column(&variable.name, header, place));
            }
        }
        let split = header.iter().position(|name| *name == SPLIT);
        let split = split.filter(|&column| !taken[column]);
        if let Some(column) = split {
            taken[column] = true;
        }
        let mut takes_rest = None;
        let mut without = variables
            .iter_mut()
            .filter(|(variable, columns)| width(variable) > 1 && columns.is_empty())
            .filter(|(variable, _)| !variable.is_optional());
        if let (Some((variable, columns)), None) = (without.next(), without.next()) {
            let numeric = numeric()?;
            let is_free = |column: &usize| !taken[*column] && numeric.contains(header[*column]);
            let free: Vec<usize> = (0..header.len()).filter(is_free).collect();
            if free.len() != width(variable) {
                let names: Vec<&str> = free.iter().map(|&column| header[column]).collect();
                return Err(other_count(variable, &names, place));
            }
            let names: Vec<&str> = free.iter().map(|&column| header[column]).collect();
            check_lengths(
                &names,
                &format!("{place}: the columns of `{}`", variable.name),
            )?;
            free.iter().for_each(|&column| taken[column] = true);
            *columns = free;
            takes_rest = Some(variable.name.as_str());
        }
        for (variable, _) in variables.iter().filter(|(_, columns)| columns.is_empty()) {
            let is_like =
                |name: &str| name == variable.name || number_of(name, &variable.name).is_some();
            let like =
                (0..header.len()).filter(|&column| !taken[column] && is_like(header[column]));
            let like: Vec<&str> = like.map(|column| header[column]).collect();
            if variable.is_optional() && !like.is_empty() {
                return Err(unlike_columns(variable, &like, place));
            }
        }
        variables.retain(|(variable, columns)| !variable.is_optional() || !columns.is_empty());
        for (variable, columns) in &variables {
            let is_list = matches!(columns[..], [column] if lists.contains(&column));
            if columns.len() != width(variable) && !is_list {
                return Err(wrong_columns(variable, place));
            }
        }
        let unused = (0..header.len()).filter(|&column| !taken[column]);
        Ok(ColumnLayout {
            variables,
            split,
            takes_rest,
            names: header.to_vec(),
            unused: unused.map(|column| header[column]).collect(),
        })
    }

    /// The names of the columns that a run must know: of a variable that took what nothing else did, or
    /// whose columns the run knows already.
    pub fn columns_to_keep(
        &self,
        variable: &Variable,
        columns: &[usize],
        known: Option<KnownNames>,
    ) -> Vec<String> {
        let is_known = known.is_some_and(|known| known.columns.contains_key(&variable.name));
        match is_known || self.takes_rest == Some(variable.name.as_str()) {
            true => columns
                .iter()
                .map(|&column| self.names[column].to_string())
                .collect(),
            false => Vec::new(),
        }
    }
}

/// The places of the columns that a run knows.
fn known_columns(names: &[String], header: &[&str], place: &str) -> Result<Vec<usize>> {
    let places = names.iter().map(|name| {
        let found = header.iter().position(|column| column == name);
        found.ok_or_else(|| missing_column(name, header, place))
    });
    places.collect()
}

/// The columns that are named after a variable: that of its name, or those of its name and a number if
/// there is one for each of its numbers. A list of its name has all of its numbers.
fn own_columns(variable: &Variable, header: &[&str], lists: &BTreeSet<usize>) -> Vec<usize> {
    let exact = header.iter().position(|name| *name == variable.name);
    if width(variable) == 1 || exact.is_some_and(|column| lists.contains(&column)) {
        return exact.into_iter().collect();
    }
    let numbered = header
        .iter()
        .enumerate()
        .filter_map(|(column, name)| Some((number_of(name, &variable.name)?, column)));
    let numbered: Vec<(usize, usize)> = numbered.collect();
    let columns: BTreeMap<usize, usize> = numbered.iter().copied().collect();
    match columns.len() == width(variable) && numbered.len() == columns.len() {
        true => columns.into_values().collect(),
        false => Vec::new(),
    }
}

/// The error of a table without a column.
pub fn missing_column(name: &str, header: &[&str], place: &str) -> Error {
    let error = Error::data(format!("{place}: expected a column `{name}`, found none"));
    let help = suggest(name, header.iter().copied());
    error.help(help.unwrap_or_else(|| format!("the columns are {}", listed(header))))
}

/// The error of a variable that would take all columns that are left, but whose size is another number.
fn other_count(variable: &Variable, left: &[&str], place: &str) -> Error {
    let (name, size) = (&variable.name, width(variable));
    let message = format!(
        "{place}: `{name}` has {size} numbers per row, but the numeric columns that are left for it are \
         {}: {}",
        left.len(),
        listed(left)
    );
    Error::data(message).help(format!(
        "remove or add columns, change the size of `{name}` in the model, or name its columns \
         `{name}0` to `{name}{}`",
        size - 1
    ))
}

/// The error of a label whose columns are not as many as its numbers.
fn unlike_columns(variable: &Variable, found: &[&str], place: &str) -> Error {
    let (name, size) = (&variable.name, width(variable));
    let wanted = match size {
        1 => format!("a column `{name}`"),
        _ => format!("{size} columns `{name}0` to `{name}{}`", size - 1),
    };
    let message = format!("{place}: expected {wanted}, found {}", listed(found));
    Error::data(message).help(format!(
        "rename the columns, or change the size of `{name}` in the model"
    ))
}

/// The error of a variable with several numbers that has no columns, where several variables have none.
fn wrong_columns(variable: &Variable, place: &str) -> Error {
    let (name, size) = (&variable.name, width(variable));
    let message = format!("{place}: expected {size} columns for `{name}`, found none");
    Error::data(message).help(format!(
        "name the columns `{name}0` to `{name}{}`",
        size - 1
    ))
}
