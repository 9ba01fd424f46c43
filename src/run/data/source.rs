//! Sources of rows: a trait for tables in memory, mapped files and sparse matrices.
//!
//! A source has a fixed number of rows, with a value of every variable for each row. Reading a row
//! twice gives the same values. Numbers are f32: grey values from 0 to 1, and classes as whole
//! numbers, with −1 for an unlabelled row. A numeric label is NaN there.

use crate::{error::Result, model::Variable};
use std::{fmt::Debug, sync::Arc};

/// A variable of a source, with the number of its floats in each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'s> {
    /// The variable's name in the model.
    pub name: &'s str,
    /// Floats per row: the number of the variable's features, or 1 for a class.
    pub width: usize,
}

/// Rows of named variables, read in batches.
pub trait Source: Debug + Send + Sync {
    /// The number of rows.
    fn rows(&self) -> usize;

    /// The place of a row in its data set: that of a row of a view is its place in the whole. The
    /// bits that a row's greys become in evaluation depend on it.
    fn place(&self, row: u32) -> u64 {
        u64::from(row)
    }

    /// The number of variables.
    fn field_count(&self) -> usize;

    /// The variable with this index, which is below [`Source::field_count`].
    fn field(&self, index: usize) -> Field<'_>;

    /// Copies the floats of a field of these rows to `out`, row after row. The length of `out` is
    /// the number of rows times the field's width.
    ///
    /// # Errors
    /// If the rows cannot be read, for example from a truncated file.
    fn read(&self, field: usize, rows: &[u32], out: &mut [f32]) -> Result<()>;

    /// Whether reading rows of a field takes long, as from a file. Training then reads the rows of the
    /// next step while a step computes.
    fn is_slow(&self, _field: usize) -> bool {
        false
    }

    /// Passes bytes that identify the values to `update`. Sources of different types may pass
    /// different bytes for the same values.
    ///
    /// # Errors
    /// If the rows cannot be read.
    fn digest(&self, update: &mut dyn FnMut(&[u8])) -> Result<()> {
        update(&(self.rows() as u64).to_le_bytes());
        for index in 0..self.field_count() {
            update(self.field(index).name.as_bytes());
            each_chunk(self, index, &mut |values| update_singles(values, update))?;
        }
        Ok(())
    }
}

/// Passes the bytes of numbers to `update`, little-endian.
pub(super) fn update_singles(values: &[f32], update: &mut dyn FnMut(&[u8])) {
    for values in values.chunks(1024) {
        let mut bytes = [0; 4 * 1024];
        let places = bytes.as_chunks_mut::<4>().0.iter_mut();
        places
            .zip(values)
            .for_each(|(bytes, value)| *bytes = value.to_le_bytes());
        update(&bytes[..4 * values.len()]);
    }
}

/// The most rows and numbers per chunk when a whole field is read.
const MOST_ROWS: usize = 4096;
const MOST_NUMBERS: usize = 1 << 21;

/// The rows `0..rows` in chunks, for rows of `width` numbers.
pub fn chunks(rows: usize, width: usize) -> impl Iterator<Item = Vec<u32>> {
    let most = (MOST_NUMBERS / width.max(1)).clamp(1, MOST_ROWS);
    let firsts = (0..rows).step_by(most);
    firsts.map(move |first| (first as u32..rows.min(first + most) as u32).collect())
}

/// Reads all rows of a field in chunks, in order.
pub(super) fn each_chunk<S: Source + ?Sized>(
    source: &S,
    field: usize,
    take: &mut dyn FnMut(&[f32]),
) -> Result<()> {
    let (rows, width) = (source.rows(), source.field(field).width);
    let mut floats = Vec::new();
    for chunk in chunks(rows, width) {
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

    /// The index of a variable by name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields().position(|field| field.name == name)
    }

    /// All values of a variable, row after row; `None` if the source does not have the variable.
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

    /// The class of each row, −1 for an unlabelled row; `None` if the source does not have the
    /// variable.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub fn classes(&self, name: &str) -> Result<Option<Vec<i32>>> {
        let values = self.values(name)?;
        Ok(values.map(|values| values.iter().map(|&class| class as i32).collect()))
    }
}

/// Selected rows of another source, in a given order. Labels of some rows may be hidden.
#[derive(Clone, Debug)]
pub struct RowView {
    source: Arc<dyn Source>,
    rows: Vec<u32>,
    /// The fields that are labels, each with what it has where it is unknown.
    labels: Vec<(usize, f32)>,
    /// Whether each row keeps its labels; empty if all rows do.
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

    /// Hides the labels of the rows for which `keeps` is false.
    pub fn hiding(self, labels: &[&Variable], keeps: Vec<bool>) -> Self {
        let hidden = |label: &&Variable| {
            let field = self.source.position(&label.name)?;
            Some((field, label.unknown()))
        };
        RowView {
            labels: labels.iter().filter_map(hidden).collect(),
            keeps,
            ..self
        }
    }
}

impl Source for RowView {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn place(&self, row: u32) -> u64 {
        self.source.place(self.rows[row as usize])
    }

    fn field_count(&self) -> usize {
        self.source.field_count()
    }

    fn field(&self, index: usize) -> Field<'_> {
        self.source.field(index)
    }

    fn read(&self, field: usize, rows: &[u32], out: &mut [f32]) -> Result<()> {
        let width = self.field(field).width;
        let mut labels = self.labels.iter();
        let hidden = labels.find(|(label, _)| *label == field);
        let hidden = hidden.filter(|_| !self.keeps.is_empty());
        // In parts, so that nothing is allocated.
        let mut places = [0; 256];
        for (rows, out) in rows
            .chunks(places.len())
            .zip(out.chunks_mut(places.len() * width))
        {
            let places = &mut places[..rows.len()];
            for (place, &row) in places.iter_mut().zip(rows) {
                *place = self.rows[row as usize];
            }
            self.source.read(field, places, out)?;
            for (&row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
                if let Some((_, unknown)) = hidden
                    && !self.keeps[row as usize]
                {
                    out.fill(*unknown);
                }
            }
        }
        Ok(())
    }

    fn is_slow(&self, field: usize) -> bool {
        self.source.is_slow(field)
    }
}
