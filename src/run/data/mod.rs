//! Data sets: columns named as a model's variables, read from idx, npz and safetensors files.

mod arrays;
mod idx;
mod split;

use crate::error::{Error, Result};
use crate::{
    distribution::Domain,
    model::{Model, Role, Variable},
};
use sha2::{Digest, Sha256};
use std::path::Path;

pub use split::{Split, split};

/// Rows to train on, and rows to test on where the source has them.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub train: Table,
    pub test: Option<Table>,
    /// Arrays that are no variable of the model.
    pub others: Vec<String>,
}

impl Dataset {
    /// Tells these values from others: the first 16 hexadecimal digits of a SHA-256.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for table in std::iter::once(&self.train).chain(&self.test) {
            hash.update((table.rows as u64).to_le_bytes());
            for column in &table.columns {
                hash.update(column.name.as_bytes());
                match &column.values {
                    Values::Bytes(values) => hash.update(values),
                    Values::Floats(values) => values
                        .iter()
                        .for_each(|value| hash.update(value.to_le_bytes())),
                    Values::Classes(values) => values
                        .iter()
                        .for_each(|value| hash.update(value.to_le_bytes())),
                }
            }
        }
        hash.finalize()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// A column for each observed variable, all with as many rows.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub rows: usize,
    pub columns: Vec<Column>,
}

/// The values of a variable, row after row.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    /// Features of a row; 1 for a label.
    pub width: usize,
    pub values: Values,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Greys: 255 is 1.
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
    /// Classes from 0 on, −1 for none.
    Classes(Vec<i32>),
}

impl Column {
    /// Copies the features of a row.
    pub fn copy_row(&self, row: usize, out: &mut [f32]) {
        let range = row * self.width..(row + 1) * self.width;
        match &self.values {
            Values::Bytes(bytes) => {
                out.iter_mut()
                    .zip(&bytes[range])
                    .for_each(|(out, byte)| *out = f32::from(*byte) / 255.0);
            }
            Values::Floats(floats) => out.copy_from_slice(&floats[range]),
            Values::Classes(classes) => out[0] = classes[row] as f32,
        }
    }
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The classes of a label, −1 for none.
    pub fn classes(&self, name: &str) -> Option<&[i32]> {
        match &self.column(name)?.values {
            Values::Classes(classes) => Some(classes),
            _ => None,
        }
    }

    /// The rows at these positions, in this order.
    pub fn select(&self, rows: &[usize]) -> Table {
        fn pick<T: Copy>(values: &[T], width: usize, rows: &[usize]) -> Vec<T> {
            rows.iter()
                .flat_map(|row| values[row * width..(row + 1) * width].iter().copied())
                .collect()
        }
        let columns = self.columns.iter().map(|column| Column {
            values: match &column.values {
                Values::Bytes(values) => Values::Bytes(pick(values, column.width, rows)),
                Values::Floats(values) => Values::Floats(pick(values, column.width, rows)),
                Values::Classes(values) => Values::Classes(pick(values, 1, rows)),
            },
            ..column.clone()
        });
        Table {
            rows: rows.len(),
            columns: columns.collect(),
        }
    }
}

/// Reads a data set for a model: `mnist` or nothing for the excerpt that dgc carries, a folder of
/// idx files, or an npz or safetensors file whose arrays are named as the model's variables.
pub fn load(source: Option<&str>, model: &Model) -> Result<Dataset> {
    let dataset = read(source, model)?;
    check_labels(model, &dataset, source.unwrap_or("mnist"))?;
    Ok(dataset)
}

/// That a row has all of its labels, or none.
fn check_labels(model: &Model, dataset: &Dataset, place: &str) -> Result<()> {
    for (part, table) in [("", Some(&dataset.train)), ("test ", dataset.test.as_ref())] {
        let Some(table) = table else { continue };
        let labels: Vec<(&str, &[i32])> = model
            .labels()
            .filter_map(|label| Some((label.name.as_str(), table.classes(&label.name)?)))
            .collect();
        // One label cannot contradict itself.
        let rows = if labels.len() < 2 { 0 } else { table.rows };
        for row in 0..rows {
            let (seen, unseen): (Vec<_>, Vec<_>) =
                labels.iter().partition(|(_, classes)| classes[row] >= 0);
            if let ([(seen, _), ..], [(unseen, _), ..]) = (&seen[..], &unseen[..]) {
                let message =
                    format!("{place}: {part}row {row} has the label `{seen}` and not `{unseen}`");
                return Err(Error::new(message).help("a row has all of its labels, or none (-1)"));
            }
        }
    }
    Ok(())
}

fn read(source: Option<&str>, model: &Model) -> Result<Dataset> {
    let Some(source) = source.filter(|source| *source != "mnist") else {
        return idx::excerpt(model);
    };
    let path = Path::new(source);
    if path.is_dir() {
        return idx::folder(path, model);
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npz" | "safetensors") if path.is_file() => arrays::file(path, model),
        _ if !path.exists() => Err(Error::new(format!(
            "--data {source}: there is no such file or folder"
        ))
        .help("name `mnist`, a folder of idx files, or an .npz or .safetensors file")),
        _ => Err(
            Error::new(format!("{source}: not a data set that dgc reads"))
                .help("expected a folder of idx files, or an .npz or .safetensors file"),
        ),
    }
}

/// The name of a source that is found from any folder.
pub fn whole_path(source: &str) -> String {
    match Path::new(source).canonicalize() {
        Ok(path) if source != "mnist" => path.display().to_string(),
        _ => source.to_string(),
    }
}

/// The variables that a data set gives: observed always, or on some rows.
fn observed(model: &Model) -> impl Iterator<Item = &Variable> {
    model.given().into_iter()
}

/// Reports the first value that the variable cannot take.
pub(super) fn check_values(
    variable: &Variable,
    mut values: impl Iterator<Item = f32>,
    place: &str,
) -> Result<()> {
    let (fits, expected): (fn(f32) -> bool, &str) = match variable.domain {
        Domain::Real => (f32::is_finite, "a finite number"),
        Domain::Positive => (|x| x > 0.0 && x.is_finite(), "a number above 0"),
        Domain::Unit => (|x| x > 0.0 && x < 1.0, "a number between 0 and 1"),
        Domain::Binary => (|x| (0.0..=1.0).contains(&x), "a number from 0 to 1"),
        Domain::Count => (|x| x >= 0.0 && x.fract() == 0.0, "a whole number from 0 on"),
        Domain::Class => return Ok(()),
    };
    match (0..).zip(&mut values).find(|&(_, value)| !fits(value)) {
        None => Ok(()),
        Some((at, value)) => {
            let (row, feature) = (at / variable.size(), at % variable.size());
            let message = format!("{place}: row {row}, feature {feature} is {value}");
            Err(Error::new(message).help(format!("`{}` takes {expected}", variable.name)))
        }
    }
}

/// That a row's shape is the variable's: its features in a row, or its axes, those of one place
/// aside. A variable of one axis takes any shape of as many numbers.
pub(super) fn check_shape(variable: &Variable, shape: &[usize], place: &str) -> Result<()> {
    let axes = |shape: &[usize]| {
        shape
            .iter()
            .copied()
            .filter(|&size| size != 1)
            .collect::<Vec<_>>()
    };
    let (own, found) = (axes(&variable.shape), axes(shape));
    let fits = shape.iter().product::<usize>() == variable.size()
        && (own.len() < 2 || found.len() < 2 || own == found);
    if fits && variable.domain != Domain::Class {
        return Ok(());
    }
    let written = |shape: &[usize]| {
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        if sizes.is_empty() {
            "one number".to_string()
        } else {
            sizes.join(" · ")
        }
    };
    let kind = if variable.domain == Domain::Class {
        "a class".to_string()
    } else {
        written(&variable.shape)
    };
    let message = format!(
        "{place}: rows of {} do not fit `{}`, which is {kind}",
        written(shape),
        variable.name
    );
    let help = match variable.domain {
        Domain::Class => "classes are an array of whole numbers, one a row".to_string(),
        Domain::Real => format!(
            "change its size with --set, or let a run infer it, with --from {}=RUN",
            variable.name
        ),
        _ => {
            "change its size, for example with --set pixels=784; axes are in its order".to_string()
        }
    };
    Err(Error::new(message).help(help))
}

/// Classes as integers, each from 0 to the number of classes; of a label also −1, for none.
pub(super) fn check_classes(variable: &Variable, values: &[f64], place: &str) -> Result<Vec<i32>> {
    let (least, none) = if variable.role == Role::Label {
        (-1.0, ", and -1 for none")
    } else {
        (0.0, "")
    };
    let class = |(row, &value): (usize, &f64)| {
        if value.fract() == 0.0 && value >= least && value < variable.size() as f64 {
            return Ok(value as i32);
        }
        let help = format!(
            "`{}` takes classes from 0 to {}{none}",
            variable.name,
            variable.size() - 1
        );
        Err(Error::new(format!("{place}: row {row} has class {value}")).help(help))
    };
    values.iter().enumerate().map(class).collect()
}
