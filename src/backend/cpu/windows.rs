//! Operands of contractions that are read through windows: lines of their elements, made as a contraction packs them.

use super::Address;
use crate::plan::{self, Span};
use std::ops::Range;

/// A matrix whose rows are the positions of windows, and whose columns are what is in them.
pub(super) struct Reader {
    address: Address,
    /// Of the axes that make the rows: size, stride, and the stride of each span.
    rows: Vec<(usize, usize, Vec<isize>)>,
    offsets: Vec<isize>,
    spans: Vec<Span>,
    /// Neighbours in memory among the columns, in order.
    runs: Vec<Run>,
}

/// Columns that lie side by side in memory, all in the windows or none.
struct Run {
    columns: Range<usize>,
    start: usize,
    /// What they add to each span's sum.
    spans: Vec<isize>,
}

/// Axes and spans of a matrix, at most.
const MOST_AXES: usize = 16;
const MOST_SPANS: usize = 8;

/// Positions along axes, outermost first, one after another.
struct Counter<'a> {
    axes: &'a [(usize, usize, Vec<isize>)],
    index: [usize; MOST_AXES],
    place: usize,
    sums: [isize; MOST_SPANS],
}

impl<'a> Counter<'a> {
    fn new(axes: &'a [(usize, usize, Vec<isize>)], mut position: usize) -> Self {
        let mut counter = Counter { axes, index: [0; MOST_AXES], place: 0, sums: [0; MOST_SPANS] };
        for (at, (size, stride, steps)) in axes.iter().enumerate().rev() {
            counter.index[at] = position % size;
            position /= size;
            counter.place += counter.index[at] * stride;
            counter.sums.iter_mut().zip(steps).for_each(|(sum, step)| *sum += counter.index[at] as isize * step);
        }
        counter
    }

    fn advance(&mut self) {
        for (at, (size, stride, steps)) in self.axes.iter().enumerate().rev() {
            self.index[at] += 1;
            self.place += stride;
            self.sums.iter_mut().zip(steps).for_each(|(sum, step)| *sum += step);
            if self.index[at] < *size {
                return;
            }
            self.index[at] = 0;
            self.place -= size * stride;
            self.sums.iter_mut().zip(steps).for_each(|(sum, step)| *sum -= *size as isize * step);
        }
    }
}

impl Reader {
    /// Of an operand, its columns the places within the windows.
    pub fn new(windows: &plan::Windows, address: Address) -> Self {
        let access = &windows.access;
        let axes = windows.rows.len() + windows.columns.len();
        assert!(axes <= MOST_AXES && access.spans.len() <= MOST_SPANS, "a matrix has few axes");
        let axis = |at: usize, size: usize| {
            (size, access.strides[at], access.spans.iter().map(|span| span.strides[at]).collect::<Vec<isize>>())
        };
        let first: Vec<_> = windows.rows.iter().enumerate().map(|(at, &size)| axis(at, size)).collect();
        let second: Vec<_> =
            windows.columns.iter().enumerate().map(|(at, &size)| axis(windows.rows.len() + at, size)).collect();
        // The positions are summed over, or make rows or columns of the result.
        let (rows, columns) = if windows.left == windows.along_positions { (second, first) } else { (first, second) };
        let width = columns.iter().map(|(size, ..)| size).product();
        let mut counter = Counter::new(&columns, 0);
        let mut runs: Vec<Run> = Vec::new();
        for column in 0..width {
            match runs.last_mut() {
                Some(run)
                    if run.start + column - run.columns.start == counter.place
                        && run.spans == counter.sums[..access.spans.len()] =>
                {
                    run.columns.end = column + 1;
                }
                _ => runs.push(Run {
                    columns: column..column + 1,
                    start: counter.place,
                    spans: counter.sums[..access.spans.len()].to_vec(),
                }),
            }
            counter.advance();
        }
        let offsets = access.spans.iter().map(|span| span.offset).collect();
        Reader { address, rows, offsets, spans: access.spans.clone(), runs }
    }

    /// Writes some columns of some rows, a row every `stride` floats.
    ///
    /// # Safety
    /// The rows and columns must be the matrix's, and `out` writable for the rows.
    pub unsafe fn lines(&self, rows: Range<usize>, columns: Range<usize>, out: *mut f32, stride: usize) {
        let mut counter = Counter::new(&self.rows, rows.start);
        counter.sums.iter_mut().zip(&self.offsets).for_each(|(sum, offset)| *sum += offset);
        let begin = self.runs.partition_point(|run| run.columns.end <= columns.start);
        let end = self.runs.partition_point(|run| run.columns.start < columns.end);
        for line in 0..rows.len() {
            let out = out.wrapping_add(line * stride);
            for run in &self.runs[begin..end] {
                let from = run.columns.start.max(columns.start);
                let len = run.columns.end.min(columns.end) - from;
                let to = out.wrapping_add(from - columns.start);
                let mut named = Some(0);
                for (span, (own, more)) in self.spans.iter().zip(counter.sums.iter().zip(&run.spans)) {
                    named = named.zip(span.place(own + more)).map(|(before, place)| before + place * span.step);
                }
                // SAFETY: a place that windows name lies within the buffer, as the plan's verifier checks.
                unsafe {
                    match named {
                        Some(place) => {
                            let start = counter.place + run.start + from - run.columns.start + place;
                            copy(self.address.0.wrapping_add(start), to, len);
                        }
                        None => std::slice::from_raw_parts_mut(to, len).fill(0.0),
                    }
                }
            }
            counter.advance();
        }
    }
}

/// Copies some floats, as a rule few.
///
/// # Safety
/// They must be readable and writable.
#[inline]
unsafe fn copy(from: *const f32, to: *mut f32, len: usize) {
    // SAFETY: as the caller's.
    unsafe {
        match len {
            1 => *to = *from,
            // Channels: whole vectors, which the compiler sees.
            16 => *to.cast::<[f32; 16]>() = *from.cast(),
            32 => *to.cast::<[f32; 32]>() = *from.cast(),
            _ => std::ptr::copy_nonoverlapping(from, to, len),
        }
    }
}
