//! Parquet files: columns of numbers, of texts, and of lists of numbers.

use super::{
    bytes::{Spool, cannot_decompress},
    dense::DenseArray,
    element::ElementType,
    names::{listed, shown},
    parquet_values::{DecodedRows, Kind, Slot},
    stored::Stored,
    values::ColumnValues,
};
use crate::{
    error::{Error, Result},
    files::{self, expands_too_far, most_expanded},
};
use ::parquet::{
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        reader::{FileReader, SerializedFileReader},
    },
};
use std::{
    cell::Cell,
    collections::BTreeSet,
    fs::File,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::{Arc, Once},
};

/// The most rows and numbers that are decoded at once.
const MOST_ROWS: usize = 8192;
const MOST_NUMBERS: usize = 1 << 20;

/// An open file.
pub struct ParquetFile {
    reader: SerializedFileReader<File>,
    path: Arc<Path>,
    columns: Vec<ParquetColumn>,
    rows: usize,
}

/// A column of a file.
pub struct ParquetColumn {
    /// The column's name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// The index of its values among those of all columns.
    leaf: usize,
}

/// The error of a file that is not valid.
fn broken(path: &Path, error: ParquetError) -> Error {
    Error::file(path, "not a valid Parquet file", error.to_string())
        .help("the file may be truncated or have another format")
}

thread_local! {
    /// Whether this thread calls a function whose panics become errors.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Lets panics of guarded calls print nothing.
fn silence_guarded() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |found| {
            if !GUARDED.get() {
                print(found);
            }
        }));
    });
}

/// Calls a function of the crate `parquet`, which panics on some damaged files.
fn guarded<T>(
    path: &Path,
    call: impl FnOnce() -> std::result::Result<T, ParquetError>,
) -> Result<T> {
    silence_guarded();
    GUARDED.set(true);
    let called = panic::catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(false);
    let damaged = |_| Err(ParquetError::General("it is damaged".to_string()));
    called
        .unwrap_or_else(damaged)
        .map_err(|error| broken(path, error))
}

/// Checks that the values of all columns are within a file of `size` bytes, and that there are not many more
/// of them than the file has bytes.
fn check_places(metadata: &ParquetMetaData, path: &Path, size: u64) -> Result<()> {
    let mut chunks = metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns());
    let fits = |chunk: &ColumnChunkMetaData| {
        let first = match chunk.dictionary_page_offset() {
            Some(offset) => offset,
            None => chunk.data_page_offset(),
        };
        let end = first.checked_add(chunk.compressed_size());
        let end = end.and_then(|end| u64::try_from(end).ok());
        first >= 0 && chunk.compressed_size() >= 0 && end.is_some_and(|end| end <= size)
    };
    if !chunks.all(fits) {
        let what = "the place of a column is not in the file".to_string();
        return Err(broken(path, ParquetError::General(what)));
    }
    let chunks = metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns());
    let counts = chunks.map(|chunk| u64::try_from(chunk.num_values()).unwrap_or(u64::MAX));
    let values = counts.fold(0, u64::saturating_add);
    match values.saturating_mul(4) <= most_expanded(size) {
        true => Ok(()),
        false => Err(Error::file(path, "cannot be read", expands_too_far(size))),
    }
}

impl ParquetFile {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be read, is no Parquet file, or has two columns of the same name.
    pub fn open(path: &Path) -> Result<Self> {
        let unreadable = |error| Error::file(path, "cannot be read", error);
        let file = files::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let reader = guarded(path, || SerializedFileReader::new(file))?;
        check_places(reader.metadata(), path, size)?;
        let metadata = reader.metadata().file_metadata();
        let rows = usize::try_from(metadata.num_rows()).unwrap_or(usize::MAX);
        if u32::try_from(rows).is_err() {
            return Err(super::checks::too_many_rows(
                &path.display().to_string(),
                rows,
            ));
        }
        let schema = metadata.schema_descr();
        let mut columns: Vec<ParquetColumn> = Vec::new();
        let mut last = None;
        for leaf in 0..schema.num_columns() {
            let root = schema.get_column_root_idx(leaf);
            // The values of a group are the leaves below the same root.
            if last.replace(root) == Some(root) {
                if let Some(column) = columns.last_mut() {
                    column.kind = Kind::Other("a group".to_string());
                }
                continue;
            }
            columns.push(ParquetColumn {
                name: schema.get_column_root(leaf).name().to_string(),
                kind: Kind::new(schema.get_column_root(leaf), &schema.column(leaf)),
                leaf,
            });
        }
        let mut seen = BTreeSet::new();
        if let Some(column) = columns.iter().find(|column| !seen.insert(&column.name)) {
            let (place, name) = (path.display(), shown(&column.name));
            let message = format!("{place}: there are two columns `{name}`");
            return Err(Error::data(message).help("omit one of them, or change its name"));
        }
        Ok(ParquetFile {
            reader,
            path: path.into(),
            columns,
            rows,
        })
    }

    /// The file's path, for messages.
    pub fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// The name of a column in messages.
    pub fn place_of(&self, column: usize) -> String {
        format!("{}: column `{}`", self.place(), self.columns[column].name)
    }

    /// The columns.
    pub fn columns(&self) -> &[ParquetColumn] {
        &self.columns
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The values of a column with a number or a text in each row.
    ///
    /// # Errors
    /// If it has other values, or the file cannot be read.
    pub fn values(&self, column: usize) -> Result<ColumnValues> {
        if self.columns[column].kind == Kind::Text {
            let mut texts = Vec::new();
            self.each_value(column, &mut |value| texts.push(value))?;
            return Ok(ColumnValues::of_texts(texts.into_iter()));
        }
        let mut numbers = Vec::new();
        self.check_single(column)?;
        self.each_batch(column, MOST_ROWS, &mut |batch| {
            batch.each(&mut |_, slot| {
                numbers.push(batch.number(slot));
                Ok(())
            })?;
            Ok(true)
        })?;
        self.check_rows(column, numbers.len())?;
        Ok(ColumnValues::Numbers(numbers))
    }

    /// Passes the value of each row to `take`, as text; `None` where it is missing.
    ///
    /// # Errors
    /// If the column has lists or values that are not read, or the file cannot be read.
    pub fn each_value(&self, column: usize, take: &mut dyn FnMut(Option<String>)) -> Result<()> {
        self.check_single(column)?;
        let mut rows = 0;
        self.each_batch(column, MOST_ROWS, &mut |batch| {
            batch.each(&mut |_, slot| {
                rows += 1;
                take(batch.text(slot));
                Ok(())
            })?;
            Ok(true)
        })?;
        self.check_rows(column, rows)
    }

    /// The length of the first list of a column of lists that has elements; 0 if none has.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn list_len(&self, column: usize) -> Result<usize> {
        let mut len = 0;
        self.each_batch(column, 1, &mut |batch| {
            batch.each(&mut |_, slot| {
                len += usize::from(slot != Slot::Empty);
                Ok(())
            })?;
            Ok(len == 0)
        })?;
        Ok(len)
    }

    /// The lists of a column as an array with this many numbers in each row. If `may_miss`, elements and
    /// whole lists may be missing, and become NaN.
    ///
    /// # Errors
    /// If a list has another length or a missing element, or the file cannot be read.
    pub fn lists(&self, column: usize, width: usize, may_miss: bool) -> Result<Stored> {
        let Kind::List(element) = &self.columns[column].kind else {
            return Err(self.unexpected(column, "a list of numbers"));
        };
        let element = match may_miss {
            true => element.with_missing(),
            false => *element,
        };
        let failed = |error| cannot_decompress(&self.path, error);
        let mut lists = Lists {
            rows: 0,
            width,
            may_miss,
            row: Vec::new(),
            is_open: false,
            element,
            bytes: Vec::new(),
            place: self.place_of(column),
        };
        let mut spool = Spool::new();
        let most = (MOST_NUMBERS / width.max(1)).clamp(1, MOST_ROWS);
        self.each_batch(column, most, &mut |batch| {
            batch.each(&mut |is_first, slot| {
                if is_first {
                    lists.end_row()?;
                    lists.is_open = true;
                }
                if slot != Slot::Empty {
                    lists.row.push(batch.number(slot));
                }
                Ok(())
            })?;
            lists.end_row()?;
            spool.push(&lists.bytes).map_err(failed)?;
            lists.bytes.clear();
            Ok(true)
        })?;
        self.check_rows(column, lists.rows)?;
        let bytes = spool.finish(&self.path).map_err(failed)?;
        let dense = DenseArray::new(bytes, element, vec![lists.rows, width]);
        Ok(Stored::Dense(
            dense.expect("each row has as many numbers as it is wide"),
        ))
    }

    /// Checks that a column has a number or a text in each row.
    fn check_single(&self, column: usize) -> Result<()> {
        match &self.columns[column].kind {
            Kind::Number(_) | Kind::Text => Ok(()),
            Kind::List(_) | Kind::Other(_) => {
                Err(self.unexpected(column, "a number or a text in each row"))
            }
        }
    }

    /// The error of a column with other values than are `expected`.
    pub fn unexpected(&self, column: usize, expected: &str) -> Error {
        let found = match &self.columns[column].kind {
            Kind::Number(_) => "numbers",
            Kind::Text => "texts",
            Kind::List(_) => "lists of numbers",
            Kind::Other(kind) => kind,
        };
        let place = self.place_of(column);
        let names = self.columns.iter().map(|column| &column.name);
        Error::data(format!("{place}: expected {expected}, found {found}")).help(format!(
            "store another type, or name another column; the columns are {}",
            listed(&names.collect::<Vec<_>>())
        ))
    }

    /// Checks that a column has a value for each row of the file.
    fn check_rows(&self, column: usize, rows: usize) -> Result<()> {
        match rows == self.rows {
            true => Ok(()),
            false => {
                let message = format!(
                    "{}: found {rows} rows, but the file has {}",
                    self.place_of(column),
                    self.rows
                );
                Err(Error::data(message).help("the file may be damaged; write it again"))
            }
        }
    }

    /// Decodes the values of at most `most` rows at a time, and passes them to `take`, until it returns
    /// false.
    fn each_batch(
        &self,
        column: usize,
        most: usize,
        take: &mut dyn FnMut(&DecodedRows) -> Result<bool>,
    ) -> Result<()> {
        let leaf = self.columns[column].leaf;
        for group in 0..self.reader.num_row_groups() {
            let group = guarded(&self.path, || self.reader.get_row_group(group))?;
            let descriptor = group.metadata().column(leaf).column_descr_ptr();
            let mut reader = guarded(&self.path, || group.get_column_reader(leaf))?;
            loop {
                let (rows, batch) = guarded(&self.path, || {
                    DecodedRows::read(&mut reader, &descriptor, most)
                })?;
                if rows == 0 {
                    break;
                }
                if !take(&batch)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Lists that become the rows of an array.
struct Lists {
    /// The rows that are complete.
    rows: usize,
    width: usize,
    may_miss: bool,
    /// The elements of the row that is not complete, if one is open.
    row: Vec<f64>,
    is_open: bool,
    element: ElementType,
    /// The rows that are complete, in the type of the elements.
    bytes: Vec<u8>,
    /// The name of the column in messages.
    place: String,
}

impl Lists {
    /// Checks and adds the open row, if there is one.
    fn end_row(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.is_open, false) {
            return Ok(());
        }
        if self.row.is_empty() && self.may_miss {
            self.row.resize(self.width, f64::NAN);
        }
        let (row, width, found) = (self.rows, self.width, self.row.len());
        if found != width {
            let message = format!(
                "{}: row {row}: expected {width} numbers, found {found}",
                self.place
            );
            return Err(Error::data(message).help(
                "give each row a list of the same length, which is the number of features of the \
                 variable",
            ));
        }
        if !self.may_miss && self.row.iter().any(|number| number.is_nan()) {
            let message = format!("{}: row {row}: found a missing number", self.place);
            return Err(Error::data(message)
                .help("fill it in, or write `with missing` behind the type of the variable"));
        }
        for &number in &self.row {
            self.element.push(number, &mut self.bytes);
        }
        self.row.clear();
        self.rows += 1;
        Ok(())
    }
}
