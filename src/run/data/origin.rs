//! Where the rows of a part of a data set come from: their places in a table, or their files.

use std::{path::PathBuf, sync::Arc};

/// A table's file, whose rows are numbered from 0, without a line of column names.
#[derive(Clone, Debug)]
pub struct TableFile {
    /// The path; `-` is standard input.
    pub path: PathBuf,
    /// The text, if it cannot be read again.
    pub text: Option<Arc<[u8]>>,
}

/// The origin of the rows of a part.
#[derive(Clone, Debug)]
pub enum RowOrigin {
    /// A table, and the number of each row in it.
    Table(TableFile, Vec<usize>),
    /// The path of each row's image in its folder.
    Images(Vec<String>),
}

/// The origins of the training, test and validation rows, where they are known.
pub type RowOrigins = [Option<Arc<RowOrigin>>; 3];

impl RowOrigin {
    /// The origins of the rows of a table, whose numbers in the table are given for each part.
    pub fn of_table(file: &TableFile, parts: [Vec<usize>; 3]) -> RowOrigins {
        parts.map(|rows| Some(Arc::new(RowOrigin::Table(file.clone(), rows))))
    }
}
