//! AnnData's h5ad files: HDF5 with a matrix `X`, further matrices in `layers` and `obsm`, and the columns of
//! the rows in `obs`.
//!
//! A variable with several numbers takes the layer of its name, or `X` if it is the only one without a
//! layer. A label or a variable with one number takes the column of its name. The column `split` says which
//! rows are test rows, as in CSV tables.

use super::{
    bytes::Bytes,
    checks::width,
    columns::classes,
    csr::{Csr, CsrParts},
    csv::{
        PARTS, SPLIT, is_missing, is_name, is_unknown, listed, names_of_classes, part_of, shown,
    },
    dense::DenseArray,
    element::ElementType,
    hdf5::{Hdf5File, sizes_of, text_of},
    stored::Stored,
    tables::{DataArray, KnownNames},
};
use crate::{
    diagnostic::suggest,
    distribution::Domain,
    error::{Error, Result},
    model::{Model, Role, Variable},
    syntax::Outline,
};
use hdf5_pure::DType;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

/// The folder of the names of categories in files of AnnData 0.7.
const OLD_CATEGORIES: &str = "__categories";

/// Reads the variables of a model. Other layers and columns have a name alone.
///
/// # Errors
/// If the file cannot be read or is no AnnData file, a variable is neither a matrix nor a column, or a
/// matrix or column does not fit its variable.
pub fn arrays(path: &Path, model: &Model, known: Option<KnownNames>) -> Result<Vec<DataArray>> {
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
    let mut all = Vec::new();
    for (name, stored, class_names) in arrays {
        let stored = Arc::new(stored);
        match &split {
            None => all.push((name, Stored::clone(&stored), class_names)),
            Some(parts) => {
                for (prefix, rows) in ["", "test.", "validation."].into_iter().zip(parts) {
                    if prefix.is_empty() || !rows.is_empty() {
                        let part_name = format!("{prefix}{name}");
                        all.push((part_name, stored.select(rows.clone()), class_names.clone()));
                    }
                }
            }
        }
    }
    let arrays = all.into_iter().map(|(name, stored, class_names)| {
        DataArray::stored(name, stored).with_class_names(class_names)
    });
    let is_used = |name: &&String| given.iter().any(|variable| variable.name == **name);
    let unused = layers.iter().chain(&columns).filter(|name| !is_used(name));
    let unused = unused.filter(|name| split.is_none() || *name != SPLIT);
    // The names are kept for a note, each once.
    let unused: BTreeSet<&String> = unused.collect();
    let unused = unused
        .into_iter()
        .map(|name| DataArray::new(name, [], Vec::<f32>::new()));
    Ok(arrays.chain(unused).collect())
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
    Ok(file.matrix(&part)?.shape().get(1).copied())
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

/// A column of the rows.
enum Column {
    /// A number in each row; NaN where it is missing.
    Numbers(Vec<f64>),
    /// A text in each row, by its place in a list of texts; `None` where it is missing.
    Texts(Vec<Option<u32>>, Vec<String>),
}

impl Column {
    /// The column with numbers as texts.
    fn into_texts(self) -> (Vec<Option<u32>>, Vec<String>) {
        match self {
            Column::Texts(codes, texts) => (codes, texts),
            Column::Numbers(numbers) => {
                let text = |number: f64| (!number.is_nan()).then(|| number.to_string());
                of_texts(numbers.into_iter().map(text))
            }
        }
    }
}

/// The places of texts in the list of different ones, and the list.
fn of_texts(texts: impl Iterator<Item = Option<String>>) -> (Vec<Option<u32>>, Vec<String>) {
    let (mut codes, mut different) = (Vec::new(), Vec::new());
    let mut places = BTreeMap::new();
    for text in texts {
        codes.push(text.map(|text| {
            *places.entry(text).or_insert_with_key(|text| {
                different.push(text.clone());
                different.len() as u32 - 1
            })
        }));
    }
    (codes, different)
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
    fn split(&self, columns: &BTreeSet<String>) -> Result<Option<[Vec<u32>; PARTS.len()]>> {
        if !columns.contains(SPLIT) {
            return Ok(None);
        }
        let part = format!("obs/{SPLIT}");
        let (codes, texts) = self.column(&part)?.into_texts();
        let parts: Vec<Option<usize>> = texts.iter().map(|text| part_of(text)).collect();
        let mut rows = PARTS.map(|_| Vec::new());
        for (row, code) in (0..).zip(codes) {
            let text = code.map(|code| code as usize);
            let Some(part_of_row) = text.and_then(|code| parts[code]) else {
                let found = text.map_or("", |code| &texts[code]);
                let what = format!(
                    "row {row}: expected `train`, `test` or `validation`, found `{}`",
                    shown(found)
                );
                return Err(self
                    .wrong(&part, what)
                    .help("give the column another name if it is no split into these parts"));
            };
            rows[part_of_row].push(row);
        }
        Ok(Some(rows))
    }

    /// The column of a variable.
    fn column_of(&self, variable: &Variable, known: Option<KnownNames>) -> Result<Array> {
        let part = format!("obs/{}", variable.name);
        let column = self.column(&part)?;
        let name = variable.name.clone();
        let of_numbers = |numbers: &[f64]| {
            let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            let shape = vec![numbers.len()];
            let dense = DenseArray::new(Bytes::from(bytes), ElementType::F64, shape);
            Stored::Dense(dense.expect("as many bytes as numbers"))
        };
        if variable.domain != Domain::Class {
            return match column {
                Column::Numbers(numbers) => Ok((name, of_numbers(&numbers), Vec::new())),
                Column::Texts(..) => Err(self
                    .wrong(&part, format!("expected numbers for `{name}`, found texts"))
                    .help(format!(
                        "declare `{name}` with the type `class`, or store numbers"
                    ))),
            };
        }
        let (codes, texts) = column.into_texts();
        let is_known = |text: &str| !is_missing(text) && !is_unknown(text, variable);
        let occurring: BTreeSet<u32> = codes.iter().flatten().copied().collect();
        let occurring = occurring
            .into_iter()
            .map(|code| texts[code as usize].as_str());
        let occurring: BTreeSet<&str> = occurring.filter(|text| is_known(text)).collect();
        if let Some(text) = occurring.iter().find(|text| !is_name(text)) {
            let what = format!("`{}` is no name of a class", shown(text));
            return Err(self
                .wrong(&part, what)
                .help("use names of at most 200 bytes without control characters"));
        }
        let names = match known {
            Some(known) => known.classes.get(&name).cloned(),
            None => {
                let place = format!("{}: column `{part}`", self.place());
                names_of_classes(variable, &occurring, &place)?
            }
        };
        let number = |text: &String| match &names {
            _ if is_unknown(text, variable) => Some(-1.0),
            Some(names) => names
                .iter()
                .position(|name| name == text)
                .map(|at| at as f64),
            None => text.parse::<f64>().ok(),
        };
        let numbers: Vec<Option<f64>> = texts.iter().map(number).collect();
        let missing = variable.may_be_unknown().then_some(-1.0);
        let mut classes = Vec::with_capacity(codes.len());
        for (row, code) in codes.iter().enumerate() {
            let class = match code {
                Some(code) => numbers[*code as usize],
                None => missing,
            };
            let Some(class) = class else {
                let found = match code {
                    Some(code) => format!("`{}`", shown(&texts[*code as usize])),
                    None => "a missing value".to_string(),
                };
                let expected = match &names {
                    Some(names) => format!("one of {}", listed(names)),
                    None => format!("a class from 0 to {}", variable.size() - 1),
                };
                let what = format!("row {row}: expected {expected}, found {found}");
                return Err(self.wrong(&part, what).help(match variable.role {
                    Role::Label => "correct the value, or leave it out if the label is unknown",
                    _ => "correct the value, or remove the row",
                }));
            };
            classes.push(class);
        }
        Ok((name, of_numbers(&classes), names.unwrap_or_default()))
    }

    /// Reads a column of numbers, of texts, or of categories.
    fn column(&self, part: &str) -> Result<Column> {
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
                Column::Numbers(mut numbers) => {
                    let rows = numbers.iter_mut().enumerate();
                    let masked = rows.filter(|(row, _)| masks(*row));
                    masked.for_each(|(_, number)| *number = f64::NAN);
                    Column::Numbers(numbers)
                }
                Column::Texts(mut codes, texts) => {
                    let rows = codes.iter_mut().enumerate();
                    rows.filter(|(row, _)| masks(*row))
                        .for_each(|(_, code)| *code = None);
                    Column::Texts(codes, texts)
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
    fn categories(&self, codes: &str, categories: &str) -> Result<Column> {
        let texts = match self.plain_column(categories)? {
            Column::Numbers(numbers) => numbers.iter().map(f64::to_string).collect(),
            Column::Texts(places, texts) => {
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
        Ok(Column::Texts(rows, texts))
    }

    /// A column that is an array of numbers or of texts.
    fn plain_column(&self, part: &str) -> Result<Column> {
        let dataset = self.dataset(part)?;
        match dataset.dtype().map_err(self.broken(part))? {
            DType::String | DType::VariableLengthString => {
                let texts = self.texts(part, &dataset)?.into_iter().map(Some);
                let (codes, texts) = of_texts(texts);
                Ok(Column::Texts(codes, texts))
            }
            _ => Ok(Column::Numbers(self.numbers(part)?)),
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
        match format.as_deref() {
            Some("csr_matrix" | "csr") => {}
            Some("csc_matrix" | "csc") => {
                return Err(self
                    .wrong(
                        part,
                        "expected a matrix by rows (csr), found one by columns (csc)",
                    )
                    .help("convert it with `.tocsr()`, and write the file again"));
            }
            other => {
                let found = other.map_or("nothing of both".to_string(), |other| {
                    format!("`{}`", shown(other))
                });
                let what = format!("expected an array or a sparse matrix, found {found}");
                return Err(self.wrong(part, what));
            }
        }
        let shape = attributes
            .get("shape")
            .or_else(|| attributes.get("h5sparse_shape"));
        let Some(shape) = shape.and_then(sizes_of) else {
            return Err(self.wrong(part, "expected its shape, two numbers, found none"));
        };
        let names = ["data", "indices", "indptr"].map(|name| format!("{part}/{name}"));
        let [data, indices, indptr] = &names;
        let parts = CsrParts {
            data: (data, self.dense(data)?),
            indices: (indices, self.dense(indices)?),
            indptr: (indptr, self.dense(indptr)?),
            shape: (part, shape),
        };
        Ok(Stored::Sparse(Csr::new(parts, &self.place())?))
    }
}
