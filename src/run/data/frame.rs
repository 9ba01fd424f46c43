//! Tables in memory, such as data frames. Their columns become variables as those of files do.

use super::{
    bytes::Bytes,
    columns::{ColumnSummary, TableSummary},
    dense::DenseArray,
    element::ElementType,
    layout::ColumnLayout,
    names::names_of_classes,
    parts::{RowParts, SPLIT, check_parts, is_test, no_training_rows},
    stored::Stored,
    tables::{ClassNames, ColumnNames, DataArray, FileArrays, KnownNames, variable_of},
    values::{ColumnValues, stored_numbers},
};
use crate::{
    distribution::Domain,
    error::{Error, Result},
    model::{Model, Variable},
};
use std::collections::BTreeSet;

/// A table in memory: named columns of numbers or texts, with a value for each row.
#[derive(Clone, Debug)]
pub struct Frame {
    rows: usize,
    columns: Vec<(String, ColumnValues)>,
}

/// The name of frames in messages.
const PLACE: &str = "data";

impl Frame {
    /// A table with these columns.
    ///
    /// # Errors
    /// If two columns have the same name or other numbers of rows, or there are none.
    pub fn new(columns: Vec<(String, ColumnValues)>) -> Result<Self> {
        let mut names = BTreeSet::new();
        if let Some((name, _)) = columns.iter().find(|(name, _)| !names.insert(name)) {
            let message = format!("{PLACE}: there are two columns `{name}`");
            return Err(Error::data(message).help("omit one of them, or change its name"));
        }
        let Some((first, values)) = columns.first() else {
            let message = format!("{PLACE}: expected a table with columns, found none");
            return Err(Error::data(message).help("give the table a column for each variable"));
        };
        let rows = values.len();
        if let Some((name, values)) = columns.iter().find(|(_, values)| values.len() != rows) {
            let message = format!(
                "{PLACE}: `{first}` has {rows} rows, but `{name}` has {}",
                values.len()
            );
            return Err(Error::data(message).help("give all columns the same number of rows"));
        }
        Ok(Frame { rows, columns })
    }

    /// Describes the columns, except one that says which rows are for training.
    ///
    /// # Errors
    /// If there are no training rows.
    pub fn summary(&self) -> Result<TableSummary> {
        let parts = self.parts()?;
        let every = || (0..self.rows as u32).collect();
        let rows: Vec<u32> = match &parts {
            Some((_, parts)) => parts[0].clone(),
            None => every(),
        };
        if rows.is_empty() {
            return Err(no_training_rows(PLACE));
        }
        let others = parts
            .iter()
            .flat_map(|(_, [_, test, held_out])| test.iter().chain(held_out));
        let others: Vec<u32> = others.copied().collect();
        let split = parts.map(|(column, _)| column);
        let columns = self.columns.iter().enumerate();
        let columns = columns.filter(|(at, _)| Some(*at) != split);
        let columns = columns.map(|(_, (name, values))| {
            let mut summary = ColumnSummary::new(name);
            summary.add_values(values, &rows, false);
            summary.add_values(values, &others, true);
            summary
        });
        Ok(TableSummary {
            rows: rows.len(),
            columns: columns.collect(),
        })
    }

    /// The column that says which rows are for training, and the rows of each part.
    fn parts(&self) -> Result<Option<(usize, RowParts)>> {
        let found = self.columns.iter().position(|(name, _)| name == SPLIT);
        let Some(column) = found else {
            return Ok(None);
        };
        let values = self.columns[column].1.clone();
        Ok(Some((column, values.into_parts(&place_of(SPLIT))?)))
    }

    /// The arrays of a model's variables.
    ///
    /// # Errors
    /// If a variable has no columns, or a value does not fit its variable.
    pub fn arrays(&self, model: &Model, known: Option<KnownNames>) -> Result<FileArrays> {
        let header: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        let numeric = || {
            let mut names = BTreeSet::new();
            let columns = self.columns.iter();
            let numeric = columns.filter(|(_, values)| matches!(values, ColumnValues::Numbers(_)));
            names.extend(numeric.map(|(name, _)| name.clone()));
            Ok(names)
        };
        let layout = ColumnLayout::new(model, &header, &BTreeSet::new(), known, &numeric, PLACE)?;
        let parts = match layout.split {
            Some(_) => self.parts()?.map(|(_, parts)| parts),
            None => None,
        };
        let every = || [(0..self.rows as u32).collect(), Vec::new(), Vec::new()];
        let rows: RowParts = parts.clone().unwrap_or_else(every);
        check_parts(&rows, known.is_some(), PLACE)?;
        let mut arrays = Vec::new();
        for (variable, columns) in &layout.variables {
            let (stored, class_names) = self.read(variable, columns, known)?;
            let kept = layout.columns_to_keep(variable, columns, known);
            for array in DataArray::in_parts(&variable.name, stored, parts.as_ref()) {
                let array = array.with_class_names(class_names.clone());
                arrays.push(array.with_columns(kept.clone()));
            }
        }
        arrays.extend(layout.unused.iter().map(|name| DataArray::unread(name)));
        Ok(FileArrays {
            is_test: is_test(&rows),
            ..FileArrays::from(arrays)
        })
    }

    /// The values of a variable, and the names of its classes.
    fn read(
        &self,
        variable: &Variable,
        columns: &[usize],
        known: Option<KnownNames>,
    ) -> Result<(Stored, Vec<String>)> {
        if let (Domain::Class, &[column]) = (variable.domain, columns) {
            let (name, values) = &self.columns[column];
            let classes = values
                .clone()
                .into_classes(variable, known, &place_of(name))?;
            return Ok((stored_numbers(&classes.numbers), classes.names));
        }
        let size = ElementType::F32.size();
        let mut bytes = vec![0; self.rows * columns.len() * size];
        for (at, &column) in columns.iter().enumerate() {
            let (name, values) = &self.columns[column];
            let numbers = values.clone().into_numbers(variable, &place_of(name))?;
            let rows = bytes.chunks_exact_mut(columns.len() * size);
            for (row, number) in rows.zip(numbers) {
                row[at * size..][..size].copy_from_slice(&(number as f32).to_le_bytes());
            }
        }
        let shape = vec![self.rows, columns.len()];
        let dense = DenseArray::new(Bytes::from(bytes), ElementType::F32, shape);
        let stored = Stored::Dense(dense.expect("as many bytes as numbers"));
        Ok((stored, Vec::new()))
    }
}

/// The place of a column in messages.
fn place_of(column: &str) -> String {
    format!("{PLACE}: column `{column}`")
}

/// Replaces the texts of class variables by classes: those of a run, or the names that occur in the rows
/// of any part, sorted.
///
/// # Errors
/// If a text is no class.
pub fn name_classes(
    model: &Model,
    mut arrays: Vec<DataArray>,
    known: Option<KnownNames>,
) -> Result<Vec<DataArray>> {
    let columns = ColumnNames::new();
    for variable in model.read_variables() {
        let is_text = |array: &&mut DataArray| {
            variable.domain == Domain::Class
                && variable_of(array.name()) == variable.name
                && array.texts().is_some()
        };
        let mut texts: Vec<&mut DataArray> = arrays.iter_mut().filter(is_text).collect();
        if texts.is_empty() {
            continue;
        }
        let mut own = ClassNames::new();
        if known.is_none() {
            let mut occurring = BTreeSet::new();
            for array in &texts {
                occurring.extend(array.texts().into_iter().flat_map(|t| t.known(variable)));
            }
            let place = format!("{PLACE}: `{}`", variable.name);
            let names = names_of_classes(variable, &occurring, &place)?;
            own.extend(names.map(|names| (variable.name.clone(), names)));
        }
        let known = known.unwrap_or(KnownNames {
            classes: &own,
            columns: &columns,
        });
        for array in &mut texts {
            let place = format!("{PLACE}: `{}`", array.name());
            let values = array.texts().expect("the array has texts").clone();
            let classes = values.into_classes(variable, Some(known), &place)?;
            let named = DataArray::new(array.name(), array.shape(), classes.numbers);
            **array = named.with_class_names(classes.names);
        }
    }
    Ok(arrays)
}
