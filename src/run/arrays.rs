//! Named arrays in safetensors files.

use crate::{
    error::{Error, Result},
    files::{self, write_whole},
};
use safetensors::{
    Dtype, SafeTensors,
    tensor::{self, TensorView},
};
use std::{collections::HashMap, path::Path};

/// An array of numbers, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedArray {
    /// The array's name, such as `p.x.logits.weight`.
    pub name: String,
    /// The sizes of its axes.
    pub shape: Vec<usize>,
    /// All elements.
    pub data: Vec<f64>,
}

/// The number of elements of an array; `None` if it exceeds the largest number.
pub fn elements(shape: &[usize]) -> Option<usize> {
    let mut sizes = shape.iter();
    sizes.try_fold(1usize, |product, &size| product.checked_mul(size))
}

/// Checks that an array has as many numbers as its shape says. Messages begin with `place`.
///
/// # Errors
/// If `len` is another number.
pub fn check_elements(place: &str, shape: &[usize], len: usize) -> Result<()> {
    let message = match elements(shape) {
        Some(expected) if expected == len => return Ok(()),
        Some(expected) => {
            format!("{place} has {len} numbers, not the {expected} of its shape {shape:?}")
        }
        None => format!("{place} has {len} numbers, and the shape {shape:?}, which is too large"),
    };
    Err(Error::data(message).help("correct the shape or the numbers"))
}

impl NamedArray {
    /// Reads every array of a safetensors file.
    ///
    /// # Errors
    /// If the file cannot be read, or an array's type is not numeric.
    pub fn read_all(path: &Path) -> Result<Vec<NamedArray>> {
        Ok(read(path)?.0)
    }

    /// Writes arrays to a safetensors file, as f64 if `double`, else as f32.
    ///
    /// # Errors
    /// If an array does not have as many numbers as its shape, or the file cannot be written.
    pub fn write_all(arrays: &[NamedArray], path: &Path, double: bool) -> Result<()> {
        write(path, arrays, HashMap::new(), double)
    }

    /// Checks that the array has as many numbers as its shape says. Messages use `place` as the
    /// name of the file or argument.
    ///
    /// # Errors
    /// If it has another number of them.
    pub(super) fn check_len(&self, place: &str) -> Result<()> {
        let place = format!("{place}: `{}`", self.name);
        check_elements(&place, &self.shape, self.data.len())
    }
}

/// Reads the arrays and the metadata of a file; numbers of any type become f64.
///
/// # Errors
/// If the file cannot be read, or an array's type is not numeric.
pub fn read(path: &Path) -> Result<(Vec<NamedArray>, HashMap<String, String>)> {
    let bytes = files::read(path).map_err(|error| Error::file(path, "cannot be read", error))?;
    parse(path, &bytes)
}

/// As [`read`], from the contents of the file.
///
/// # Errors
/// If the contents are not valid, or an array's type is not numeric.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<(Vec<NamedArray>, HashMap<String, String>)> {
    let broken = |error| {
        Error::file(path, "not a valid safetensors file", error)
            .help("the file may be truncated or have another format")
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let mut arrays = Vec::new();
    for (name, view) in file.tensors() {
        let data = numbers(&view).ok_or_else(|| {
            Error::data(format!(
                "{}: array `{name}` has the unsupported type {:?}",
                path.display(),
                view.dtype()
            ))
            .help("store it as a float or integer array")
        })?;
        arrays.push(NamedArray {
            name,
            shape: view.shape().to_vec(),
            data,
        });
    }
    arrays.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((arrays, header.metadata().clone().unwrap_or_default()))
}

fn numbers(view: &TensorView) -> Option<Vec<f64>> {
    fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes
            .as_chunks::<N>()
            .0
            .iter()
            .map(|&chunk| number(chunk))
            .collect()
    }
    let bytes = view.data();
    Some(match view.dtype() {
        Dtype::F64 => each(bytes, f64::from_le_bytes),
        Dtype::F32 => each(bytes, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::F16 => each(bytes, |b| half::f16::from_le_bytes(b).to_f64()),
        Dtype::BF16 => each(bytes, |b| half::bf16::from_le_bytes(b).to_f64()),
        Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        Dtype::I32 => each(bytes, |b| f64::from(i32::from_le_bytes(b))),
        Dtype::I16 => each(bytes, |b| f64::from(i16::from_le_bytes(b))),
        Dtype::I8 => each(bytes, |b: [u8; 1]| f64::from(b[0].cast_signed())),
        Dtype::U64 => each(bytes, |b| u64::from_le_bytes(b) as f64),
        Dtype::U32 => each(bytes, |b| f64::from(u32::from_le_bytes(b))),
        Dtype::U16 => each(bytes, |b| f64::from(u16::from_le_bytes(b))),
        Dtype::U8 | Dtype::BOOL => each(bytes, |b: [u8; 1]| f64::from(b[0])),
        _ => return None,
    })
}

/// Atomically writes arrays as f64 if `double`, else as f32.
///
/// # Errors
/// If an array does not have as many numbers as its shape, or the file cannot be written.
pub fn write(
    path: &Path,
    arrays: &[NamedArray],
    metadata: HashMap<String, String>,
    double: bool,
) -> Result<()> {
    write_whole(path, &serialize(path, arrays, metadata, double)?)
}

/// The contents of the file that [`write`] writes to `path`.
///
/// # Errors
/// If an array does not have as many numbers as its shape.
pub fn serialize(
    path: &Path,
    arrays: &[NamedArray],
    metadata: HashMap<String, String>,
    double: bool,
) -> Result<Vec<u8>> {
    for array in arrays {
        array.check_len(&path.display().to_string())?;
    }
    let bytes = |array: &NamedArray| -> Vec<u8> {
        match double {
            true => array.data.iter().flat_map(|x| x.to_le_bytes()).collect(),
            false => array
                .data
                .iter()
                .flat_map(|x| (*x as f32).to_le_bytes())
                .collect(),
        }
    };
    let dtype = if double { Dtype::F64 } else { Dtype::F32 };
    let stored: Vec<(&NamedArray, Vec<u8>)> =
        arrays.iter().map(|array| (array, bytes(array))).collect();
    let views = stored.iter().map(|(array, bytes)| {
        let view = TensorView::new(dtype, array.shape.clone(), bytes);
        (
            array.name.as_str(),
            view.expect("an array has as many numbers as its shape says"),
        )
    });
    tensor::serialize(views, Some(metadata))
        .map_err(|error| Error::file(path, "cannot be written", error))
}
