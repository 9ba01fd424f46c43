//! The idx format of MNIST, plain or gzipped, and the excerpt of MNIST that dgc carries.

use super::{
    checks::{check_classes, check_shape, check_values},
    table::{Column, Table, Values},
    tables::{Tables, unlabelled},
};
use crate::{
    error::{Error, Result},
    model::{Model, Role, Variable},
};
use std::{fs, path::Path};

/// Bytes of several axes.
struct Idx {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

macro_rules! excerpt {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/data/mnist-excerpt/",
            $name,
            ".gz"
        ))
    };
}

/// The excerpt's files, as a folder would have them.
const EXCERPT: &[(&str, &[u8])] = &[
    (
        "train-images-idx3-ubyte",
        excerpt!("train-images-idx3-ubyte"),
    ),
    (
        "train-labels-idx1-ubyte",
        excerpt!("train-labels-idx1-ubyte"),
    ),
    ("t10k-images-idx3-ubyte", excerpt!("t10k-images-idx3-ubyte")),
    ("t10k-labels-idx1-ubyte", excerpt!("t10k-labels-idx1-ubyte")),
];

pub fn excerpt(model: &Model) -> Result<Tables> {
    dataset(model, "mnist", &|name| {
        let found = EXCERPT.iter().find(|(known, _)| *known == name);
        Ok(found.map(|(name, bytes)| (name.to_string(), bytes.to_vec())))
    })
}

pub fn folder(folder: &Path, model: &Model) -> Result<Tables> {
    let place = folder.display().to_string();
    dataset(model, &place, &|name| {
        // The names are written with a dash or a dot before `idx`.
        for name in [name.to_string(), name.replace("-idx", ".idx")] {
            for file in [format!("{name}.gz"), name] {
                let path = folder.join(&file);
                if path.is_file() {
                    let bytes = fs::read(&path)
                        .map_err(|error| Error::file(&path, "cannot be read", error))?;
                    return Ok(Some((path.display().to_string(), bytes)));
                }
            }
        }
        Ok(None)
    })
}

type Files<'a> = &'a dyn Fn(&str) -> Result<Option<(String, Vec<u8>)>>;

fn dataset(model: &Model, place: &str, files: Files) -> Result<Tables> {
    let train = table(model, files, "train")?.ok_or_else(|| {
        Error::data(format!(
            "{place}: there is no train-images-idx3-ubyte, plain or .gz"
        ))
        .help("expected the four files of MNIST, or name an .npz or .safetensors file")
    })?;
    Ok(Tables {
        train,
        test: table(model, files, "t10k")?,
        others: Vec::new(),
    })
}

fn table(model: &Model, files: Files, part: &str) -> Result<Option<Table>> {
    let Some((place, bytes)) = files(&format!("{part}-images-idx3-ubyte"))? else {
        return Ok(None);
    };
    let images = parse(&place, &bytes)?;
    let (rows, width) = (images.shape[0], images.shape[1..].iter().product::<usize>());
    if rows == 0 {
        return Err(Error::data(format!("{place}: there are no images")));
    }
    let data: Vec<&Variable> = model
        .given()
        .into_iter()
        .filter(|variable| variable.role == Role::Data)
        .collect();
    let [variable] = data.as_slice() else {
        let help = "idx files hold one data variable; name an .npz or .safetensors file with an array for each";
        return Err(Error::data(format!(
            "{place}: the model has {} data variables",
            data.len()
        ))
        .help(help));
    };
    check_shape(variable, &images.shape[1..], &place)?;
    check_values(
        variable,
        images.bytes.iter().map(|&byte| f32::from(byte) / 255.0),
        &place,
    )?;
    let mut columns = vec![Column {
        name: variable.name.clone(),
        width,
        values: Values::Bytes(images.bytes),
    }];
    let label = model
        .given()
        .into_iter()
        .find(|variable| variable.role == Role::Label);
    if let (Some(label), Some((place, bytes))) =
        (label, files(&format!("{part}-labels-idx1-ubyte"))?)
    {
        let labels = parse(&place, &bytes)?;
        if labels.shape != [rows] {
            return Err(Error::data(format!(
                "{place}: {:?} labels for {rows} images",
                labels.shape
            )));
        }
        let classes: Vec<f64> = labels.bytes.iter().map(|&byte| f64::from(byte)).collect();
        let classes = check_classes(label, &classes, &place)?;
        columns.push(Column {
            name: label.name.clone(),
            width: 1,
            values: Values::Classes(classes),
        });
    } else if let Some(label) = label {
        columns.push(unlabelled(label, rows));
    }
    Ok(Some(Table { rows, columns }))
}

#[cfg(feature = "gzip")]
use super::gzip::unpack;

#[cfg(not(feature = "gzip"))]
fn unpack(_file: &[u8]) -> std::io::Result<Vec<u8>> {
    Err(std::io::Error::other(
        "this build of dgc lacks the feature `gzip`",
    ))
}

/// The array of an idx file of bytes: two zeros, type 8, the number of axes, their sizes as
/// big-endian u32, the elements.
fn parse(place: &str, file: &[u8]) -> Result<Idx> {
    let wrong = |what: String| {
        Error::data(format!("{place}: {what}")).help("the file may be cut short, or no idx file")
    };
    let plain;
    let content = match file {
        [0x1F, 0x8B, ..] => {
            plain = unpack(file).map_err(|error| wrong(format!("cannot be unpacked: {error}")))?;
            plain.as_slice()
        }
        _ => file,
    };
    let [0, 0, 8, axes, rest @ ..] = content else {
        return Err(wrong("is no idx file of bytes".to_string()));
    };
    let axes = usize::from(*axes);
    if axes == 0 || rest.len() < 4 * axes {
        return Err(wrong("ends within its header".to_string()));
    }
    let (header, bytes) = rest.split_at(4 * axes);
    let shape: Vec<usize> = header
        .as_chunks::<4>()
        .0
        .iter()
        .map(|size| u32::from_be_bytes(*size) as usize)
        .collect();
    let wanted = shape
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size));
    if wanted != Some(bytes.len()) {
        return Err(wrong(format!(
            "holds {} bytes for the shape {shape:?}",
            bytes.len()
        )));
    }
    Ok(Idx {
        shape,
        bytes: bytes.to_vec(),
    })
}
