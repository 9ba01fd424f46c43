//! Means and deviations of the features of a variable.

use super::source::{Source, each_chunk};
use crate::error::Result;

/// The values of a feature over all rows, except those that are missing.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    /// The number of rows that have a value.
    pub observed: usize,
    /// The mean; 0 if no row has a value.
    pub mean: f64,
    /// The standard deviation, of the rows as a whole population; 0 if no row has a value.
    pub deviation: f64,
}

/// The sums of a feature over the rows that have a value.
#[derive(Clone, Copy, Default)]
struct Sums {
    observed: usize,
    /// The first value. Sums of differences from it do not cancel.
    origin: f64,
    differences: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        if self.observed == 0 {
            self.origin = value;
        }
        self.observed += 1;
        let difference = value - self.origin;
        self.differences += difference;
        self.squares += difference * difference;
    }

    fn feature(&self) -> Feature {
        let rows = self.observed.max(1) as f64;
        let mean = self.differences / rows;
        Feature {
            observed: self.observed,
            mean: self.origin + mean,
            deviation: (self.squares / rows - mean * mean).max(0.0).sqrt(),
        }
    }
}

/// The mean and deviation of each feature of a field, without NaN; one pass over the rows.
///
/// # Errors
/// If the rows cannot be read.
pub fn features(source: &dyn Source, field: usize) -> Result<Vec<Feature>> {
    let width = source.field(field).width;
    let mut sums = vec![Sums::default(); width];
    each_chunk(source, field, &mut |values| {
        for row in values.chunks_exact(width) {
            for (sums, &value) in sums.iter_mut().zip(row) {
                sums.add(f64::from(value));
            }
        }
    })?;
    Ok(sums.iter().map(Sums::feature).collect())
}
