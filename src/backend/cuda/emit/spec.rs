//! A plan's kernels as data: functions, the pieces of work that share one, and what each piece does.
//!
//! Every decision has been made here and no text has been written. [`super::select`] builds these
//! values, [`super::usage`] counts the memory that they touch, and [`super::write`] prints them.

use super::nest::{loads, needed};
use crate::{
    id::Id,
    plan::{Access, Buffer, Contraction, Instruction, Loop, Plan, Tile, Windows},
};
use std::collections::{BTreeMap, BTreeSet};

/// Threads of a block.
pub const THREADS: usize = 256;
/// Threads of a warp.
pub(super) const WARP: usize = 32;
/// Rows that the warps of a block share in [`Elements`] of [`Spread::Strips`].
pub(super) const STRIP: usize = 64;
/// Each product's k begins at a multiple of this in the k of all products, and so does each part of
/// a k that is split, so that what is loaded by fours stays so.
pub(super) const STEP: usize = 32;

/// One launch of a function of the source.
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
    /// What the function is given, in the order of the launch's buffers.
    pub parameters: Vec<Pointer>,
    /// What lies in working memory, with the offset in floats.
    pub inner: Vec<(Pointer, usize)>,
    pub shared: BTreeSet<Shared>,
    /// Floats in shared memory for vectors that prologues need.
    pub vectors: usize,
    /// In the order in which their blocks begin.
    pub pieces: Vec<PlacedPiece<'p>>,
}

/// A piece of work in a function.
pub(super) struct PlacedPiece<'p> {
    pub piece: Piece<'p>,
    /// The number of its first block.
    pub first: usize,
    /// Where its partial sums lie in working memory, if it has any.
    pub scratch: Option<usize>,
}

/// A buffer as a function sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pointer {
    pub buffer: Id<Buffer>,
    pub access: PointerAccess,
}

/// What a function does with a buffer's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PointerAccess {
    /// No piece of the function writes the memory, so its loads need not wait for stores.
    ReadOnly,
    /// The function writes the memory under the name of another buffer.
    Aliased,
    Written,
}

/// What a block keeps in shared memory, in turn.
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

/// How much a piece does. Any contraction is more than any loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    /// Elements that loops visit.
    Elements(usize),
    Contraction,
}

/// A piece of work: blocks of a function that do one task, or one block that does several in turn.
pub(super) struct Piece<'p> {
    pub name: String,
    /// The formulas that it computes.
    pub origins: Vec<String>,
    /// Of several, each waits for the one before it, and one block does them all.
    pub tasks: Vec<Task<'p>>,
    pub grid: Grid,
    pub work: Work,
    /// About how often one of its blocks waits for memory.
    pub waits: usize,
    pub usage: Usage,
}

/// The memory that a piece touches.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    /// Floats that it reads of each buffer.
    pub reads: BTreeMap<Id<Buffer>, usize>,
    /// Floats that it writes to each buffer.
    pub writes: BTreeMap<Id<Buffer>, usize>,
    pub noise: bool,
    /// The partial sums that it writes or reads.
    pub scratch: Option<Scratch>,
    pub shared: BTreeSet<Shared>,
    /// Floats in shared memory for vectors that prologues need.
    pub vectors: usize,
}

/// Partial sums in working memory: the contraction that they belong to, and how many floats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scratch {
    pub contraction: String,
    pub floats: usize,
}

/// What the blocks of a piece do.
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
    /// A thread for some elements of a column, for which it recomputes sums once: the warps of a
    /// block share [`STRIP`] rows of 32 columns.
    Strips,
}

/// Columns and rows of a loop's elements: the last axis, and all others.
pub(super) fn matrix_of(nest: &Loop) -> (usize, usize) {
    let columns = nest.sizes[nest.sizes.len() - 1];
    (columns, nest.elements() / columns)
}

/// The threads that make a sum together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Team {
    Thread,
    Warp,
    Block,
    /// The same thread of each warp; the threads of a warp make 32 sums.
    Columns,
}

impl Team {
    /// Sums that a block makes at once.
    pub fn results(self) -> usize {
        match self {
            Team::Thread => THREADS,
            Team::Warp => THREADS / WARP,
            Team::Block => 1,
            Team::Columns => WARP,
        }
    }

    /// The threads that share the terms of a sum.
    pub fn step(self) -> usize {
        match self {
            Team::Thread => 1,
            Team::Warp => WARP,
            Team::Block => THREADS,
            Team::Columns => THREADS / WARP,
        }
    }
}

/// Sums of a loop that have the same axes, and stores that are made on the way.
pub(super) struct Sums<'p> {
    pub nest: &'p Loop,
    /// For each axis of the loop, whether the sums have it.
    pub kept: Vec<bool>,
    /// The ranges that are summed one by one, if the sums are partial ones.
    pub tile: Option<Tile>,
    pub sums: Vec<usize>,
    /// The sums and the stores.
    pub sinks: Vec<usize>,
    pub rematerialized: Rematerialized<'p>,
    pub team: Team,
    pub terms: TermOrder,
}

/// How a team walks through the terms of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TermOrder {
    /// All in turn, so few that the compiler writes them out.
    InTurn,
    /// So many at once: what they are made of is loaded before the first is made.
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

    /// Terms of a sum.
    pub fn summed(&self) -> usize {
        let extents = self.extents().into_iter().zip(&self.kept);
        extents
            .filter(|(_, kept)| !**kept)
            .map(|(extent, _)| extent)
            .product()
    }

    /// What is loaded for a term: each access once.
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

/// Setup loops that a reader runs itself, for the elements that it needs, in place of loading their
/// results. Often there are none.
#[derive(Clone, Debug, Default)]
pub(super) struct Rematerialized<'p> {
    pub loops: Vec<RematerializedLoop<'p>>,
    /// The buffers that need not be loaded.
    pub buffers: BTreeSet<Id<Buffer>>,
}

/// One of these loops.
#[derive(Clone, Debug)]
pub(super) struct RematerializedLoop<'p> {
    pub nest: &'p Loop,
    /// The sinks that the reader needs.
    pub sinks: Vec<usize>,
    /// The axes that their results have.
    pub kept: Vec<usize>,
    /// Terms of each result; 1 if nothing is summed.
    pub terms: usize,
}

impl Rematerialized<'_> {
    /// Whether it holds no loop.
    pub fn is_empty(&self) -> bool {
        self.loops.is_empty()
    }

    /// Whether one of the loops sums.
    pub fn has_sums(&self) -> bool {
        self.loops.iter().any(|part| part.terms > 1)
    }

    /// The loads of a reader that it makes needless.
    pub fn replaced<'n>(&self, nest: &'n Loop) -> impl Iterator<Item = &'n Access> {
        loads(nest).filter(|access| self.buffers.contains(&access.buffer))
    }
}

/// A matrix times a vector: a warp for each row.
pub(super) struct Rows<'p> {
    pub contraction: &'p Contraction,
    /// For each product, how the vector is had.
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

/// What becomes of a tile's sums.
pub(super) enum Outcome<'p> {
    Whole(Box<Epilogue<'p>>),
    /// They are partial sums, stored for [`AddParts`].
    Parts(Parts),
}

/// How k is split.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub count: usize,
    /// How much of k a part has.
    pub depth: usize,
    pub scratch: Scratch,
}

/// A side of a product, as its contraction reads it.
pub(super) enum Operand<'p> {
    Memory(Strides),
    /// Read through windows.
    Windows(&'p Windows),
    /// Made from other buffers, element by element.
    Computed(Box<Computed<'p>>),
}

/// An operand in memory: floats between neighbours across and along k, and how many there are along
/// k.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strides {
    pub buffer: Id<Buffer>,
    pub across: usize,
    pub along: usize,
    pub k: usize,
}

/// A prologue: an operand whose elements a contraction makes as it takes them.
pub(super) struct Computed<'p> {
    /// The loop with the instructions of the operand alone.
    pub nest: Loop,
    /// How many of its axes make places; k is the axis after them.
    pub rows: usize,
    /// The store of the operand.
    pub sink: usize,
    /// Vectors over k that each block makes once, in shared memory.
    pub rematerialized: Rematerialized<'p>,
}

impl Computed<'_> {
    /// The vectors, by the loads that they stand for.
    pub fn vectors(&self) -> Vec<&Access> {
        self.rematerialized.replaced(&self.nest).collect()
    }

    /// Floats of shared memory that the vectors take.
    pub fn shared_floats(&self) -> usize {
        self.vectors().len() * self.nest.sizes[self.rows]
    }
}

/// What happens to a contraction's whole sums.
#[derive(Clone)]
pub(super) struct Finish<'p> {
    /// Whether they are stored as the contraction's result.
    pub stored: bool,
    /// The loop that is applied to them.
    pub fused: Option<Fused<'p>>,
}

/// A loop that is applied to a contraction's sums.
#[derive(Clone)]
pub(super) struct Fused<'p> {
    pub nest: &'p Loop,
    /// How the loop reads the contraction's result.
    pub reads: Access,
    /// How many of its axes, outermost first, make the result's rows.
    pub row_axes: usize,
    /// What it stores.
    pub stores: Vec<usize>,
    /// Sums of columns, in parts, that the tiles' blocks make.
    pub columns: Vec<usize>,
    /// Sums of rows that the tiles' blocks make.
    pub rows: Vec<usize>,
    /// Sums that a later pass over the loop makes.
    pub rest: Vec<usize>,
    pub rematerialized: Rematerialized<'p>,
}

impl Fused<'_> {
    /// What the contraction's blocks run the loop for.
    pub fn sinks(&self) -> Vec<usize> {
        [self.stores.as_slice(), &self.columns, &self.rows].concat()
    }
}

/// What a block does with its whole tile.
pub(super) struct Epilogue<'p> {
    pub finish: Finish<'p>,
    /// The partial sums of rows, where several blocks or warps share one.
    pub row_parts: Option<RowParts>,
}

/// Sums of rows of which each warp has a part of 32 columns.
#[derive(Clone, Debug)]
pub(super) struct RowParts {
    /// Parts of a row.
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
