//! A plan's kernels as data: functions, the pieces of work that share one, and what each piece
//! does.
//!
//! All decisions are made, and no text is written. [`super::select`] builds these values,
//! [`super::usage`] counts the memory that they access, and [`super::write`] prints them.

use super::nest::{loads, needed};
use crate::{
    id::Id,
    plan::{Access, Buffer, Contraction, Instruction, Loop, Plan, Tile, Windows},
};
use std::collections::{BTreeMap, BTreeSet};

/// Threads per block.
pub const THREADS: usize = 256;
/// Threads per warp.
pub(super) const WARP: usize = 32;
/// Rows that the warps of a block share in [`Elements`] of [`Spread::Strips`].
pub(super) const STRIP: usize = 64;
/// Each product's k begins at a multiple of this in the k of all products, and so does each part of
/// a k that is split, so that what is loaded by fours stays so.
pub(super) const STEP: usize = 32;

/// A launch of a function of the source.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Launch {
    /// The function's name.
    pub function: String,
    /// Blocks of [`THREADS`] threads each.
    pub blocks: usize,
    /// Whether the function's first argument is the working memory. The buffers follow, then the
    /// noise's key if the function draws any noise.
    pub arena: bool,
    /// The buffers that the function takes, in order.
    pub buffers: Vec<Id<Buffer>>,
    /// Whether the function's last argument is the key of the noise.
    pub noise: bool,
    /// Bytes that the launch moves: each byte that it reads counts once, and each that it writes.
    pub moved: usize,
}

/// All functions of a plan, in the order of their launches.
pub(super) struct Program<'p> {
    pub plan: &'p Plan,
    pub functions: Vec<Function<'p>>,
    /// Floats of working memory.
    pub arena: usize,
    pub index: IndexWidth,
}

/// The type of an index. Narrow indices are quicker to divide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexWidth {
    Narrow,
    Wide,
}

/// Pieces of work that need not wait for each other: one launch.
pub(super) struct Function<'p> {
    pub launch: Launch,
    /// The function's buffers, in the order of the launch's buffers.
    pub parameters: Vec<Pointer>,
    /// The memory in working memory, with offsets in floats.
    pub inner: Vec<(Pointer, usize)>,
    pub shared: BTreeSet<Shared>,
    /// Floats in shared memory for vectors that prologues need.
    pub vectors: usize,
    /// The pieces, in the order of their blocks.
    pub pieces: Vec<PlacedPiece<'p>>,
}

/// A piece of work in a function.
pub(super) struct PlacedPiece<'p> {
    pub piece: Piece<'p>,
    /// The number of its first block.
    pub first: usize,
    /// The offset of its partial sums in working memory, if it has any.
    pub scratch: Option<usize>,
}

/// A buffer argument of a function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pointer {
    pub buffer: Id<Buffer>,
    pub element: Element,
    pub access: PointerAccess,
}

/// The type of a buffer's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Float,
    BFloat16,
}

impl Element {
    /// The size in bytes.
    pub fn size(self) -> usize {
        match self {
            Element::Float => 4,
            Element::BFloat16 => 2,
        }
    }
}

/// How a function uses a buffer's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PointerAccess {
    /// No piece of the function writes the memory, so its loads need not wait for stores.
    ReadOnly,
    /// The function writes the memory under the name of another buffer.
    Aliased,
    Written,
}

/// The uses of a block's shared memory, one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shared {
    /// The operands of a tile, then a strip of its sums.
    Stage(TileShape),
    /// A float for each thread, to join sums of columns.
    Columns,
    /// A float for each warp, to join the sums of a block.
    Sums,
}

/// Rows and columns of a contraction's tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TileShape {
    pub m: usize,
    pub n: usize,
}

/// The blocks of a piece, by columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub columns: usize,
    pub rows: usize,
}

impl Grid {
    pub fn line(blocks: usize) -> Self {
        Grid {
            columns: blocks,
            rows: 1,
        }
    }

    pub fn blocks(self) -> usize {
        self.columns * self.rows
    }
}

/// The amount of work of a piece. Any contraction is more than any loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    /// Elements that loops visit.
    Elements(usize),
    Contraction,
}

/// A piece of work: blocks of a function that execute a task, or a single block that executes
/// several tasks in turn.
pub(super) struct Piece<'p> {
    pub name: String,
    /// The formulas that it computes.
    pub origins: Vec<String>,
    /// The tasks. If there are several, a single block executes them in order.
    pub tasks: Vec<Task<'p>>,
    pub grid: Grid,
    pub work: Work,
    /// The approximate number of times that a block waits for memory.
    pub waits: usize,
    pub usage: Usage,
}

/// The memory that a piece accesses.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    /// The number of elements read from each buffer.
    pub reads: BTreeMap<Id<Buffer>, usize>,
    /// The number of elements written to each buffer.
    pub writes: BTreeMap<Id<Buffer>, usize>,
    pub noise: bool,
    /// The partial sums that it writes or reads.
    pub scratch: Option<Scratch>,
    pub shared: BTreeSet<Shared>,
    /// Floats in shared memory for vectors that prologues need.
    pub vectors: usize,
}

/// Partial sums in working memory: their contraction and the number of floats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scratch {
    pub contraction: String,
    pub floats: usize,
}

/// The task of a piece's blocks.
pub(super) enum Task<'p> {
    Elements(Elements<'p>),
    Sums(Sums<'p>),
    Rows(Rows<'p>),
    Tiles(Tiles<'p>),
    AddParts(AddParts<'p>),
    AddRows(AddRows<'p>),
}

/// A loop's stores.
pub(super) struct Elements<'p> {
    pub nest: &'p Loop,
    pub sinks: Vec<usize>,
    pub rematerialized: Rematerialized<'p>,
    pub spread: Spread,
}

/// How the elements of a loop are spread over threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spread {
    /// A thread for each element.
    Each,
    /// A thread for several elements of a column, for which it recomputes sums once: the warps of a
    /// block share [`STRIP`] rows of 32 columns.
    Strips,
}

/// Columns and rows of a loop's elements: the last axis, and all others.
pub(super) fn matrix_of(nest: &Loop) -> (usize, usize) {
    let columns = nest.sizes[nest.sizes.len() - 1];
    (columns, nest.elements() / columns)
}

/// The team of threads that computes a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Team {
    Thread,
    Warp,
    Block,
    /// The same thread of each warp; the threads of a warp compute 32 sums.
    Columns,
}

impl Team {
    /// The number of sums that a block computes at once.
    pub fn results(self) -> usize {
        match self {
            Team::Thread => THREADS,
            Team::Warp => THREADS / WARP,
            Team::Block => 1,
            Team::Columns => WARP,
        }
    }

    /// The number of threads that share the terms of a sum.
    pub fn step(self) -> usize {
        match self {
            Team::Thread => 1,
            Team::Warp => WARP,
            Team::Block => THREADS,
            Team::Columns => THREADS / WARP,
        }
    }
}

/// Sums of a loop that have the same axes, and stores that the same pass executes.
pub(super) struct Sums<'p> {
    pub nest: &'p Loop,
    /// For each axis of the loop, whether the sums have it.
    pub kept: Vec<bool>,
    /// The ranges of partial sums, if the sums are partial.
    pub tile: Option<Tile>,
    pub sums: Vec<usize>,
    /// The sums and the stores.
    pub sinks: Vec<usize>,
    pub rematerialized: Rematerialized<'p>,
    pub team: Team,
    pub terms: TermOrder,
}

/// The order in which a team adds the terms of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TermOrder {
    /// One after another, unrolled, because there are few.
    InTurn,
    /// In groups: all loads of a group precede its first term.
    Ahead(usize),
}

impl Sums<'_> {
    /// How far a sum walks along each axis: along the tile axis, through the range of one tile.
    pub fn extents(&self) -> Vec<usize> {
        let extent = |axis: usize| match self.tile {
            Some(tile) if axis == 0 && !self.kept[0] => tile.size,
            _ => self.nest.sizes[axis],
        };
        (0..self.nest.sizes.len()).map(extent).collect()
    }

    /// Sums of one tile.
    pub fn results_of_tile(&self) -> usize {
        let kept = self.nest.sizes.iter().zip(&self.kept);
        kept.filter(|(_, kept)| **kept)
            .map(|(size, _)| size)
            .product()
    }

    /// Sums of all tiles.
    pub fn results(&self) -> usize {
        self.results_of_tile() * self.tile.map_or(1, |tile| tile.count)
    }

    /// The number of terms of a sum.
    pub fn summed(&self) -> usize {
        let extents = self.extents().into_iter().zip(&self.kept);
        extents
            .filter(|(_, kept)| !**kept)
            .map(|(extent, _)| extent)
            .product()
    }

    /// The loads of a term, without duplicates.
    pub fn loaded(&self) -> Vec<&Access> {
        let mut loaded: Vec<&Access> = Vec::new();
        let needed = needed(self.nest, &self.sinks);
        for (instruction, _) in self
            .nest
            .instructions
            .iter()
            .zip(needed)
            .filter(|(_, n)| *n)
        {
            match instruction {
                Instruction::Load(access)
                    if !loaded.contains(&access)
                        && !self.rematerialized.buffers.contains(&access.buffer) =>
                {
                    loaded.push(access);
                }
                _ => {}
            }
        }
        loaded
    }

    /// The tile whose last range is shorter, if it is.
    pub fn ragged(&self) -> Option<Tile> {
        self.tile
            .filter(|tile| !tile.length.is_multiple_of(tile.size))
    }
}

/// Setup loops that a reader executes itself, for the elements that it needs, instead of loading
/// their results. Often there are none.
#[derive(Clone, Debug, Default)]
pub(super) struct Rematerialized<'p> {
    pub loops: Vec<RematerializedLoop<'p>>,
    /// The buffers that need not be loaded.
    pub buffers: BTreeSet<Id<Buffer>>,
}

/// A setup loop that a reader executes.
#[derive(Clone, Debug)]
pub(super) struct RematerializedLoop<'p> {
    pub nest: &'p Loop,
    /// The sinks that the reader needs.
    pub sinks: Vec<usize>,
    /// The axes of the results.
    pub kept: Vec<usize>,
    /// The number of terms of each result; 1 if nothing is summed.
    pub terms: usize,
}

impl Rematerialized<'_> {
    /// Whether there are no loops.
    pub fn is_empty(&self) -> bool {
        self.loops.is_empty()
    }

    /// Whether a loop sums.
    pub fn has_sums(&self) -> bool {
        self.loops.iter().any(|part| part.terms > 1)
    }

    /// The loads of a reader that the loops replace.
    pub fn replaced<'n>(&self, nest: &'n Loop) -> impl Iterator<Item = &'n Access> {
        loads(nest).filter(|access| self.buffers.contains(&access.buffer))
    }
}

/// A matrix times a vector: a warp for each row.
pub(super) struct Rows<'p> {
    pub contraction: &'p Contraction,
    /// The source of the vector, for each product.
    pub vectors: Vec<Vector<'p>>,
    pub finish: Finish<'p>,
}

/// The vector of a product.
pub(super) enum Vector<'p> {
    Memory,
    /// Recomputed for the loop that reads it.
    Rematerialized(Loop, Rematerialized<'p>),
}

/// A contraction by tiles: a block for each tile, or for each part of a tile's k.
pub(super) struct Tiles<'p> {
    pub contraction: &'p Contraction,
    pub shape: TileShape,
    /// The operands of each product: left and right.
    pub operands: Vec<[Operand<'p>; 2]>,
    pub outcome: Outcome<'p>,
}

/// The use of a tile's sums.
pub(super) enum Outcome<'p> {
    Whole(Box<Epilogue<'p>>),
    /// They are partial sums, stored for [`AddParts`].
    Parts(Parts),
}

/// How k is split.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub count: usize,
    /// The length of k per part.
    pub depth: usize,
    pub scratch: Scratch,
}

/// An operand of a product.
pub(super) enum Operand<'p> {
    Memory(Strides),
    /// Read through windows.
    Windows(&'p Windows),
    /// Computed from other buffers, element by element.
    Computed(Box<Computed<'p>>),
}

/// An operand in memory: its strides across and along k, and its length along k.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strides {
    pub buffer: Id<Buffer>,
    pub across: usize,
    pub along: usize,
    pub k: usize,
}

/// A prologue: an operand whose elements a contraction computes while it loads them.
pub(super) struct Computed<'p> {
    /// The loop, reduced to the operand's instructions.
    pub nest: Loop,
    /// The number of its axes before k.
    pub rows: usize,
    /// The store of the operand.
    pub sink: usize,
    /// Vectors over k that each block computes once, in shared memory.
    pub rematerialized: Rematerialized<'p>,
}

impl Computed<'_> {
    /// The vectors, by the loads that they replace.
    pub fn vectors(&self) -> Vec<&Access> {
        self.rematerialized.replaced(&self.nest).collect()
    }

    /// The size of the vectors in shared memory, in floats.
    pub fn shared_floats(&self) -> usize {
        self.vectors().len() * self.nest.sizes[self.rows]
    }
}

/// The use of a contraction's complete sums.
#[derive(Clone)]
pub(super) struct Finish<'p> {
    /// Whether the sums are stored as the contraction's result.
    pub stored: bool,
    /// The fused loop, which is applied to the sums.
    pub fused: Option<Fused<'p>>,
}

/// A loop that is applied to a contraction's sums.
#[derive(Clone)]
pub(super) struct Fused<'p> {
    pub nest: &'p Loop,
    /// How the loop reads the contraction's result.
    pub reads: Access,
    /// The number of its axes, outermost first, that form the result's rows.
    pub row_axes: usize,
    /// Its stores.
    pub stores: Vec<usize>,
    /// Partial sums of columns that the tiles' blocks compute.
    pub columns: Vec<usize>,
    /// Sums of rows that the tiles' blocks compute.
    pub rows: Vec<usize>,
    /// Sums that a later pass over the loop computes.
    pub rest: Vec<usize>,
    pub rematerialized: Rematerialized<'p>,
}

impl Fused<'_> {
    /// The sinks that the contraction's blocks execute.
    pub fn sinks(&self) -> Vec<usize> {
        [self.stores.as_slice(), &self.columns, &self.rows].concat()
    }
}

/// The use of a complete tile by its block.
pub(super) struct Epilogue<'p> {
    pub finish: Finish<'p>,
    /// The partial sums of rows, if several blocks or warps share a row.
    pub row_parts: Option<RowParts>,
}

/// Sums of rows, of which each warp computes parts of 32 columns.
#[derive(Clone, Debug)]
pub(super) struct RowParts {
    /// The number of parts of a row.
    pub groups: usize,
    pub scratch: Scratch,
}

/// Adds the parts of a contraction whose k is split, in order.
pub(super) struct AddParts<'p> {
    pub contraction: &'p Contraction,
    pub parts: Parts,
    pub finish: Finish<'p>,
}

/// Adds the parts of sums of rows, in order.
pub(super) struct AddRows<'p> {
    pub contraction: &'p Contraction,
    pub fused: Fused<'p>,
    pub parts: RowParts,
}
