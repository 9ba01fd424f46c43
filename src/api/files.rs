//! Predictions and encodings as files.

use super::{
    evaluation::{Encodings, Predictions},
    selection::Rows,
};
use crate::error::Result;
use std::path::Path;

#[cfg(feature = "csv")]
impl Predictions {
    /// Writes a CSV file with the number of each row in its data set, and its most probable class
    /// and probability for each label.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_csv(&self, rows: &Rows, path: &Path) -> Result<()> {
        use crate::{error::Error, files::write_whole};
        let failed = |error: csv::Error| Error::file(path, "cannot be written", error);
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = self.labels.iter().flat_map(|prediction| {
            let label = &prediction.label;
            [label.clone(), format!("probability of {label}")]
        });
        writer
            .write_record(std::iter::once("row".to_string()).chain(header))
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
        let bytes = writer
            .into_inner()
            .map_err(|error| Error::file(path, "cannot be written", error.into_error()))?;
        write_whole(path, &bytes)
    }
}

#[cfg(not(feature = "csv"))]
impl Predictions {
    /// Needs the feature `csv`.
    ///
    /// # Errors
    /// Always: this build cannot write CSV files.
    pub fn write_csv(&self, _rows: &Rows, path: &Path) -> Result<()> {
        Err(missing_feature(path, "CSV", "csv"))
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
        use crate::{error::Error, files::write_whole};
        use ndarray::{Array1, ArrayView2};
        use ndarray_npy::{NpzWriter, WriteNpzError};
        use std::io::Cursor;
        let failed = |error: WriteNpzError| Error::file(path, "cannot be written", error);
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
        write_whole(path, &bytes.into_inner())
    }
}

#[cfg(not(feature = "npz"))]
impl Encodings {
    /// Needs the feature `npz`.
    ///
    /// # Errors
    /// Always: this build cannot write npz files.
    pub fn write_npz(&self, _rows: &Rows, path: &Path) -> Result<()> {
        Err(missing_feature(path, "npz", "npz"))
    }
}

#[cfg(not(all(feature = "csv", feature = "npz")))]
fn missing_feature(path: &Path, kind: &str, feature: &str) -> crate::error::Error {
    let message = format!(
        "{}: this build of dgc cannot write {kind} files",
        path.display()
    );
    crate::error::Error::unsupported(message)
        .help(format!("build dgc with the feature `{feature}`"))
}
