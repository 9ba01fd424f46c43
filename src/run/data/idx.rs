//! The idx format of MNIST, plain or gzipped, and the bundled MNIST excerpt.

use super::{
    checks::{check_classes, check_shape, check_values, no_rows},
    origin::RowOrigins,
    table::{Column, Table, Values},
    tables::{ClassNames, ColumnNames, Tables, unlabelled},
};
use crate::{
    error::{Error, Result},
    files,
    model::{Model, Role, Variable},
    syntax::Outline,
};
use std::path::{Path, PathBuf};

/// An array of bytes.
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

/// The excerpt's files, by name.
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
    dataset(model, "mnist", &bundled)
}

pub fn folder(folder: &Path, model: &Model) -> Result<Tables> {
    let place = folder.display().to_string();
    dataset(model, &place, &|name| stored(folder, name))
}

/// A file of the excerpt.
fn bundled(name: &str) -> Result<Option<(String, Vec<u8>)>> {
    let found = EXCERPT.iter().find(|(file, _)| *file == name);
    Ok(found.map(|(name, bytes)| (name.to_string(), bytes.to_vec())))
}

/// A file of a folder.
fn stored(folder: &Path, name: &str) -> Result<Option<(String, Vec<u8>)>> {
    let Some(path) = find(folder, name) else {
        return Ok(None);
    };
    let bytes = files::read(&path).map_err(|error| Error::file(&path, "cannot be read", error))?;
    Ok(Some((path.display().to_string(), bytes)))
}

/// The number of features of the images in the excerpt, or of classes of the labels.
///
/// # Errors
/// If the excerpt cannot be decompressed.
pub fn size_in_excerpt(variable: &Outline) -> Result<Option<usize>> {
    size(variable, &bundled)
}

/// The number of features of the images in a folder, or of classes of the labels; `None` if the folder has
/// no such files.
///
/// # Errors
/// If a file cannot be read.
pub fn size_of(folder: &Path, variable: &Outline) -> Result<Option<usize>> {
    size(variable, &|name| stored(folder, name))
}

fn size(variable: &Outline, files: Files) -> Result<Option<usize>> {
    if !variable.is_class {
        let images = files("train-images-idx3-ubyte")?;
        let images = images
            .map(|(place, bytes)| parse(&place, &bytes))
            .transpose()?;
        return Ok(images.map(|images| images.shape.iter().skip(1).product()));
    }
    let mut most = None;
    for part in ["train", "t10k"] {
        if let Some((place, bytes)) = files(&format!("{part}-labels-idx1-ubyte"))? {
            most = most.max(parse(&place, &bytes)?.bytes.into_iter().max());
        }
    }
    Ok(most.map(|most| usize::from(most) + 1))
}

/// Whether a folder has the training images of MNIST's files.
#[cfg(any(feature = "npz", feature = "images"))]
pub fn is_folder(folder: &Path) -> bool {
    find(folder, IMAGES).is_some()
}

/// The name of the file with the training images.
#[cfg(any(feature = "npz", feature = "images"))]
const IMAGES: &str = "train-images-idx3-ubyte";

/// The path of a file of MNIST in a folder, plain or compressed.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    // Some distributions of MNIST write a dot instead of a dash before `idx`.
    let names = [name.to_string(), name.replace("-idx", ".idx")].into_iter();
    let files = names.flat_map(|name| [format!("{name}.gz"), name]);
    let mut paths = files.map(|file| folder.join(file));
    paths.find(|path| path.is_file())
}

type Files<'a> = &'a dyn Fn(&str) -> Result<Option<(String, Vec<u8>)>>;

fn dataset(model: &Model, place: &str, files: Files) -> Result<Tables> {
    let train = table(model, files, "train")?.ok_or_else(|| {
        Error::data(format!(
            "{place}: expected a file train-images-idx3-ubyte, plain or .gz, found none"
        ))
        .help("name a folder with images, with arrays as .npy files, or with the files of MNIST")
    })?;
    Ok(Tables {
        train,
        test: table(model, files, "t10k")?,
        validation: None,
        others: Vec::new(),
        class_names: ClassNames::new(),
        columns: ColumnNames::new(),
        origins: RowOrigins::default(),
    })
}

fn table(model: &Model, files: Files, part: &str) -> Result<Option<Table>> {
    let Some((place, bytes)) = files(&format!("{part}-images-idx3-ubyte"))? else {
        return Ok(None);
    };
    let images = parse(&place, &bytes)?;
    let rows = images.shape[0];
    if rows == 0 {
        return Err(no_rows(&place));
    }
    let width = images.bytes.len() / rows;
    let data: Vec<&Variable> = model
        .read_variables()
        .into_iter()
        .filter(|variable| variable.role == Role::Data)
        .collect();
    let [variable] = data.as_slice() else {
        let help = "name an .npz or .safetensors file with an array for each variable";
        return Err(Error::data(format!(
            "{place}: idx files have one data variable, but the model has {}",
            data.len()
        ))
        .help(help));
    };
    check_shape(variable, &images.shape[1..], &place)?;
    check_values(
        variable,
        0,
        images.bytes.iter().map(|&byte| f32::from(byte) / 255.0),
        &place,
    )?;
    let mut columns = vec![Column {
        name: variable.name.clone(),
        width,
        values: Values::Bytes(images.bytes),
    }];
    let label = model
        .read_variables()
        .into_iter()
        .find(|variable| variable.role == Role::Label);
    if let (Some(label), Some((place, bytes))) =
        (label, files(&format!("{part}-labels-idx1-ubyte"))?)
    {
        let labels = parse(&place, &bytes)?;
        if labels.shape != [rows] {
            return Err(Error::data(format!(
                "{place}: expected {rows} labels, one for each image, found the shape {:?}",
                labels.shape
            ))
            .help("the files of images and of labels may belong to different data sets"));
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
        "this build of dgc cannot read gzip; build it with the feature `gzip`",
    ))
}

/// The most axes of an array. MNIST has three.
const MOST_AXES: usize = 8;

/// Reads an idx file of bytes: two zeros, the type 8, the number of axes, their sizes as big-endian
/// u32, and the elements.
fn parse(place: &str, file: &[u8]) -> Result<Idx> {
    let wrong = |what: String| {
        Error::data(format!("{place}: {what}"))
            .help("the file may be truncated, or have another format")
    };
    let plain;
    let content = match file {
        [0x1F, 0x8B, ..] => {
            plain =
                unpack(file).map_err(|error| wrong(format!("cannot be decompressed: {error}")))?;
            plain.as_slice()
        }
        _ => file,
    };
    let [0, 0, 8, axes, rest @ ..] = content else {
        return Err(wrong("expected an idx file of bytes".to_string()));
    };
    let axes = usize::from(*axes);
    if axes == 0 || axes > MOST_AXES {
        return Err(wrong(format!(
            "expected from 1 to {MOST_AXES} axes, found {axes}"
        )));
    }
    if rest.len() < 4 * axes {
        return Err(wrong("the file ends within its header".to_string()));
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
            "found {} bytes for the shape {shape:?}",
            bytes.len()
        )));
    }
    Ok(Idx {
        shape,
        bytes: bytes.to_vec(),
    })
}
