//! A loop's body as a tape: a list of steps, each of which works on a chunk of elements.
//!
//! A register is a chunk of scratch memory. All registers of a tape, and the chunks of memory that
//! it reads and writes, fit into the first-level cache. Operands whose elements are neighbours in
//! memory are read where they are, and a result that is stored so is written where it belongs.
//!
//! Always true of a tape that [`super::writer`] made:
//! - A step's result overlaps none of the operands that the step reads as slices. An operand that
//!   is read in the result's place is not among them.
//! - A register that is filled for many chunks (a constant, a number that is the same for all
//!   elements of an inner loop, numbers that repeat) holds no other value.

use super::{
    super::{
        isa::Isa,
        memory::{Address, Floats},
    },
    vector::Operation,
};
use crate::{
    error::Result,
    plan::WindowStep,
    tensor::{NoiseKind, ReduceKind},
};

/// Elements of a chunk, at most: registers, and what is read and written beside them, stay in the
/// first-level cache.
pub const CHUNK: usize = 128;
/// Floats between the beginnings of registers: no power of two, so that they do not compete for the
/// same lines of the cache.
pub const SPACING: usize = CHUNK + 48;

/// What a tape works with. A thread has one for all tapes.
#[derive(Default)]
pub struct Scratch {
    pub registers: Floats,
    /// Where each source begins at the current position of the outer loops; none if its windows
    /// name no place there.
    pub places: Vec<Option<Address>>,
    /// Floats from each source's beginning, without its windows.
    pub starts: Vec<usize>,
    /// The sum of each window at the current position of the outer loops.
    pub sums: Vec<isize>,
    workspace: Floats,
}

/// How much of a [`Scratch`] a tape uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    pub registers: usize,
    pub sources: usize,
    pub windows: usize,
}

impl Scratch {
    /// Makes room for a tape.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn reserve(&mut self, needs: Needs) -> Result<()> {
        self.registers.reserve(needs.registers * SPACING)?;
        if self.places.len() < needs.sources {
            self.places.resize(needs.sources, None);
            self.starts.resize(needs.sources, 0);
        }
        if self.sums.len() < needs.windows {
            self.sums.resize(needs.windows, 0);
        }
        Ok(())
    }

    /// Makes room for a contraction.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn reserve_workspace(&mut self, len: usize) -> Result<()> {
        self.workspace.reserve(len)
    }

    /// Floats for contractions.
    pub fn workspace(&mut self) -> Address {
        self.workspace.address()
    }
}

pub struct Tape {
    pub isa: Isa,
    pub steps: Vec<Step>,
    /// Registers of values that do not change within a tile.
    pub constants: Vec<(usize, f32)>,
    pub sources: Vec<Source>,
    pub registers: usize,
    /// Elements of a chunk.
    pub chunk: usize,
}

impl Tape {
    pub fn needs(&self) -> Needs {
        Needs {
            registers: self.registers,
            sources: self.sources.len(),
            windows: self.sources.iter().map(|source| source.outer.len()).sum(),
        }
    }
}

/// An access to memory.
pub(crate) struct Source {
    pub address: Address,
    /// For each outer loop.
    pub strides: Vec<usize>,
    /// For the innermost loop.
    pub inner: usize,
    /// Floats for each tile.
    pub partial: usize,
    /// Windows that name the same place for all of the innermost loop.
    pub outer: Vec<WindowStep>,
    /// Windows that name another place for each element.
    pub each: Vec<WindowStep>,
}

/// Where a step finds an operand, or puts its result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operand {
    Register(usize),
    /// In memory, as neighbours: a source with an inner stride of 1.
    Memory(usize),
}

pub enum Step {
    /// One number for all elements of the innermost loop.
    Splat { to: usize, source: usize },
    /// Elements at the source's inner stride.
    Gather { to: usize, source: usize },
    /// The same few numbers, over and over.
    Repeat {
        to: usize,
        source: usize,
        period: usize,
    },
    /// Elements where windows name their places.
    GatherWindows { to: usize, source: usize },
    /// The position along a loop.
    Position { to: usize, axis: usize },
    Noise {
        to: Operand,
        stream: u32,
        kind: NoiseKind,
        strides: Vec<usize>,
    },
    Apply {
        operation: Operation,
        to: Operand,
        /// None for an operand that the operation lacks or that is in the result's place.
        from: [Option<Operand>; 3],
    },
    OneHot {
        to: Operand,
        from: Operand,
        axis: usize,
    },
    /// To memory, as neighbours.
    Copy { from: Operand, source: usize },
    /// To memory, at the source's inner stride.
    Scatter { from: Operand, source: usize },
    /// To memory, where windows name places.
    ScatterWindows { from: Operand, source: usize },
    /// Reduces all elements into one float.
    Fold {
        kind: ReduceKind,
        from: Operand,
        source: usize,
    },
    /// Reduces each element into the float at its position, modulo `period`.
    Accumulate {
        kind: ReduceKind,
        from: Operand,
        source: usize,
        period: usize,
    },
}
