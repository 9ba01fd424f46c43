//! Reading a data set by name: the bundled MNIST excerpt, a folder of arrays or idx files, or a file of
//! arrays or of columns.

use super::{
    columns::TableSummary,
    idx,
    labels::KnownLabels,
    table_file::TableFile,
    tables::{DataArray, KnownNames, Tables, count_of_classes, variable_of},
};
use crate::{
    error::{Error, Result},
    model::Model,
    run::arrays::{self, NamedArray},
    syntax::Outline,
};
use std::path::Path;

/// Reads a data set for a model: `mnist` or `None` for the bundled excerpt, a folder of arrays or idx
/// files, an npz or safetensors file with arrays named after the model's variables, a CSV file with
/// columns named after them, or an AnnData file.
///
/// # Errors
/// If there is no such data set, it cannot be read, or it does not fit the model.
pub fn load(source: Option<&str>, model: &Model) -> Result<Tables> {
    load_with(source, model, None)
}

/// As [`load`], for a run: columns and classes by name are those that the run knows.
///
/// # Errors
/// As [`load`], or if a column is missing or a class has another name.
pub fn load_with(source: Option<&str>, model: &Model, known: Option<KnownNames>) -> Result<Tables> {
    let tables = read(source, model, known)?;
    let place = source.unwrap_or("mnist");
    for (part, table) in [
        ("", Some(&tables.train)),
        (": test rows", tables.test.as_ref()),
        (": validation rows", tables.validation.as_ref()),
    ] {
        // A single label cannot be incomplete.
        if let Some(table) = table.filter(|_| model.labels().count() > 1) {
            let place = format!("{place}{part}");
            KnownLabels::read(model, table, &place)?.check(&place)?;
        }
    }
    Ok(tables)
}

fn read(source: Option<&str>, model: &Model, known: Option<KnownNames>) -> Result<Tables> {
    let Some(source) = source.filter(|source| *source != "mnist") else {
        return idx::excerpt(model);
    };
    let path = Path::new(source);
    let place = path.display().to_string();
    let is_standard = source == "-";
    if is_standard && known.is_none() {
        let message = "training reads its data again, and cannot read them from standard input";
        return Err(Error::option("data", source, message).help("name a file"));
    }
    if path.is_dir() {
        return match arrays_of(path, model)? {
            Some(arrays) => Tables::new(model, &arrays, &place),
            None => idx::folder(path, model),
        };
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npz") if path.exists() => {
            Tables::new(model, &npz(path, model)?, &place)
        }
        Some("safetensors") if path.exists() => {
            let arrays = arrays::read(path)?.0.into_iter().map(DataArray::from);
            Tables::new(model, &arrays.collect::<Vec<_>>(), &place)
        }
        _ if is_table(path) && (path.exists() || is_standard) => table(path, model, known),
        Some("h5ad") if path.exists() => Tables::new(model, &h5ad(path, model, known)?, &place),
        _ if !path.exists() => Err(Error::option(
            "data",
            source,
            "expected a data set, found no such file or folder",
        )
        .help("name `mnist`, a folder, or an .npz, .safetensors, .csv or .h5ad file")),
        Some("npy") => Err(Error::data(format!(
            "{source}: a single array is no data set"
        ))
        .help("name a folder with an array for each variable, such as x.npy and y.npy")),
        _ => Err(Error::data(format!(
            "{source}: the format of the data set is not supported"
        ))
        .help(
            "name a folder of arrays or idx files, or an .npz, .safetensors, .csv, .tsv or .h5ad file",
        )),
    }
}

/// Whether a file is a table by its name; standard input is one.
pub fn is_table(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name == "-" || name.ends_with(".csv") || name.ends_with(".tsv")
}

/// Reads a table. In data for a run, all rows may be test rows; then there are no training rows.
fn table(path: &Path, model: &Model, known: Option<KnownNames>) -> Result<Tables> {
    let (arrays, file) = csv(path, model, known)?;
    let mut tables = Tables::new(model, &arrays, &path.display().to_string())?;
    if file.parts[0].is_empty() {
        tables.test = Some(std::mem::take(&mut tables.train));
    }
    tables.file = Some(file);
    Ok(tables)
}

/// Reads every array of an npz or safetensors file; any other ending is read as safetensors.
///
/// # Errors
/// If the file cannot be read, or an array's type is not numeric.
pub fn read_arrays(path: &Path) -> Result<Vec<NamedArray>> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npz") => {
            let arrays = every_array(path)?.into_iter();
            arrays.map(NamedArray::try_from).collect()
        }
        _ => NamedArray::read_all(path),
    }
}

/// The number of features of a variable in a file of arrays, or of its classes; `None` if the file does
/// not have the variable, or its format is not read for sizes.
///
/// # Errors
/// If the file cannot be read.
pub fn size_of(path: &Path, variable: &Outline) -> Result<Option<usize>> {
    match path.extension().and_then(|extension| extension.to_str()) {
        #[cfg(feature = "npz")]
        Some("npz") => super::matrices::size_of(path, variable),
        #[cfg(feature = "h5ad")]
        Some("h5ad") => super::h5ad::size_of(path, variable),
        Some("safetensors") => {
            let mut arrays = NamedArray::read_all(path)?.into_iter();
            let of_variable = |array: &NamedArray| variable_of(&array.name) == variable.name;
            if !variable.is_class {
                let array = arrays.find(of_variable);
                return Ok(array.map(|array| array.shape.iter().skip(1).product()));
            }
            let classes = arrays.filter(of_variable).flat_map(|array| array.data);
            Ok(count_of_classes(classes))
        }
        _ => Ok(None),
    }
}

#[cfg(feature = "npz")]
fn npz(path: &Path, model: &Model) -> Result<Vec<DataArray>> {
    super::matrices::of_npz(path, model)
}

#[cfg(not(feature = "npz"))]
fn npz(path: &Path, _model: &Model) -> Result<Vec<DataArray>> {
    Err(no_npz(path))
}

#[cfg(feature = "npz")]
fn every_array(path: &Path) -> Result<Vec<DataArray>> {
    super::matrices::every_array(path)
}

#[cfg(not(feature = "npz"))]
fn every_array(path: &Path) -> Result<Vec<DataArray>> {
    Err(no_npz(path))
}

#[cfg(not(feature = "npz"))]
fn no_npz(path: &Path) -> Error {
    Error::unsupported(format!(
        "{}: this build of dgc cannot read npz files",
        path.display()
    ))
    .help("build dgc with the feature `npz`, or use a .safetensors file")
}

/// The arrays of a folder of npy and npz files; `None` if it has none, or has the images of MNIST.
#[cfg(feature = "npz")]
fn arrays_of(folder: &Path, model: &Model) -> Result<Option<Vec<DataArray>>> {
    match idx::is_folder(folder) {
        true => Ok(None),
        false => super::matrices::of_folder(folder, model),
    }
}

#[cfg(not(feature = "npz"))]
fn arrays_of(_folder: &Path, _model: &Model) -> Result<Option<Vec<DataArray>>> {
    Ok(None)
}

#[cfg(feature = "csv")]
fn csv(
    path: &Path,
    model: &Model,
    known: Option<KnownNames>,
) -> Result<(Vec<DataArray>, TableFile)> {
    super::csv::arrays(path, model, known)
}

#[cfg(not(feature = "csv"))]
fn csv(
    path: &Path,
    _model: &Model,
    _known: Option<KnownNames>,
) -> Result<(Vec<DataArray>, TableFile)> {
    Err(no_csv(path))
}

/// The values of a column of a table, as text: of all rows, in the order of the file.
///
/// # Errors
/// If the file cannot be read, or has no such column.
#[cfg(feature = "csv")]
pub fn column(file: &TableFile, name: &str) -> Result<Vec<String>> {
    super::csv::column(file, name)
}

/// Needs the feature `csv`.
///
/// # Errors
/// Always: this build cannot read CSV files.
#[cfg(not(feature = "csv"))]
pub fn column(file: &TableFile, _name: &str) -> Result<Vec<String>> {
    Err(no_csv(&file.path))
}

#[cfg(feature = "h5ad")]
fn h5ad(path: &Path, model: &Model, known: Option<KnownNames>) -> Result<Vec<DataArray>> {
    super::h5ad::arrays(path, model, known)
}

#[cfg(not(feature = "h5ad"))]
fn h5ad(path: &Path, _model: &Model, _known: Option<KnownNames>) -> Result<Vec<DataArray>> {
    Err(Error::unsupported(format!(
        "{}: this build of dgc cannot read h5ad files",
        path.display()
    ))
    .help("build dgc with the feature `h5ad`, or save the arrays as an .npz file"))
}

/// Describes the columns of a CSV file.
///
/// # Errors
/// If the file cannot be read or is no table, or this build cannot read CSV files.
#[cfg(feature = "csv")]
pub fn columns(path: &Path) -> Result<TableSummary> {
    super::csv::summary(path)
}

/// Needs the feature `csv`.
///
/// # Errors
/// Always: this build cannot read CSV files.
#[cfg(not(feature = "csv"))]
pub fn columns(path: &Path) -> Result<TableSummary> {
    Err(no_csv(path))
}

#[cfg(not(feature = "csv"))]
fn no_csv(path: &Path) -> Error {
    Error::unsupported(format!(
        "{}: this build of dgc cannot read CSV files",
        path.display()
    ))
    .help("build dgc with the feature `csv`, or use a .safetensors file")
}

/// The absolute path of a source, which is valid in any working directory.
pub fn whole_path(source: &str) -> String {
    match Path::new(source).canonicalize() {
        Ok(path) if !["mnist", "-"].contains(&source) => path.display().to_string(),
        _ => source.to_string(),
    }
}
