//! AnnData's h5ad files: HDF5 with a matrix `X`, further matrices in `layers` and `obsm`, and the columns of
//! the rows in `obs`.
//!
//! A variable with several numbers takes the layer of its name, or `X` if it is the only one without a
//! layer. A label or a variable with one number takes the column of its name. The column `split` says which
//! rows are test rows, as in CSV tables.

use super::{
    checks::width,
    columns::classes,
    csr::{Csr, CsrParts, Order},
    hdf5::{Hdf5File, sizes_of, text_of},
    names::{is_missing, listed, shown},
    parts::{RowParts, SPLIT, check_parts, is_test},
    stored::Stored,
    tables::{DataArray, FileArrays, KnownNames},
    values::{ColumnValues, stored_numbers},
};
use crate::{
    diagnostic::suggest,
    distribution::Domain,
    error::{Error, Result},
    model::{Model, Variable},
    syntax::Outline,
};
use hdf5_pure::{AttrValue, DType};
use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

/// The folder of the names of categories in files of AnnData 0.7.
const OLD_CATEGORIES: &str = "__categories";

/// Reads the variables of a model. Other layers and columns have a name alone.
///
/// # Errors
/// If the file cannot be read or is no AnnData file, a variable is neither a matrix nor a column, or a
/// matrix or column does not fit its variable.
pub fn arrays(path: &Path, model: &Model, known: Option<KnownNames>) -> Result<FileArrays> {
    let file = open(path)?;
    let layers = file.names("layers")?;
    let fields = file.names("obsm")?;
    let mut columns = file.names("obs")?;
    columns.remove("_index");
    columns.remove(OLD_CATEGORIES);
    let width_of_x = file.columns_of_x();
    let mut takes_x = Vec::new();
    let mut arrays = Vec::new();
    let given = model.read_variables();
    let split = match given.iter().any(|variable| variable.name == SPLIT) {
        false => file.split(&columns)?,
        true => None,
    };
    for variable in &given {
        let name = &variable.name;
        let is_column = width(variable) == 1 && columns.contains(name);
        if variable.domain == Domain::Class || is_column || variable.is_optional() {
            if columns.contains(name) {
                arrays.push(file.column_of(variable, known)?);
            }
        } else if layers.contains(name) {
            arrays.push((
                name.clone(),
                file.matrix(&format!("layers/{name}"))?,
                vec![],
            ));
        } else if fields.contains(name) {
            arrays.push((name.clone(), file.matrix(&format!("obsm/{name}"))?, vec![]));
        } else if width(variable) == 1 && width_of_x != Some(1) {
            return Err(file.missing_column(name, &columns));
        } else {
            takes_x.push(*variable);
        }
    }
    match takes_x.as_slice() {
        [] => {}
        [variable] => arrays.push((variable.name.clone(), file.matrix("X")?, vec![])),
        _ => return Err(file.several(&takes_x, &layers, &columns)),
    }
    if let Some(parts) = &split {
        check_parts(parts, known.is_some(), &file.place())?;
    }
    let mut all = Vec::new();
    for (name, stored, class_names) in arrays {
        let arrays = DataArray::in_parts(&name, stored, split.as_ref()).into_iter();
        all.extend(arrays.map(|array| array.with_class_names(class_names.clone())));
    }
    let is_used = |name: &&String| given.iter().any(|variable| variable.name == **name);
    let unused = layers.iter().chain(&columns).filter(|name| !is_used(name));
    let unused = unused.filter(|name| split.is_none() || *name != SPLIT);
    // The names are kept for a note, each once.
    let unused: BTreeSet<&String> = unused.collect();
    all.extend(unused.into_iter().map(|name| DataArray::unread(name)));
    Ok(FileArrays {
        is_test: split.as_ref().is_some_and(is_test),
        ..all.into()
    })
}

/// The number of features of a variable, or of its classes; `None` if the file does not have it.
///
/// # Errors
/// If the file cannot be read.
pub fn size_of(path: &Path, variable: &Outline) -> Result<Option<usize>> {
    let file = open(path)?;
    let name = &variable.name;
    if variable.is_class {
        if !file.names("obs")?.contains(name) {
            return Ok(None);
        }
        let (codes, texts) = file.column(&format!("obs/{name}"))?.into_texts();
        let occurring: BTreeSet<u32> = codes.into_iter().flatten().collect();
        let texts = occurring
            .into_iter()
            .map(|code| texts[code as usize].as_str());
        return Ok(Some(classes(texts.filter(|text| !is_missing(text)))));
    }
    let mut part = "X".to_string();
    for group in ["layers", "obsm"] {
        if file.names(group)?.contains(name) {
            part = format!("{group}/{name}");
        }
    }
    file.width_of(&part)
}

/// Opens a file and checks that it is one of AnnData.
fn open(path: &Path) -> Result<Hdf5File> {
    let file = Hdf5File::open(path)?;
    if file.group("obs").is_some() {
        return Ok(file);
    }
    let message = format!("{}: expected a group `obs`, found none", file.place());
    Err(Error::data(message).help(
        "write the file with AnnData's `write_h5ad`; files of versions before 0.7 cannot be read",
    ))
}

/// The name, rows and class names of a variable.
type Array = (String, Stored, Vec<String>);

impl Hdf5File {
    /// The numbers of a row of `X`, if it is an array.
    fn columns_of_x(&self) -> Option<u64> {
        let shape = self.dataset("X").ok()?.shape().ok()?;
        shape.get(1).copied()
    }

    /// The error of a variable with one number that has no column.
    fn missing_column(&self, name: &str, columns: &BTreeSet<String>) -> Error {
        let message = format!(
            "{}: expected a column `{name}` in `obs`, found none",
            self.place()
        );
        let help = suggest(name, columns.iter().map(String::as_str));
        Error::data(message).help(help.unwrap_or_else(|| {
            let columns: Vec<&String> = columns.iter().collect();
            format!("the columns are {}", listed(&columns))
        }))
    }

    /// The error of several variables that are neither matrices nor columns.
    fn several(
        &self,
        variables: &[&Variable],
        layers: &BTreeSet<String>,
        columns: &BTreeSet<String>,
    ) -> Error {
        let names: Vec<&str> = variables
            .iter()
            .map(|variable| variable.name.as_str())
            .collect();
        let message = format!(
            "{}: {} are neither layers nor columns of `obs`, and only one variable takes `X`",
            self.place(),
            listed(&names)
        );
        let layers: Vec<&String> = layers.iter().collect();
        let columns: Vec<&String> = columns.iter().collect();
        let lists = [("layers", layers), ("columns of `obs`", columns)];
        let lists = lists.into_iter().filter(|(_, names)| !names.is_empty());
        let lists: Vec<String> = lists
            .map(|(what, names)| format!("the {what} are {}", listed(&names)))
            .collect();
        match lists.is_empty() {
            true => Error::data(message).help("the file has neither layers nor columns"),
            false => Error::data(message).help(lists.join("; ")),
        }
    }

    /// The numbers of the training, test and validation rows, if a column says which are which.
    fn split(&self, columns: &BTreeSet<String>) -> Result<Option<RowParts>> {
        if !columns.contains(SPLIT) {
            return Ok(None);
        }
        let part = format!("obs/{SPLIT}");
        let place = self.place_of(&part);
        self.column(&part)?.into_parts(&place).map(Some)
    }

    /// The name of a part of the file in messages.
    fn place_of(&self, part: &str) -> String {
        format!("{}: `{part}`", self.place())
    }

    /// The column of a variable.
    fn column_of(&self, variable: &Variable, known: Option<KnownNames>) -> Result<Array> {
        let part = format!("obs/{}", variable.name);
        let column = self.column(&part)?;
        let (name, place) = (variable.name.clone(), self.place_of(&part));
        if variable.domain != Domain::Class {
            let numbers = column.into_numbers(variable, &place)?;
            return Ok((name, stored_numbers(&numbers), Vec::new()));
        }
        let classes = column.into_classes(variable, known, &place)?;
        Ok((name, stored_numbers(&classes.numbers), classes.names))
    }

    /// Reads a column of numbers, of texts, or of categories.
    fn column(&self, part: &str) -> Result<ColumnValues> {
        let (group_name, name) = part.rsplit_once('/').unwrap_or(("", part));
        if self.group(part).is_some() {
            let codes = format!("{part}/codes");
            if self.has_dataset(&codes) {
                return self.categories(&codes, &format!("{part}/categories"));
            }
            let (values, mask) = (format!("{part}/values"), format!("{part}/mask"));
            let is_missing = self.numbers(&mask)?;
            let masks = |row: usize| is_missing.get(row).is_some_and(|mask| *mask != 0.0);
            return Ok(match self.plain_column(&values)? {
                ColumnValues::Numbers(mut numbers) => {
                    let rows = numbers.iter_mut().enumerate();
                    let masked = rows.filter(|(row, _)| masks(*row));
                    masked.for_each(|(_, number)| *number = f64::NAN);
                    ColumnValues::Numbers(numbers)
                }
                ColumnValues::Texts(mut codes, texts) => {
                    let rows = codes.iter_mut().enumerate();
                    rows.filter(|(row, _)| masks(*row))
                        .for_each(|(_, code)| *code = None);
                    ColumnValues::Texts(codes, texts)
                }
            });
        }
        let old = format!("{group_name}/{OLD_CATEGORIES}/{name}");
        match self.has_dataset(&old) {
            true => self.categories(part, &old),
            false => self.plain_column(part),
        }
    }

    /// A column whose numbers are places in a list of categories.
    fn categories(&self, codes: &str, categories: &str) -> Result<ColumnValues> {
        let texts = match self.plain_column(categories)? {
            ColumnValues::Numbers(numbers) => numbers.iter().map(f64::to_string).collect(),
            ColumnValues::Texts(places, texts) => {
                // A list of categories has each text once.
                if places.len() != texts.len() {
                    return Err(self.wrong(categories, "expected different texts"));
                }
                texts
            }
        };
        let mut rows = Vec::new();
        for (row, code) in self.numbers(codes)?.into_iter().enumerate() {
            rows.push(match code {
                -1.0 => None,
                code if code >= 0.0 && code < texts.len() as f64 => Some(code as u32),
                code => {
                    let what = format!(
                        "row {row}: expected a category from 0 to {}, or -1, found {code}",
                        texts.len() as f64 - 1.0
                    );
                    return Err(self.wrong(codes, what));
                }
            });
        }
        Ok(ColumnValues::Texts(rows, texts))
    }

    /// A column that is an array of numbers or of texts.
    fn plain_column(&self, part: &str) -> Result<ColumnValues> {
        let dataset = self.dataset(part)?;
        match dataset.dtype().map_err(self.broken(part))? {
            DType::String | DType::VariableLengthString => {
                let texts = self.texts(part, &dataset)?.into_iter().map(Some);
                Ok(ColumnValues::of_texts(texts))
            }
            _ => Ok(ColumnValues::Numbers(self.numbers(part)?)),
        }
    }

    /// A matrix with the rows' numbers: an array, or a sparse matrix.
    fn matrix(&self, part: &str) -> Result<Stored> {
        let Some(group) = self.group(part) else {
            let dense = self.dense(part)?;
            if dense.shape().len() < 2 {
                let what = format!("expected a matrix, found the shape {:?}", dense.shape());
                return Err(self.wrong(part, what));
            }
            return Ok(Stored::Dense(dense));
        };
        let attributes = group.attrs().map_err(self.broken(part))?;
        let text = |name: &str| attributes.get(name).and_then(text_of);
        // The names of AnnData 0.7 and of earlier versions.
        let format = text("encoding-type").or_else(|| text("h5sparse_format"));
        let order = format.as_deref().and_then(Order::of_format);
        let order = order.ok_or_else(|| {
            let found = match &format {
                Some(format) => format!("`{}`", shown(format)),
                None => "nothing of both".to_string(),
            };
            let what = format!("expected an array or a sparse matrix, found {found}");
            self.wrong(part, what)
        })?;
        let shape = self.sparse_shape(part, &attributes)?;
        let names = ["data", "indices", "indptr"].map(|name| format!("{part}/{name}"));
        let [data, indices, indptr] = &names;
        let parts = CsrParts {
            data: (data, self.dense(data)?),
            indices: (indices, self.dense(indices)?),
            indptr: (indptr, self.dense(indptr)?),
            shape: (part, shape),
            order,
        };
        Ok(Stored::Sparse(Csr::new(parts, self.path())?))
    }

    /// The numbers of rows and columns of a sparse matrix, from the attributes of its group.
    fn sparse_shape(
        &self,
        part: &str,
        attributes: &HashMap<String, AttrValue>,
    ) -> Result<[usize; 2]> {
        let shape = attributes
            .get("shape")
            .or_else(|| attributes.get("h5sparse_shape"));
        let shape = shape.and_then(sizes_of);
        shape.ok_or_else(|| self.wrong(part, "expected its shape, two numbers, found none"))
    }

    /// The numbers of a row of a matrix; `None` if it has one axis.
    fn width_of(&self, part: &str) -> Result<Option<usize>> {
        let Some(group) = self.group(part) else {
            let shape = self.dataset(part)?.shape().map_err(self.broken(part))?;
            return Ok(shape.get(1).map(|&width| width as usize));
        };
        let attributes = group.attrs().map_err(self.broken(part))?;
        Ok(Some(self.sparse_shape(part, &attributes)?[1]))
    }
}
