//! The body of a loop as a tape: each step works on a chunk of elements that stays in the first-level cache.
//!
//! A register is a chunk of scratch memory. Operands that lie side by side in memory are read where they are, and a
//! result that is stored so is written where it belongs.

use super::{Address, Floats, isa::Isa, vector};
use crate::{
    backend::NoiseKey,
    error::Result,
    plan::{self, Access, Instruction},
    tensor::{NoiseKind, ReduceKind, Scalar},
};

/// Elements worked on at once: with some twenty registers, the first-level cache.
pub(super) const CHUNK: usize = 256;
/// Floats between registers.
const SPACING: usize = CHUNK + 48;

/// A thread's registers and pointers.
#[derive(Default)]
pub(super) struct Scratch {
    registers: Floats,
    pointers: Vec<*mut f32>,
    workspace: Floats,
}

// SAFETY: the pointers are only meaningful, and only used, while one thread runs a tape.
unsafe impl Send for Scratch {}

impl Scratch {
    /// Room for a tape of that many registers and sources.
    pub fn reserve(&mut self, (registers, sources): (usize, usize)) -> Result<()> {
        self.registers.reserve(registers * SPACING)?;
        if self.pointers.len() < sources {
            self.pointers.resize(sources, std::ptr::null_mut());
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
    isa: Isa,
    steps: Vec<Step>,
    /// Values that do not change within a tile: filled in once.
    constants: Vec<(usize, f32)>,
    sources: Vec<Source>,
    registers: usize,
}

/// Where a memory operand lies.
struct Source {
    address: Address,
    /// For each outer loop.
    strides: Vec<usize>,
    inner: usize,
    partial: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Register(usize),
    /// Side by side in memory: a source with inner stride 1.
    Memory(usize),
}

enum Step {
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
        scalar: Scalar,
        to: Place,
        from: [Place; 3],
        arity: usize,
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
    /// Into one element.
    Fold {
        kind: ReduceKind,
        from: Place,
        source: usize,
    },
    /// Element by element.
    Accumulate {
        kind: ReduceKind,
        from: Place,
        source: usize,
    },
}

impl Tape {
    /// From a loop some of whose axes were joined: the strides of an access along the joined ones, and which of them an axis is in.
    pub fn new(
        nest: &plan::Loop,
        addresses: &[Address],
        strides: &dyn Fn(&Access) -> Vec<usize>,
        group_of: &dyn Fn(usize) -> usize,
    ) -> Self {
        let tape =
            Tape { isa: Isa::detect(), steps: Vec::new(), constants: Vec::new(), sources: Vec::new(), registers: 0 };
        let count = nest.instructions.len();
        let mut writer = Writer {
            tape,
            nest,
            addresses,
            strides,
            places: vec![None; count],
            last_use: last_uses(nest),
            free: Vec::new(),
            stored: vec![false; count],
        };
        for number in 0..count {
            writer.instruction(number, group_of);
            writer.release(number);
        }
        writer.tape
    }

    /// How many registers and sources it needs.
    pub fn needs(&self) -> (usize, usize) {
        (self.registers, self.sources.len())
    }

    /// Begins a tile.
    pub fn start<'a>(&'a self, scratch: &'a mut Scratch, tile: usize, key: NoiseKey) -> Run<'a> {
        for &(register, value) in &self.constants {
            scratch.registers.slice_mut()[register * SPACING..register * SPACING + CHUNK].fill(value);
        }
        Run { tape: self, scratch, tile, key }
    }
}

/// The last instruction that reads each instruction's value.
fn last_uses(nest: &plan::Loop) -> Vec<usize> {
    let mut last: Vec<usize> = (0..nest.instructions.len()).collect();
    for (number, instruction) in nest.instructions.iter().enumerate() {
        match instruction {
            Instruction::Scalar(_, operands) => operands.iter().for_each(|&operand| last[operand] = number),
            Instruction::OneHot(value, _) | Instruction::Store(value, _) | Instruction::Reduce { value, .. } => {
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
    strides: &'a dyn Fn(&Access) -> Vec<usize>,
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
            Instruction::Load(access) => (self.strides)(access).last() == Some(&0),
            _ => false,
        }
    }

    fn source(&mut self, access: &Access) -> usize {
        let mut strides = (self.strides)(access);
        let inner = strides.pop().expect("there is an innermost loop");
        let address = self.addresses[access.buffer.index()];
        self.tape.sources.push(Source { address, strides, inner, partial: access.partial });
        self.tape.sources.len() - 1
    }

    fn place(&self, value: usize) -> Place {
        self.places[value].expect("a value is kept until its last use")
    }

    /// Where a result goes: to memory at once, if it is stored side by side where the loop reads nothing, or only what was read
    /// by earlier instructions of the same element.
    fn target(&mut self, number: usize) -> Place {
        let store = self.nest.instructions.iter().enumerate().find_map(|(position, instruction)| match instruction {
            Instruction::Store(value, access) if *value == number => Some((position, access)),
            _ => None,
        });
        if let Some((position, access)) = store {
            let address = self.addresses[access.buffer.index()].0;
            let read = self.nest.instructions.iter().enumerate().any(|(position, instruction)| match instruction {
                Instruction::Load(load) if self.addresses[load.buffer.index()].0 == address => {
                    let same = load.strides == access.strides && load.partial == access.partial;
                    !same || self.last_use[position] >= number
                }
                _ => false,
            });
            if (self.strides)(access).last() == Some(&1) && !read {
                self.stored[position] = true;
                return Place::Memory(self.source(access));
            }
        }
        Place::Register(self.register())
    }

    fn instruction(&mut self, number: usize, group_of: &dyn Fn(usize) -> usize) {
        let place = match &self.nest.instructions[number] {
            Instruction::Constant(value) => {
                let register = self.own_register();
                self.tape.constants.push((register, *value as f32));
                Place::Register(register)
            }
            Instruction::Position(axis) => {
                let to = self.register();
                self.tape.steps.push(Step::Count { to, axis: group_of(*axis) });
                Place::Register(to)
            }
            Instruction::Load(access) => self.load(access),
            Instruction::Noise { stream, kind, access } => {
                let to = self.target(number);
                let strides = (self.strides)(access);
                self.tape.steps.push(Step::Noise { to, stream: *stream, kind: *kind, strides });
                to
            }
            Instruction::Scalar(scalar, operands) => {
                let mut from = [Place::Register(0); 3];
                operands.iter().zip(&mut from).for_each(|(&operand, from)| *from = self.place(operand));
                let to = self.target(number);
                self.tape.steps.push(Step::Apply { scalar: *scalar, to, from, arity: operands.len() });
                to
            }
            Instruction::OneHot(value, axis) => {
                let from = self.place(*value);
                let to = self.target(number);
                self.tape.steps.push(Step::OneHot { to, from, axis: group_of(*axis) });
                to
            }
            Instruction::Store(value, access) => {
                if !self.stored[number] {
                    let (from, source) = (self.place(*value), self.source(access));
                    let side_by_side = self.tape.sources[source].inner == 1;
                    self.tape.steps.push(match side_by_side {
                        true => Step::Copy { from, source },
                        false => Step::Scatter { from, source },
                    });
                }
                return;
            }
            Instruction::Reduce { kind, value, access } => {
                let (from, source, kind) = (self.place(*value), self.source(access), *kind);
                self.tape.steps.push(match self.tape.sources[source].inner {
                    0 => Step::Fold { kind, from, source },
                    1 => Step::Accumulate { kind, from, source },
                    _ => unreachable!("a reduction's result lies in the order of its loop"),
                });
                return;
            }
        };
        self.places[number] = Some(place);
    }

    fn load(&mut self, access: &Access) -> Place {
        let source = self.source(access);
        let inner = self.tape.sources[source].inner;
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

/// A tape at work on one tile.
pub(super) struct Run<'a> {
    tape: &'a Tape,
    scratch: &'a mut Scratch,
    tile: usize,
    key: NoiseKey,
}

impl Run<'_> {
    /// Runs the tape for elements `first..last` of the innermost loop, at `index` of the outer ones.
    pub fn chunks(&mut self, index: &[usize], first: usize, last: usize) {
        for (source, pointer) in self.tape.sources.iter().zip(&mut self.scratch.pointers) {
            let outer: usize = index.iter().zip(&source.strides).map(|(index, stride)| index * stride).sum();
            // SAFETY: the plan's verifier checks that every element of a loop lies within its buffer.
            *pointer = unsafe { source.address.0.add(outer + self.tile * source.partial) };
        }
        let mut start = first;
        while start < last {
            let len = CHUNK.min(last - start);
            for step in &self.tape.steps {
                self.step(step, index, start, len, start == first);
            }
            start += len;
        }
    }

    fn register(&self, register: usize) -> *mut f32 {
        debug_assert!(register < self.tape.registers);
        // Shared by all slices of a step, which never overlap: a result has a register or a buffer of its own.
        self.scratch.registers.slice()[register * SPACING..].as_ptr().cast_mut()
    }

    fn at(&self, source: usize, start: usize) -> *mut f32 {
        // SAFETY: as in `chunks`.
        unsafe { self.scratch.pointers[source].add(start * self.tape.sources[source].inner) }
    }

    fn pointer(&self, place: Place, start: usize) -> *mut f32 {
        match place {
            Place::Register(register) => self.register(register),
            Place::Memory(source) => self.at(source, start),
        }
    }

    fn read(&self, place: Place, start: usize, len: usize) -> &[f32] {
        // SAFETY: a register holds CHUNK floats, and memory operands lie within their buffers; see `chunks`.
        unsafe { std::slice::from_raw_parts(self.pointer(place, start), len) }
    }

    #[allow(clippy::mut_from_ref, reason = "the result of a step overlaps none of its operands")]
    fn write(&self, place: Place, start: usize, len: usize) -> &mut [f32] {
        // SAFETY: as in `read`; the writer gives a result a register or a buffer that the step does not read.
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
            Step::Gather { to, source } => {
                let stride = self.tape.sources[*source].inner;
                let from = self.at(*source, start);
                for (element, to) in self.write(Place::Register(*to), 0, len).iter_mut().enumerate() {
                    // SAFETY: as in `chunks`.
                    *to = unsafe { *from.add(element * stride) };
                }
            }
            Step::Count { to, axis } => {
                let to = self.write(Place::Register(*to), 0, len);
                match index.get(*axis) {
                    Some(&position) => to.fill(position as f32),
                    None => to.iter_mut().enumerate().for_each(|(element, to)| *to = (start + element) as f32),
                }
            }
            Step::Noise { to, stream, kind, strides } => {
                let outer: usize = index.iter().zip(strides).map(|(index, stride)| index * stride).sum();
                let first = (outer + start * strides[strides.len() - 1]) as u64;
                let to = self.write(*to, start, len);
                match kind {
                    NoiseKind::Normal => vector::normal(isa, self.key.seed, self.key.step, *stream, first, to),
                    NoiseKind::Uniform => vector::uniform(isa, self.key.seed, self.key.step, *stream, first, to),
                }
            }
            Step::Apply { scalar, to, from, arity } => {
                let operand = |number: usize| if number < *arity { self.read(from[number], start, len) } else { &[] };
                vector::apply(isa, *scalar, self.write(*to, start, len), [operand(0), operand(1), operand(2)]);
            }
            Step::OneHot { to, from, axis } => {
                let (to, from) = (self.write(*to, start, len), self.read(*from, start, len));
                let position = |element: usize| index.get(*axis).copied().unwrap_or(start + element) as f32;
                for (element, (to, from)) in to.iter_mut().zip(from).enumerate() {
                    *to = f32::from(*from == position(element));
                }
            }
            Step::Copy { from, source } => {
                self.write(Place::Memory(*source), start, len).copy_from_slice(self.read(*from, start, len));
            }
            Step::Scatter { from, source } => {
                let stride = self.tape.sources[*source].inner;
                let to = self.at(*source, start);
                for (element, from) in self.read(*from, start, len).iter().enumerate() {
                    // SAFETY: as in `chunks`.
                    unsafe { *to.add(element * stride) = *from };
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
            Step::Accumulate { kind, from, source } => {
                let (to, from) = (self.write(Place::Memory(*source), start, len), self.read(*from, start, len));
                match kind {
                    ReduceKind::Max => vector::max_assign(isa, to, from),
                    _ => vector::add_assign(isa, to, from),
                }
            }
        }
    }
}
