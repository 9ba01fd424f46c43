//! A tape at work: its steps, on one chunk after another.

use super::{
    tape::{CHUNK, Place, SPACING, Scratch, Source, Step, Tape},
    vector,
};
use crate::{
    backend::NoiseKey,
    plan::Span,
    tensor::{NoiseKind, ReduceKind},
};

/// Chunks between the one that is worked on and the one that memory is asked for: what is done to a
/// chunk takes less time than memory takes to answer.
const AHEAD: usize = 6;

/// What is read where a window names no place.
static NOTHING: [f32; CHUNK] = [0.0; CHUNK];

/// A tape at work on one tile.
pub struct Run<'a> {
    pub(super) tape: &'a Tape,
    pub(super) scratch: &'a mut Scratch,
    pub(super) tile: usize,
    pub(super) key: NoiseKey,
}

impl Run<'_> {
    /// Runs the tape for elements `first..last` of the innermost loop, at `index` of the outer
    /// ones. The index may be the one after that of the last call, one step further along the last
    /// of the outer loops.
    pub fn chunks(&mut self, index: &[usize], first: usize, last: usize, after: bool) {
        let Scratch {
            pointers,
            starts,
            sums,
            ..
        } = &mut *self.scratch;
        let mut sums = sums.iter_mut();
        for ((source, pointer), start) in self.tape.sources.iter().zip(pointers).zip(starts) {
            *start = match after {
                true => *start + source.strides[index.len() - 1],
                false => {
                    let outer = index
                        .iter()
                        .zip(&source.strides)
                        .map(|(index, stride)| index * stride);
                    outer.sum::<usize>() + self.tile * source.partial
                }
            };
            let mut place = Some(*start);
            for (span, own) in source.outer.iter().zip(&mut sums) {
                *own = if after {
                    *own + span.strides[index.len() - 1]
                } else {
                    sum(span, index)
                };
                place = place
                    .zip(span.place(*own))
                    .map(|(start, place)| start + place * span.step);
            }
            // SAFETY: the plan's verifier checks that every element of a loop lies within its
            // buffer.
            *pointer = place.map_or(std::ptr::null_mut(), |place| unsafe {
                source.address.0.add(place)
            });
        }
        let mut start = first;
        while start < last {
            let len = self.tape.chunk.min(last - start);
            self.prefetch(start + AHEAD * self.tape.chunk, last);
            for step in &self.tape.steps {
                self.step(step, index, start, len, start == first);
            }
            start += len;
        }
    }

    /// Asks for what lies side by side in the chunk that begins at `start`, so that it is there
    /// when its turn comes.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        allow(unused_variables, reason = "others have no such instruction in Rust")
    )]
    fn prefetch(&self, start: usize, last: usize) {
        let end = last.min(start + self.tape.chunk);
        if start >= end {
            return;
        }
        #[cfg(target_arch = "x86_64")]
        for (source, first) in self.tape.sources.iter().zip(&self.scratch.pointers) {
            if source.inner == 1 && source.each.is_empty() && !first.is_null() {
                for element in (start..end).step_by(16) {
                    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                    // SAFETY: it reads nothing, and each CPU of this architecture has it.
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(element).cast()) };
                }
            }
        }
    }

    fn register(&self, register: usize) -> *mut f32 {
        debug_assert!(register < self.tape.registers);
        // Shared by all slices of a step, which never overlap: a result has a register or a buffer
        // of its own.
        self.scratch.registers.slice()[register * SPACING..]
            .as_ptr()
            .cast_mut()
    }

    fn at(&self, source: usize, start: usize) -> *mut f32 {
        let first = self.scratch.pointers[source];
        if first.is_null() {
            // Only what is loaded has windows, and nothing writes there.
            return NOTHING.as_ptr().cast_mut();
        }
        // SAFETY: as in `chunks`.
        unsafe { first.add(start * self.tape.sources[source].inner) }
    }

    /// Whether windows named no place for all of the innermost loop.
    fn is_nothing(&self, source: usize) -> bool {
        self.scratch.pointers[source].is_null()
    }

    fn pointer(&self, place: Place, start: usize) -> *mut f32 {
        match place {
            Place::Register(register) => self.register(register),
            Place::Memory(source) => self.at(source, start),
        }
    }

    fn read(&self, place: Place, start: usize, len: usize) -> &[f32] {
        // SAFETY: a register holds CHUNK floats, and memory operands lie within their buffers; see
        // `chunks`.
        unsafe { std::slice::from_raw_parts(self.pointer(place, start), len) }
    }

    #[allow(
        clippy::mut_from_ref,
        reason = "the result of a step overlaps none of its operands"
    )]
    fn write(&self, place: Place, start: usize, len: usize) -> &mut [f32] {
        // SAFETY: as in `read`; the writer gives a result a register or a buffer that the step does
        // not read.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(place, start), len) }
    }

    fn step(&self, step: &Step, index: &[usize], start: usize, len: usize, fresh: bool) {
        let isa = self.tape.isa;
        match step {
            Step::Splat { to, source } => {
                // A chunk that follows is no longer than the first.
                if fresh {
                    // SAFETY: as in `chunks`.
                    let value = unsafe { *self.at(*source, 0) };
                    self.write(Place::Register(*to), 0, len).fill(value);
                }
            }
            Step::Repeat { to, source, period } => {
                if fresh {
                    let to = self.write(Place::Register(*to), 0, len);
                    // SAFETY: as in `chunks`.
                    let from = unsafe { std::slice::from_raw_parts(self.at(*source, 0), *period) };
                    to.chunks_mut(*period)
                        .for_each(|to| to.copy_from_slice(&from[..to.len()]));
                }
            }
            Step::Gather { to, source } => {
                let stride = self.tape.sources[*source].inner;
                let from = self.at(*source, start);
                let stride = if self.is_nothing(*source) { 0 } else { stride };
                for (element, to) in self
                    .write(Place::Register(*to), 0, len)
                    .iter_mut()
                    .enumerate()
                {
                    // SAFETY: as in `chunks`.
                    *to = unsafe { *from.add(element * stride) };
                }
            }
            Step::Search { to, source } => {
                let to = self.write(Place::Register(*to), 0, len);
                if self.is_nothing(*source) {
                    return to.fill(0.0);
                }
                let (from, Source { inner, each, .. }) =
                    (self.at(*source, 0), &self.tape.sources[*source]);
                for (element, to) in (start..).zip(to) {
                    let place = each_place(each, index, element);
                    // SAFETY: as in `chunks`.
                    *to = place.map_or(0.0, |place| unsafe { *from.add(place + element * inner) });
                }
            }
            Step::Count { to, axis } => {
                let to = self.write(Place::Register(*to), 0, len);
                match index.get(*axis) {
                    Some(&position) => to.fill(position as f32),
                    None => to
                        .iter_mut()
                        .enumerate()
                        .for_each(|(element, to)| *to = (start + element) as f32),
                }
            }
            Step::Noise {
                to,
                stream,
                kind,
                strides,
            } => {
                let outer: usize = index
                    .iter()
                    .zip(strides)
                    .map(|(index, stride)| index * stride)
                    .sum();
                let first = (outer + start * strides[strides.len() - 1]) as u64;
                let to = self.write(*to, start, len);
                match kind {
                    NoiseKind::Normal => {
                        vector::normal(isa, self.key.seed, self.key.step, *stream, first, to)
                    }
                    NoiseKind::Uniform => {
                        vector::uniform(isa, self.key.seed, self.key.step, *stream, first, to)
                    }
                }
            }
            Step::Apply {
                operation,
                to,
                from,
            } => {
                let [x, y, z] =
                    from.map(|from| from.map_or(&[][..], |from| self.read(from, start, len)));
                operation.apply(self.write(*to, start, len), x, y, z);
            }
            Step::OneHot { to, from, axis } => {
                let (to, from) = (self.write(*to, start, len), self.read(*from, start, len));
                let position =
                    |element: usize| index.get(*axis).copied().unwrap_or(start + element) as f32;
                for (element, (to, from)) in to.iter_mut().zip(from).enumerate() {
                    *to = f32::from(*from == position(element));
                }
            }
            Step::Copy { from, source } => {
                self.write(Place::Memory(*source), start, len)
                    .copy_from_slice(self.read(*from, start, len));
            }
            Step::Scatter { from, source } => {
                let stride = self.tape.sources[*source].inner;
                let to = self.at(*source, start);
                for (element, from) in self.read(*from, start, len).iter().enumerate() {
                    // SAFETY: as in `chunks`.
                    unsafe { *to.add(element * stride) = *from };
                }
            }
            Step::Lay { from, source } => {
                if self.is_nothing(*source) {
                    return;
                }
                let Source { inner, each, .. } = &self.tape.sources[*source];
                if each.is_empty() && *inner == 1 {
                    return self
                        .write(Place::Memory(*source), start, len)
                        .copy_from_slice(self.read(*from, start, len));
                }
                let (from, to) = (self.read(*from, start, len), self.at(*source, 0));
                for (element, from) in (start..).zip(from) {
                    let Some(place) = each_place(each, index, element) else {
                        continue;
                    };
                    // SAFETY: as in `chunks`.
                    unsafe { *to.add(place + element * inner) = *from };
                }
            }
            Step::Fold { kind, from, source } => {
                let from = self.read(*from, start, len);
                // SAFETY: as in `chunks`.
                let to = unsafe { &mut *self.at(*source, 0) };
                match kind {
                    ReduceKind::Max => *to = to.max(vector::max(isa, from)),
                    _ => *to += vector::sum(isa, from),
                }
            }
            Step::Accumulate {
                kind,
                from,
                source,
                period,
            } => {
                let first = if *period > len { start } else { 0 };
                for from in self.read(*from, start, len).chunks(*period) {
                    let to = self.write(Place::Memory(*source), first, from.len());
                    match kind {
                        ReduceKind::Max => vector::max_assign(isa, to, from),
                        _ => vector::add_assign(isa, to, from),
                    }
                }
            }
        }
    }
}

/// The sum that a window takes for the outer loops.
fn sum(span: &Span, index: &[usize]) -> isize {
    span.offset
        + index
            .iter()
            .zip(&span.strides)
            .map(|(index, stride)| *index as isize * stride)
            .sum::<isize>()
}

/// How far the place is that windows name for an element of the innermost loop, if they name one.
fn each_place(spans: &[Span], index: &[usize], element: usize) -> Option<usize> {
    let mut place = 0;
    for span in spans {
        let inner = span.strides[index.len()] * element as isize;
        place += span.place(sum(span, index) + inner)? * span.step;
    }
    Some(place)
}
