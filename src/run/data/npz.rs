//! The npz format of NumPy: a zip archive of npy files.

use super::tables::DataArray;
use crate::{
    error::{Error, Result},
    files::{open, read_expanded},
};
use std::{collections::BTreeSet, path::Path};
use zip::ZipArchive;

/// Reads the arrays of an npz file that the model uses.
///
/// # Errors
/// If the file cannot be read, an array's type is not numeric, or an array has another size than
/// its header says.
pub fn arrays(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<DataArray>> {
    let broken = |error: String| {
        Error::file(path, "not a valid npz file", error)
            .help("the file may be truncated or have another format")
    };
    let file = open(path).map_err(|error| Error::file(path, "cannot be read", error))?;
    let size = file
        .metadata()
        .map_err(|error| Error::file(path, "cannot be read", error))?
        .len();
    let mut archive = ZipArchive::new(file).map_err(|error| broken(error.to_string()))?;
    let (mut found, mut names) = (Vec::new(), BTreeSet::new());
    for index in 0..archive.len() {
        let entry = archive
            .by_index(index)
            .map_err(|error| broken(error.to_string()))?;
        let name = entry.name().trim_end_matches(".npy").to_string();
        if !names.insert(name.clone()) {
            return Err(broken(format!("there are two arrays `{name}`")));
        }
        if !wanted(&name) {
            // The name is kept for suggestions if a variable is misspelt.
            found.push(DataArray::new(name, [], Vec::<f32>::new()));
            continue;
        }
        // Entries may share bytes of the file, so each is compared with the file.
        let bytes = read_expanded(entry, size).map_err(|error| broken(error.to_string()))?;
        let array = super::npy::array(&name, &bytes).map_err(|what| {
            let message = format!("{}: array `{name}`: {what}", path.display());
            Error::data(message).help("save the array again with `np.savez`")
        })?;
        found.push(array);
    }
    Ok(found)
}
