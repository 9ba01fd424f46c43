//! Tables as Parquet files. Their columns become variables as those of CSV files do; in addition, a variable
//! with several numbers may take a column of lists.

use super::{
    bytes::Bytes,
    checks::width,
    columns::{ColumnSummary, TableSummary},
    dense::DenseArray,
    element::ElementType,
    layout::{ColumnLayout, missing_column},
    names::is_missing,
    origin::{RowOrigin, TableFile},
    parquet_file::ParquetFile,
    parquet_values::Kind,
    parts::{RowParts, SPLIT, check_parts, is_test, no_training_rows},
    stored::Stored,
    tables::{DataArray, FileArrays, KnownNames},
    values::stored_numbers,
};
use crate::{
    distribution::Domain,
    error::Result,
    model::{Model, Variable},
};
use std::{collections::BTreeSet, path::Path};

/// Reads the columns that the model uses. Classes are numbered or named as in a CSV file.
///
/// # Errors
/// If the file cannot be read, a variable has no columns, or a value does not fit its variable.
pub fn arrays(path: &Path, model: &Model, known: Option<KnownNames>) -> Result<FileArrays> {
    let file = ParquetFile::open(path)?;
    let place = file.place();
    let columns = file.columns();
    let header: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    // Groups of other kinds are refused by name.
    let is_group = |&at: &usize| matches!(columns[at].kind, Kind::List(_) | Kind::Other(_));
    let lists = (0..columns.len()).filter(is_group);
    let numeric = || Ok(numeric_names(&file));
    let layout = ColumnLayout::new(model, &header, &lists.collect(), known, &numeric, &place)?;
    let parts = match layout.split {
        Some(column) => Some(file.values(column)?.into_parts(&file.place_of(column))?),
        None => None,
    };
    let every = || [(0..file.rows() as u32).collect(), Vec::new(), Vec::new()];
    let rows: RowParts = parts.clone().unwrap_or_else(every);
    check_parts(&rows, known.is_some(), &place)?;
    let mut arrays = Vec::new();
    for (variable, columns) in &layout.variables {
        let (stored, class_names) = read(&file, variable, columns, known)?;
        let kept = layout.columns_to_keep(variable, columns, known);
        for array in DataArray::in_parts(&variable.name, stored, parts.as_ref()) {
            let array = array.with_class_names(class_names.clone());
            arrays.push(array.with_columns(kept.clone()));
        }
    }
    arrays.extend(layout.unused.iter().map(|name| DataArray::unread(name)));
    let file = TableFile {
        path: path.to_path_buf(),
        text: None,
    };
    let numbers = rows
        .each_ref()
        .map(|rows| rows.iter().map(|&row| row as usize).collect());
    Ok(FileArrays {
        arrays,
        origins: RowOrigin::of_table(&file, numbers),
        is_test: is_test(&rows),
    })
}

/// The values of a variable, and the names of its classes.
fn read(
    file: &ParquetFile,
    variable: &Variable,
    columns: &[usize],
    known: Option<KnownNames>,
) -> Result<(Stored, Vec<String>)> {
    if let &[column] = columns {
        let place = file.place_of(column);
        if variable.domain == Domain::Class {
            let classes = file.values(column)?.into_classes(variable, known, &place)?;
            return Ok((stored_numbers(&classes.numbers), classes.names));
        }
        if width(variable) > 1 || matches!(file.columns()[column].kind, Kind::List(_)) {
            let lists = file.lists(column, width(variable), variable.may_be_unknown())?;
            return Ok((lists, Vec::new()));
        }
        let numbers = file.values(column)?.into_numbers(variable, &place)?;
        return Ok((stored_numbers(&numbers), Vec::new()));
    }
    let size = ElementType::F32.size();
    let mut bytes = vec![0; file.rows() * columns.len() * size];
    for (at, &column) in columns.iter().enumerate() {
        let place = file.place_of(column);
        let numbers = file.values(column)?.into_numbers(variable, &place)?;
        let rows = bytes.chunks_exact_mut(columns.len() * size);
        for (row, number) in rows.zip(numbers) {
            row[at * size..][..size].copy_from_slice(&(number as f32).to_le_bytes());
        }
    }
    let shape = vec![file.rows(), columns.len()];
    let dense = DenseArray::new(Bytes::from(bytes), ElementType::F32, shape);
    Ok((
        Stored::Dense(dense.expect("as many bytes as numbers")),
        Vec::new(),
    ))
}

/// The names of the columns with numbers. The index that pandas writes is none of them.
fn numeric_names(file: &ParquetFile) -> BTreeSet<String> {
    let columns = file.columns().iter();
    let numeric = columns.filter(|column| matches!(column.kind, Kind::Number(_)));
    let names = numeric.map(|column| column.name.clone());
    names.filter(|name| !is_index(name)).collect()
}

/// Whether pandas gives this name to an index without one.
fn is_index(name: &str) -> bool {
    name.starts_with("__index_level_") && name.ends_with("__")
}

/// The values of a column as text: of all rows, in the order of the file.
///
/// # Errors
/// If the file cannot be read, or has no such column, or one without numbers and texts.
pub fn column(path: &Path, name: &str) -> Result<Vec<String>> {
    let file = ParquetFile::open(path)?;
    let columns = file.columns().iter();
    let names: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
    let found = names.iter().position(|column| *column == name);
    let found = found.ok_or_else(|| missing_column(name, &names, &file.place()))?;
    let mut texts = Vec::new();
    file.each_value(found, &mut |text| texts.push(text.unwrap_or_default()))?;
    Ok(texts)
}

/// Describes the columns of a file, except one that says which rows are for training.
///
/// # Errors
/// If the file cannot be read.
pub fn summary(path: &Path) -> Result<TableSummary> {
    let file = ParquetFile::open(path)?;
    let columns = file.columns();
    let split = columns.iter().position(|column| column.name == SPLIT);
    let mut is_test = vec![false; file.rows()];
    if let Some(split) = split {
        let [_, test, validation] = file.values(split)?.into_parts(&file.place_of(split))?;
        // Validation rows are held out, as test rows are.
        for row in test.into_iter().chain(validation) {
            is_test[row as usize] = true;
        }
    }
    let rows = is_test.iter().filter(|is_test| !**is_test).count();
    if rows == 0 {
        return Err(no_training_rows(&file.place()));
    }
    let mut summaries = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        let mut summary = ColumnSummary::new(&column.name);
        match column.kind {
            _ if split == Some(at) || is_index(&column.name) => continue,
            Kind::Other(_) => continue,
            Kind::List(_) => summary.list = Some(file.list_len(at)?),
            Kind::Number(_) | Kind::Text => {
                let mut row = 0;
                file.each_value(at, &mut |text| {
                    let text = text.as_deref().filter(|text| !is_missing(text));
                    summary.add_row(text, is_test.get(row).copied().unwrap_or_default());
                    row += 1;
                })?;
                if column.kind == Kind::Text {
                    summary.be_text();
                }
            }
        }
        summaries.push(summary);
    }
    Ok(TableSummary {
        rows,
        columns: summaries,
    })
}
