//! A loop's body as a tape: a list of steps, each of which works on a chunk of elements.
//!
//! A register is a chunk of scratch memory. All registers of a tape, and the chunks of memory that
//! it reads and writes, fit into the first-level cache. Operands that are contiguous in memory are
//! read in place, and results that are contiguous are written in place.
//!
//! Always true of a tape that [`super::writer`] made:
//! - A step's result overlaps none of the operands that the step reads as slices. An operand that
//!   is read in the result's place is not among them.
//! - A register that is filled for many chunks (a constant, a number that is the same for all
//!   elements of an inner loop, numbers that repeat) holds no other value.

use super::{
    super::{
        isa::Isa,
        memory::{Address, Element, Floats},
    },
    vector::Operation,
};
use crate::{
    error::Result,
    plan::WindowStep,
    tensor::{NoiseKind, ReduceKind},
};

/// The maximum number of elements of a chunk: registers and the accessed memory fit into the
/// first-level cache.
pub const CHUNK: usize = 128;
/// Floats between the starts of registers: no power of two, so that registers do not compete for
/// the same cache lines.
pub const SPACING: usize = CHUNK + 48;

/// Scratch memory of a thread, shared by all tapes.
#[derive(Default)]
pub struct Scratch {
    pub registers: Floats,
    /// The start of each source at the current position of the outer loops; `None` if its windows
    /// are outside the array.
    pub places: Vec<Option<Address>>,
    /// Floats from each source's beginning, without its windows.
    pub starts: Vec<usize>,
    /// The sum of each window at the current position of the outer loops.
    pub sums: Vec<isize>,
    workspace: Floats,
    /// The result of a contraction's tile that only its own kernel reads.
    results: Floats,
}

/// The scratch memory that a tape needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    pub registers: usize,
    pub sources: usize,
    pub windows: usize,
}

impl Scratch {
    /// Reserves scratch memory for a tape.
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

    /// Reserves scratch memory for a contraction.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn reserve_workspace(&mut self, len: usize) -> Result<()> {
        self.workspace.reserve(len)
    }

    /// Reserves scratch memory for the result of a contraction's tile.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn reserve_results(&mut self, len: usize) -> Result<()> {
        self.results.reserve(len)
    }

    /// Where the result of a contraction's tile begins.
    pub fn results(&self) -> Address {
        self.results.address()
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
    pub element: Element,
    /// The stride of each outer loop.
    pub strides: Vec<usize>,
    /// The stride of the innermost loop.
    pub inner: usize,
    /// Floats per tile.
    pub partial: usize,
    /// Floats for each index of the tile axis, if the array is a tile's result in scratch memory.
    pub local: Option<usize>,
    /// Windows with the same place for the whole innermost loop.
    pub outer: Vec<WindowStep>,
    /// Windows with a different place for each element.
    pub each: Vec<WindowStep>,
}

/// The place of a step's operand or result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operand {
    Register(usize),
    /// Contiguous memory: a source with an inner stride of 1.
    Memory(usize),
}

pub enum Step {
    /// The same number for all elements of the innermost loop.
    Splat { to: usize, source: usize },
    /// Memory with the source's inner stride.
    Gather { to: usize, source: usize },
    /// A few numbers that repeat.
    Repeat {
        to: usize,
        source: usize,
        period: usize,
    },
    /// Memory at the places of windows.
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
        /// `None` for an operand that the operation lacks or that is in the result's place.
        from: [Option<Operand>; 3],
    },
    OneHot {
        to: Operand,
        from: Operand,
        axis: usize,
    },
    /// To contiguous memory.
    Copy { from: Operand, source: usize },
    /// To contiguous memory, rounded to bf16.
    Round { from: Operand, source: usize },
    /// Contiguous bf16 memory.
    Widen { to: usize, source: usize },
    /// To memory with the source's inner stride.
    Scatter { from: Operand, source: usize },
    /// To memory at the places of windows.
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
