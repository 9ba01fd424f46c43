//! Data sets of arrays in files: npz files and folders of npy and npz files, with sparse matrices among
//! them.
//!
//! A sparse matrix is the arrays `data`, `indices`, `indptr` and `shape` of an npz file that
//! `scipy.sparse.save_npz` wrote, or `x.data`, `x.indices`, `x.indptr` and `x.shape` beside other arrays.

use super::{
    bytes::{Bytes, FileRange},
    csr::{self, Csr, CsrParts, Order},
    npy,
    npz::Npz,
    parts::PREFIXES,
    stored::Stored,
    tables::{DataArray, count_of_classes, is_wanted, remaining, variable_of},
};
use crate::{
    error::{Error, Result},
    files,
    model::Model,
    syntax::Outline,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The arrays of a sparse matrix.
const PARTS: [&str; 4] = ["data", "indices", "indptr", "shape"];
/// The array with the format of a sparse matrix.
const FORMAT: &str = "format";

/// Reads the arrays of an npz file that the model uses. Others have a name alone.
///
/// # Errors
/// If the file cannot be read, an array's type is not numeric, or arrays do not fit together.
pub fn of_npz(path: &Path, model: &Model) -> Result<Vec<DataArray>> {
    let mut npz = Npz::open(path)?;
    let place = path.display().to_string();
    let names: Vec<String> = npz.names().map(str::to_string).collect();
    let mut arrays = Vec::new();
    // The matrices, and the beginnings of the names of their arrays.
    let suffix = |name: &str| name.strip_suffix(".indptr").map(str::to_string);
    let mut prefixes: Vec<String> = names.iter().filter_map(|name| suffix(name)).collect();
    prefixes.retain(|name| is_wanted(model, name) && !npz.has(name));
    for name in &prefixes {
        arrays.push(DataArray::stored(
            name,
            matrix(&mut npz, &format!("{name}."), path)?,
        ));
    }
    let is_part = |name: &str| {
        prefixes.iter().any(|prefix| {
            let rest = name.strip_prefix(prefix.as_str());
            let rest = rest.and_then(|rest| rest.strip_prefix('.'));
            rest.is_some_and(|rest| rest == FORMAT || PARTS.contains(&rest))
        })
    };
    let is_whole = is_matrix(&mut npz)?;
    let is_part_of_whole = |name: &str| is_whole && (name == FORMAT || PARTS.contains(&name));
    for name in &names {
        if is_part(name) || is_part_of_whole(name) {
            continue;
        }
        arrays.push(match is_wanted(model, name) {
            true => DataArray::stored(name, Stored::Dense(npz.array(name)?)),
            false => DataArray::unread(name),
        });
    }
    if is_whole {
        let taken: Vec<&str> = arrays.iter().map(DataArray::name).collect();
        let name = remaining(model, &taken, "the sparse matrix", &place)?;
        arrays.push(DataArray::stored(name, matrix(&mut npz, "", path)?));
    }
    Ok(arrays)
}

/// The number of features of a variable in an npz file, or of its classes; `None` if it has none.
///
/// # Errors
/// If the file cannot be read.
pub fn size_of(path: &Path, variable: &Outline) -> Result<Option<usize>> {
    let mut npz = Npz::open(path)?;
    let name = &variable.name;
    if variable.is_class {
        let names: Vec<String> = npz.names().map(str::to_string).collect();
        let mut classes = Vec::new();
        for array in names.iter().filter(|array| variable_of(array) == name) {
            classes.extend(npz.array(array)?.doubles()?);
        }
        return Ok(count_of_classes(classes.into_iter()));
    }
    if npz.has(name) {
        return Ok(Some(npz.array(name)?.shape().iter().skip(1).product()));
    }
    let sparse = format!("{name}.shape");
    let shape = match npz.has(&sparse) {
        true => &sparse,
        false if is_matrix(&mut npz)? => "shape",
        false => return Ok(None),
    };
    Ok(csr::shape(&npz.array(shape)?).ok().map(|[_, width]| width))
}

/// Whether an npz file is a sparse matrix that scipy wrote, maybe with further arrays.
///
/// # Errors
/// If the file cannot be read.
fn is_matrix(npz: &mut Npz) -> Result<bool> {
    let is_format = npz.has("shape") && npz.text(FORMAT)?.is_some();
    Ok(is_format || PARTS.iter().all(|part| npz.has(part)))
}

/// Builds the sparse matrix whose arrays' names begin with `prefix`.
fn matrix(npz: &mut Npz, prefix: &str, path: &Path) -> Result<Stored> {
    let names = PARTS.map(|part| format!("{prefix}{part}"));
    let format = npz.text(&format!("{prefix}{FORMAT}"))?;
    let place = path.display();
    let format = format.as_deref().unwrap_or("csr");
    let order = Order::of_format(format).ok_or_else(|| {
        let message = format!(
            "{place}: expected a sparse matrix in the format csr or csc, found {}",
            format.escape_default()
        );
        Error::data(message).help("convert it with scipy's `tocsr()`, and save it again")
    })?;
    for name in &names {
        if !npz.has(name) {
            let message =
                format!("{place}: expected an array `{name}` of a sparse matrix, found none");
            return Err(Error::data(message).help(format!(
                "give the arrays `{prefix}data`, `{prefix}indices`, `{prefix}indptr` and `{prefix}shape`"
            )));
        }
    }
    let [data, indices, indptr, shape] = &names;
    let sizes = csr::shape(&npz.array(shape)?).map_err(|what| {
        Error::data(format!("{place}: `{shape}`: {what}"))
            .help("save the matrix again with `scipy.sparse.save_npz`")
    })?;
    let parts = CsrParts {
        data: (data, npz.array(data)?),
        indices: (indices, npz.array(indices)?),
        indptr: (indptr, npz.array(indptr)?),
        shape: (shape, sizes),
        order,
    };
    Ok(Stored::Sparse(Csr::new(parts, path)?))
}

/// The npy and npz files of a folder, sorted.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error| Error::file(folder, "cannot be read", error);
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("npy" | "npz")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a folder has npy or npz files.
///
/// # Errors
/// If it cannot be read.
pub fn is_folder(folder: &Path) -> Result<bool> {
    Ok(!files_of(folder)?.is_empty())
}

/// Reads the arrays of a folder that the model uses: `x.npy`, or `x.npz` with a sparse matrix, for the
/// variable `x`.
///
/// # Errors
/// If a file cannot be read, or its array does not fit its header.
pub fn of_folder(folder: &Path, model: &Model) -> Result<Vec<DataArray>> {
    let mut arrays = Vec::new();
    for path in &files_of(folder)? {
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else {
            continue;
        };
        if !is_wanted(model, name) {
            arrays.push(DataArray::unread(name));
            continue;
        }
        let is_npy = path.extension().is_some_and(|extension| extension == "npy");
        let stored = if is_npy { dense(path)? } else { sparse(path)? };
        arrays.push(DataArray::stored(name, stored));
    }
    Ok(arrays)
}

/// The number of features of a variable in a folder of arrays, or of its classes; `None` if it has none.
///
/// # Errors
/// If a file cannot be read.
pub fn size_of_folder(folder: &Path, variable: &Outline) -> Result<Option<usize>> {
    let name = &variable.name;
    if variable.is_class {
        let mut classes = Vec::new();
        for prefix in PREFIXES {
            let path = folder.join(format!("{prefix}{name}.npy"));
            if path.exists() {
                classes.extend(dense(&path)?.doubles()?);
            }
        }
        return Ok(count_of_classes(classes.into_iter()));
    }
    let [npy, npz] = ["npy", "npz"].map(|ending| folder.join(format!("{name}.{ending}")));
    if npy.exists() {
        return Ok(Some(dense(&npy)?.shape().iter().skip(1).product()));
    }
    match npz.exists() {
        true => size_of(&npz, variable),
        false => Ok(None),
    }
}

/// The array of an npy file.
fn dense(path: &Path) -> Result<Stored> {
    let unreadable = |error| Error::file(path, "cannot be read", error);
    let file = files::open(path).map_err(unreadable)?;
    let len = file.metadata().map_err(unreadable)?.len();
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let bytes = Bytes::of_file(FileRange::new(&Arc::new(file), &path.into(), 0, len))?;
    let array = npy::array(bytes).map_err(|what| {
        Error::data(format!("{}: {what}", path.display()))
            .help("save the array again with `np.save`")
    })?;
    Ok(Stored::Dense(array))
}

/// The sparse matrix of an npz file.
fn sparse(path: &Path) -> Result<Stored> {
    let mut npz = Npz::open(path)?;
    let place = path.display().to_string();
    if !is_matrix(&mut npz)? {
        let message = format!("{place}: expected a sparse matrix, found other arrays");
        return Err(Error::data(message).help(
            "save a sparse matrix with `scipy.sparse.save_npz`, and other arrays as .npy files with \
             `np.save`",
        ));
    }
    matrix(&mut npz, "", path)
}

/// Reads every array of an npz file.
///
/// # Errors
/// If the file cannot be read, or an array's type is not numeric.
pub fn every_array(path: &Path) -> Result<Vec<DataArray>> {
    let mut npz = Npz::open(path)?;
    let names: Vec<String> = npz.names().map(str::to_string).collect();
    let arrays = names.into_iter().map(|name| {
        let array = npz.array(&name)?;
        Ok(DataArray::stored(name, Stored::Dense(array)))
    });
    arrays.collect()
}
