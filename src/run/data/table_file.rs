//! The file that a table was read from: the place of each row in it, and its text.

use std::{path::PathBuf, sync::Arc};

/// A table's file, whose rows are numbered from 0, without the line of column names.
#[derive(Clone, Debug)]
pub struct TableFile {
    /// The path; `-` is standard input.
    pub path: PathBuf,
    /// The text, if it cannot be read again.
    pub text: Option<Arc<[u8]>>,
    /// The number in the file of each row of a part: training, test and validation rows.
    pub parts: [Vec<usize>; 3],
}
