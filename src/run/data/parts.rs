//! The parts of a data set: rows to train on, to test on, and to hold out for validation.

use crate::error::{Error, Result};

/// The column that says which rows are for training, for testing and for validation.
pub const SPLIT: &str = "split";

/// The way out for a column `split` of another meaning.
pub const OTHER_SPLIT: &str = "give the column another name if it is no split into these parts";

/// The values of the column `split`: rows to train on, to test on, and to hold out in training.
pub const PARTS: [&str; 3] = ["train", "test", "validation"];

/// The place in [`PARTS`] of a value of the column `split`; `None` for other values.
pub fn part_of(text: &str) -> Option<usize> {
    PARTS
        .iter()
        .position(|part| text.eq_ignore_ascii_case(part))
}

/// The error of a table without training rows.
pub fn no_training_rows(place: &str) -> Error {
    let message = format!("{place}: expected a row for training, found none");
    Error::data(message).help("add rows, which are not all marked `test` or `validation`")
}

/// The numbers of the rows of each part, in the order of [`PARTS`].
pub type RowParts = [Vec<u32>; PARTS.len()];

/// The beginning of the name of an array with the rows of each part, in the order of [`PARTS`].
pub const PREFIXES: [&str; PARTS.len()] = ["", "test.", "validation."];

/// Whether there are test rows and no training rows.
pub fn is_test(parts: &RowParts) -> bool {
    parts[0].is_empty() && !parts[1].is_empty()
}

/// Checks that there are rows to train on, or in data for a run rows to use it on.
///
/// # Errors
/// If there are none. `place` names the table.
pub fn check_parts(parts: &RowParts, is_for_run: bool, place: &str) -> Result<()> {
    match parts[0].is_empty() && !(is_for_run && is_test(parts)) {
        true => Err(no_training_rows(place)),
        false => Ok(()),
    }
}
