//! Files that operations write: predictions and encodings, and what no file may replace.

use super::{
    evaluation::{Encodings, Predictions},
    selection::Rows,
};
use crate::{
    error::{Error, Result},
    run::{compiled::is_compiled_file, folder::is_run_file},
};
use std::path::{Path, PathBuf};

/// Checks that an output replaces none of the inputs of an operation, and no file of a run or of a
/// compiled folder. Links are followed.
///
/// # Errors
/// If it would.
pub fn check_output(output: &Path, inputs: &[&Path]) -> Result<()> {
    let Some(place) = followed(output) else {
        return Ok(());
    };
    let shown = output.display();
    if let Some(input) = inputs
        .iter()
        .find(|input| followed(input).is_some_and(|input| input == place))
    {
        let message = format!(
            "{shown}: the output would replace {}, which is read",
            input.display()
        );
        return Err(Error::usage(message).help("name another file"));
    }
    let owner = if is_run_file(&place) {
        "a run"
    } else if is_compiled_file(&place) {
        "a compiled folder"
    } else {
        return Ok(());
    };
    let message = format!("{shown}: the output would replace a file of {owner}");
    Err(Error::usage(message).help("name a file outside of the folder"))
}

/// The place of a file, which need not exist, in a folder that does.
fn followed(file: &Path) -> Option<PathBuf> {
    if let Ok(path) = file.canonicalize() {
        return Some(path);
    }
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
    Some(folder.join(file.file_name()?))
}

#[cfg(feature = "csv")]
impl Predictions {
    /// Writes a CSV file with the number of each row in its data set, and its most probable class
    /// and probability for each label.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_csv(&self, rows: &Rows, path: &Path) -> Result<()> {
        crate::files::write_whole(path, &self.to_csv(rows)?)
    }

    /// The contents of the file that [`Predictions::write_csv`] writes.
    ///
    /// # Errors
    /// If memory is short.
    pub fn to_csv(&self, rows: &Rows) -> Result<Vec<u8>> {
        let failed = |error: csv::Error| Error::new(format!("predictions as CSV: {error}"));
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = self.labels.iter().flat_map(|prediction| {
            let label = &prediction.label;
            [label.clone(), format!("probability of {label}")]
        });
        // A label may be called `row`.
        let has_row = self.labels.iter().any(|label| label.label == "row");
        let number = if has_row { "row number" } else { "row" };
        writer
            .write_record(std::iter::once(number.to_string()).chain(header))
            .map_err(failed)?;
        let likeliest: Vec<Vec<usize>> = self
            .labels
            .iter()
            .map(|prediction| prediction.likeliest())
            .collect();
        for (row, number) in rows.numbers().iter().enumerate() {
            let mut record = vec![number.to_string()];
            for (prediction, likeliest) in self.labels.iter().zip(&likeliest) {
                let class = likeliest[row];
                let probability = prediction.row(row)[class];
                record.extend([class.to_string(), format!("{probability:.6}")]);
            }
            writer.write_record(&record).map_err(failed)?;
        }
        writer
            .into_inner()
            .map_err(|error| failed(error.into_error().into()))
    }
}

#[cfg(not(feature = "csv"))]
impl Predictions {
    /// Needs the feature `csv`.
    ///
    /// # Errors
    /// Always: this build cannot write CSV files.
    pub fn write_csv(&self, rows: &Rows, _path: &Path) -> Result<()> {
        self.to_csv(rows).map(|_| ())
    }

    /// Needs the feature `csv`.
    ///
    /// # Errors
    /// Always: this build cannot write CSV files.
    pub fn to_csv(&self, _rows: &Rows) -> Result<Vec<u8>> {
        Err(missing_feature("CSV", "csv"))
    }
}

#[cfg(feature = "npz")]
impl Encodings {
    /// Writes an npz file with an array with axes row, feature for each variable, and `row number`:
    /// the rows' numbers in their data set.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_npz(&self, rows: &Rows, path: &Path) -> Result<()> {
        crate::files::write_whole(path, &self.to_npz(rows)?)
    }

    /// The contents of the file that [`Encodings::write_npz`] writes.
    ///
    /// # Errors
    /// If memory is short.
    pub fn to_npz(&self, rows: &Rows) -> Result<Vec<u8>> {
        use ndarray::{Array1, ArrayView2};
        use ndarray_npy::{NpzWriter, WriteNpzError};
        use std::io::Cursor;
        let failed = |error: WriteNpzError| Error::new(format!("encodings as npz: {error}"));
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = NpzWriter::new_compressed(&mut bytes);
        for encoding in &self.variables {
            let shape = (rows.len(), encoding.width);
            let array = ArrayView2::from_shape(shape, &encoding.values);
            let array = array.expect("every row has `width` values");
            writer
                .add_array(encoding.variable.as_str(), &array)
                .map_err(failed)?;
        }
        let numbers: Array1<i64> = rows.numbers().iter().map(|&number| number as i64).collect();
        writer.add_array("row number", &numbers).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(bytes.into_inner())
    }
}

#[cfg(not(feature = "npz"))]
impl Encodings {
    /// Needs the feature `npz`.
    ///
    /// # Errors
    /// Always: this build cannot write npz files.
    pub fn write_npz(&self, rows: &Rows, _path: &Path) -> Result<()> {
        self.to_npz(rows).map(|_| ())
    }

    /// Needs the feature `npz`.
    ///
    /// # Errors
    /// Always: this build cannot write npz files.
    pub fn to_npz(&self, _rows: &Rows) -> Result<Vec<u8>> {
        Err(missing_feature("npz", "npz"))
    }
}

#[cfg(not(all(feature = "csv", feature = "npz")))]
fn missing_feature(kind: &str, feature: &str) -> Error {
    let message = format!("this build of dgc cannot write {kind} files");
    Error::unsupported(message).help(format!("build dgc with the feature `{feature}`"))
}
