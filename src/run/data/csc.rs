//! Sparse matrices in compressed columns, as scipy's `csc_matrix`, are converted to compressed rows, since
//! batches are rows.
//!
//! The rows are split into buckets of consecutive rows with few enough entries to be sorted in memory. One
//! pass over the columns writes each entry to its bucket, in a temporary file if they are large; then each
//! bucket is sorted by row. Within a row, entries keep the order of their columns. For a matrix with three
//! buckets:
//!
//! ```text
//! columns:  0        1        2           bucket of rows 0 to 9:    (3, 0) (7, 1) (3, 2)
//! rows:     3, 20    7, 12    3, 15   →   bucket of rows 10 to 19:  (12, 1) (15, 2)
//!                                         bucket of rows 20 to 29:  (20, 0)
//! ```

use super::{
    bytes::{MOST_IN_MEMORY, Spool, cannot_decompress},
    dense::{DenseArray, MOST_AT_ONCE},
    element::ElementType,
};
use crate::error::{Error, Result};
use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};
use tempfile::SpooledTempFile;

/// The most entries of a bucket: with their rows, columns and numbers, they have at most
/// [`MOST_IN_MEMORY`] bytes.
const MOST_ENTRIES: u64 = (MOST_IN_MEMORY / 16) as u64;
/// The most bytes that wait to be written to a bucket.
const MOST_WAITING: usize = 64 << 10;

/// A matrix by columns.
pub struct Csc {
    /// The place of the first entry of each column, and the end of the last column.
    pub starts: Vec<u64>,
    /// The rows of the entries, and their array's name for messages.
    pub rows: (String, DenseArray),
    /// The numbers of the entries.
    pub numbers: DenseArray,
    /// The number of rows of the matrix.
    pub height: usize,
}

/// Takes a block of entries: the place of the first, and the bytes of their rows and of their numbers.
type TakeBlock<'t> = &'t mut dyn FnMut(usize, &[u8], &[u8]) -> Result<()>;

/// The entries of a matrix row after row.
#[derive(Debug)]
pub struct ByRows {
    /// The place of the first entry of each row, and the end of the last row.
    pub starts: Vec<u64>,
    /// The columns of the entries.
    pub columns: DenseArray,
    /// The numbers of the entries.
    pub numbers: DenseArray,
}

impl Csc {
    /// The same matrix by rows. `path` is the file that it comes from, for messages.
    ///
    /// # Errors
    /// If a row is out of range, or a file cannot be read or written.
    pub fn into_rows(self, path: &Path) -> Result<ByRows> {
        self.into_rows_with(path, MOST_ENTRIES)
    }

    fn into_rows_with(self, path: &Path, most: u64) -> Result<ByRows> {
        let path: Arc<Path> = path.into();
        let width = self.starts.len() - 1;
        if u32::try_from(width.max(self.height)).is_err() {
            let message = format!(
                "{}: a matrix by columns (csc) of {} rows and {width} columns",
                path.display(),
                self.height
            );
            return Err(Error::unsupported(message).help("convert it with `.tocsr()`"));
        }
        let starts = self.starts_of_rows(&path)?;
        let buckets = Buckets::new(&starts, most, self.numbers.element());
        let failed = |error| cannot_decompress(&path, error);
        let (columns, numbers) = self.sort(&starts, buckets, &path)?;
        let (columns, numbers) = (
            columns.finish(&path).map_err(failed)?,
            numbers.finish(&path).map_err(failed)?,
        );
        let count = starts.last().copied().unwrap_or(0) as usize;
        let dense = |bytes, element| {
            let array = DenseArray::new(bytes, element, vec![count]);
            array.expect("each entry was written once")
        };
        Ok(ByRows {
            starts,
            columns: dense(columns, ElementType::U32),
            numbers: dense(numbers, self.numbers.element()),
        })
    }

    /// The number of entries.
    fn count(&self) -> usize {
        self.starts.last().copied().unwrap_or(0) as usize
    }

    /// The place of the first entry of each row in a matrix by rows, and the end of the last row.
    fn starts_of_rows(&self, path: &Path) -> Result<Vec<u64>> {
        let mut starts = vec![0u64; self.height + 1];
        let mut rows = Vec::new();
        self.each_block(&mut |first, bytes, _| {
            rows.clear();
            self.rows.1.element().indices(bytes, &mut rows);
            for (at, &row) in (first..).zip(&rows) {
                let Some(count) = starts.get_mut(row.saturating_add(1)) else {
                    return Err(self.wrong_row(at, row, path));
                };
                *count += 1;
            }
            Ok(())
        })?;
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        Ok(starts)
    }

    /// The error of an entry in a row that the matrix does not have.
    fn wrong_row(&self, at: usize, row: usize, path: &Path) -> Error {
        let found = match row {
            usize::MAX => "one that is negative or too large".to_string(),
            row => row.to_string(),
        };
        let message = format!(
            "{}: `{}`: number {at}: expected a row from 0 to {}, found {found}",
            path.display(),
            self.rows.0,
            self.height as i64 - 1
        );
        Error::data(message).help("the indices of the matrix are damaged, or its shape is wrong")
    }

    /// Passes the entries to `take` in blocks.
    fn each_block(&self, take: TakeBlock) -> Result<()> {
        let most = MOST_AT_ONCE / 8;
        let (mut rows, mut numbers) = (Vec::new(), Vec::new());
        for first in (0..self.count()).step_by(most) {
            let count = most.min(self.count() - first);
            let rows = self.rows.1.bytes(first, count, &mut rows)?;
            take(first, rows, self.numbers.bytes(first, count, &mut numbers)?)?;
        }
        Ok(())
    }

    /// The columns and the numbers of all entries, sorted by row.
    fn sort(&self, starts: &[u64], mut buckets: Buckets, path: &Path) -> Result<(Spool, Spool)> {
        let failed = |error| cannot_decompress(path, error);
        let (mut rows, mut column) = (Vec::new(), 0);
        let size = self.numbers.element().size();
        self.each_block(&mut |first, bytes, numbers| {
            rows.clear();
            self.rows.1.element().indices(bytes, &mut rows);
            let entries = rows.iter().zip(numbers.chunks_exact(size));
            for (at, (&row, number)) in (first as u64..).zip(entries) {
                while self.starts[column + 1] <= at {
                    column += 1;
                }
                // The file may have changed since its rows were counted.
                if row >= self.height {
                    return Err(self.wrong_row(at as usize, row, path));
                }
                buckets
                    .push(row as u32, column as u32, number)
                    .map_err(failed)?;
            }
            Ok(())
        })?;
        buckets.sorted(starts).map_err(failed)
    }
}

/// Entries by bucket, in one file with a range for each bucket.
struct Buckets {
    file: SpooledTempFile,
    /// The first row of each bucket, and the number of rows.
    rows: Vec<usize>,
    /// The place in the file at which each bucket goes on.
    places: Vec<u64>,
    /// The end of each bucket in the file.
    ends: Vec<u64>,
    /// The entries of each bucket that are not in the file yet.
    waiting: Vec<Vec<u8>>,
    /// The bytes of an entry: its row, its column and its number.
    record: usize,
    /// The most bytes of `waiting` for each bucket.
    most_waiting: usize,
}

impl Buckets {
    /// Splits rows into buckets of at most `most` entries, or one row with more.
    fn new(starts: &[u64], most: u64, element: ElementType) -> Self {
        let record = 8 + element.size();
        let mut rows = vec![0];
        for row in 1..starts.len() {
            let first = rows[rows.len() - 1];
            if starts[row] - starts[first] > most && row - 1 > first {
                rows.push(row - 1);
            }
        }
        rows.push(starts.len() - 1);
        let place = |&row: &usize| starts[row] * record as u64;
        let count = rows.len() - 1;
        Buckets {
            file: SpooledTempFile::new(MOST_IN_MEMORY),
            places: rows[..count].iter().map(place).collect(),
            ends: rows[1..].iter().map(place).collect(),
            waiting: vec![Vec::new(); count],
            rows,
            record,
            most_waiting: (MOST_IN_MEMORY / count).clamp(record, MOST_WAITING),
        }
    }

    /// Adds an entry.
    fn push(&mut self, row: u32, column: u32, number: &[u8]) -> io::Result<()> {
        let bucket = self.rows.partition_point(|&first| first <= row as usize) - 1;
        let waiting = &mut self.waiting[bucket];
        waiting.extend_from_slice(&row.to_le_bytes());
        waiting.extend_from_slice(&column.to_le_bytes());
        waiting.extend_from_slice(number);
        match waiting.len() >= self.most_waiting {
            true => self.write(bucket),
            false => Ok(()),
        }
    }

    /// Writes what waits for a bucket to the file.
    fn write(&mut self, bucket: usize) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.waiting[bucket]);
        let place = self.places[bucket];
        self.places[bucket] += bytes.len() as u64;
        if self.places[bucket] > self.ends[bucket] {
            return Err(changed());
        }
        self.file.seek(SeekFrom::Start(place))?;
        self.file.write_all(&bytes)
    }

    /// The columns and the numbers of all entries, sorted by row.
    fn sorted(mut self, starts: &[u64]) -> io::Result<(Spool, Spool)> {
        let (mut all_columns, mut all_numbers) = (Spool::new(), Spool::new());
        let mut place = 0;
        for bucket in 0..self.waiting.len() {
            self.write(bucket)?;
            if self.places[bucket] != self.ends[bucket] {
                return Err(changed());
            }
            let mut records = vec![0; (self.ends[bucket] - place) as usize];
            self.file.seek(SeekFrom::Start(place))?;
            self.file.read_exact(&mut records)?;
            place = self.ends[bucket];
            let first = self.rows[bucket];
            let start = starts[first];
            let mut next: Vec<u64> = starts[first..self.rows[bucket + 1]].to_vec();
            let count = records.len() / self.record;
            let size = self.record - 8;
            let (mut columns, mut numbers) = (vec![0; 4 * count], vec![0; size * count]);
            for record in records.chunks_exact(self.record) {
                let (row, rest) = record.split_first_chunk::<4>().expect("a record has a row");
                let next = &mut next[u32::from_le_bytes(*row) as usize - first];
                let at = (*next - start) as usize;
                *next += 1;
                if at >= count {
                    return Err(changed());
                }
                columns[4 * at..][..4].copy_from_slice(&rest[..4]);
                numbers[size * at..][..size].copy_from_slice(&rest[4..]);
            }
            all_columns.push(&columns)?;
            all_numbers.push(&numbers)?;
        }
        Ok((all_columns, all_numbers))
    }
}

/// The error of a file whose entries are not those that were counted.
fn changed() -> io::Error {
    io::Error::other("it changed while it was read")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{run::data::bytes::Bytes, tensor::philox};

    const HEIGHT: usize = 50;
    const WIDTH: usize = 9;

    /// The number in a place; most are 0.
    fn number(row: usize, column: usize) -> f32 {
        let at = (row * WIDTH + column) as u32;
        match philox::words(5, 0, 1, at)[0] % 10 {
            number @ 7.. => number as f32 - 8.5,
            _ => 0.0,
        }
    }

    fn matrix() -> Csc {
        let (mut rows, mut numbers, mut starts) = (Vec::new(), Vec::new(), vec![0]);
        for column in 0..WIDTH {
            // Rows may stand in any order.
            for row in (0..HEIGHT).rev().filter(|&row| number(row, column) != 0.0) {
                rows.extend((row as i16).to_le_bytes());
                numbers.extend(f64::from(number(row, column)).to_le_bytes());
            }
            starts.push(rows.len() as u64 / 2);
        }
        let array = |bytes: Vec<u8>, letter, size| {
            let count = bytes.len() / size;
            let element = ElementType::new(letter, size, false).expect("a type");
            DenseArray::new(Bytes::from(bytes), element, vec![count]).expect("an array")
        };
        Csc {
            starts,
            rows: ("indices".to_string(), array(rows, 'i', 2)),
            numbers: array(numbers, 'f', 8),
            height: HEIGHT,
        }
    }

    #[test]
    fn rows_are_those_of_the_dense_matrix() {
        let expected: Vec<f32> = (0..HEIGHT * WIDTH)
            .map(|at| number(at / WIDTH, at % WIDTH))
            .collect();
        // Buckets of one row, of some rows, and of all.
        for most in [0, 1, 7, 40, MOST_ENTRIES] {
            let rows = matrix()
                .into_rows_with("test".as_ref(), most)
                .expect("a matrix");
            let numbers = rows.numbers.doubles().expect("in memory");
            let columns = rows.columns.doubles().expect("in memory");
            let mut found = vec![0.0; HEIGHT * WIDTH];
            for (row, place) in rows.starts.windows(2).enumerate() {
                let range = place[0] as usize..place[1] as usize;
                assert!(
                    columns[range.clone()].is_sorted(),
                    "in the order of columns"
                );
                for at in range {
                    found[row * WIDTH + columns[at] as usize] = numbers[at] as f32;
                }
            }
            assert_eq!(found, expected, "{most}");
        }
    }

    #[test]
    fn rows_out_of_range_are_refused() {
        let mut matrix = matrix();
        matrix.height = 40;
        let error = matrix
            .into_rows("test".as_ref())
            .expect_err("a row is out of range");
        let said = error.to_string();
        assert!(
            said.contains("test: `indices`: number 0: expected a row from 0 to 39"),
            "{said}"
        );
    }
}
