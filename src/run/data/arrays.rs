//! Data sets as arrays named after variables, in npz and safetensors files.

use super::{Column, Dataset, Table, Values, check_classes, check_shape, check_values, observed};
use crate::{
    diagnostic::suggest,
    distribution::Domain,
    error::{Error, Result},
    model::{Model, Role, Variable},
    run::arrays::{self, NamedArray},
};
use ndarray::ArrayD;
use ndarray_npy::ReadNpyExt;
use std::{fs::File, io::Read, path::Path};
use zip::ZipArchive;

pub(super) fn file(path: &Path, model: &Model) -> Result<Dataset> {
    let known = |name: &str| {
        observed(model).any(|known| name.strip_prefix("test.").unwrap_or(name) == known.name)
    };
    let arrays = match path.extension().and_then(|extension| extension.to_str()) {
        Some("npz") => npz(path, &known)?,
        _ => arrays::read(path)?.0,
    };
    let place = path.display().to_string();
    let train = table(model, &arrays, "", &place)?;
    let tested = arrays.iter().any(|array| array.name.starts_with("test."));
    let test = if tested {
        Some(table(model, &arrays, "test.", &place)?)
    } else {
        None
    };
    let others = arrays
        .iter()
        .map(|array| array.name.clone())
        .filter(|name| !known(name))
        .collect();
    Ok(Dataset {
        train,
        test,
        others,
    })
}

/// The arrays of an npz file that are wanted, numbers of any type as f64.
fn npz(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<NamedArray>> {
    let broken = |error: String| {
        Error::file(path, "is no npz file", error).help("the file may be cut short")
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
            // Its name may still be what a misspelt variable is to be called.
            found.push(NamedArray {
                name,
                shape: Vec::new(),
                data: Vec::new(),
            });
            continue;
        }
        entry
            .read_to_end(&mut bytes)
            .map_err(|error| broken(error.to_string()))?;
        let array = npy(&bytes).ok_or_else(|| {
            let message = format!("{}: array `{name}` cannot be read", path.display());
            Error::new(message).help("store it as a float or integer array")
        })?;
        found.push(NamedArray {
            name,
            shape: array.shape().to_vec(),
            data: array.iter().copied().collect(),
        });
    }
    Ok(found)
}

/// The array of an npy file, or none if it is broken or of another type.
fn npy(bytes: &[u8]) -> Option<ArrayD<f64>> {
    // The reader makes room for what the header promises; so what the file cannot hold is refused
    // here.
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
        // Half floats, which the reader does not know, are words of two bytes that it does.
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

fn table(model: &Model, arrays: &[NamedArray], prefix: &str, place: &str) -> Result<Table> {
    let mut table = Table::default();
    // A label may be missing, and then has as many rows as the others.
    let (labels, data): (Vec<&Variable>, Vec<&Variable>) =
        observed(model).partition(|variable| variable.role == Role::Label);
    for variable in data.into_iter().chain(labels) {
        let name = format!("{prefix}{}", variable.name);
        let Some(array) = arrays.iter().find(|array| array.name == name) else {
            if variable.role == Role::Label && !table.columns.is_empty() {
                let values = Values::Classes(vec![-1; table.rows]);
                table.columns.push(Column {
                    name: variable.name.clone(),
                    width: 1,
                    values,
                });
                continue;
            }
            let error = Error::new(format!("{place}: there is no array `{name}`"));
            let help = suggest(&name, arrays.iter().map(|array| array.name.as_str()));
            return Err(help.map_or(error.clone(), |help| error.help(help)));
        };
        let column = column(variable, array, &format!("{place}: `{name}`"))?;
        let rows = array.shape.first().copied().unwrap_or(0);
        if !table.columns.is_empty() && rows != table.rows {
            return Err(Error::new(format!(
                "{place}: `{name}` has {rows} rows, others have {}",
                table.rows
            )));
        }
        table.rows = rows;
        table.columns.push(column);
    }
    if table.rows == 0 {
        return Err(Error::new(format!("{place}: there are no rows")));
    }
    Ok(table)
}

fn column(variable: &Variable, array: &NamedArray, place: &str) -> Result<Column> {
    let name = variable.name.clone();
    if variable.domain == Domain::Class {
        if array.shape.len() != 1 {
            let message = format!("{place} has the shape {:?}", array.shape);
            return Err(Error::new(message).help("expected one class for each row"));
        }
        let classes = check_classes(variable, &array.data, place)?;
        return Ok(Column {
            name,
            width: 1,
            values: Values::Classes(classes),
        });
    }
    check_shape(variable, array.shape.get(1..).unwrap_or(&[]), place)?;
    let values: Vec<f32> = array.data.iter().map(|&value| value as f32).collect();
    check_values(variable, values.iter().copied(), place)?;
    Ok(Column {
        name,
        width: variable.size(),
        values: Values::Floats(values),
    })
}
