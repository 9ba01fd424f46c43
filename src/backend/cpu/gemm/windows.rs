//! Operands read through windows: matrices whose rows are copied out of an array while a
//! contraction packs them.
//!
//! One axis of the matrix is the position of a window (a pixel of a convolution's result), and the
//! other is the place in the window. An element outside the array is 0. Elements that are
//! contiguous in memory are copied together, as a run. Rows that are multiplied by a vector are read
//! in place, run by run.

use super::{
    super::{isa::Isa, memory::Address},
    dot::{Piece, RowsAndVector},
};
use crate::{
    error::{Error, Result},
    plan::{WindowStep, Windows},
};
use std::ops::Range;

/// A matrix read through windows: its rows are positions and its columns places, or vice versa.
pub struct WindowReader {
    address: Address,
    /// The axes of the rows except the innermost, outermost first.
    outer: Vec<ReaderAxis>,
    /// The innermost axis of the rows.
    inner: ReaderAxis,
    offsets: Vec<isize>,
    spans: Vec<WindowStep>,
    /// The columns in order, as runs of contiguous memory.
    runs: Vec<Run>,
    /// Whether each run is one column, whose elements are contiguous along the innermost axis of the
    /// rows: an image with one channel.
    has_contiguous_columns: bool,
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

/// The maximum number of runs of rows that are read in place.
const MOST_RUNS: usize = 64;

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
        let (mut rows, columns) = if windows.left == windows.along_positions {
            (second, axes)
        } else {
            (axes, second)
        };
        let inner = rows.pop().unwrap_or_else(|| ReaderAxis {
            size: 1,
            stride: 0,
            spans: vec![0; access.spans.len()],
        });
        let mut reader = WindowReader {
            address,
            outer: rows,
            inner,
            offsets: access.spans.iter().map(|span| span.offset).collect(),
            spans: access.spans.clone(),
            runs: runs(&columns, &access.spans),
            has_contiguous_columns: false,
        };
        reader.has_contiguous_columns = reader.is_undivided()
            && reader.step_inside() == 1
            && reader.runs.iter().all(|run| run.columns.len() == 1);
        Ok(reader)
    }

    /// Copies a range of columns of a range of rows to `out`, without gaps. Returns the floats between
    /// rows and between columns there: neighbours in the array stay neighbours, so that either rows or
    /// columns are contiguous.
    ///
    /// # Safety
    /// The rows and columns must be the matrix's. `out` must be writable for the columns of each
    /// row, and outside of the plan's buffers. No thread writes to the operand meanwhile.
    pub unsafe fn copy(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        out: *mut f32,
    ) -> (usize, usize) {
        let (height, width) = (rows.len(), columns.len());
        // SAFETY: as the caller's.
        unsafe {
            if self.has_contiguous_columns {
                self.copy_columns(rows, columns, out);
                (1, height)
            } else {
                self.copy_rows(rows, columns, out, width);
                (width, 1)
            }
        }
    }

    /// The runs in a range of columns.
    fn runs(&self, columns: &Range<usize>) -> &[Run] {
        let runs = &self.runs;
        let begin = runs.partition_point(|run| run.columns.end <= columns.start);
        let end = runs.partition_point(|run| run.columns.start < columns.end);
        &runs[begin..end]
    }

    /// Copies a range of columns of a range of rows to `out`, one column after another. Each run must be
    /// a column that is contiguous along the rows of a line.
    ///
    /// # Safety
    /// As [`copy`](Self::copy).
    unsafe fn copy_columns(&self, rows: Range<usize>, columns: Range<usize>, out: *mut f32) {
        let runs = self.runs(&columns);
        self.each_line(rows.clone(), |row, count, line| {
            let out = out.wrapping_add(row - rows.start);
            for run in runs {
                let to = out.wrapping_add((run.columns.start - columns.start) * rows.len());
                let inside = self
                    .inside(line, run, count)
                    .expect("windows are not divided");
                let start = self.start_inside(line) + run.offset + inside.start as isize;
                // SAFETY: the plan verifier checks that every place that windows name lies in the
                // buffer; `out` has the columns, as the caller's.
                unsafe {
                    copy_run(self.at(start), to.wrapping_add(inside.start), inside.len());
                    clear(to, inside.start);
                    clear(to.wrapping_add(inside.end), count - inside.end);
                }
            }
        });
    }

    /// Copies a range of columns of a range of rows to `out`, with `stride` floats between rows.
    ///
    /// # Safety
    /// As [`copy`](Self::copy).
    pub unsafe fn copy_rows(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        out: *mut f32,
        stride: usize,
    ) {
        let runs = self.runs(&columns);
        self.each_line(rows.clone(), |row, count, line| {
            let out = out.wrapping_add((row - rows.start) * stride);
            for run in runs {
                let piece = run.columns.start.max(columns.start)..run.columns.end.min(columns.end);
                let to = out.wrapping_add(piece.start - columns.start);
                let skipped = (piece.start - run.columns.start) as isize;
                let len = piece.len();
                // SAFETY: the plan verifier checks that every place that windows name lies in the
                // buffer; `out` has the columns, as the caller's.
                unsafe {
                    if let Some(inside) = self.inside(line, run, count) {
                        let start = self.start_inside(line) + run.offset + skipped;
                        self.copy_inside(start, inside.clone(), len, to, stride);
                        for number in (0..inside.start).chain(inside.end..count) {
                            clear(to.wrapping_add(number * stride), len);
                        }
                        continue;
                    }
                    for number in 0..count {
                        let to = to.wrapping_add(number * stride);
                        match self.start(line, run, number) {
                            Some(start) => self.copy_inside(start + skipped, 0..1, len, to, stride),
                            None => clear(to, len),
                        }
                    }
                }
            }
        });
    }

    /// Whether rows can be read in place, by [`multiply_rows`](Self::multiply_rows).
    pub fn reads_in_place(&self) -> bool {
        self.runs.len() <= MOST_RUNS && self.is_undivided()
    }

    /// Whether each index names a place of a window.
    fn is_undivided(&self) -> bool {
        self.spans.iter().all(|span| span.divisor == 1)
    }

    /// Multiplies a range of rows by the elements of a vector that belong to their columns. What is
    /// outside the array is left out. Writes the results to `out`, with `out_stride` floats between
    /// them, or adds them there.
    ///
    /// # Safety
    /// The rows must be the matrix's and [read in place](Self::reads_in_place). The vector must be
    /// readable for all columns. `out` must be writable for the results, and outside of the plan's other
    /// buffers. No thread writes to the operand meanwhile.
    pub unsafe fn multiply_rows(
        &self,
        isa: Isa,
        rows: Range<usize>,
        vector: *const f32,
        (out, out_stride): (*mut f32, usize),
        add: bool,
    ) {
        self.each_line(rows.clone(), |row, count, line| {
            let mut ranges = [(0, 0); MOST_RUNS];
            let ranges = &mut ranges[..self.runs.len()];
            for (run, range) in self.runs.iter().zip(&mut *ranges) {
                let inside = self
                    .inside(line, run, count)
                    .expect("rows are read in place");
                *range = (inside.start, inside.end);
            }
            // Neighbouring rows with the same runs inside the array.
            let (mut first, mut pieces) = (0, [Piece::default(); MOST_RUNS]);
            while first < count {
                let (mut end, mut inside) = (count, 0);
                for (run, &(from, to)) in self.runs.iter().zip(&*ranges) {
                    for bound in [from, to].into_iter().filter(|&bound| bound > first) {
                        end = end.min(bound);
                    }
                    if (from..to).contains(&first) {
                        pieces[inside] = Piece {
                            offset: run.offset,
                            place: run.columns.start,
                            len: run.columns.len(),
                        };
                        inside += 1;
                    }
                }
                let stride = self.step_inside();
                let product = RowsAndVector {
                    rows: self.at(self.start_inside(line) + first as isize * stride),
                    count: end - first,
                    stride,
                    pieces: &pieces[..inside],
                    vector,
                };
                let out = out.wrapping_add((row - rows.start + first) * out_stride);
                // SAFETY: the plan verifier checks that every place that windows name lies in the
                // buffer; the rest is as the caller's.
                unsafe { product.multiply(isa, out, out_stride, add) };
                first = end;
            }
        });
    }

    /// Calls `each` with the first row, the number of rows and the line of rows that are adjacent along
    /// the innermost axis.
    #[inline]
    fn each_line(&self, rows: Range<usize>, mut each: impl FnMut(usize, usize, &Line)) {
        let mut counter = Counter::new(&self.outer, rows.start / self.inner.size);
        let mut row = rows.start;
        while row < rows.end {
            let first = row % self.inner.size;
            let count = (self.inner.size - first).min(rows.end - row);
            let mut line = Line {
                place: counter.place + first * self.inner.stride,
                sums: counter.sums,
            };
            let steps = self.inner.spans.iter().zip(&self.offsets);
            for (sum, (step, offset)) in line.sums.iter_mut().zip(steps) {
                *sum += offset + first as isize * step;
            }
            each(row, count, &line);
            row += count;
            counter.advance();
        }
    }

    /// The place of a line's first row, if each window is inside the array.
    fn start_inside(&self, line: &Line) -> isize {
        line.place as isize + along(&self.spans, &line.sums)
    }

    /// Floats from a row of a line to the next, if each window is inside the array.
    fn step_inside(&self) -> isize {
        self.inner.stride as isize + along(&self.spans, &self.inner.spans)
    }

    fn at(&self, place: isize) -> *const f32 {
        self.address.pointer().cast_const().wrapping_offset(place)
    }

    /// The rows of a line for which a run is inside the array; `None` if they are not adjacent.
    fn inside(&self, line: &Line, run: &Run, count: usize) -> Option<Range<usize>> {
        let mut rows = 0..count;
        let steps = self.inner.spans.iter().zip(&run.spans);
        for (span, (sum, (&step, column))) in self.spans.iter().zip(line.sums.iter().zip(steps)) {
            if span.divisor != 1 {
                return None;
            }
            rows = span.inside(rows, sum + column, step);
        }
        Some(rows)
    }

    /// Copies `len` floats of a run of each of some rows of a line. `start` is the place of those of
    /// the line's first row.
    ///
    /// # Safety
    /// As [`copy_rows`](Self::copy_rows); the run must be [`inside`](Self::inside) for the rows.
    unsafe fn copy_inside(
        &self,
        start: isize,
        rows: Range<usize>,
        len: usize,
        out: *mut f32,
        stride: usize,
    ) {
        let step = self.step_inside();
        let pairs = rows.map(|row| {
            let from = self.at(start + row as isize * step);
            (from, out.wrapping_add(row * stride))
        });
        // SAFETY: as the caller's.
        unsafe {
            // The branches of `copy_run`, outside of the loop.
            match len {
                1 => pairs.for_each(|(from, to)| *to = *from),
                // The channels of an image: whole vectors, which the compiler sees.
                16..=32 => pairs.for_each(|(from, to)| copy_ends::<16>(from, to, len)),
                _ => pairs.for_each(|(from, to)| copy_run(from, to, len)),
            }
        }
    }

    /// The start of a run of row `number` of a line, if its windows are inside the array.
    fn start(&self, line: &Line, run: &Run, number: usize) -> Option<isize> {
        let mut place = line.place + number * self.inner.stride + run.start;
        let steps = self.inner.spans.iter().zip(&run.spans);
        for (span, (sum, (step, column))) in self.spans.iter().zip(line.sums.iter().zip(steps)) {
            place += span.place(sum + number as isize * step + column)? * span.step;
        }
        Some(place as isize)
    }
}

/// Rows along the innermost axis, by the place and the sums of the spans of the first.
struct Line {
    place: usize,
    sums: [isize; MOST_SPANS],
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

/// Sets `len` floats, usually few, to 0.
///
/// # Safety
/// `to` must be writable for `len` floats.
#[inline]
unsafe fn clear(to: *mut f32, len: usize) {
    // SAFETY: as the caller's.
    unsafe { std::slice::from_raw_parts_mut(to, len) }.fill(0.0);
}

/// Copies `len` floats, usually few.
///
/// # Safety
/// `from` must be readable and `to` writable for `len` floats, and they must not overlap.
#[inline]
unsafe fn copy_run(from: *const f32, to: *mut f32, len: usize) {
    // SAFETY: as the caller's.
    unsafe {
        match len {
            0 => {}
            1 => *to = *from,
            2..4 => copy_ends::<2>(from, to, len),
            4..8 => copy_ends::<4>(from, to, len),
            8..16 => copy_ends::<8>(from, to, len),
            16..=32 => copy_ends::<16>(from, to, len),
            _ => std::ptr::copy_nonoverlapping(from, to, len),
        }
    }
}

/// Copies the first and the last `N` of `len` floats, which may overlap.
///
/// # Safety
/// `from` must be readable and `to` writable for `len` floats, at least `N`, and they must not
/// overlap.
#[inline]
unsafe fn copy_ends<const N: usize>(from: *const f32, to: *mut f32, len: usize) {
    // SAFETY: as the caller's.
    unsafe {
        *to.cast::<[f32; N]>() = *from.cast();
        *to.add(len - N).cast::<[f32; N]>() = *from.add(len - N).cast();
    }
}
