//! The body of a loop as a tape: each step works on a chunk of elements that stays in the
//! first-level cache.
//!
//! A register is a chunk of scratch memory. Operands that lie side by side in memory are read where
//! they are, and a result that is stored so is written where it belongs.

use super::{
    super::{Address, Floats, isa::Isa},
    run::Run,
    vector::Operation,
    walk::Walk,
};
use crate::{
    backend::NoiseKey,
    error::Result,
    plan::{self, Access, Instruction, Span},
    tensor::{NoiseKind, ReduceKind},
};

/// Elements worked on at once: registers, and what is read and written beside them, stay in the
/// first-level cache.
pub(super) const CHUNK: usize = 128;
/// Floats between registers.
pub(super) const SPACING: usize = CHUNK + 48;

/// A thread's registers and pointers.
#[derive(Default)]
pub struct Scratch {
    pub(super) registers: Floats,
    pub(super) pointers: Vec<*mut f32>,
    /// Where sources begin without their windows, and what these add up to.
    pub(super) starts: Vec<usize>,
    pub(super) sums: Vec<isize>,
    workspace: Floats,
}

// SAFETY: the pointers are only meaningful, and only used, while one thread runs a tape.
unsafe impl Send for Scratch {}

impl Scratch {
    /// Room for a tape of that many registers, sources and windows.
    pub fn reserve(&mut self, (registers, sources, windows): (usize, usize, usize)) -> Result<()> {
        self.registers.reserve(registers * SPACING)?;
        if self.pointers.len() < sources {
            self.pointers.resize(sources, std::ptr::null_mut());
            self.starts.resize(sources, 0);
        }
        if self.sums.len() < windows {
            self.sums.resize(windows, 0);
        }
        Ok(())
    }

    /// Room for packing the left operands of contractions.
    pub fn reserve_workspace(&mut self, len: usize) -> Result<()> {
        self.workspace.reserve(len)
    }

    pub fn workspace(&mut self) -> *mut f32 {
        self.workspace.pointer()
    }
}

pub(super) struct Tape {
    pub(super) isa: Isa,
    pub(super) steps: Vec<Step>,
    /// Values that do not change within a tile: filled in once.
    constants: Vec<(usize, f32)>,
    pub(super) sources: Vec<Source>,
    pub(super) registers: usize,
    /// Elements of a chunk.
    pub(super) chunk: usize,
}

/// Where a memory operand lies.
pub(super) struct Source {
    pub(super) address: Address,
    /// For each outer loop.
    pub(super) strides: Vec<usize>,
    pub(super) inner: usize,
    pub(super) partial: usize,
    /// Windows that name one place for all of the innermost loop.
    pub(super) outer: Vec<Span>,
    /// Windows that name another for each element.
    pub(super) each: Vec<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    Register(usize),
    /// Side by side in memory: a source with inner stride 1.
    Memory(usize),
}

pub(super) enum Step {
    /// A value that is the same for the whole chunk.
    Splat {
        to: usize,
        source: usize,
    },
    /// Elements that lie apart.
    Gather {
        to: usize,
        source: usize,
    },
    /// The same few numbers again and again.
    Repeat {
        to: usize,
        source: usize,
        period: usize,
    },
    /// Elements that windows name.
    Search {
        to: usize,
        source: usize,
    },
    /// The position along a loop.
    Count {
        to: usize,
        axis: usize,
    },
    Noise {
        to: Place,
        stream: u32,
        kind: NoiseKind,
        strides: Vec<usize>,
    },
    Apply {
        operation: Operation,
        to: Place,
        /// None for an operand that the operation lacks or that is in place.
        from: [Option<Place>; 3],
    },
    OneHot {
        to: Place,
        from: Place,
        axis: usize,
    },
    Copy {
        from: Place,
        source: usize,
    },
    Scatter {
        from: Place,
        source: usize,
    },
    /// To where windows name a place.
    Lay {
        from: Place,
        source: usize,
    },
    /// Into one element.
    Fold {
        kind: ReduceKind,
        from: Place,
        source: usize,
    },
    /// Element by element, into that many.
    Accumulate {
        kind: ReduceKind,
        from: Place,
        source: usize,
        period: usize,
    },
}

impl Tape {
    /// From a loop and how its axes are walked.
    pub fn new(nest: &plan::Loop, addresses: &[Address], walk: &Walk) -> Self {
        // Each chunk begins where what is repeated begins.
        let chunk = walk
            .period()
            .map_or(CHUNK, |period| CHUNK / period * period);
        let (isa, steps, constants, sources) = (Isa::detect(), Vec::new(), Vec::new(), Vec::new());
        let tape = Tape {
            isa,
            steps,
            constants,
            sources,
            registers: 0,
            chunk,
        };
        let count = nest.instructions.len();
        let mut writer = Writer {
            tape,
            nest,
            addresses,
            walk,
            places: vec![None; count],
            last_use: last_uses(nest),
            free: Vec::new(),
            stored: vec![false; count],
        };
        for number in 0..count {
            writer.instruction(number);
            writer.release(number);
        }
        writer.tape
    }

    /// How many registers, sources and windows it needs.
    pub fn needs(&self) -> (usize, usize, usize) {
        (
            self.registers,
            self.sources.len(),
            self.sources.iter().map(|source| source.outer.len()).sum(),
        )
    }

    /// Begins a tile.
    pub fn start<'a>(&'a self, scratch: &'a mut Scratch, tile: usize, key: NoiseKey) -> Run<'a> {
        for &(register, value) in &self.constants {
            scratch.registers.slice_mut()[register * SPACING..register * SPACING + CHUNK]
                .fill(value);
        }
        Run {
            tape: self,
            scratch,
            tile,
            key,
        }
    }
}

/// The last instruction that reads each instruction's value.
fn last_uses(nest: &plan::Loop) -> Vec<usize> {
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
    nest: &'a plan::Loop,
    addresses: &'a [Address],
    walk: &'a Walk<'a>,
    places: Vec<Option<Place>>,
    last_use: Vec<usize>,
    free: Vec<usize>,
    /// Whether a store was done by the instruction that made the value.
    stored: Vec<bool>,
}

impl Writer<'_> {
    fn register(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.tape.registers += 1;
            self.tape.registers - 1
        })
    }

    /// A register that no other value had, so that one filled in earlier keeps what it holds.
    fn own_register(&mut self) -> usize {
        self.tape.registers += 1;
        self.tape.registers - 1
    }

    /// Frees the registers of values that are not read any more.
    fn release(&mut self, number: usize) {
        for value in 0..=number {
            if self.last_use[value] != number || self.keeps(value) {
                continue;
            }
            if let Some(Place::Register(register)) = self.places[value] {
                self.free.push(register);
                self.places[value] = None;
            }
        }
    }

    /// Whether a value's register is filled once for many chunks, and so never used for another.
    fn keeps(&self, value: usize) -> bool {
        match &self.nest.instructions[value] {
            Instruction::Constant(_) => true,
            Instruction::Load(access) => {
                self.walk.joined(access).strides.last() == Some(&0)
                    || self.walk.repeated(access).is_some()
            }
            _ => false,
        }
    }

    fn source(&mut self, access: &Access) -> usize {
        let Access {
            mut strides,
            spans,
            partial,
            ..
        } = self.walk.joined(access);
        let inner = strides.pop().expect("there is an innermost loop");
        let address = self.addresses[access.buffer.index()];
        let (each, outer) = spans
            .into_iter()
            .partition(|span| span.strides[strides.len()] != 0);
        self.tape.sources.push(Source {
            address,
            strides,
            inner,
            partial,
            outer,
            each,
        });
        self.tape.sources.len() - 1
    }

    fn place(&self, value: usize) -> Place {
        self.places[value].expect("a value is kept until its last use")
    }

    /// Where a result goes.
    fn target(&mut self, number: usize) -> Place {
        match self.stored_at_once(number, &[]) {
            Some((source, _)) => Place::Memory(source),
            None => Place::Register(self.register()),
        }
    }

    /// Where an operation's result goes, and the operand that is read there: in the place of an
    /// operand that is not read any more if there is one, since few registers stay in the
    /// first-level cache.
    fn target_in_place(&mut self, number: usize, operands: &[usize]) -> (Place, Option<usize>) {
        if let Some((source, in_place)) = self.stored_at_once(number, operands) {
            return (Place::Memory(source), in_place);
        }
        let in_place = (0..operands.len()).find(|&position| {
            let operand = operands[position];
            let once = operands.iter().filter(|&&other| other == operand).count() == 1;
            once && self.last_use[operand] == number
                && !self.keeps(operand)
                && matches!(self.place(operand), Place::Register(_))
        });
        match in_place {
            Some(position) => (
                self.places[operands[position]]
                    .take()
                    .expect("it has a place"),
                in_place,
            ),
            None => (Place::Register(self.register()), None),
        }
    }

    /// Where in memory a result is written at once, if it is stored side by side where the loop
    /// reads nothing, or only what was read by earlier instructions of the same element, or one of
    /// the operands; and that operand.
    fn stored_at_once(
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
        if !access.spans.is_empty() || self.walk.joined(access).strides.last() != Some(&1) {
            return None;
        }
        let address = self.addresses[access.buffer.index()].0;
        let mut in_place = None;
        for (value, instruction) in instructions.iter().enumerate() {
            let Instruction::Load(load) = instruction else {
                continue;
            };
            if self.addresses[load.buffer.index()].0 != address {
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

    fn instruction(&mut self, number: usize) {
        let place = match &self.nest.instructions[number] {
            Instruction::Constant(value) => {
                let register = self.own_register();
                self.tape.constants.push((register, *value as f32));
                Place::Register(register)
            }
            Instruction::Position(axis) => {
                let to = self.register();
                self.tape.steps.push(Step::Count {
                    to,
                    axis: self.walk.group_of(*axis),
                });
                Place::Register(to)
            }
            Instruction::Load(access) => self.load(access),
            Instruction::Noise {
                stream,
                kind,
                access,
            } => {
                let to = self.target(number);
                let strides = self.walk.joined(access).strides;
                self.tape.steps.push(Step::Noise {
                    to,
                    stream: *stream,
                    kind: *kind,
                    strides,
                });
                to
            }
            Instruction::Scalar(scalar, operands) => {
                let mut from = [None; 3];
                operands
                    .iter()
                    .zip(&mut from)
                    .for_each(|(&operand, from)| *from = Some(self.place(operand)));
                let (to, in_place) = self.target_in_place(number, operands);
                if let Some(operand) = in_place {
                    from[operand] = None;
                }
                let operation = Operation::new(self.tape.isa, *scalar, in_place);
                self.tape.steps.push(Step::Apply {
                    operation,
                    to,
                    from,
                });
                to
            }
            Instruction::OneHot(value, axis) => {
                let from = self.place(*value);
                let to = self.target(number);
                self.tape.steps.push(Step::OneHot {
                    to,
                    from,
                    axis: self.walk.group_of(*axis),
                });
                to
            }
            Instruction::Store(value, access) => {
                if !self.stored[number] {
                    let (from, source) = (self.place(*value), self.source(access));
                    let side_by_side = self.tape.sources[source].inner == 1;
                    self.tape
                        .steps
                        .push(match (access.spans.is_empty(), side_by_side) {
                            (false, _) => Step::Lay { from, source },
                            (true, true) => Step::Copy { from, source },
                            (true, false) => Step::Scatter { from, source },
                        });
                }
                return;
            }
            Instruction::Reduce {
                kind,
                value,
                access,
            } => {
                let (from, source, kind) = (self.place(*value), self.source(access), *kind);
                self.tape.steps.push(match self.tape.sources[source].inner {
                    0 => Step::Fold { kind, from, source },
                    1 => Step::Accumulate {
                        kind,
                        from,
                        source,
                        period: self.walk.repeated(access).unwrap_or(usize::MAX),
                    },
                    inner => {
                        unreachable!(
                            "a reduction's result lies in the order of its loop: {inner} {:?}",
                            self.nest
                        )
                    }
                });
                return;
            }
        };
        self.places[number] = Some(place);
    }

    fn load(&mut self, access: &Access) -> Place {
        let source = self.source(access);
        if let Some(period) = self.walk.repeated(access) {
            let to = self.own_register();
            self.tape.steps.push(Step::Repeat { to, source, period });
            return Place::Register(to);
        }
        let Source { inner, each, .. } = &self.tape.sources[source];
        let inner = *inner;
        if !each.is_empty() {
            let to = self.register();
            self.tape.steps.push(Step::Search { to, source });
            return Place::Register(to);
        }
        if inner == 1 {
            return Place::Memory(source);
        }
        if inner > 1 {
            let to = self.register();
            self.tape.steps.push(Step::Gather { to, source });
            return Place::Register(to);
        }
        let to = self.own_register();
        self.tape.steps.push(Step::Splat { to, source });
        Place::Register(to)
    }
}
