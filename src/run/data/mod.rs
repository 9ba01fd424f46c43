//! Data sets: columns named as a model's variables, read from idx, npz and safetensors files.

mod arrays;
mod idx;
mod split;

use crate::error::{Error, Result};
use crate::{
    distribution::Domain,
    model::{Checked, Role, Variable},
};
use std::path::Path;

pub use split::{Split, split};

/// Rows to train on, and rows to test on where the source has them.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub train: Table,
    pub test: Option<Table>,
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
                out.iter_mut().zip(&bytes[range]).for_each(|(out, byte)| *out = f32::from(*byte) / 255.0);
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
            rows.iter().flat_map(|row| values[row * width..(row + 1) * width].iter().copied()).collect()
        }
        let columns = self.columns.iter().map(|column| Column {
            values: match &column.values {
                Values::Bytes(values) => Values::Bytes(pick(values, column.width, rows)),
                Values::Floats(values) => Values::Floats(pick(values, column.width, rows)),
                Values::Classes(values) => Values::Classes(pick(values, 1, rows)),
            },
            ..column.clone()
        });
        Table { rows: rows.len(), columns: columns.collect() }
    }
}

/// Reads a data set for a model: `mnist` or nothing for the excerpt that dgc carries, a folder of idx files, or an npz or
/// safetensors file whose arrays are named as the model's variables.
pub fn load(source: Option<&str>, model: &Checked) -> Result<Dataset> {
    let Some(source) = source.filter(|source| *source != "mnist") else { return idx::excerpt(model) };
    let path = Path::new(source);
    if path.is_dir() {
        return idx::folder(path, model);
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npz" | "safetensors") if path.is_file() => arrays::file(path, model),
        _ if !path.exists() => Err(Error::new(format!("--data {source}: there is no such file or folder"))
            .help("name `mnist`, a folder of idx files, or an .npz or .safetensors file")),
        _ => Err(Error::new(format!("{source}: not a data set that dgc reads"))
            .help("expected a folder of idx files, or an .npz or .safetensors file")),
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
fn observed(model: &Checked) -> impl Iterator<Item = &Variable> {
    model.given().into_iter()
}

/// Reports the first value that the variable cannot take.
pub(super) fn check_values(variable: &Variable, values: &[f32], place: &str) -> Result<()> {
    let (fits, expected): (fn(f32) -> bool, &str) = match variable.domain {
        Domain::Real => (f32::is_finite, "a finite number"),
        Domain::Positive => (|x| x > 0.0 && x.is_finite(), "a number above 0"),
        Domain::Unit => (|x| x > 0.0 && x < 1.0, "a number between 0 and 1"),
        Domain::Binary => (|x| (0.0..=1.0).contains(&x), "a number from 0 to 1"),
        Domain::Count => (|x| x >= 0.0 && x.fract() == 0.0, "a whole number from 0 on"),
        Domain::Class => return Ok(()),
    };
    match values.iter().position(|&value| !fits(value)) {
        None => Ok(()),
        Some(at) => {
            let (row, feature) = (at / variable.size(), at % variable.size());
            let message = format!("{place}: row {row}, feature {feature} is {}", values[at]);
            Err(Error::new(message).help(format!("`{}` takes {expected}", variable.name)))
        }
    }
}

/// Classes as integers, each from 0 to the number of classes; of a label also −1, for none.
pub(super) fn check_classes(variable: &Variable, values: &[f64], place: &str) -> Result<Vec<i32>> {
    let (least, none) = if variable.role == Role::Label { (-1.0, ", and -1 for none") } else { (0.0, "") };
    let class = |(row, &value): (usize, &f64)| {
        if value.fract() == 0.0 && value >= least && value < variable.size() as f64 {
            return Ok(value as i32);
        }
        let help = format!("`{}` takes classes from 0 to {}{none}", variable.name, variable.size() - 1);
        Err(Error::new(format!("{place}: row {row} has class {value}")).help(help))
    };
    values.iter().enumerate().map(class).collect()
}
