//! Operands read through windows: matrices whose rows are copied out of an array while a
//! contraction packs them.
//!
//! One axis of the matrix is the position of a window (a pixel of a convolution's result), and the
//! other is the place in the window. An element outside the array is 0. Elements that are
//! contiguous in memory are copied together, as a run.

use super::super::memory::Address;
use crate::{
    error::{Error, Result},
    plan::{WindowStep, Windows},
};
use std::ops::Range;

/// A matrix read through windows: its rows are positions and its columns places, or vice versa.
pub struct WindowReader {
    address: Address,
    /// The axes of the rows, outermost first.
    rows: Vec<ReaderAxis>,
    offsets: Vec<isize>,
    spans: Vec<WindowStep>,
    /// The columns in order, as runs of contiguous memory.
    runs: Vec<Run>,
    /// The minimum and maximum that runs add to the sum of each span.
    reach: Vec<(isize, isize)>,
}

/// An axis of the rows or of the columns.
struct ReaderAxis {
    size: usize,
    stride: usize,
    /// The stride in the sum of each span.
    spans: Vec<isize>,
}

/// Columns that are contiguous in memory and either all inside the array or all outside.
struct Run {
    columns: Range<usize>,
    start: usize,
    /// Their addend to the sum of each span.
    spans: Vec<isize>,
    /// The offset from the start of a row, if each window is inside the array.
    offset: isize,
}

/// The maximum number of axes and of spans of a matrix.
const MOST_AXES: usize = 16;
const MOST_SPANS: usize = 8;

/// An iterator over the positions along axes, outermost first.
struct Counter<'a> {
    axes: &'a [ReaderAxis],
    index: [usize; MOST_AXES],
    place: usize,
    sums: [isize; MOST_SPANS],
}

impl<'a> Counter<'a> {
    fn new(axes: &'a [ReaderAxis], mut position: usize) -> Self {
        let mut counter = Counter {
            axes,
            index: [0; MOST_AXES],
            place: 0,
            sums: [0; MOST_SPANS],
        };
        for (number, axis) in axes.iter().enumerate().rev() {
            let index = position % axis.size;
            position /= axis.size;
            counter.index[number] = index;
            counter.place += index * axis.stride;
            counter.add_to_sums(axis, index as isize);
        }
        counter
    }

    fn advance(&mut self) {
        for (number, axis) in self.axes.iter().enumerate().rev() {
            self.index[number] += 1;
            self.place += axis.stride;
            self.add_to_sums(axis, 1);
            if self.index[number] < axis.size {
                return;
            }
            self.index[number] = 0;
            self.place -= axis.size * axis.stride;
            self.add_to_sums(axis, -(axis.size as isize));
        }
    }

    /// Moves the sums of the spans by `steps` along an axis.
    fn add_to_sums(&mut self, axis: &ReaderAxis, steps: isize) {
        for (sum, stride) in self.sums.iter_mut().zip(&axis.spans) {
            *sum += steps * stride;
        }
    }
}

impl WindowReader {
    /// The windows of an operand at `address`.
    ///
    /// # Errors
    /// If the windows have more axes than the CPU back end supports.
    pub fn new(windows: &Windows, address: Address) -> Result<Self> {
        let access = &windows.access;
        let axes = windows.rows.len() + windows.columns.len();
        if axes > MOST_AXES || access.spans.len() > MOST_SPANS {
            return Err(Error::unsupported(format!(
                "the CPU back end reads windows with at most {MOST_AXES} axes and {MOST_SPANS} spans"
            )));
        }
        let axis = |number: usize, size: usize| ReaderAxis {
            size,
            stride: access.strides[number],
            spans: access
                .spans
                .iter()
                .map(|span| span.strides[number])
                .collect(),
        };
        let sizes = windows.rows.iter().chain(&windows.columns);
        let mut axes: Vec<ReaderAxis> = (0..).zip(sizes).map(|(i, &size)| axis(i, size)).collect();
        let second = axes.split_off(windows.rows.len());
        // The positions are summed over, or make rows or columns of the result.
        let (rows, columns) = if windows.left == windows.along_positions {
            (second, axes)
        } else {
            (axes, second)
        };
        let runs = runs(&columns, &access.spans);
        let reach = (0..access.spans.len()).map(|span| {
            let sums = || runs.iter().map(|run| run.spans[span]);
            (sums().min().unwrap_or(0), sums().max().unwrap_or(0))
        });
        Ok(WindowReader {
            address,
            rows,
            offsets: access.spans.iter().map(|span| span.offset).collect(),
            spans: access.spans.clone(),
            reach: reach.collect(),
            runs,
        })
    }

    /// Copies a range of columns of a range of rows to `out`, with `stride` floats between rows.
    ///
    /// # Safety
    /// The rows and columns must be the matrix's. `out` must be writable for the columns of each
    /// row, and outside of the plan's buffers. No thread writes to the operand meanwhile.
    pub unsafe fn copy_rows(
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
        for row in 0..rows.len() {
            let out = out.wrapping_add(row * stride);
            let inside = self.spans.iter().zip(&counter.sums).zip(&self.reach).all(
                |((span, sum), (least, most))| {
                    span.divisor == 1 && sum + least >= 0 && sum + most < span.size as isize
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
                // SAFETY: the plan verifier checks that every place that windows name lies in the
                // buffer; `out` has the columns, as the caller's.
                unsafe {
                    match start {
                        Some(start) => {
                            let start = start + (from - run.columns.start) as isize;
                            copy(self.address.pointer().wrapping_offset(start), to, len);
                        }
                        None => std::slice::from_raw_parts_mut(to, len).fill(0.0),
                    }
                }
            }
            counter.advance();
        }
    }

    /// The start of a run of a row, if its windows are inside the array.
    fn start(&self, run: &Run, counter: &Counter) -> Option<isize> {
        let mut place = counter.place + run.start;
        for (span, (row, column)) in self.spans.iter().zip(counter.sums.iter().zip(&run.spans)) {
            place += span.place(row + column)? * span.step;
        }
        Some(place as isize)
    }
}

/// Groups columns in order into runs of contiguous memory.
fn runs(columns: &[ReaderAxis], spans: &[WindowStep]) -> Vec<Run> {
    let width = columns.iter().map(|axis| axis.size).product();
    let mut counter = Counter::new(columns, 0);
    let mut runs: Vec<Run> = Vec::new();
    for column in 0..width {
        let sums = &counter.sums[..spans.len()];
        match runs.last_mut() {
            Some(run)
                if run.start + column - run.columns.start == counter.place && run.spans == sums =>
            {
                run.columns.end = column + 1;
            }
            _ => runs.push(Run {
                columns: column..column + 1,
                start: counter.place,
                spans: sums.to_vec(),
                offset: counter.place as isize + along(spans, &counter.sums),
            }),
        }
        counter.advance();
    }
    runs
}

/// The offset that spans with a divisor of 1 add to a place.
fn along(spans: &[WindowStep], sums: &[isize]) -> isize {
    spans
        .iter()
        .zip(sums)
        .map(|(span, sum)| span.step as isize * sum)
        .sum()
}

/// Copies `len` floats, usually few.
///
/// # Safety
/// `from` must be readable and `to` writable for `len` floats, and they must not overlap.
#[inline]
unsafe fn copy(from: *const f32, to: *mut f32, len: usize) {
    /// Copies the first and the last `N` floats, which may overlap.
    ///
    /// # Safety
    /// As [`copy`], with at least `N` floats.
    unsafe fn ends<const N: usize>(from: *const f32, to: *mut f32, len: usize) {
        // SAFETY: as the caller's.
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
            // The channels of an image: whole vectors, which the compiler sees.
            16..=32 => ends::<16>(from, to, len),
            _ => std::ptr::copy_nonoverlapping(from, to, len),
        }
    }
}
