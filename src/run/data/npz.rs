//! The npz format of NumPy: a zip archive of npy files.

use super::tables::DataArray;
use crate::error::{Error, Result};
use ndarray::ArrayD;
use ndarray_npy::ReadNpyExt;
use std::{fs::File, io::Read, path::Path};
use zip::ZipArchive;

/// Reads the arrays of an npz file that the model uses; numbers of any type become f64.
pub fn arrays(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<DataArray>> {
    let broken = |error: String| {
        Error::file(path, "not a valid npz file", error)
            .help("the file may be truncated or have another format")
    };
    let file = File::open(path).map_err(|error| Error::file(path, "cannot be read", error))?;
    let mut archive = ZipArchive::new(file).map_err(|error| broken(error.to_string()))?;
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let mut bytes = Vec::new();
        let mut entry = archive
            .by_index(index)
            .map_err(|error| broken(error.to_string()))?;
        let name = entry.name().trim_end_matches(".npy").to_string();
        if !wanted(&name) {
            // The name is kept for suggestions if a variable is misspelt.
            found.push(DataArray::new(name, [], Vec::<f32>::new()));
            continue;
        }
        entry
            .read_to_end(&mut bytes)
            .map_err(|error| broken(error.to_string()))?;
        let array = npy(&bytes).ok_or_else(|| {
            let message = format!(
                "{}: array `{name}` is damaged, or its type is not numeric",
                path.display()
            );
            Error::data(message).help("store it as a float or integer array")
        })?;
        let numbers: Vec<f64> = array.iter().copied().collect();
        found.push(DataArray::new(name, array.shape(), numbers));
    }
    Ok(found)
}

/// Reads an npy file; `None` if it is damaged or its type is not numeric.
fn npy(bytes: &[u8]) -> Option<ArrayD<f64>> {
    // The reader allocates the size in the header, so reject sizes that exceed the file.
    let header = bytes.get(12..)?.split(|&byte| byte == b'\n').next()?;
    let header = String::from_utf8_lossy(header);
    let (_, shape) = header.split_once("'shape'")?;
    let (shape, _) = shape.split_once('(')?.1.split_once(')')?;
    let mut sizes = shape
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty());
    let elements = sizes.try_fold(1usize, |product, size| {
        product.checked_mul(size.parse().ok()?)
    })?;
    if elements > bytes.len() {
        return None;
    }
    if header.contains("'<f2'") {
        // The reader does not support half floats, so read them as 16-bit words.
        let mut words = bytes.to_vec();
        let at = words.windows(5).position(|window| window == b"'<f2'")?;
        words[at..at + 5].copy_from_slice(b"'<u2'");
        return Some(
            ArrayD::<u16>::read_npy(&words[..])
                .ok()?
                .mapv(|word| half::f16::from_bits(word).to_f64()),
        );
    }
    macro_rules! first_of {
        ($($type:ty),*) => {
            None$(.or_else(|| Some(ArrayD::<$type>::read_npy(bytes).ok()?.mapv(|value| value as f64))))*
        };
    }
    let flags = || {
        Some(
            ArrayD::<bool>::read_npy(bytes)
                .ok()?
                .mapv(|value| f64::from(u8::from(value))),
        )
    };
    first_of!(f32, f64, u8, i64, i32, u32, i16, u16, i8, u64).or_else(flags)
}
