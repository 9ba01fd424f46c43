//! Replacing the steps of a tape by native code.
//!
//! Neighbouring steps that have native code become one step. Registers that only they use
//! disappear. Example: `r1 = splat b; r2 = a · r1; c = r2 + a` becomes one loop that reads each
//! element of `a` once, and writes `c`.
//!
//! A CPU without the instructions, or a system that does not allow code to be made, runs the tape
//! as it was, with the same results.

use super::{
    super::memory::{Address, Element},
    native::{self, NativeLoop, Recorder, Traced, ValueId},
    tape::{LONG_CHUNK, MOST_POINTERS, Native, Operand, Pointer, Source, Step, Tape},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// The tape of a loop whose innermost size is `row`, with native code if possible.
pub fn lower(tape: Tape, row: usize) -> Tape {
    let groups = Lowering::new(&tape).groups(row);
    replace(tape, groups)
}

/// Native code for some of a tape's steps.
type Group = (Range<usize>, Native);

/// The length of a chunk with native code: it begins with the first of the numbers that repeat.
fn long_chunk(tape: &Tape) -> usize {
    let period = tape.steps.iter().find_map(|step| match step {
        Step::Repeat { period, .. } | Step::Accumulate { period, .. } if *period <= LONG_CHUNK => {
            Some(*period)
        }
        _ => None,
    });
    period.map_or(LONG_CHUNK, |period| LONG_CHUNK / period * period)
}

fn replace(tape: Tape, groups: Vec<Group>) -> Tape {
    if groups.is_empty() {
        return tape;
    }
    let chunk = long_chunk(&tape);
    let is_replaced = |number: usize| groups.iter().any(|(steps, _)| steps.contains(&number));
    let rest = tape
        .steps
        .iter()
        .enumerate()
        .filter(|(number, _)| !is_replaced(*number));
    let read: BTreeSet<usize> = rest
        .flat_map(|(_, step)| step.reads())
        .filter_map(|operand| match operand {
            Operand::Register(register) => Some(register),
            Operand::Memory(_) => None,
        })
        .collect();
    let mut steps = Vec::new();
    let mut groups = groups.into_iter().peekable();
    for (number, step) in tape.steps.into_iter().enumerate() {
        let group = groups.peek().map(|(steps, _)| steps.clone());
        match group.filter(|group| group.contains(&number)) {
            None => steps.push(step),
            Some(group) => {
                if let Step::Splat { to, .. } = step
                    && read.contains(&to)
                {
                    steps.push(step);
                }
                if number + 1 == group.end {
                    steps.extend(groups.next().map(|(_, native)| Step::Native(native)));
                }
            }
        }
    }
    let mut constants = tape.constants;
    constants.retain(|(register, _)| read.contains(register));
    Tape {
        steps,
        constants,
        chunk,
        ..tape
    }
}

struct Lowering<'a> {
    tape: &'a Tape,
    /// The memory that the tape writes.
    written: BTreeSet<Address>,
    /// The registers that hold one number in all chunks of a row: a constant, or a source's.
    constants: BTreeMap<usize, f32>,
    splats: BTreeMap<usize, usize>,
}

impl<'a> Lowering<'a> {
    fn new(tape: &'a Tape) -> Self {
        let written = tape.steps.iter().filter_map(Step::writes);
        let written: BTreeSet<Address> =
            written.map(|source| tape.sources[source].address).collect();
        let splats = tape.steps.iter().filter_map(|step| match step {
            Step::Splat { to, source } => Some((*to, *source)),
            _ => None,
        });
        Lowering {
            tape,
            constants: tape.constants.iter().copied().collect(),
            splats: splats
                .filter(|(_, source)| !written.contains(&tape.sources[*source].address))
                .collect(),
            written,
        }
    }

    /// Native code for the whole tape, or for what has code between other steps.
    fn groups(&self, row: usize) -> Vec<Group> {
        let steps = &self.tape.steps;
        let has_windows = self
            .tape
            .sources
            .iter()
            .any(|source| !source.outer.is_empty() || !source.each.is_empty());
        if !has_windows && steps.iter().all(|step| self.has_code(step, true)) {
            return self.group(0..steps.len(), true).into_iter().collect();
        }
        // A fold in code ends with the chunk.
        let folds = row <= long_chunk(self.tape);
        let mut groups = Vec::new();
        let mut start = 0;
        while start < steps.len() {
            let len = steps[start..]
                .iter()
                .take_while(|step| self.has_code(step, folds))
                .count();
            groups.extend(self.group(start..start + len, false));
            start += len + 1;
        }
        groups
    }

    /// Whether there is native code for a step.
    fn has_code(&self, step: &Step, folds: bool) -> bool {
        match step {
            Step::Splat { to, .. } => self.splats.contains_key(to),
            Step::Apply { operation, .. } => native::has_code(operation.scalar),
            // Outside of its windows, a source has as many zeros as elements.
            Step::Gather { source, .. } => {
                let source = &self.tape.sources[*source];
                source.inner <= native::MOST_DISTANCE && source.outer.is_empty()
            }
            Step::Copy { .. } | Step::Round { .. } | Step::Widen { .. } => true,
            Step::Fold { .. } => folds,
            Step::Accumulate { period, .. } => *period == usize::MAX,
            _ => false,
        }
    }

    /// Native code for steps that have code; `None` if they do nothing or need too many pointers.
    fn group(&self, steps: Range<usize>, takes_rows: bool) -> Option<Group> {
        let recorder = Recorder::new(self.tape.isa);
        let mut body = Body {
            lowering: self,
            recorder: &recorder,
            pointers: Vec::new(),
            registers: BTreeMap::new(),
        };
        for step in &self.tape.steps[steps.clone()] {
            body.step(step);
        }
        for (&register, &value) in &body.registers.clone() {
            if self.is_read(register, steps.end) {
                let to = body.pointer(Pointer::Chunk(Operand::Register(register)));
                recorder.store(to, Element::F32, value);
            }
        }
        let pointers = body.pointers;
        if pointers.is_empty() || pointers.len() > MOST_POINTERS {
            return None;
        }
        let strides: Vec<usize> = pointers
            .iter()
            .map(|pointer| match *pointer {
                Pointer::Chunk(Operand::Memory(source)) | Pointer::Single(source) => {
                    let Source {
                        element, strides, ..
                    } = &self.tape.sources[source];
                    element.bytes() * strides.last().copied().unwrap_or(0)
                }
                Pointer::Chunk(Operand::Register(_)) => 0,
            })
            .collect();
        let native = Native {
            function: NativeLoop::new(recorder, &strides)?,
            pointers,
            takes_rows,
        };
        Some((steps, native))
    }

    /// Whether a step from number `start` on reads what a register holds before.
    fn is_read(&self, register: usize, start: usize) -> bool {
        for step in &self.tape.steps[start..] {
            if step.reads().contains(&Operand::Register(register)) {
                return true;
            }
            if step.fills() == Some(register) {
                return false;
            }
        }
        false
    }
}

/// The body of a group while it is recorded.
struct Body<'a> {
    lowering: &'a Lowering<'a>,
    recorder: &'a Recorder,
    pointers: Vec<Pointer>,
    /// The values of the registers that the group's steps filled.
    registers: BTreeMap<usize, ValueId>,
}

impl<'a> Body<'a> {
    /// The number of a pointer.
    fn pointer(&mut self, pointer: Pointer) -> usize {
        let known = self.pointers.iter().position(|&other| other == pointer);
        known.unwrap_or_else(|| {
            self.pointers.push(pointer);
            self.pointers.len() - 1
        })
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Apply {
                operation,
                to,
                from,
            } => {
                let in_place = operation.in_place;
                let operands: Vec<Traced> = (0..from.len())
                    .filter_map(|position| match in_place == Some(position) {
                        true => Some(*to),
                        false => from[position],
                    })
                    .map(|operand| self.read(operand))
                    .collect();
                let value = native::value(operation.scalar, &operands);
                let value = value.expect("the operation has code").value();
                match *to {
                    Operand::Register(register) => {
                        self.registers.insert(register, value);
                    }
                    to @ Operand::Memory(_) => {
                        let to = self.pointer(Pointer::Chunk(to));
                        self.recorder.store(to, Element::F32, value);
                    }
                }
            }
            Step::Copy { from, source } | Step::Round { from, source } => {
                let value = self.read(*from).value();
                let element = self.lowering.tape.sources[*source].element;
                let to = self.pointer(Pointer::Chunk(Operand::Memory(*source)));
                self.recorder.store(to, element, value);
            }
            Step::Accumulate {
                kind, from, source, ..
            } => {
                let value = self.read(*from).value();
                let to = self.pointer(Pointer::Chunk(Operand::Memory(*source)));
                self.recorder.accumulate(*kind, to, value);
            }
            Step::Fold {
                kind, from, source, ..
            } => {
                let value = self.read(*from).value();
                let to = self.pointer(Pointer::Single(*source));
                self.recorder.fold(*kind, to, value);
            }
            Step::Gather { to, source } | Step::Widen { to, source } => {
                let value = self.load(*source).value();
                self.registers.insert(*to, value);
            }
            // Its readers read the number itself.
            Step::Splat { .. } => {}
            _ => unreachable!("the step has code"),
        }
    }

    fn read(&mut self, operand: Operand) -> Traced<'a> {
        let lowering = self.lowering;
        match operand {
            Operand::Register(register) => {
                if let Some(&value) = self.registers.get(&register) {
                    return self.recorder.traced(value);
                }
                if let Some(&value) = lowering.constants.get(&register) {
                    return self.recorder.constant(value);
                }
                if let Some(&source) = lowering.splats.get(&register) {
                    let source = self.pointer(Pointer::Single(source));
                    return self.recorder.splat(source);
                }
                let source = self.pointer(Pointer::Chunk(operand));
                self.recorder.load(source, Element::F32, 1, false)
            }
            Operand::Memory(source) => self.load(source),
        }
    }

    /// The elements of a source, as of now.
    fn load(&mut self, source: usize) -> Traced<'a> {
        let tape = self.lowering.tape;
        let &Source {
            address,
            element,
            inner,
            ..
        } = &tape.sources[source];
        let changes = self.lowering.written.contains(&address);
        let source = self.pointer(Pointer::Chunk(Operand::Memory(source)));
        self.recorder.load(source, element, inner, changes)
    }
}
