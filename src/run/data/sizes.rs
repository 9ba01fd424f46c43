//! Sizes that a model leaves to its data: `size genes` without a value.

use super::{
    columns::{ColumnSummary, TableSummary, number_of},
    load::{columns, read_arrays},
};
use crate::{
    error::{Error, Result},
    run::arrays::NamedArray,
    syntax::{OpenSize, Outline},
};
use std::path::Path;

/// The value of each size in a data set: the features of a variable that has this size, or its classes.
///
/// # Errors
/// If the data set cannot be read, does not say, or says it in a format that names no arrays or columns.
pub fn sizes(source: &str, open: &[OpenSize], all: &[Outline]) -> Result<Vec<(String, String)>> {
    let path = Path::new(source);
    let contents = match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv" | "tsv") => Contents::Table(columns(path)?),
        Some("npz" | "safetensors") => Contents::Arrays(read_arrays(path)?),
        _ => {
            let size = open.first().map_or("", |open| &open.name);
            let message = format!("{source}: does not say the size `{size}`");
            return Err(Error::data(message).help(format!(
                "sizes are read from .csv, .tsv, .npz and .safetensors files; write `--set {size}=NUMBER`"
            )));
        }
    };
    let value = |open: &OpenSize| {
        let mut found = open.variables.iter();
        let value = found.find_map(|variable| contents.size_of(variable, all));
        let value = value.ok_or_else(|| contents.does_not_say(source, open))?;
        Ok((open.name.clone(), value.to_string()))
    };
    open.iter().map(value).collect()
}

/// What is known of a data set without its model.
enum Contents {
    Table(TableSummary),
    Arrays(Vec<NamedArray>),
}

impl Contents {
    /// The number of features of a variable, or of its classes; `None` if the data lack it.
    fn size_of(&self, variable: &Outline, all: &[Outline]) -> Option<usize> {
        match self {
            Contents::Table(table) if variable.is_class => {
                let mut columns = table.columns.iter();
                columns
                    .find(|column| column.name == variable.name)
                    .map(classes)
            }
            Contents::Table(table) => features(table, &variable.name, all),
            Contents::Arrays(arrays) => {
                let named = [variable.name.clone(), format!("test.{}", variable.name)];
                let mut of_variable = arrays.iter().filter(|array| named.contains(&array.name));
                if variable.is_class {
                    let greatest = of_variable.flat_map(|array| &array.data);
                    let greatest = greatest.copied().fold(f64::NEG_INFINITY, f64::max);
                    return (greatest >= 0.0).then_some(greatest as usize + 1);
                }
                of_variable
                    .next()?
                    .shape
                    .get(1..)
                    .map(|shape| shape.iter().product())
            }
        }
        .filter(|&size| size > 0)
    }

    fn does_not_say(&self, source: &str, open: &OpenSize) -> Error {
        let name = &open.name;
        let message = format!("{source}: does not say the size `{name}`");
        let what = match self {
            Contents::Table(_) => "columns",
            Contents::Arrays(_) => "an array",
        };
        Error::data(message).help(match open.variables.first() {
            None => format!(
                "a size is found in the data if a variable has it as its only one, as in `x: real[{name}]`; \
                 write `--set {name}=NUMBER`"
            ),
            Some(variable) => format!(
                "give `{}` {what} in the data, or write `--set {name}=NUMBER`",
                variable.name
            ),
        })
    }
}

/// The classes of a column. Whole numbers that begin at 0 number the classes; other values name them.
fn classes(column: &ColumnSummary) -> usize {
    let values: Vec<&str> = column.values.iter().map(String::as_str).collect();
    let known = values.into_iter().filter(|value| *value != "-1");
    let known: Vec<&str> = known.collect();
    let numbers: Option<Vec<usize>> = known.iter().map(|value| value.parse().ok()).collect();
    match numbers {
        Some(numbers) if numbers.contains(&0) => numbers.into_iter().max().unwrap_or(0) + 1,
        _ => known.len(),
    }
}

/// The columns of a variable: those of its name and a number, else all numeric ones that no variable names.
fn features(table: &TableSummary, name: &str, all: &[Outline]) -> Option<usize> {
    let numbered = |column: &&ColumnSummary, name: &str| number_of(&column.name, name).is_some();
    let numbered_columns = table.columns.iter().filter(|column| numbered(column, name));
    let count = numbered_columns.count();
    if count > 0 {
        return Some(count);
    }
    let is_free = |column: &&ColumnSummary| {
        let mut all = all.iter();
        let is_taken = all.any(|other| {
            let has_columns = !other.is_class && other.name != name;
            column.name == other.name || has_columns && numbered(column, &other.name)
        });
        !is_taken && column.is_mostly_numeric()
    };
    Some(table.columns.iter().filter(is_free).count())
}
