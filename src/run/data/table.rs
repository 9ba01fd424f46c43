//! Rows of a data set: a column for each variable, in memory or in a file.

use super::{
    source::{Field, Source, each_chunk, update_singles},
    stored::Stored,
};
use crate::error::Result;
use std::sync::Arc;

/// A column for each observed variable, all with the same number of rows.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The number of rows.
    pub rows: usize,
    /// The columns, in the order of the model's variables.
    pub columns: Vec<Column>,
}

/// The values of a variable, row after row.
#[derive(Clone, Debug)]
pub struct Column {
    /// The variable's name.
    pub name: String,
    /// Features per row; 1 for a label.
    pub width: usize,
    /// The values of all rows, row after row.
    pub values: Values,
}

/// Values, in their type in memory.
#[derive(Clone, Debug)]
pub enum Values {
    /// Grey values: 255 is 1.
    Bytes(Vec<u8>),
    /// Numbers.
    Floats(Vec<f32>),
    /// Classes from 0, −1 for an unlabelled row.
    Classes(Vec<i32>),
    /// Numbers in the type of their file, in memory or in the file.
    Stored(Arc<Stored>),
}

impl Column {
    /// Copies the features of these rows.
    ///
    /// # Errors
    /// If the column is in a file that cannot be read.
    fn read(&self, rows: &[u32], out: &mut [f32]) -> Result<()> {
        let width = self.width;
        let range = |row: u32| row as usize * width..(row as usize + 1) * width;
        let rows_out = rows.iter().zip(out.chunks_exact_mut(width));
        match &self.values {
            Values::Bytes(bytes) => rows_out.for_each(|(&row, out)| {
                out.iter_mut()
                    .zip(&bytes[range(row)])
                    .for_each(|(out, byte)| *out = f32::from(*byte) / 255.0);
            }),
            Values::Floats(floats) => {
                rows_out.for_each(|(&row, out)| out.copy_from_slice(&floats[range(row)]));
            }
            Values::Classes(classes) => {
                rows_out.for_each(|(&row, out)| out[0] = classes[row as usize] as f32);
            }
            Values::Stored(stored) => return stored.read(rows, out),
        }
        Ok(())
    }
}

impl Table {
    /// The column of a variable.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The classes of a label, −1 for unlabelled rows.
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
                Values::Stored(stored) => {
                    let rows = rows.iter().map(|&row| row as u32).collect();
                    Values::Stored(Arc::new(stored.select(rows)))
                }
            },
            ..column.clone()
        });
        Table {
            rows: rows.len(),
            columns: columns.collect(),
        }
    }
}

impl From<Table> for Arc<dyn Source> {
    fn from(table: Table) -> Self {
        Arc::new(table)
    }
}

impl Source for Table {
    fn rows(&self) -> usize {
        self.rows
    }

    fn field_count(&self) -> usize {
        self.columns.len()
    }

    fn field(&self, index: usize) -> Field<'_> {
        let Column { name, width, .. } = &self.columns[index];
        Field {
            name,
            width: *width,
        }
    }

    fn read(&self, field: usize, rows: &[u32], out: &mut [f32]) -> Result<()> {
        self.columns[field].read(rows, out)
    }

    fn is_slow(&self, field: usize) -> bool {
        match &self.columns[field].values {
            Values::Stored(stored) => !stored.is_in_memory(),
            _ => false,
        }
    }

    // Runs store a fingerprint of these bytes, so the bytes must not change.
    fn digest(&self, update: &mut dyn FnMut(&[u8])) -> Result<()> {
        update(&(self.rows as u64).to_le_bytes());
        for (index, column) in self.columns.iter().enumerate() {
            update(column.name.as_bytes());
            match &column.values {
                Values::Bytes(values) => update(values),
                Values::Floats(values) => update_singles(values, update),
                Values::Classes(values) => {
                    values.iter().for_each(|value| update(&value.to_le_bytes()))
                }
                Values::Stored(stored) if stored.is_sparse() => {
                    each_chunk(self, index, &mut |values| {
                        update_sparse(values, column.width, update);
                    })?;
                }
                Values::Stored(_) => {
                    each_chunk(self, index, &mut |values| update_singles(values, update))?;
                }
            }
        }
        Ok(())
    }
}

/// Passes the columns and bytes of the numbers that are not 0 to `update`, and the end of each row. The
/// order of a row's entries in the file does not matter, nor do entries that are 0.
fn update_sparse(values: &[f32], width: usize, update: &mut dyn FnMut(&[u8])) {
    let mut bytes = Vec::new();
    for row in values.chunks_exact(width) {
        bytes.clear();
        for (column, value) in (0u64..).zip(row).filter(|(_, value)| **value != 0.0) {
            bytes.extend_from_slice(&column.to_le_bytes());
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.extend_from_slice(&u64::MAX.to_le_bytes());
        update(&bytes);
    }
}
