//! Arrays whose numbers keep their type, in memory or in a file, and become single precision when they
//! are read.

use super::{bytes::Bytes, element::ElementType};
use crate::{error::Result, run::arrays::elements};

/// The most bytes that are read from a file at once.
pub const MOST_AT_ONCE: usize = 1 << 20;

/// An array, row-major: its first axis is the row.
#[derive(Clone, Debug)]
pub struct DenseArray {
    bytes: Bytes,
    element: ElementType,
    shape: Vec<usize>,
}

impl DenseArray {
    /// An array with this many bytes; `None` if its shape has another number of them.
    pub fn new(bytes: Bytes, element: ElementType, shape: Vec<usize>) -> Option<Self> {
        let wanted = elements(&shape).and_then(|count| count.checked_mul(element.size()));
        (wanted == Some(bytes.len())).then_some(DenseArray {
            bytes,
            element,
            shape,
        })
    }

    /// The sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of the numbers.
    pub fn element(&self) -> ElementType {
        self.element
    }

    /// The number of numbers.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.element.size()
    }

    /// Whether the numbers are in memory.
    pub fn is_in_memory(&self) -> bool {
        self.bytes.is_in_memory()
    }

    /// The numbers of a row.
    pub fn width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// The bytes of `count` numbers from `first` on. `scratch` holds them if they come from a file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn bytes<'a>(
        &'a self,
        first: usize,
        count: usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<&'a [u8]> {
        let size = self.element.size();
        self.bytes.get(first * size, count * size, scratch)
    }

    /// Passes all numbers to `take` in parts, as bytes, with the index of the first of each part.
    ///
    /// # Errors
    /// If the file cannot be read, or with the error of `take`.
    pub fn each_part(&self, take: &mut dyn FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
        let most = MOST_AT_ONCE / self.element.size();
        let mut scratch = Vec::new();
        for first in (0..self.len()).step_by(most) {
            let count = most.min(self.len() - first);
            take(first, self.bytes(first, count, &mut scratch)?)?;
        }
        Ok(())
    }

    /// All numbers, in double precision.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn doubles(&self) -> Result<Vec<f64>> {
        let mut all = Vec::with_capacity(self.len());
        self.each_part(&mut |_, bytes| {
            self.element.doubles(bytes, &mut all);
            Ok(())
        })?;
        Ok(all)
    }

    /// Copies these rows to `out`, row after row.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&self, rows: &[u32], out: &mut [f32]) -> Result<()> {
        let width = self.width();
        let most = (MOST_AT_ONCE / (width * self.element.size()).max(1)).max(1);
        let (mut scratch, mut out) = (Vec::new(), out);
        for (first, count) in runs(rows, &mut |_, count| count <= most) {
            let (now, later) = out.split_at_mut(count * width);
            let bytes = self.bytes(first * width, count * width, &mut scratch)?;
            self.element.singles(bytes, now);
            out = later;
        }
        Ok(())
    }
}

/// Splits rows into runs of consecutive rows, which are next to each other in a file: the first row and
/// the number of rows. A run is as long as `fits` accepts, at least one row.
pub fn runs(rows: &[u32], fits: &mut dyn FnMut(usize, usize) -> bool) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &row in rows {
        let row = row as usize;
        match runs.last_mut() {
            Some((first, count)) if *first + *count == row && fits(*first, *count + 1) => {
                *count += 1;
            }
            _ => runs.push((row, 1)),
        }
    }
    runs
}
