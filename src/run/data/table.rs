//! Rows in memory: a column for each variable.

use super::source::{Field, Source};
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
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Grey values: 255 is 1.
    Bytes(Vec<u8>),
    /// Numbers.
    Floats(Vec<f32>),
    /// Classes from 0, −1 for an unlabelled row.
    Classes(Vec<i32>),
}

impl Column {
    /// Copies the features of a row.
    pub fn copy_row(&self, row: usize, out: &mut [f32]) {
        let range = row * self.width..(row + 1) * self.width;
        match &self.values {
            Values::Bytes(bytes) => {
                out.iter_mut()
                    .zip(&bytes[range])
                    .for_each(|(out, byte)| *out = f32::from(*byte) / 255.0);
            }
            Values::Floats(floats) => out.copy_from_slice(&floats[range]),
            Values::Classes(classes) => out[0] = classes[row] as f32,
        }
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
        let column = &self.columns[field];
        for (&row, out) in rows.iter().zip(out.chunks_exact_mut(column.width)) {
            column.copy_row(row as usize, out);
        }
        Ok(())
    }

    // Runs store a fingerprint of these bytes, so the bytes must not change.
    fn digest(&self, update: &mut dyn FnMut(&[u8])) -> Result<()> {
        update(&(self.rows as u64).to_le_bytes());
        for column in &self.columns {
            update(column.name.as_bytes());
            match &column.values {
                Values::Bytes(values) => update(values),
                Values::Floats(values) => {
                    values.iter().for_each(|value| update(&value.to_le_bytes()))
                }
                Values::Classes(values) => {
                    values.iter().for_each(|value| update(&value.to_le_bytes()))
                }
            }
        }
        Ok(())
    }
}
