//! Sizes that a model leaves to its data: `size genes` without a value.

use super::{
    columns::{ColumnSummary, TableSummary, classes, number_of},
    frame::Frame,
    load::{self, columns},
    tables::{DataArray, count_of_classes, variable_of},
};
use crate::{
    error::{Error, Result},
    syntax::{OpenSize, Outline},
};
use std::{collections::BTreeSet, path::Path};

/// The value of each size in a data set: the features of a variable that has this size, or its classes.
///
/// # Errors
/// If the data set cannot be read, does not say, or has a format whose sizes are not read.
pub fn sizes(source: &str, open: &[OpenSize], all: &[Outline]) -> Result<Vec<(String, String)>> {
    let path = Path::new(source);
    let table = match load::is_table(path) {
        true => Some(columns(path)?),
        false => None,
    };
    found(source, open, |variable| match &table {
        Some(table) => Ok(of_table(table, variable, all)),
        None => load::size_of(path, variable),
    })
}

/// As [`sizes`], in arrays in memory.
///
/// # Errors
/// If the arrays do not say a size.
pub fn sizes_of_arrays(arrays: &[DataArray], open: &[OpenSize]) -> Result<Vec<(String, String)>> {
    found("data", open, |variable| {
        let mut arrays = arrays
            .iter()
            .filter(|array| variable_of(array.name()) == variable.name);
        if !variable.is_class {
            return Ok(arrays.next().map(DataArray::width));
        }
        let (mut numbers, mut texts) = (Vec::new(), BTreeSet::new());
        for array in arrays {
            match array.texts() {
                Some(values) => texts.extend(values.texts()),
                None => numbers.extend_from_slice(&array.doubles()?),
            }
        }
        Ok(match texts.is_empty() {
            true => count_of_classes(numbers.into_iter()),
            false => Some(classes(texts.into_iter())),
        })
    })
}

/// As [`sizes`], in a table in memory.
///
/// # Errors
/// If the table does not say a size.
pub fn sizes_of_frame(
    frame: &Frame,
    open: &[OpenSize],
    all: &[Outline],
) -> Result<Vec<(String, String)>> {
    let table = frame.summary()?;
    found("data", open, |variable| Ok(of_table(&table, variable, all)))
}

/// The value of each size; `size_of` is that of a variable. `place` names the data in messages.
fn found(
    place: &str,
    open: &[OpenSize],
    size_of: impl Fn(&Outline) -> Result<Option<usize>>,
) -> Result<Vec<(String, String)>> {
    let mut values = Vec::new();
    for size in open {
        let mut value = None;
        for variable in &size.variables {
            value = value.or(size_of(variable)?);
        }
        let value = value.filter(|&value| value > 0);
        let value = value.ok_or_else(|| does_not_say(place, size))?;
        values.push((size.name.clone(), value.to_string()));
    }
    Ok(values)
}

fn does_not_say(place: &str, size: &OpenSize) -> Error {
    let name = &size.name;
    let message = format!("{place}: does not say the size `{name}`");
    Error::data(message).help(match size.variables.first() {
        None => format!(
            "a size is found in the data if a variable has it as its only one, as in `x: real[{name}]`; \
             write `--set {name}=NUMBER`"
        ),
        Some(variable) => format!(
            "give `{}` an array or columns in the data, or write `--set {name}=NUMBER`",
            variable.name
        ),
    })
}

/// The number of features of a variable in a table, or of its classes; `None` if the table lacks it.
fn of_table(table: &TableSummary, variable: &Outline, all: &[Outline]) -> Option<usize> {
    if !variable.is_class {
        return Some(features(table, &variable.name, all));
    }
    let mut columns = table.columns.iter();
    let column = columns.find(|column| column.name == variable.name)?;
    Some(classes(column.values.iter().map(String::as_str)))
}

/// The columns of a variable: those of its name and a number, else all numeric ones that no variable names.
fn features(table: &TableSummary, name: &str, all: &[Outline]) -> usize {
    let mut columns = table.columns.iter();
    let of_lists = columns.find(|column| column.name == name && column.list.is_some());
    if let Some(width) = of_lists.and_then(|column| column.list) {
        return width;
    }
    let numbered = |column: &&ColumnSummary, name: &str| number_of(&column.name, name).is_some();
    let numbered_columns = table.columns.iter().filter(|column| numbered(column, name));
    let count = numbered_columns.count();
    if count > 0 {
        return count;
    }
    let is_free = |column: &&ColumnSummary| {
        let mut all = all.iter();
        let is_taken = all.any(|other| {
            let has_columns = !other.is_class && other.name != name;
            column.name == other.name || has_columns && numbered(column, &other.name)
        });
        !is_taken && column.is_mostly_numeric()
    };
    table.columns.iter().filter(is_free).count()
}
