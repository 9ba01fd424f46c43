//! Means and deviations of the features of a variable.

use super::source::{Source, each_chunk};
use crate::error::Result;

/// The values of a feature over all rows.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    /// The mean.
    pub mean: f64,
    /// The standard deviation, of the rows as a whole population.
    pub deviation: f64,
}

/// The mean and deviation of each feature of a field; one pass over the rows.
///
/// # Errors
/// If the rows cannot be read.
pub fn features(source: &dyn Source, field: usize) -> Result<Vec<Feature>> {
    let width = source.field(field).width;
    // Sums of differences from the first row do not cancel.
    let mut origin: Vec<f64> = Vec::new();
    let mut sums = vec![(0.0, 0.0); width];
    each_chunk(source, field, &mut |values| {
        for row in values.chunks_exact(width) {
            if origin.is_empty() {
                origin = row.iter().map(|&value| f64::from(value)).collect();
            }
            for ((sum, squares), (&value, origin)) in sums.iter_mut().zip(row.iter().zip(&origin)) {
                let difference = f64::from(value) - origin;
                *sum += difference;
                *squares += difference * difference;
            }
        }
    })?;
    let rows = source.rows() as f64;
    let feature = |(&origin, (sum, squares)): (&f64, (f64, f64))| {
        let mean = sum / rows;
        Feature {
            mean: origin + mean,
            deviation: (squares / rows - mean * mean).max(0.0).sqrt(),
        }
    };
    Ok(origin.iter().zip(sums).map(feature).collect())
}
