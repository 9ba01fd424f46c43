//! Where rows come from: a trait, so that tables in memory, mapped files and sparse matrices are
//! read alike.
//!
//! A source has a fixed number of rows and a value of every variable for each of them. Reading a
//! row twice gives the same values. Numbers are f32: greys from 0 to 1, and classes as whole
//! numbers, −1 where a row has no label.

use crate::error::Result;
use std::{fmt::Debug, sync::Arc};

/// A variable that a source has, and the number of floats that it has in each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'s> {
    /// The variable's name in the model.
    pub name: &'s str,
    /// Floats in a row: the variable's features, or 1 for a class.
    pub width: usize,
}

/// Rows of named variables, which are read in batches.
pub trait Source: Debug + Send + Sync {
    /// The number of rows.
    fn rows(&self) -> usize;

    /// The number of variables.
    fn field_count(&self) -> usize;

    /// The variable of an index below [`Source::field_count`].
    fn field(&self, index: usize) -> Field<'_>;

    /// Copies the floats of one field of these rows to `out`, row after row; `out` has as many
    /// floats as the rows have.
    ///
    /// # Errors
    /// If the rows cannot be read, as from a file that was cut short.
    fn read(&self, field: usize, rows: &[u32], out: &mut [f32]) -> Result<()>;

    /// Gives `update` bytes that tell these values from others. Two sources with the same values
    /// may give different bytes if they are of different types.
    ///
    /// # Errors
    /// If the rows cannot be read.
    fn digest(&self, update: &mut dyn FnMut(&[u8])) -> Result<()> {
        update(&(self.rows() as u64).to_le_bytes());
        for index in 0..self.field_count() {
            update(self.field(index).name.as_bytes());
            each_chunk(self, index, &mut |values| {
                values.iter().for_each(|value| update(&value.to_le_bytes()));
            })?;
        }
        Ok(())
    }
}

/// Rows that are read at once when a whole field is read.
const CHUNK: usize = 4096;

/// Reads all rows of one field in chunks, in order.
fn each_chunk<S: Source + ?Sized>(
    source: &S,
    field: usize,
    take: &mut dyn FnMut(&[f32]),
) -> Result<()> {
    let (rows, width) = (source.rows(), source.field(field).width);
    let mut floats = Vec::new();
    for first in (0..rows).step_by(CHUNK) {
        let chunk: Vec<u32> = (first as u32..rows.min(first + CHUNK) as u32).collect();
        floats.resize(chunk.len() * width, 0.0);
        source.read(field, &chunk, &mut floats)?;
        take(&floats);
    }
    Ok(())
}

impl dyn Source + '_ {
    /// The variables, in their order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        (0..self.field_count()).map(|index| self.field(index))
    }

    /// The index of a variable.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields().position(|field| field.name == name)
    }

    /// All values of a variable, row after row; none if the source does not have it.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub fn values(&self, name: &str) -> Result<Option<Vec<f32>>> {
        let Some(field) = self.position(name) else {
            return Ok(None);
        };
        let mut all = Vec::with_capacity(self.rows() * self.field(field).width);
        each_chunk(self, field, &mut |values| all.extend_from_slice(values))?;
        Ok(Some(all))
    }

    /// The class of each row, −1 for none; none if the source does not have the variable.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub fn classes(&self, name: &str) -> Result<Option<Vec<i32>>> {
        let values = self.values(name)?;
        Ok(values.map(|values| values.iter().map(|&class| class as i32).collect()))
    }
}

/// Some rows of another source, in an order of their own, some of them without their labels.
#[derive(Clone, Debug)]
pub struct RowView {
    source: Arc<dyn Source>,
    rows: Vec<u32>,
    /// The fields that are labels.
    labels: Vec<usize>,
    /// Whether each row keeps its labels; empty if all do.
    keeps: Vec<bool>,
}

impl RowView {
    /// The rows at these positions, with all of their labels.
    pub fn new(source: Arc<dyn Source>, rows: Vec<u32>) -> Self {
        RowView {
            source,
            rows,
            labels: Vec::new(),
            keeps: Vec::new(),
        }
    }

    /// The same rows, where only those keep their labels for which `keeps` is true.
    pub fn hiding(self, labels: &[&str], keeps: Vec<bool>) -> Self {
        let position = |name: &&str| self.source.position(name);
        RowView {
            labels: labels.iter().filter_map(position).collect(),
            keeps,
            ..self
        }
    }
}

impl Source for RowView {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn field_count(&self) -> usize {
        self.source.field_count()
    }

    fn field(&self, index: usize) -> Field<'_> {
        self.source.field(index)
    }

    fn read(&self, field: usize, rows: &[u32], out: &mut [f32]) -> Result<()> {
        let width = self.field(field).width;
        let hides = !self.keeps.is_empty() && self.labels.contains(&field);
        for (&row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
            let row = row as usize;
            if hides && !self.keeps[row] {
                out.fill(-1.0);
            } else {
                self.source.read(field, &self.rows[row..=row], out)?;
            }
        }
        Ok(())
    }
}
