//! A sum over the positions of windows, computed in parts. It is used for many positions and few
//! results, such as the gradient of a convolution's weights, which is summed over all pixels.
//!
//! A thread computes each part, and then each tile of the result adds the parts in order. The split
//! depends only on the plan, so the result does not depend on the threads.

use super::{
    super::memory::Address,
    blocking::{Multiplier, View},
};
use crate::{
    error::{Error, Result},
    plan::{Contraction, Product, Windows},
};
use std::ops::Range;

/// The maximum number of parts of a sum, and the minimum number of positions of a part.
const MOST_PARTS: usize = 32;
const LEAST_POSITIONS: usize = 512;
/// The maximum number of floats of all parts, if there are more than two.
const MOST_RESULTS: usize = 1 << 22;
/// Floats of the lines per multiplication: half of the second-level cache.
const MOST_LINES: usize = 1 << 16;

/// The split of a sum.
pub struct SplitSum {
    /// The product and its range of positions, for each part.
    pub ranges: Vec<(usize, Range<usize>)>,
    /// Positions per multiplication.
    pub depth: usize,
    /// Floats of a part's results.
    results: usize,
    /// Places in a window: the rows of the result if the parts are transposed, else its columns.
    wide: usize,
    /// Whether a part has its results transposed, which is so if the windows are the left operand.
    pub transposed: bool,
}

impl SplitSum {
    /// Returns `None` if the sum is not over the positions of windows.
    ///
    /// # Errors
    /// If only some of the products are summed over positions of windows.
    pub fn new(contraction: &Contraction) -> Result<Option<Self>> {
        let along = |product: &Product| {
            let windows = product.windows.as_ref();
            windows
                .filter(|windows| windows.along_positions)
                .map(|Windows { left, .. }| *left)
        };
        let mut sides = contraction.products.iter().map(along);
        let Some(transposed) = sides.clone().flatten().next() else {
            return Ok(None);
        };
        if sides.any(|side| side != Some(transposed)) {
            return Err(Error::unsupported(
                "the CPU sums either all products of a contraction along the positions of windows, \
                 or none",
            ));
        }
        let wide = if transposed {
            contraction.m
        } else {
            contraction.n
        };
        let results = contraction.m.saturating_mul(contraction.n);
        Ok(Some(SplitSum {
            ranges: ranges(contraction, results),
            depth: (MOST_LINES / wide.max(1)).clamp(64, 512),
            results,
            wide,
            transposed,
        }))
    }

    /// Floats of all parts.
    pub fn len(&self) -> usize {
        self.ranges.len().saturating_mul(self.results)
    }

    /// Floats of lines, rounded up to a cache line.
    pub fn lines_len(&self) -> usize {
        let len = self.depth.saturating_mul(self.wide);
        len.checked_next_multiple_of(16).unwrap_or(usize::MAX)
    }

    /// Floats of workspace: lines, packed lines and the packed other operand.
    pub fn workspace_len(&self, by: Multiplier) -> usize {
        let lines = self
            .lines_len()
            .saturating_add(by.packed_len(self.depth, self.wide));
        lines.saturating_add(by.workspace_len(by.packed_depth(self.depth)))
    }

    /// The address of part `number`, if the parts start at `parts`.
    ///
    /// # Safety
    /// `parts` must point to [`SplitSum::len`] floats, and there must be such a part.
    pub unsafe fn part(&self, parts: Address, number: usize) -> Address {
        // SAFETY: as the caller's.
        unsafe { parts.add(number * self.results) }
    }

    /// Adds the parts in order, for a range of rows of the `m` × `n` result. `out` begins with the
    /// first of them.
    ///
    /// # Safety
    /// `parts` must point to all parts, which must have been made. `out` must be writable for the
    /// rows, and no other thread may use these.
    pub unsafe fn total(&self, parts: Address, out: View, rows: Range<usize>, m: usize, n: usize) {
        let (row_stride, column_stride) = if self.transposed { (1, m) } else { (n, 1) };
        let first = rows.start;
        for row in rows {
            for number in 0..self.ranges.len() {
                let part = parts.at(number * self.results).cast_const();
                for column in 0..n {
                    // SAFETY: as the caller's.
                    unsafe {
                        let from = *part.add(row * row_stride + column * column_stride);
                        let to = out.at(row - first, column);
                        *to = if number == 0 { from } else { *to + from };
                    }
                }
            }
        }
    }
}

/// Divides the positions of all products into parts of about equal length.
fn ranges(contraction: &Contraction, results: usize) -> Vec<(usize, Range<usize>)> {
    let products = &contraction.products;
    let total = products
        .iter()
        .fold(0usize, |total, product| total.saturating_add(product.k));
    let count = (total / LEAST_POSITIONS)
        .min(MOST_PARTS)
        .min(MOST_RESULTS / results.max(1))
        .max(2);
    let each = total.div_ceil(count).max(1);
    let parts = products.iter().enumerate().flat_map(|(number, product)| {
        let starts = (0..product.k).step_by(each);
        starts.map(move |start| (number, start..start.saturating_add(each).min(product.k)))
    });
    parts.collect()
}
