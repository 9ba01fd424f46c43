//! Operands of contractions that are read through windows: lines of their elements, made as a
//! contraction packs them.

use super::super::Address;
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
    /// For each span the least and the most that runs add to its sum.
    reach: Vec<(isize, isize)>,
}

/// Columns that lie side by side in memory, all in the windows or none.
struct Run {
    columns: Range<usize>,
    start: usize,
    /// What they add to each span's sum.
    spans: Vec<isize>,
    /// How far they are from where a row begins, if all windows name a place.
    offset: isize,
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
        let mut counter = Counter {
            axes,
            index: [0; MOST_AXES],
            place: 0,
            sums: [0; MOST_SPANS],
        };
        for (at, (size, stride, steps)) in axes.iter().enumerate().rev() {
            counter.index[at] = position % size;
            position /= size;
            counter.place += counter.index[at] * stride;
            counter
                .sums
                .iter_mut()
                .zip(steps)
                .for_each(|(sum, step)| *sum += counter.index[at] as isize * step);
        }
        counter
    }

    fn advance(&mut self) {
        for (at, (size, stride, steps)) in self.axes.iter().enumerate().rev() {
            self.index[at] += 1;
            self.place += stride;
            self.sums
                .iter_mut()
                .zip(steps)
                .for_each(|(sum, step)| *sum += step);
            if self.index[at] < *size {
                return;
            }
            self.index[at] = 0;
            self.place -= size * stride;
            self.sums
                .iter_mut()
                .zip(steps)
                .for_each(|(sum, step)| *sum -= *size as isize * step);
        }
    }
}

impl Reader {
    /// Of an operand, its columns the places within the windows.
    pub fn new(windows: &plan::Windows, address: Address) -> Self {
        let access = &windows.access;
        let axes = windows.rows.len() + windows.columns.len();
        assert!(
            axes <= MOST_AXES && access.spans.len() <= MOST_SPANS,
            "a matrix has few axes"
        );
        let axis = |at: usize, size: usize| {
            (
                size,
                access.strides[at],
                access
                    .spans
                    .iter()
                    .map(|span| span.strides[at])
                    .collect::<Vec<isize>>(),
            )
        };
        let first: Vec<_> = windows
            .rows
            .iter()
            .enumerate()
            .map(|(at, &size)| axis(at, size))
            .collect();
        let second: Vec<_> = windows
            .columns
            .iter()
            .enumerate()
            .map(|(at, &size)| axis(windows.rows.len() + at, size))
            .collect();
        // The positions are summed over, or make rows or columns of the result.
        let (rows, columns) = if windows.left == windows.along_positions {
            (second, first)
        } else {
            (first, second)
        };
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
                    offset: counter.place as isize + along(&access.spans, &counter.sums),
                }),
            }
            counter.advance();
        }
        let offsets = access.spans.iter().map(|span| span.offset).collect();
        let reach = (0..access.spans.len()).map(|span| {
            let sums = || runs.iter().map(|run| run.spans[span]);
            (sums().min().unwrap_or(0), sums().max().unwrap_or(0))
        });
        let reach = reach.collect();
        Reader {
            address,
            rows,
            offsets,
            spans: access.spans.clone(),
            runs,
            reach,
        }
    }

    /// Writes some columns of some rows, a row every `stride` floats.
    ///
    /// # Safety
    /// The rows and columns must be the matrix's, and `out` writable for the rows.
    pub unsafe fn lines(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        out: *mut f32,
        stride: usize,
    ) {
        let mut counter = Counter::new(&self.rows, rows.start);
        counter
            .sums
            .iter_mut()
            .zip(&self.offsets)
            .for_each(|(sum, offset)| *sum += offset);
        let begin = self
            .runs
            .partition_point(|run| run.columns.end <= columns.start);
        let end = self
            .runs
            .partition_point(|run| run.columns.start < columns.end);
        for line in 0..rows.len() {
            let out = out.wrapping_add(line * stride);
            let inside = self.spans.iter().zip(&counter.sums).zip(&self.reach).all(
                |((span, own), (least, most))| {
                    span.divisor == 1 && own + least >= 0 && own + most < span.size as isize
                },
            );
            let place = counter.place as isize + along(&self.spans, &counter.sums);
            for run in &self.runs[begin..end] {
                let from = run.columns.start.max(columns.start);
                let len = run.columns.end.min(columns.end) - from;
                let to = out.wrapping_add(from - columns.start);
                let start = if inside {
                    Some(place + run.offset)
                } else {
                    self.start(run, &counter)
                };
                // SAFETY: a place that windows name lies within the buffer, as the plan's verifier
                // checks.
                unsafe {
                    match start {
                        Some(start) => {
                            let start = start + (from - run.columns.start) as isize;
                            copy(self.address.0.wrapping_offset(start), to, len);
                        }
                        None => std::slice::from_raw_parts_mut(to, len).fill(0.0),
                    }
                }
            }
            counter.advance();
        }
    }

    /// Where a run of a row begins, if windows name a place for it.
    fn start(&self, run: &Run, counter: &Counter) -> Option<isize> {
        let mut place = counter.place + run.start;
        for (span, (own, more)) in self.spans.iter().zip(counter.sums.iter().zip(&run.spans)) {
            place += span.place(own + more)? * span.step;
        }
        Some(place as isize)
    }
}

/// How far spans reach whose sums are the places that they name.
fn along(spans: &[Span], sums: &[isize]) -> isize {
    spans
        .iter()
        .zip(sums)
        .map(|(span, sum)| span.step as isize * sum)
        .sum()
}

/// Copies some floats, as a rule few.
///
/// # Safety
/// They must be readable and writable.
#[inline]
unsafe fn copy(from: *const f32, to: *mut f32, len: usize) {
    /// The first and the last `N` floats, which may overlap.
    unsafe fn ends<const N: usize>(from: *const f32, to: *mut f32, len: usize) {
        // SAFETY: there are at least `N` floats.
        unsafe {
            *to.cast::<[f32; N]>() = *from.cast();
            *to.add(len - N).cast::<[f32; N]>() = *from.add(len - N).cast();
        }
    }
    // SAFETY: as the caller's.
    unsafe {
        match len {
            0 => {}
            1 => *to = *from,
            2..4 => ends::<2>(from, to, len),
            4..8 => ends::<4>(from, to, len),
            8..16 => ends::<8>(from, to, len),
            // Channels: whole vectors, which the compiler sees.
            16..=32 => ends::<16>(from, to, len),
            _ => std::ptr::copy_nonoverlapping(from, to, len),
        }
    }
}
