//! Writing a loop's body as a tape: assigns registers, and decides which values stay in memory.
//!
//! Example: `t = load a; u = load b; v = t · u; store v → c`, all contiguous in memory, becomes one
//! step: `c = a · b`, read and written in place. With a bias `b` that has no stride along the
//! innermost loop, a step before it fills a register with `b`, once for all chunks.

use super::{
    super::{
        isa::Isa,
        memory::{Address, Element, Place},
    },
    tape::{CHUNK, Operand, Source, Step, Tape},
    vector::Operation,
    walk::Walk,
};
use crate::{
    error::{Error, Result},
    plan::{Access, Instruction, Loop},
    tensor::{ReduceKind, Scalar},
};

/// The tape of a loop with joined axes and buffers at `places`, for an instruction set.
///
/// # Errors
/// If a reduction's results are not contiguous along the innermost loop.
pub fn write(nest: &Loop, places: &[Place], walk: &Walk, isa: Isa) -> Result<Tape> {
    // Each chunk begins with the first of the numbers that repeat.
    let chunk = walk
        .period()
        .map_or(CHUNK, |period| CHUNK / period * period);
    let count = nest.instructions.len();
    let mut writer = Writer {
        tape: Tape {
            isa,
            steps: Vec::new(),
            constants: Vec::new(),
            sources: Vec::new(),
            registers: 0,
            chunk,
        },
        nest,
        buffers: places,
        walk,
        places: vec![None; count],
        last_use: last_uses(nest),
        free: Vec::new(),
        stored: vec![false; count],
    };
    for number in 0..count {
        writer.places[number] = writer.instruction(number)?;
        writer.release(number);
    }
    Ok(writer.tape)
}

/// The last instruction that reads each instruction's value.
fn last_uses(nest: &Loop) -> Vec<usize> {
    let mut last: Vec<usize> = (0..nest.instructions.len()).collect();
    for (number, instruction) in nest.instructions.iter().enumerate() {
        match instruction {
            Instruction::Scalar(_, operands) => {
                operands.iter().for_each(|&operand| last[operand] = number)
            }
            Instruction::OneHot(value, _)
            | Instruction::Store(value, _)
            | Instruction::Reduce { value, .. } => {
                last[*value] = number;
            }
            _ => {}
        }
    }
    last
}

struct Writer<'a> {
    tape: Tape,
    nest: &'a Loop,
    /// The place of each buffer.
    buffers: &'a [Place],
    walk: &'a Walk<'a>,
    /// The place of each value, from its instruction to its last use.
    places: Vec<Option<Operand>>,
    last_use: Vec<usize>,
    free: Vec<usize>,
    /// For each store, whether the instruction of its value already wrote the result.
    stored: Vec<bool>,
}

impl Writer<'_> {
    fn register(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| self.new_register())
    }

    /// A new register, so that a register that is filled once keeps its value.
    fn new_register(&mut self) -> usize {
        self.tape.registers += 1;
        self.tape.registers - 1
    }

    /// Frees the registers of values that no later instruction reads.
    fn release(&mut self, number: usize) {
        for value in 0..=number {
            if self.last_use[value] != number || self.is_filled_once(value) {
                continue;
            }
            if let Some(Operand::Register(register)) = self.places[value] {
                self.free.push(register);
                self.places[value] = None;
            }
        }
    }

    /// Whether a value's register is filled once for many chunks, and so never used for another.
    fn is_filled_once(&self, value: usize) -> bool {
        match &self.nest.instructions[value] {
            Instruction::Constant(_) => true,
            Instruction::Load(access) => {
                self.walk.joined(access).strides.last() == Some(&0)
                    || self.walk.repeated(access).is_some()
            }
            _ => false,
        }
    }

    fn address(&self, access: &Access) -> Address {
        self.buffers[access.buffer.index()].address
    }

    fn is_rounded(&self, access: &Access) -> bool {
        self.buffers[access.buffer.index()].element == Element::Bf16
    }

    /// The memory that an instruction writes, if any.
    fn written<'i>(&self, instruction: &'i Instruction) -> Option<&'i Access> {
        match instruction {
            Instruction::Store(_, access) | Instruction::Reduce { access, .. } => Some(access),
            _ => None,
        }
    }

    /// The number of instructions that write to the buffer at an address.
    fn writes_to(&self, address: Address) -> usize {
        let accesses = self
            .nest
            .instructions
            .iter()
            .filter_map(|i| self.written(i));
        accesses
            .filter(|access| self.address(access) == address)
            .count()
    }

    /// Whether an instruction reduces into the buffer at an address.
    fn reduces_into(&self, address: Address) -> bool {
        self.nest
            .instructions
            .iter()
            .any(|instruction| match instruction {
                Instruction::Reduce { access, .. } => self.address(access) == address,
                _ => false,
            })
    }

    fn source(&mut self, access: &Access) -> usize {
        let Place { address, element } = self.buffers[access.buffer.index()];
        let Access {
            mut strides,
            spans,
            partial,
            ..
        } = self.walk.joined(access);
        let inner = strides.pop().expect("there is an innermost loop");
        let (each, outer) = spans
            .into_iter()
            .partition(|span| span.strides[strides.len()] != 0);
        self.tape.sources.push(Source {
            address,
            element,
            strides,
            inner,
            partial,
            local: None,
            outer,
            each,
        });
        self.tape.sources.len() - 1
    }

    fn place(&self, value: usize) -> Operand {
        self.places[value].expect("a value has a place until its last use")
    }

    /// The place of the result of an instruction without operands in registers.
    fn target(&mut self, number: usize) -> Operand {
        match self.stored_directly(number, &[]) {
            Some((source, _)) => Operand::Memory(source),
            None => Operand::Register(self.register()),
        }
    }

    /// The place of an operation's result, and the operand that is read there: an operand that no
    /// later instruction reads, if any, because few registers fit into the first-level cache.
    fn target_in_place(&mut self, number: usize, operands: &[usize]) -> (Operand, Option<usize>) {
        if let Some((source, in_place)) = self.stored_directly(number, operands) {
            return (Operand::Memory(source), in_place);
        }
        let in_place = (0..operands.len()).find(|&position| {
            let operand = operands[position];
            let once = operands.iter().filter(|&&other| other == operand).count() == 1;
            once && self.last_use[operand] == number
                && !self.is_filled_once(operand)
                && matches!(self.place(operand), Operand::Register(_))
        });
        let place = in_place.and_then(|position| self.places[operands[position]].take());
        (
            place.unwrap_or_else(|| Operand::Register(self.register())),
            in_place,
        )
    }

    /// The source that a result is written to directly, and the operand that is read there, if one
    /// is. None unless the loop stores the result as neighbours and as it is, stores nothing else in that
    /// buffer, and reads nothing from it but, at the same place, what earlier instructions used or
    /// what is one operand of this instruction.
    fn stored_directly(
        &mut self,
        number: usize,
        operands: &[usize],
    ) -> Option<(usize, Option<usize>)> {
        let instructions = &self.nest.instructions;
        let (position, access) = instructions.iter().enumerate().find_map(
            |(position, instruction)| match instruction {
                Instruction::Store(value, access) if *value == number => Some((position, access)),
                _ => None,
            },
        )?;
        if self.is_rounded(access) {
            return None;
        }
        if !access.spans.is_empty() || self.walk.joined(access).strides.last() != Some(&1) {
            return None;
        }
        let address = self.address(access);
        if self.writes_to(address) > 1 {
            return None;
        }
        let mut in_place = None;
        for (value, instruction) in instructions.iter().enumerate() {
            let Instruction::Load(load) = instruction else {
                continue;
            };
            if self.address(load) != address {
                continue;
            }
            let same = load.strides == access.strides
                && load.partial == access.partial
                && load.spans.is_empty();
            let mut read = operands
                .iter()
                .enumerate()
                .filter(|(_, operand)| **operand == value);
            match (read.next(), read.next()) {
                _ if !same || self.last_use[value] > number => return None,
                (Some((operand, _)), None) if in_place.is_none() => in_place = Some(operand),
                (None, _) if self.last_use[value] < number => {}
                _ => return None,
            }
        }
        self.stored[position] = true;
        Some((self.source(access), in_place))
    }

    /// Writes an instruction's steps, and returns the place of its value, if any.
    fn instruction(&mut self, number: usize) -> Result<Option<Operand>> {
        let place = match &self.nest.instructions[number] {
            Instruction::Constant(value) => {
                let register = self.new_register();
                self.tape.constants.push((register, *value as f32));
                Operand::Register(register)
            }
            Instruction::Position(axis) => {
                let to = self.register();
                let axis = self.walk.group_of(*axis);
                self.tape.steps.push(Step::Position { to, axis });
                Operand::Register(to)
            }
            Instruction::Load(access) => self.load(access),
            Instruction::Noise {
                stream,
                kind,
                access,
            } => {
                let to = self.target(number);
                self.tape.steps.push(Step::Noise {
                    to,
                    stream: *stream,
                    kind: *kind,
                    strides: self.walk.joined(access).strides,
                });
                to
            }
            Instruction::Scalar(scalar, operands) => self.scalar(number, *scalar, operands),
            Instruction::OneHot(value, axis) => {
                let from = self.place(*value);
                let to = self.target(number);
                let axis = self.walk.group_of(*axis);
                self.tape.steps.push(Step::OneHot { to, from, axis });
                to
            }
            Instruction::Store(value, access) => {
                if !self.stored[number] {
                    self.store(*value, access);
                }
                return Ok(None);
            }
            Instruction::Reduce {
                kind,
                value,
                access,
            } => {
                self.reduce(*kind, *value, access)?;
                return Ok(None);
            }
        };
        Ok(Some(place))
    }

    fn scalar(&mut self, number: usize, scalar: Scalar, operands: &[usize]) -> Operand {
        let mut from = [None; 3];
        for (&operand, from) in operands.iter().zip(&mut from) {
            *from = Some(self.place(operand));
        }
        let (to, in_place) = self.target_in_place(number, operands);
        if let Some(operand) = in_place {
            from[operand] = None;
        }
        let operation = Operation::new(self.tape.isa, scalar, in_place);
        self.tape.steps.push(Step::Apply {
            operation,
            to,
            from,
        });
        to
    }

    fn store(&mut self, value: usize, access: &Access) {
        let (from, source) = (self.place(value), self.source(access));
        let are_neighbours = self.tape.sources[source].inner == 1;
        let is_rounded = self.is_rounded(access);
        self.tape
            .steps
            .push(match (access.spans.is_empty(), are_neighbours) {
                (true, true) if is_rounded => Step::Round { from, source },
                (false, _) => Step::ScatterWindows { from, source },
                (true, true) => Step::Copy { from, source },
                (true, false) => Step::Scatter { from, source },
            });
    }

    fn reduce(&mut self, kind: ReduceKind, value: usize, access: &Access) -> Result<()> {
        let (from, source) = (self.place(value), self.source(access));
        let step = match self.tape.sources[source].inner {
            0 => Step::Fold {
                kind,
                from,
                source,
                lanes: self.new_register(),
            },
            1 => Step::Accumulate {
                kind,
                from,
                source,
                period: self.walk.repeated(access).unwrap_or(usize::MAX),
            },
            stride => {
                return Err(Error::new(format!(
                    "the CPU back end reduces into contiguous floats, not with the stride {stride}"
                )));
            }
        };
        self.tape.steps.push(step);
        Ok(())
    }

    fn load(&mut self, access: &Access) -> Operand {
        // A reduction must not read, as a slice, what it writes.
        let is_reduced = self.reduces_into(self.address(access));
        let source = self.source(access);
        if self.is_rounded(access) {
            let to = self.register();
            self.tape.steps.push(Step::Widen { to, source });
            return Operand::Register(to);
        }
        if let Some(period) = self.walk.repeated(access) {
            let to = self.new_register();
            self.tape.steps.push(Step::Repeat { to, source, period });
            return Operand::Register(to);
        }
        let Source { inner, each, .. } = &self.tape.sources[source];
        let (inner, has_windows) = (*inner, !each.is_empty());
        if inner == 1 && !has_windows && !is_reduced {
            return Operand::Memory(source);
        }
        let to = match inner {
            0 if !has_windows => self.new_register(),
            _ => self.register(),
        };
        self.tape.steps.push(match inner {
            _ if has_windows => Step::GatherWindows { to, source },
            0 => Step::Splat { to, source },
            _ => Step::Gather { to, source },
        });
        Operand::Register(to)
    }
}
