//! Reading a data set by name: the bundled MNIST excerpt, a folder of images, arrays or idx files, or a file
//! of arrays or of columns.

use super::{
    columns::TableSummary,
    data_files::DataFiles,
    idx,
    labels::KnownLabels,
    origin::TableFile,
    tables::{DataArray, FileArrays, KnownNames, Tables},
    tensors,
};
use crate::{
    error::{Error, Result},
    model::Model,
    run::arrays::NamedArray,
    syntax::Outline,
};
use std::path::Path;

/// Reads a data set for a model: `mnist` or `None` for the bundled excerpt, a folder of images, arrays or
/// idx files, an npz or safetensors file with arrays named after the model's variables, a table with
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

/// As [`load_with`], for a data set whose parts may have files of their own. Columns and classes by name
/// are those of the training rows.
///
/// # Errors
/// As [`load_with`], or if a file does not have the rows of one part alone.
pub fn load_files(files: &DataFiles, model: &Model, known: Option<KnownNames>) -> Result<Tables> {
    if let (Some(test), Some(validation)) = (&files.test, &files.validation)
        && whole_path(test) == whole_path(validation)
    {
        let message = "the validation rows have the same file";
        return Err(Error::option("test", test, message)
            .help("omit one of the options; rows that choose an epoch have too low an error"));
    }
    let mut tables = load_with(files.data.as_deref(), model, known)?;
    for (option, index, source) in [
        ("test", 1, &files.test),
        ("validation", 2, &files.validation),
    ] {
        let Some(source) = source else { continue };
        if !Path::new(source).exists() {
            let message = "expected a data set, found no such file or folder";
            return Err(Error::option(option, source, message)
                .help("name a folder or file as for the option `data`"));
        }
        if whole_path(source) == whole_path(files.name()) {
            let message = "the training rows have the same file";
            return Err(Error::option(option, source, message)
                .help("name another file, or mark the rows in a column `split`"));
        }
        let names = (tables.class_names.clone(), tables.columns.clone());
        let of_training = KnownNames {
            classes: &names.0,
            columns: &names.1,
        };
        let part = load_with(Some(source), model, Some(known.unwrap_or(of_training)))?;
        add_part(&mut tables, index, part, option, [files.name(), source])?;
    }
    Ok(tables)
}

/// Adds the rows of a file as those of a part. `data` and `source` are the names of the files.
fn add_part(
    tables: &mut Tables,
    index: usize,
    mut part: Tables,
    option: &str,
    [data, source]: [&str; 2],
) -> Result<()> {
    let place = match index {
        1 => &mut tables.test,
        _ => &mut tables.validation,
    };
    if place.is_some() {
        let message = format!("{data} has {option} rows of its own");
        return Err(Error::option(option, source, message)
            .help("omit the option, or remove these rows from the data"));
    }
    // The rows of a table may all be marked as test rows.
    let (from, rows) = match part.train.rows {
        0 => (1, part.test.take()),
        _ => (0, Some(part.train)),
    };
    let Some(rows) = rows.filter(|_| part.test.is_none() && part.validation.is_none()) else {
        let message = "expected the rows of one part, found training rows and others";
        return Err(Error::option(option, source, message).help(
            "remove the column `split` or the arrays of other parts, or name the file with the option \
             `data` alone",
        ));
    };
    *place = Some(rows);
    tables.origins[index] = part.origins[from].take();
    let new = part
        .others
        .into_iter()
        .filter(|name| !tables.others.contains(name));
    let new: Vec<String> = new.collect();
    tables.others.extend(new);
    Ok(())
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
        return match kind_of_folder(path)? {
            FolderKind::Idx => idx::folder(path, model),
            #[cfg(feature = "npz")]
            FolderKind::Arrays => {
                Tables::new(model, &super::matrices::of_folder(path, model)?, &place)
            }
            #[cfg(feature = "images")]
            FolderKind::Images => {
                Tables::of_file(model, super::images::arrays(path, model, known)?, &place)
            }
        };
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npz") if path.exists() => {
            Tables::new(model, &npz(path, model)?, &place)
        }
        Some("safetensors") if path.exists() => {
            Tables::new(model, &tensors::arrays(path, model)?, &place)
        }
        _ if is_table(path) && (path.exists() || is_standard) => {
            Tables::of_file(model, table(path, model, known)?, &place)
        }
        Some("h5ad") if path.exists() => {
            Tables::of_file(model, h5ad(path, model, known)?, &place)
        }
        _ if !path.exists() => Err(Error::option(
            "data",
            source,
            "expected a data set, found no such file or folder",
        )
        .help("name `mnist`, a folder, or an .npz, .safetensors, .csv, .parquet or .h5ad file")),
        Some("npy") => Err(Error::data(format!(
            "{source}: a single array is no data set"
        ))
        .help("name a folder with an array for each variable, such as x.npy and y.npy")),
        _ => Err(Error::data(format!(
            "{source}: the format of the data set is not supported"
        ))
        .help(
            "name a folder of images, arrays or idx files, or an .npz, .safetensors, .csv, .tsv, .parquet or .h5ad file",
        )),
    }
}

/// Whether a file is a table by its name; standard input is one.
pub fn is_table(path: &Path) -> bool {
    is_parquet(path) || is_text_table(path)
}

/// Whether a file is a Parquet table by its name.
fn is_parquet(path: &Path) -> bool {
    let ending = path.extension();
    ending.is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"))
}

fn is_text_table(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name == "-" || name.ends_with(".csv") || name.ends_with(".tsv")
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

/// The number of features of a variable in a data set that is no table, or of its classes; `None` if it does
/// not have the variable.
///
/// # Errors
/// If it cannot be read.
pub fn size_of(path: &Path, variable: &Outline) -> Result<Option<usize>> {
    if path == Path::new("mnist") {
        return idx::size_in_excerpt(variable);
    }
    if path.is_dir() {
        return match kind_of_folder(path)? {
            FolderKind::Idx => idx::size_of(path, variable),
            #[cfg(feature = "npz")]
            FolderKind::Arrays => super::matrices::size_of_folder(path, variable),
            #[cfg(feature = "images")]
            FolderKind::Images => super::images::size_of(path, variable),
        };
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        #[cfg(feature = "npz")]
        Some("npz") => super::matrices::size_of(path, variable),
        #[cfg(feature = "h5ad")]
        Some("h5ad") => super::h5ad::size_of(path, variable),
        Some("safetensors") => tensors::size_of(path, variable),
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

/// What a folder holds.
enum FolderKind {
    /// The idx files of MNIST.
    Idx,
    /// Arrays.
    #[cfg(feature = "npz")]
    Arrays,
    /// Images.
    #[cfg(feature = "images")]
    Images,
}

/// What a folder holds. A folder without known files is read as one of idx files, whose absence is an error.
#[cfg_attr(
    not(any(feature = "images", feature = "npz")),
    allow(unused_variables, reason = "no reader")
)]
fn kind_of_folder(folder: &Path) -> Result<FolderKind> {
    #[cfg(feature = "npz")]
    if !idx::is_folder(folder) && super::matrices::is_folder(folder)? {
        return Ok(FolderKind::Arrays);
    }
    #[cfg(feature = "images")]
    if !idx::is_folder(folder) && super::images::is_folder(folder)? {
        return Ok(FolderKind::Images);
    }
    Ok(FolderKind::Idx)
}

/// Reads a table.
fn table(path: &Path, model: &Model, known: Option<KnownNames>) -> Result<FileArrays> {
    match is_parquet(path) {
        true => parquet(path, model, known),
        false => csv(path, model, known),
    }
}

#[cfg(feature = "csv")]
fn csv(path: &Path, model: &Model, known: Option<KnownNames>) -> Result<FileArrays> {
    super::csv::arrays(path, model, known)
}

#[cfg(not(feature = "csv"))]
fn csv(path: &Path, _model: &Model, _known: Option<KnownNames>) -> Result<FileArrays> {
    Err(no_csv(path))
}

#[cfg(feature = "parquet")]
fn parquet(path: &Path, model: &Model, known: Option<KnownNames>) -> Result<FileArrays> {
    super::parquet::arrays(path, model, known)
}

#[cfg(not(feature = "parquet"))]
fn parquet(path: &Path, _model: &Model, _known: Option<KnownNames>) -> Result<FileArrays> {
    Err(no_parquet(path))
}

/// The values of a column of a table, as text: of all rows, in the order of the file.
///
/// # Errors
/// If the file cannot be read, or has no such column.
#[cfg_attr(
    not(any(feature = "csv", feature = "parquet")),
    allow(unused_variables, reason = "no reader")
)]
pub fn column(file: &TableFile, name: &str) -> Result<Vec<String>> {
    match is_parquet(&file.path) {
        #[cfg(feature = "parquet")]
        true => super::parquet::column(&file.path, name),
        #[cfg(not(feature = "parquet"))]
        true => Err(no_parquet(&file.path)),
        #[cfg(feature = "csv")]
        false => super::csv::column(file, name),
        #[cfg(not(feature = "csv"))]
        false => Err(no_csv(&file.path)),
    }
}

#[cfg(feature = "h5ad")]
fn h5ad(path: &Path, model: &Model, known: Option<KnownNames>) -> Result<FileArrays> {
    super::h5ad::arrays(path, model, known)
}

#[cfg(not(feature = "h5ad"))]
fn h5ad(path: &Path, _model: &Model, _known: Option<KnownNames>) -> Result<FileArrays> {
    Err(Error::unsupported(format!(
        "{}: this build of dgc cannot read h5ad files",
        path.display()
    ))
    .help("build dgc with the feature `h5ad`, or save the arrays as an .npz file"))
}

/// Describes the columns of a table.
///
/// # Errors
/// If the file cannot be read or is no table, or this build cannot read such files.
pub fn columns(path: &Path) -> Result<TableSummary> {
    match is_parquet(path) {
        #[cfg(feature = "parquet")]
        true => super::parquet::summary(path),
        #[cfg(not(feature = "parquet"))]
        true => Err(no_parquet(path)),
        #[cfg(feature = "csv")]
        false => super::csv::summary(path),
        #[cfg(not(feature = "csv"))]
        false => Err(no_csv(path)),
    }
}

#[cfg(not(feature = "csv"))]
fn no_csv(path: &Path) -> Error {
    Error::unsupported(format!(
        "{}: this build of dgc cannot read CSV files",
        path.display()
    ))
    .help("build dgc with the feature `csv`, or use a .safetensors file")
}

#[cfg(not(feature = "parquet"))]
fn no_parquet(path: &Path) -> Error {
    Error::unsupported(format!(
        "{}: this build of dgc cannot read Parquet files",
        path.display()
    ))
    .help("build dgc with the feature `parquet`, or save the table as a .csv file")
}

/// The absolute path of a source, which is valid in any working directory.
pub fn whole_path(source: &str) -> String {
    match Path::new(source).canonicalize() {
        Ok(path) if !["mnist", "-"].contains(&source) => path.display().to_string(),
        _ => source.to_string(),
    }
}
