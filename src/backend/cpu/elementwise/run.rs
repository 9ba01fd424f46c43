//! Running a tape: executes its steps on each chunk in turn.

use super::{
    super::{memory::Element, tile::TileRange},
    tape::{LONG_CHUNK, MOST_POINTERS, Native, Operand, Pointer, Scratch, Source, Step, Tape},
    vector::{self, LANES, Operation},
};
use crate::{
    backend::NoiseKey,
    plan::WindowStep,
    tensor::{NoiseKind, ReduceKind},
};
use std::ops::Range;

/// The distance in elements from the current to the prefetched chunk. Work on a short chunk takes
/// less time than a memory access.
const AHEAD: usize = 768;

/// The values read where a window is outside its array.
static ZEROS: [f32; LONG_CHUNK] = [0.0; LONG_CHUNK];

/// The run of a tape for a tile.
pub(crate) struct Run<'a> {
    tape: &'a Tape,
    scratch: &'a mut Scratch,
    tile: TileRange,
    key: NoiseKey,
}

/// Elements `start..start + len` of the innermost loop, at `index` of the outer ones.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    index: &'a [usize],
    start: usize,
    len: usize,
    /// Whether it is the first chunk at this index. No later one is longer.
    is_first: bool,
    /// Whether it is the last chunk at this index.
    is_last: bool,
}

impl<'a> Run<'a> {
    /// Begins a tile. The scratch memory must have room for the tape.
    pub fn new(tape: &'a Tape, scratch: &'a mut Scratch, tile: TileRange, key: NoiseKey) -> Self {
        for &(register, value) in &tape.constants {
            let start = register * tape.spacing();
            scratch.registers.slice_mut()[start..start + tape.chunk].fill(value);
        }
        Run {
            tape,
            scratch,
            tile,
            key,
        }
    }

    /// Runs the tape for elements `first..last` of the innermost loop, at `index` of the outer
    /// ones. If the call `follows` another, the index is the next one along the last of the outer
    /// loops.
    ///
    /// # Safety
    /// The elements must be the loop's, and the buffers where the tape says. No other thread may
    /// use what the tape writes for these elements, or write what it reads.
    pub unsafe fn chunks(&mut self, index: &[usize], first: usize, last: usize, follows: bool) {
        // SAFETY: as the caller's.
        unsafe { self.locate(index, follows) };
        let mut start = first;
        while start < last {
            let len = self.tape.chunk.min(last - start);
            let chunk = Chunk {
                index,
                start,
                len,
                is_first: start == first,
                is_last: start + len == last,
            };
            self.prefetch(start + AHEAD, last);
            for step in &self.tape.steps {
                // SAFETY: as the caller's; the sources were located for this index.
                unsafe { self.step(step, chunk) };
            }
            start += chunk.len;
        }
    }

    /// Runs a tape that is native code as a whole for elements `first..last` of the innermost loop,
    /// at `rows` indices of the last of the outer loops, from `index` on. Without outer loops, there
    /// is one row.
    ///
    /// # Safety
    /// As [`Run::chunks`].
    pub unsafe fn rows(
        &mut self,
        native: &Native,
        index: &[usize],
        range: Range<usize>,
        rows: usize,
    ) {
        if range.is_empty() || rows == 0 {
            return;
        }
        // SAFETY: as the caller's.
        unsafe {
            self.locate(index, false);
            self.native(native, range.start, range.len(), rows);
        }
    }

    /// Computes the start of each source.
    ///
    /// # Safety
    /// As [`Run::chunks`].
    unsafe fn locate(&mut self, index: &[usize], follows: bool) {
        let results = self.scratch.results();
        let Scratch {
            places,
            starts,
            sums,
            ..
        } = &mut *self.scratch;
        let mut sums = sums.iter_mut();
        for ((source, place), start) in self.tape.sources.iter().zip(places).zip(starts) {
            *start = match follows {
                true => *start + source.strides[index.len() - 1],
                false => {
                    let outer = index
                        .iter()
                        .zip(&source.strides)
                        .map(|(index, stride)| index * stride);
                    outer.sum::<usize>() + self.tile.number * source.partial
                }
            };
            let mut offset = Some(*start);
            for (span, sum) in source.outer.iter().zip(&mut sums) {
                *sum = if follows {
                    *sum + span.strides[index.len() - 1]
                } else {
                    span_sum(span, index)
                };
                offset = offset
                    .zip(span.place(*sum))
                    .map(|(offset, place)| offset + place * span.step);
            }
            *place = offset.map(|offset| match source.local {
                // An array in scratch memory begins with the tile's first element.
                Some(per_index) => results.shifted(offset, self.tile.start * per_index),
                // SAFETY: the plan verifier checks that every element of a loop lies in its buffer,
                // at every place that windows name.
                None => unsafe { source.address.after(source.element, offset) },
            });
        }
    }

    /// Prefetches the contiguous memory that the chunk at `start` reads and writes.
    #[cfg_attr(
        any(not(target_arch = "x86_64"), miri),
        allow(
            unused_variables,
            reason = "other targets have no such instruction in Rust"
        )
    )]
    fn prefetch(&self, start: usize, last: usize) {
        let end = last.min(start + self.tape.chunk);
        if start >= end {
            return;
        }
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        for (source, first) in self.tape.sources.iter().zip(&self.scratch.places) {
            if let Some(first) = first
                && source.inner == 1
                && source.each.is_empty()
            {
                for element in (start..end).step_by(16) {
                    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                    let place = source.element.after(first.pointer().cast_const(), element);
                    // SAFETY: it reads nothing, and each CPU of this architecture has it.
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
                }
            }
        }
    }

    fn register(&self, register: usize) -> *mut f32 {
        debug_assert!(
            register < self.tape.registers,
            "the tape counts its registers"
        );
        self.scratch
            .registers
            .address()
            .at(register * self.tape.spacing())
    }

    /// The address of a source's elements from `start` on; zeros if windows are outside the array.
    fn source(&self, source: usize, start: usize) -> *const f32 {
        match self.scratch.places[source] {
            Some(place) => place.at(start * self.tape.sources[source].inner),
            None => ZEROS.as_ptr(),
        }
    }

    /// The address of the results from element `start` on.
    fn target(&self, source: usize, start: usize) -> *mut f32 {
        let place = self.scratch.places[source];
        let place = place.expect("results without windows always have a place");
        place.at(start * self.tape.sources[source].inner)
    }

    /// A chunk of an operand.
    ///
    /// # Safety
    /// As [`Run::chunks`]; nothing may write there while the slice is in use.
    #[inline]
    unsafe fn read(&self, operand: Operand, start: usize, len: usize) -> &[f32] {
        let pointer = match operand {
            Operand::Register(register) => self.register(register).cast_const(),
            Operand::Memory(source) => self.source(source, start),
        };
        // SAFETY: a register and the zeros hold `CHUNK` floats, and the plan verifier checks that
        // elements of memory operands lie in their buffers.
        unsafe { std::slice::from_raw_parts(pointer, len) }
    }

    /// A chunk of a result.
    ///
    /// # Safety
    /// As [`Run::chunks`]; nothing else may refer to the chunk while the slice is in use.
    #[inline]
    #[allow(
        clippy::mut_from_ref,
        reason = "registers and buffers lie behind raw pointers; the caller keeps slices apart"
    )]
    unsafe fn write(&self, operand: Operand, start: usize, len: usize) -> &mut [f32] {
        let pointer = match operand {
            Operand::Register(register) => self.register(register),
            Operand::Memory(source) => self.target(source, start),
        };
        // SAFETY: as in `read`; nothing else refers to the chunk.
        unsafe { std::slice::from_raw_parts_mut(pointer, len) }
    }

    /// Runs a step on a chunk.
    ///
    /// # Safety
    /// As [`Run::chunks`]; the sources must be located.
    unsafe fn step(&self, step: &Step, chunk: Chunk) {
        // SAFETY: as the caller's.
        unsafe {
            match step {
                // The chunks that follow are no longer than the first, and find its numbers.
                Step::Splat { .. } | Step::Repeat { .. } if !chunk.is_first => {}
                Step::Splat { to, source } => self.splat(*to, *source, chunk),
                Step::Repeat { to, source, period } => self.repeat(*to, *source, *period, chunk),
                Step::Gather { to, source } => self.gather(*to, *source, chunk),
                Step::GatherWindows { to, source } => self.gather_windows(*to, *source, chunk),
                Step::Position { to, axis } => self.position(*to, *axis, chunk),
                Step::Noise {
                    to,
                    stream,
                    kind,
                    strides,
                } => self.noise(*to, *stream, *kind, strides, chunk),
                Step::Apply {
                    operation,
                    to,
                    from,
                } => self.apply(*operation, *to, from, chunk),
                Step::OneHot { to, from, axis } => self.one_hot(*to, *from, *axis, chunk),
                Step::Copy { from, source } => self.copy(*from, *source, chunk),
                Step::Round { from, source } => self.round(*from, *source, chunk),
                Step::Widen { to, source } => self.widen(*to, *source, chunk),
                Step::Scatter { from, source } => self.scatter(*from, *source, chunk),
                Step::ScatterWindows { from, source } => {
                    self.scatter_windows(*from, *source, chunk)
                }
                Step::Fold {
                    kind,
                    from,
                    source,
                    lanes,
                } => self.fold(*kind, *from, *source, *lanes, chunk),
                Step::Accumulate {
                    kind,
                    from,
                    source,
                    period,
                } => self.accumulate(*kind, *from, *source, *period, chunk),
                Step::Native(native) => self.native(native, chunk.start, chunk.len, 1),
            }
        }
    }
}

/// The steps. A register that a step fills is in no other operand of the step.
impl Run<'_> {
    /// # Safety
    /// As [`Run::step`].
    unsafe fn splat(&self, to: usize, source: usize, chunk: Chunk) {
        // SAFETY: as the caller's.
        unsafe {
            let value = *self.source(source, 0);
            self.write(Operand::Register(to), 0, chunk.len).fill(value);
        }
    }

    /// # Safety
    /// As [`Run::step`].
    unsafe fn repeat(&self, to: usize, source: usize, period: usize, chunk: Chunk) {
        // SAFETY: as the caller's; a period is no longer than the zeros.
        let (to, from) = unsafe {
            let to = self.write(Operand::Register(to), 0, chunk.len);
            (
                to,
                std::slice::from_raw_parts(self.source(source, 0), period),
            )
        };
        to.chunks_mut(period)
            .for_each(|to| to.copy_from_slice(&from[..to.len()]));
    }

    /// # Safety
    /// As [`Run::step`].
    unsafe fn gather(&self, to: usize, source: usize, chunk: Chunk) {
        let from = self.source(source, chunk.start);
        let stride = match self.scratch.places[source] {
            Some(_) => self.tape.sources[source].inner,
            None => 0,
        };
        // SAFETY: as the caller's.
        let to = unsafe { self.write(Operand::Register(to), 0, chunk.len) };
        for (element, to) in to.iter_mut().enumerate() {
            // SAFETY: as the caller's.
            *to = unsafe { *from.add(element * stride) };
        }
    }

    /// # Safety
    /// As [`Run::step`].
    unsafe fn gather_windows(&self, to: usize, source: usize, chunk: Chunk) {
        // SAFETY: as the caller's.
        let to = unsafe { self.write(Operand::Register(to), 0, chunk.len) };
        let Some(from) = self.scratch.places[source] else {
            return to.fill(0.0);
        };
        let Source { inner, each, .. } = &self.tape.sources[source];
        for (element, to) in (chunk.start..).zip(to) {
            let place = each_place(each, chunk.index, element);
            // SAFETY: as the caller's: the plan verifier checks every place that windows name.
            *to = place.map_or(0.0, |place| unsafe { *from.at(place + element * inner) });
        }
    }

    /// # Safety
    /// As [`Run::step`].
    unsafe fn position(&self, to: usize, axis: usize, chunk: Chunk) {
        // SAFETY: as the caller's.
        let to = unsafe { self.write(Operand::Register(to), 0, chunk.len) };
        match chunk.index.get(axis) {
            Some(&position) => to.fill(position as f32),
            None => to
                .iter_mut()
                .enumerate()
                .for_each(|(element, to)| *to = (chunk.start + element) as f32),
        }
    }

    /// # Safety
    /// As [`Run::step`].
    unsafe fn noise(
        &self,
        to: Operand,
        stream: u32,
        kind: NoiseKind,
        strides: &[usize],
        chunk: Chunk,
    ) {
        let outer = chunk.index.iter().zip(strides);
        let outer: usize = outer.map(|(index, stride)| index * stride).sum();
        let first = (outer + chunk.start * strides[strides.len() - 1]) as u64;
        let (isa, NoiseKey { seed, step }) = (self.tape.isa, self.key);
        // SAFETY: as the caller's.
        let to = unsafe { self.write(to, chunk.start, chunk.len) };
        match kind {
            NoiseKind::Normal => vector::normal(isa, seed, step, stream, first, to),
            NoiseKind::Uniform => vector::uniform(isa, seed, step, stream, first, to),
        }
    }

    /// # Safety
    /// As [`Run::step`].
    #[inline]
    unsafe fn apply(
        &self,
        operation: Operation,
        to: Operand,
        from: &[Option<Operand>; 3],
        chunk: Chunk,
    ) {
        let read = |from: Option<Operand>| match from {
            // SAFETY: as the caller's; the step writes to none of its operands.
            Some(from) => unsafe { self.read(from, chunk.start, chunk.len) },
            None => &[],
        };
        let [x, y, z] = from.map(read);
        // SAFETY: as the caller's; the result is none of the operands.
        operation.apply(unsafe { self.write(to, chunk.start, chunk.len) }, x, y, z);
    }

    /// # Safety
    /// As [`Run::step`].
    unsafe fn one_hot(&self, to: Operand, from: Operand, axis: usize, chunk: Chunk) {
        let Chunk { start, len, .. } = chunk;
        // SAFETY: as the caller's; the result is not the operand.
        let (to, from) = unsafe { (self.write(to, start, len), self.read(from, start, len)) };
        let position = |element: usize| {
            let outer = chunk.index.get(axis).copied();
            outer.unwrap_or(start + element) as f32
        };
        for (element, (to, from)) in to.iter_mut().zip(from).enumerate() {
            *to = f32::from(*from == position(element));
        }
    }

    // What follows may read and write one buffer, so there are no slices of both at a time.

    /// # Safety
    /// As [`Run::step`].
    unsafe fn copy(&self, from: Operand, source: usize, chunk: Chunk) {
        // SAFETY: as the caller's.
        unsafe {
            let from = self.read(from, chunk.start, chunk.len).as_ptr();
            std::ptr::copy(from, self.target(source, chunk.start), chunk.len);
        }
    }

    /// The bf16 elements of a source from element `start` on.
    fn halves(&self, source: usize, start: usize) -> *mut u16 {
        let place = self.scratch.places[source];
        let place = place.expect("bf16 sources have no windows");
        Element::Bf16
            .after(place.pointer().cast_const(), start)
            .cast_mut()
            .cast()
    }

    /// # Safety
    /// As [`Run::step`].
    unsafe fn round(&self, from: Operand, source: usize, chunk: Chunk) {
        // SAFETY: as the caller's; the operand is in other memory.
        let (to, from) = unsafe {
            (
                std::slice::from_raw_parts_mut(self.halves(source, chunk.start), chunk.len),
                self.read(from, chunk.start, chunk.len),
            )
        };
        vector::round(self.tape.isa, to, from);
    }

    /// # Safety
    /// As [`Run::step`].
    unsafe fn widen(&self, to: usize, source: usize, chunk: Chunk) {
        // SAFETY: as the caller's; a register is no other memory.
        let (to, from) = unsafe {
            (
                self.write(Operand::Register(to), 0, chunk.len),
                std::slice::from_raw_parts(self.halves(source, chunk.start), chunk.len),
            )
        };
        vector::widen(self.tape.isa, to, from);
    }

    /// # Safety
    /// As [`Run::step`].
    unsafe fn scatter(&self, from: Operand, source: usize, chunk: Chunk) {
        let stride = self.tape.sources[source].inner;
        let to = self.target(source, chunk.start);
        // SAFETY: as the caller's.
        let from = unsafe { self.read(from, chunk.start, chunk.len) }.as_ptr();
        for element in 0..chunk.len {
            // SAFETY: as the caller's.
            unsafe { *to.add(element * stride) = *from.add(element) };
        }
    }

    /// # Safety
    /// As [`Run::step`].
    unsafe fn scatter_windows(&self, from: Operand, source: usize, chunk: Chunk) {
        let Some(to) = self.scratch.places[source] else {
            return;
        };
        let Source { inner, each, .. } = &self.tape.sources[source];
        if each.is_empty() && *inner == 1 {
            // SAFETY: as the caller's.
            return unsafe { self.copy(from, source, chunk) };
        }
        // SAFETY: as the caller's.
        let from = unsafe { self.read(from, chunk.start, chunk.len) }.as_ptr();
        for element in 0..chunk.len {
            let position = chunk.start + element;
            if let Some(place) = each_place(each, chunk.index, position) {
                // SAFETY: as the caller's: the plan verifier checks every place that windows name.
                unsafe { *to.at(place + position * inner) = *from.add(element) };
            }
        }
    }

    /// # Safety
    /// As [`Run::step`].
    unsafe fn fold(
        &self,
        kind: ReduceKind,
        from: Operand,
        source: usize,
        lanes: usize,
        chunk: Chunk,
    ) {
        let isa = self.tape.isa;
        // SAFETY: as the caller's; the register of the lanes is no operand, and nothing else is
        // written while the slices are in use.
        let (from, lanes) = unsafe {
            (
                self.read(from, chunk.start, chunk.len),
                &mut *self.register(lanes).cast::<[f32; LANES]>(),
            )
        };
        let is_max = kind == ReduceKind::Max;
        if chunk.is_first {
            lanes.fill(if is_max { f32::NEG_INFINITY } else { 0.0 });
        }
        match is_max {
            true => vector::max(isa, lanes, from),
            false => vector::sum(isa, lanes, from),
        }
        if chunk.is_last {
            let to = self.target(source, 0);
            // SAFETY: as the caller's.
            unsafe {
                *to = match is_max {
                    true => (*to).max(vector::max_of(*lanes)),
                    false => *to + vector::sum_of(*lanes),
                };
            }
        }
    }

    /// # Safety
    /// As [`Run::step`].
    unsafe fn accumulate(
        &self,
        kind: ReduceKind,
        from: Operand,
        source: usize,
        period: usize,
        chunk: Chunk,
    ) {
        let isa = self.tape.isa;
        let first = if period > chunk.len { chunk.start } else { 0 };
        // SAFETY: as the caller's; the tape keeps what it reduces into apart from what it reads.
        let from = unsafe { self.read(from, chunk.start, chunk.len) };
        for from in from.chunks(period) {
            // SAFETY: as above.
            let to = unsafe { self.write(Operand::Memory(source), first, from.len()) };
            match kind {
                ReduceKind::Max => vector::max_assign(isa, to, from),
                _ => vector::add_assign(isa, to, from),
            }
        }
    }

    /// # Safety
    /// As [`Run::step`].
    unsafe fn native(&self, native: &Native, start: usize, len: usize, rows: usize) {
        let mut pointers = [std::ptr::null_mut(); MOST_POINTERS];
        for (&pointer, place) in native.pointers.iter().zip(&mut pointers) {
            // Code that only reads takes mutable pointers too.
            *place = match pointer {
                Pointer::Chunk(Operand::Register(register)) => self.register(register),
                Pointer::Chunk(Operand::Memory(source)) => match self.scratch.places[source] {
                    Some(place) => {
                        let Source { element, inner, .. } = &self.tape.sources[source];
                        let first = place.pointer().cast_const();
                        element.after(first, start * inner).cast_mut()
                    }
                    None => ZEROS.as_ptr().cast_mut(),
                },
                Pointer::Single(source) => self.source(source, 0).cast_mut(),
            };
        }
        // SAFETY: as the caller's: the sources are located, and registers and the zeros are as long
        // as a chunk. There is native code only for CPUs with its instructions.
        unsafe { native.function.run(&mut pointers, len, rows) };
    }
}

/// The sum that a window takes at a position of the outer loops.
fn span_sum(span: &WindowStep, index: &[usize]) -> isize {
    let terms = index.iter().zip(&span.strides);
    let terms = terms.map(|(index, stride)| *index as isize * stride);
    span.offset + terms.sum::<isize>()
}

/// The offset that windows add for an element of the innermost loop, if they are inside the array.
fn each_place(spans: &[WindowStep], index: &[usize], element: usize) -> Option<usize> {
    let mut place = 0;
    for span in spans {
        let inner = span.strides[index.len()] * element as isize;
        place += span.place(span_sum(span, index) + inner)? * span.step;
    }
    Some(place)
}
