//! A sum along the positions of windows, made in parts: there are many positions and few results,
//! as where the gradient of a convolution's weights is summed over all pixels.
//!
//! One thread makes each part, and each tile of the result then adds the parts in order. How the
//! sum is split depends on the plan alone, so the result does not depend on the threads.

use super::{
    super::memory::Address,
    blocking::{Multiplier, View},
};
use crate::{
    error::{Error, Result},
    plan::{Contraction, Product, Windows},
};
use std::ops::Range;

/// Parts of a sum at most, and positions of a part at least.
const MOST_PARTS: usize = 32;
const LEAST_POSITIONS: usize = 512;
/// Floats of all parts at most, where there are more than two.
const MOST_RESULTS: usize = 1 << 22;
/// Floats of the lines that are multiplied at once: half of the second-level cache.
const MOST_LINES: usize = 1 << 16;

/// How a sum is split.
pub struct SplitSum {
    /// For each part its product, and that product's positions.
    pub ranges: Vec<(usize, Range<usize>)>,
    /// Positions that are multiplied at once.
    pub depth: usize,
    /// Floats of a part's results.
    results: usize,
    /// Places in a window: the rows of the result if the parts are transposed, else its columns.
    wide: usize,
    /// Whether a part holds the transpose of its results: if the windows are the left operand.
    pub transposed: bool,
}

impl SplitSum {
    /// None if the sum does not run along the positions of windows.
    ///
    /// # Errors
    /// If only some of the products do.
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

    /// Floats of lines, up to where a cache line begins.
    pub fn lines_len(&self) -> usize {
        let len = self.depth.saturating_mul(self.wide);
        len.checked_next_multiple_of(16).unwrap_or(usize::MAX)
    }

    /// Floats of workspace: for lines, the same packed, and the other operand packed.
    pub fn workspace_len(&self, by: Multiplier) -> usize {
        let lines = self
            .lines_len()
            .saturating_add(by.packed_len(self.depth, self.wide));
        lines.saturating_add(by.workspace_len(self.depth))
    }

    /// Where part `number` lies, of all parts at `parts`.
    ///
    /// # Safety
    /// `parts` must point to [`SplitSum::len`] floats, and there must be such a part.
    pub unsafe fn part(&self, parts: Address, number: usize) -> Address {
        // SAFETY: as the caller's.
        unsafe { parts.add(number * self.results) }
    }

    /// Adds the parts in order, for some rows of the `m` × `n` result.
    ///
    /// # Safety
    /// `parts` must point to all parts, which must have been made. `out` must be writable for the
    /// rows, and no other thread may use these.
    pub unsafe fn total(&self, parts: Address, out: View, rows: Range<usize>, m: usize, n: usize) {
        let (row_stride, column_stride) = if self.transposed { (1, m) } else { (n, 1) };
        for row in rows {
            for number in 0..self.ranges.len() {
                let part = parts.at(number * self.results).cast_const();
                for column in 0..n {
                    // SAFETY: as the caller's.
                    unsafe {
                        let from = *part.add(row * row_stride + column * column_stride);
                        let to = out.at(row, column);
                        *to = if number == 0 { from } else { *to + from };
                    }
                }
            }
        }
    }
}

/// Positions of all products, in parts of about one length.
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
