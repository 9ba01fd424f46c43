//! Sparse matrices in compressed rows, as scipy's `csr_matrix`: the columns and the numbers of the entries
//! of all rows, and for each row the place of its first entry.

use super::{
    csc::{ByRows, Csc},
    dense::{DenseArray, MOST_AT_ONCE, runs},
};
use crate::error::{Error, Result};
use std::{fmt, path::Path, sync::Arc};

/// A sparse matrix, whose entries are in memory or in a file. Numbers without an entry are 0.
///
/// The places of the rows are in memory. They ascend, and the last is at most the number of entries.
#[derive(Clone)]
pub struct Csr {
    /// The place of the first entry of each row, and the end of the last row.
    starts: Arc<[u64]>,
    columns: DenseArray,
    numbers: DenseArray,
    width: usize,
}

impl fmt::Debug for Csr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, width) = (self.rows(), self.width);
        write!(
            f,
            "Csr {{ {rows} × {width}, {} entries }}",
            self.columns.len()
        )
    }
}

/// The axis by which the entries of a sparse matrix are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Row after row, as in CSR.
    Rows,
    /// Column after column, as in CSC.
    Columns,
}

impl Order {
    /// The order that a format's name says, as scipy and AnnData write it.
    pub fn of_format(name: &str) -> Option<Self> {
        match name {
            "csr" | "csr_matrix" => Some(Order::Rows),
            "csc" | "csc_matrix" => Some(Order::Columns),
            _ => None,
        }
    }
}

/// The arrays of a sparse matrix, with their names for messages. In a matrix by columns, rows and columns
/// change places.
pub struct CsrParts<'a> {
    /// The numbers of the entries.
    pub data: (&'a str, DenseArray),
    /// The columns of the entries.
    pub indices: (&'a str, DenseArray),
    /// The place of the first entry of each row, and the end of the last row.
    pub indptr: (&'a str, DenseArray),
    /// The numbers of rows and of columns.
    pub shape: (&'a str, [usize; 2]),
    /// How the entries are stored.
    pub order: Order,
}

impl Csr {
    /// Builds a matrix from its arrays and checks the places of the rows. `path` names the file in
    /// messages. [`Csr::check`] checks the columns of the entries. A matrix by columns is converted.
    ///
    /// # Errors
    /// With the first array that does not fit.
    pub fn new(parts: CsrParts, path: &Path) -> Result<Self> {
        let place = path.display();
        let wrong = |name: &str, what: String| {
            Error::data(format!("{place}: `{name}`: {what}"))
                .help("save the matrix again with `scipy.sparse.save_npz`")
        };
        let CsrParts {
            data: (data_name, data),
            indices: (indices_name, indices),
            indptr: (indptr_name, indptr),
            shape: (shape_name, [rows, width]),
            order,
        } = parts;
        let outer = match order {
            Order::Rows => rows,
            Order::Columns => width,
        };
        for (name, array) in [
            (data_name, &data),
            (indices_name, &indices),
            (indptr_name, &indptr),
        ] {
            if array.shape().len() != 1 {
                let what = format!("expected one axis, found the shape {:?}", array.shape());
                return Err(wrong(name, what));
            }
            if name != data_name && !array.element().is_integer() {
                let what = format!("expected whole numbers, found {}", array.element());
                return Err(wrong(name, what));
            }
        }
        if width == 0 {
            return Err(wrong(
                shape_name,
                "expected at least one column, found none".to_string(),
            ));
        }
        if Some(indptr.len()) != outer.checked_add(1) {
            let what = format!(
                "expected {outer} + 1 numbers for the shape [{rows}, {width}], found {}",
                indptr.len()
            );
            return Err(wrong(indptr_name, what));
        }
        if data.len() != indices.len() {
            let what = format!(
                "expected as many numbers as in `{indices_name}`, {}, found {}",
                indices.len(),
                data.len()
            );
            return Err(wrong(data_name, what));
        }
        let mut starts = Vec::with_capacity(indptr.len());
        let mut last = 0;
        indptr.each_part(&mut |first, bytes| {
            let mut part = Vec::new();
            indptr.element().indices(bytes, &mut part);
            for (at, start) in (first..).zip(part) {
                if start < last || at == 0 && start != 0 || start > indices.len() {
                    let entries = indices.len();
                    let from = if at == 0 { 0..=0 } else { last..=entries };
                    let what = format!(
                        "number {at}: expected a number from {} to {}, found {}",
                        from.start(),
                        from.end(),
                        match start {
                            usize::MAX => "one that is negative or too large".to_string(),
                            start => start.to_string(),
                        }
                    );
                    return Err(wrong(indptr_name, what));
                }
                starts.push(start as u64);
                last = start;
            }
            Ok(())
        })?;
        let rows = match order {
            Order::Rows => ByRows {
                starts,
                columns: indices,
                numbers: data,
            },
            Order::Columns => Csc {
                starts,
                rows: (indices_name.to_string(), indices),
                numbers: data,
                height: rows,
            }
            .into_rows(path)?,
        };
        Ok(Csr {
            starts: rows.starts.into(),
            columns: rows.columns,
            numbers: rows.numbers,
            width,
        })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// The numbers of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether the entries are in memory.
    pub fn is_in_memory(&self) -> bool {
        self.columns.is_in_memory() && self.numbers.is_in_memory()
    }

    /// Checks that the columns of all entries are in range and that a row has no column twice. `place`
    /// names the matrix.
    ///
    /// # Errors
    /// With the first row that does not fit.
    pub fn check(&self, place: &str) -> Result<()> {
        let (mut columns, mut sorted) = (Vec::new(), Vec::new());
        let mut scratch = Vec::new();
        for (first, count) in self.parts() {
            let [start, end] = self.entries(first, count);
            columns.clear();
            let bytes = self.columns.bytes(start, end - start, &mut scratch)?;
            self.columns.element().indices(bytes, &mut columns);
            for row in first..first + count {
                let [from, to] = self.entries(row, 1);
                let columns = &columns[from - start..to - start];
                if let Some(column) = columns.iter().find(|column| **column >= self.width) {
                    let found = match *column {
                        usize::MAX => "one that is negative or too large".to_string(),
                        column => column.to_string(),
                    };
                    let message = format!(
                        "{place}: row {row}: expected columns from 0 to {}, found {found}",
                        self.width.saturating_sub(1)
                    );
                    return Err(Error::data(message)
                        .help("the indices of the matrix are damaged, or its shape is wrong"));
                }
                if columns.is_sorted_by(|a, b| a < b) {
                    continue;
                }
                sorted.clear();
                sorted.extend_from_slice(columns);
                sorted.sort_unstable();
                if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                    let message = format!("{place}: row {row}: column {} is there twice", twice[0]);
                    return Err(Error::data(message)
                        .help("add such entries with scipy's `sum_duplicates()`, and save the matrix again"));
                }
            }
        }
        Ok(())
    }

    /// Runs of rows that cover the matrix: the first row and the number of rows of each.
    fn parts(&self) -> impl Iterator<Item = (usize, usize)> {
        let most = MOST_AT_ONCE / 8;
        let mut next = 0;
        std::iter::from_fn(move || {
            let first = next;
            if first == self.rows() {
                return None;
            }
            next += 1;
            while next < self.rows() && self.starts[next + 1] - self.starts[first] <= most as u64 {
                next += 1;
            }
            Some((first, next - first))
        })
    }

    /// The places of the entries of `count` rows from `first` on: the first, and the end.
    fn entries(&self, first: usize, count: usize) -> [usize; 2] {
        [first, first + count].map(|row| self.starts[row] as usize)
    }

    /// Copies these rows to `out`, row after row.
    ///
    /// # Errors
    /// If the file cannot be read, or its columns changed and are out of range.
    pub fn read(&self, rows: &[u32], out: &mut [f32]) -> Result<()> {
        out.fill(0.0);
        let most = MOST_AT_ONCE / 8;
        let (mut columns, mut numbers) = (Vec::new(), Vec::new());
        let mut scratch = Vec::new();
        let mut fits = |first, count| {
            let [start, end] = self.entries(first, count);
            end - start <= most
        };
        let mut out = out.chunks_exact_mut(self.width);
        for (first, count) in runs(rows, &mut fits) {
            let [start, end] = self.entries(first, count);
            columns.clear();
            numbers.resize(end - start, 0.0);
            let bytes = self.columns.bytes(start, end - start, &mut scratch)?;
            self.columns.element().indices(bytes, &mut columns);
            let bytes = self.numbers.bytes(start, end - start, &mut scratch)?;
            self.numbers.element().singles(bytes, &mut numbers);
            for (row, out) in (first..first + count).zip(&mut out) {
                let [from, to] = self.entries(row, 1).map(|entry| entry - start);
                for (&column, &number) in columns[from..to].iter().zip(&numbers[from..to]) {
                    // The file may have changed since it was checked.
                    let Some(out) = out.get_mut(column) else {
                        return Err(changed(row));
                    };
                    *out = number;
                }
            }
        }
        Ok(())
    }
}

/// The error of a file that another program wrote to since it was checked.
fn changed(row: usize) -> Error {
    Error::data(format!(
        "row {row} of a sparse matrix: a column is out of range, which it was not when the file was \
         opened"
    ))
    .help("do not change a data set while it is used")
}

/// Reads the shape of a matrix from its array.
///
/// # Errors
/// What is wrong with it.
#[cfg(feature = "npz")]
pub fn shape(array: &DenseArray) -> std::result::Result<[usize; 2], String> {
    let mut sizes = Vec::new();
    if array.len() == 2 && array.element().is_integer() {
        let mut scratch = Vec::new();
        let bytes = array.bytes(0, 2, &mut scratch);
        let bytes = bytes.map_err(|error| error.to_string())?;
        array.element().indices(bytes, &mut sizes);
    }
    match sizes.as_slice() {
        &[rows, width] if rows < usize::MAX && width < usize::MAX => Ok([rows, width]),
        _ => Err("expected the numbers of rows and columns of a matrix".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        run::data::{
            bytes::{Bytes, FileRange},
            element::ElementType,
        },
        tensor::philox,
    };
    use std::io::Write;

    const ROWS: usize = 300;
    const WIDTH: usize = 11;

    fn draw(at: usize, below: usize) -> usize {
        philox::words(3, 0, 1, at as u32)[0] as usize % below
    }

    /// The number in a place; most are 0.
    fn number(row: usize, column: usize) -> f32 {
        match draw(row * WIDTH + column, 10) {
            number @ 7.. => number as f32 - 8.5,
            _ => 0.0,
        }
    }

    /// A matrix, in a file or in memory.
    fn matrix(in_file: bool) -> (Csr, tempfile::NamedTempFile) {
        let (mut data, mut indices, mut indptr) = (Vec::new(), Vec::new(), vec![0u8; 4]);
        for row in 0..ROWS {
            for column in (0..WIDTH)
                .rev()
                .filter(|&column| number(row, column) != 0.0)
            {
                data.extend(f64::from(number(row, column)).to_be_bytes());
                indices.push(column as u8);
            }
            indptr.extend((indices.len() as u32).to_le_bytes());
        }
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        let shared = Arc::new(file.reopen().expect("the file is there"));
        let path: Arc<Path> = file.path().into();
        let mut start = 0;
        let mut array = |letter, size, bytes: Vec<u8>| {
            file.write_all(&bytes).expect("a file can be written");
            let len = bytes.len();
            start += len;
            let bytes = match in_file {
                true => Bytes::File(FileRange::new(&shared, &path, (start - len) as u64, len)),
                false => Bytes::from(bytes),
            };
            let element = ElementType::new(letter, size, size == 8).expect("a type");
            DenseArray::new(bytes, element, vec![len / size]).expect("an array")
        };
        let parts = CsrParts {
            data: ("data", array('f', 8, data)),
            indices: ("indices", array('u', 1, indices)),
            indptr: ("indptr", array('u', 4, indptr)),
            shape: ("shape", [ROWS, WIDTH]),
            order: Order::Rows,
        };
        let csr = Csr::new(parts, "test".as_ref()).expect("a matrix");
        csr.check("test: `x`").expect("the columns are in range");
        (csr, file)
    }

    #[test]
    fn rows_in_any_order_are_those_of_the_dense_matrix() {
        for in_file in [false, true] {
            let (csr, _file) = matrix(in_file);
            assert_eq!(csr.is_in_memory(), !in_file);
            let random: Vec<u32> = (0..500).map(|at| draw(at + 9999, ROWS) as u32).collect();
            let all: Vec<u32> = (0..ROWS as u32).collect();
            for rows in [random, all, vec![], vec![299, 0, 1, 2, 2]] {
                // Earlier numbers must not stay.
                let mut out = vec![7.0; rows.len() * WIDTH];
                csr.read(&rows, &mut out).expect("readable");
                let expected = rows
                    .iter()
                    .flat_map(|&row| (0..WIDTH).map(move |column| number(row as usize, column)));
                assert_eq!(out, expected.collect::<Vec<f32>>());
            }
        }
    }

    #[test]
    fn a_file_that_changes_gives_an_error_or_other_numbers() {
        let (csr, mut file) = matrix(true);
        let every: Vec<u32> = (0..ROWS as u32).collect();
        let mut out = vec![0.0; ROWS * WIDTH];
        let len = file.as_file().metadata().expect("a file").len();
        file.reopen()
            .and_then(|mut file| file.write_all(&vec![0xFF; len as usize]))
            .expect("the file can be written");
        let error = csr
            .read(&every, &mut out)
            .expect_err("columns out of range");
        assert!(
            error.to_string().contains("a column is out of range"),
            "{error}"
        );
        file.as_file_mut().set_len(10).expect("the file can be cut");
        let error = csr.read(&every, &mut out).expect_err("a cut file");
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }

    #[test]
    fn runs_are_consecutive_rows() {
        let any = &mut |_, _| true;
        assert_eq!(runs(&[4, 5, 6, 2, 3, 3], any), [(4, 3), (2, 2), (3, 1)]);
        assert_eq!(
            runs(&[0, 1, 2], &mut |_, count| count < 3),
            [(0, 2), (2, 1)]
        );
        assert_eq!(runs(&[], any), []);
    }
}
