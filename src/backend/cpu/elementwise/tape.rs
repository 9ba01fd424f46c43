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
    native::NativeLoop,
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
/// The maximum number of elements of a chunk of a tape with native code, which has few registers.
pub const LONG_CHUNK: usize = 1024;

/// Floats between the starts of registers: no power of two, so that registers do not compete for
/// the same cache lines.
const fn spacing(chunk: usize) -> usize {
    chunk.next_multiple_of(16) + 48
}

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
    /// Floats of all registers.
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
        self.registers.reserve(needs.registers)?;
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
    /// Floats between the starts of registers.
    pub fn spacing(&self) -> usize {
        spacing(self.chunk)
    }

    /// The only step, if it is native code that may run over many rows: its operands are neither
    /// registers nor in windows.
    pub fn whole(&self) -> Option<&Native> {
        match self.steps.as_slice() {
            [Step::Native(native)] if native.takes_rows => Some(native),
            _ => None,
        }
    }

    pub fn needs(&self) -> Needs {
        Needs {
            registers: self.registers * self.spacing(),
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

/// Native code with the pointers that it takes.
pub struct Native {
    pub function: NativeLoop,
    pub pointers: Vec<Pointer>,
    /// Whether it may run over many rows at a time.
    pub takes_rows: bool,
}

/// The maximum number of pointers that native code takes.
pub const MOST_POINTERS: usize = 64;

/// Where a pointer that native code takes points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointer {
    /// The current chunk.
    Chunk(Operand),
    /// The number of a source that is the same for the whole row.
    Single(usize),
}

/// The place of a step's operand or result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Reduces all elements of the innermost loop into one float, with partial results in a
    /// register.
    Fold {
        kind: ReduceKind,
        from: Operand,
        source: usize,
        lanes: usize,
    },
    /// Reduces each element into the float at its position, modulo `period`.
    Accumulate {
        kind: ReduceKind,
        from: Operand,
        source: usize,
        period: usize,
    },
    /// What several steps did.
    Native(Native),
}

impl Step {
    /// The operands that the step reads as a chunk.
    pub fn reads(&self) -> Vec<Operand> {
        match self {
            Step::Apply {
                operation,
                to,
                from,
            } => {
                let in_place = operation.in_place.map(|_| *to);
                from.iter().copied().flatten().chain(in_place).collect()
            }
            Step::OneHot { from, .. }
            | Step::Copy { from, .. }
            | Step::Round { from, .. }
            | Step::Scatter { from, .. }
            | Step::ScatterWindows { from, .. }
            | Step::Fold { from, .. }
            | Step::Accumulate { from, .. } => vec![*from],
            Step::Native(native) => native
                .pointers
                .iter()
                .filter_map(|pointer| match pointer {
                    Pointer::Chunk(operand) => Some(*operand),
                    Pointer::Single(_) => None,
                })
                .collect(),
            Step::Splat { .. }
            | Step::Gather { .. }
            | Step::Widen { .. }
            | Step::Repeat { .. }
            | Step::GatherWindows { .. }
            | Step::Position { .. }
            | Step::Noise { .. } => Vec::new(),
        }
    }

    /// The register that the step fills, whether or not it also reads it.
    pub fn fills(&self) -> Option<usize> {
        match self {
            Step::Splat { to, .. }
            | Step::Gather { to, .. }
            | Step::Widen { to, .. }
            | Step::Repeat { to, .. }
            | Step::GatherWindows { to, .. }
            | Step::Position { to, .. } => Some(*to),
            Step::Noise { to, .. } | Step::Apply { to, .. } | Step::OneHot { to, .. } => match to {
                Operand::Register(to) => Some(*to),
                Operand::Memory(_) => None,
            },
            _ => None,
        }
    }

    /// The source that the step writes, if any.
    pub fn writes(&self) -> Option<usize> {
        match self {
            Step::Noise { to, .. } | Step::Apply { to, .. } | Step::OneHot { to, .. } => match to {
                Operand::Register(_) => None,
                Operand::Memory(source) => Some(*source),
            },
            Step::Copy { source, .. }
            | Step::Round { source, .. }
            | Step::Scatter { source, .. }
            | Step::ScatterWindows { source, .. }
            | Step::Fold { source, .. }
            | Step::Accumulate { source, .. } => Some(*source),
            _ => None,
        }
    }
}
