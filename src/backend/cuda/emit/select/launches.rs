//! Launches: groups pieces of work that can run concurrently.
//!
//! The level of a piece is one more than the highest level of the pieces whose results it reads or
//! whose operands it overwrites. The pieces of a level form a function, each with separate blocks,
//! so the number of launches is the length of the longest chain of dependencies. Working memory is
//! placed here and not by the plan, because levels differ from the plan's kernels.

use super::super::{
    nest::{Memory, in_arena, memory},
    spec::{
        Element, Function, IndexWidth, Launch, Piece, PlacedPiece, Pointer, PointerAccess, Program,
    },
};
use crate::{
    id::Id,
    plan::{Buffer, Kernel, Loop, Plan, first_fit},
};
use std::collections::{BTreeMap, BTreeSet};

/// The maximum number of pointer arguments of a function.
const MOST_PARAMETERS: usize = 96;

/// The memory that a piece accesses, and whether it writes it.
fn touched(plan: &Plan, piece: &Piece) -> Vec<(Memory, bool)> {
    let usage = &piece.usage;
    let reads = usage.reads.keys().map(|id| (memory(plan, *id), false));
    let writes = usage.writes.keys().map(|id| (memory(plan, *id), true));
    // A function writes partial sums and another reads them. Treating both as writes keeps the
    // order.
    let scratch = usage
        .scratch
        .iter()
        .map(|scratch| (Memory::Scratch(scratch.contraction.clone()), true));
    reads.chain(writes).chain(scratch).collect()
}

/// Whether a piece depends on an earlier piece: it reads memory that the earlier piece writes, or
/// writes memory that the earlier piece reads or writes.
pub(super) fn waits(plan: &Plan, piece: &Piece, earlier: &Piece) -> bool {
    let before = touched(plan, earlier);
    touched(plan, piece).iter().any(|(memory, written)| {
        before
            .iter()
            .any(|(other, was_written)| memory == other && (*written || *was_written))
    })
}

/// The level of each piece.
fn levels(plan: &Plan, pieces: &[Piece]) -> Vec<usize> {
    // The first level at which a memory may be read, and at which it may be written.
    let mut free: BTreeMap<Memory, (usize, usize)> = BTreeMap::new();
    let mut levels = Vec::new();
    for piece in pieces {
        let touched = touched(plan, piece);
        let earliest = touched.iter().map(|(memory, written)| {
            let (read, write) = free.get(memory).copied().unwrap_or_default();
            if *written { write } else { read }
        });
        let level = earliest.max().unwrap_or(0);
        for (memory, written) in touched {
            let (read, write) = free.entry(memory).or_default();
            *write = (*write).max(level + 1);
            if written {
                *read = (*read).max(level + 1);
            }
        }
        levels.push(level);
    }
    levels
}

/// Places buffers and partial sums in working memory.
struct Arena {
    offsets: BTreeMap<Memory, usize>,
    len: usize,
}

impl Arena {
    fn new(plan: &Plan, elements: &[Element], pieces: &[Piece], levels: &[usize]) -> Self {
        let floats = |id: Id<Buffer>| {
            let bytes = plan.buffer(id).len * elements[id.index()].size();
            bytes.div_ceil(size_of::<f32>())
        };
        let mut lives: BTreeMap<Memory, (usize, usize, usize)> = BTreeMap::new();
        for (piece, &level) in pieces.iter().zip(levels) {
            let buffers = piece.usage.buffers().into_iter();
            let buffers = buffers
                .filter(|id| in_arena(plan, *id))
                .map(|id| (memory(plan, id), floats(id)));
            let scratch = piece.usage.scratch.iter();
            let scratch = scratch.map(|scratch| {
                let memory = Memory::Scratch(scratch.contraction.clone());
                (memory, scratch.floats)
            });
            for (memory, len) in buffers.chain(scratch) {
                let (_, _, last) = lives.entry(memory).or_insert((len, level, level));
                *last = (*last).max(level);
            }
        }
        let (offsets, len) = first_fit(&lives.values().copied().collect::<Vec<_>>());
        Arena {
            offsets: lives.into_keys().zip(offsets).collect(),
            len,
        }
    }
}

/// A function for each level, in the order of their launches.
pub(super) fn program<'p>(
    plan: &'p Plan,
    elements: &[Element],
    pieces: Vec<Piece<'p>>,
) -> Program<'p> {
    let levels = levels(plan, &pieces);
    let arena = Arena::new(plan, elements, &pieces, &levels);
    let count = levels.iter().max().map_or(0, |last| last + 1);
    let mut by_level: Vec<Vec<Piece>> = (0..count).map(|_| Vec::new()).collect();
    for (piece, level) in pieces.into_iter().zip(levels) {
        by_level[level].push(piece);
    }
    let mut functions = Vec::new();
    for (level, pieces) in by_level.into_iter().enumerate() {
        let groups = split(plan, pieces);
        let count = groups.len();
        for (number, group) in groups.into_iter().enumerate() {
            let prefix = match count {
                1 => format!("step{level}"),
                _ => format!("step{level}_{}", number + 1),
            };
            functions.push(function(plan, elements, &arena, &prefix, group));
        }
    }
    // A loop may have more iterations than any buffer has elements.
    let loops = plan.kernels.iter().flat_map(Kernel::loops);
    let lengths = plan.buffers.iter().map(|buffer| buffer.len);
    let counts = lengths.chain(loops.map(Loop::elements));
    let longest = counts.chain([arena.len]).max().unwrap_or(0);
    Program {
        plan,
        functions,
        arena: arena.len,
        index: if longest < 1 << 31 {
            IndexWidth::Narrow
        } else {
            IndexWidth::Wide
        },
    }
}

/// Divides pieces into groups within the maximum number of pointers.
fn split<'p>(plan: &Plan, pieces: Vec<Piece<'p>>) -> Vec<Vec<Piece<'p>>> {
    let mut groups: Vec<Vec<Piece>> = vec![Vec::new()];
    let mut pointers = BTreeSet::new();
    for piece in pieces {
        let mut outer = piece.usage.buffers();
        outer.retain(|id| !in_arena(plan, *id));
        if pointers.union(&outer).count() > MOST_PARAMETERS {
            groups.push(Vec::new());
            pointers.clear();
        }
        pointers.extend(outer);
        groups.last_mut().expect("there is a group").push(piece);
    }
    groups
}

/// A function for a group of pieces, named after the piece with the most work.
fn function<'p>(
    plan: &Plan,
    elements: &[Element],
    arena: &Arena,
    prefix: &str,
    mut pieces: Vec<Piece<'p>>,
) -> Function<'p> {
    let largest = pieces
        .iter()
        .rev()
        .max_by_key(|piece| piece.work)
        .expect("a group has pieces");
    let name = format!("{prefix}_{}", largest.name);
    let (inner, parameters): (Vec<Pointer>, Vec<Pointer>) = pointers(plan, elements, &pieces)
        .into_iter()
        .partition(|pointer| in_arena(plan, pointer.buffer));
    let inner: Vec<(Pointer, usize)> = inner
        .into_iter()
        .map(|pointer| (pointer, arena.offsets[&memory(plan, pointer.buffer)]))
        .collect();
    // Blocks start in this order. With short blocks last, multiprocessors finish at about the same
    // time.
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.waits));
    let usages = || pieces.iter().map(|piece| &piece.usage);
    let launch = Launch {
        function: name,
        blocks: pieces.iter().map(|piece| piece.grid.blocks()).sum(),
        arena: !inner.is_empty() || usages().any(|usage| usage.scratch.is_some()),
        buffers: parameters.iter().map(|pointer| pointer.buffer).collect(),
        noise: usages().any(|usage| usage.noise),
        moved: moved(plan, elements, &pieces),
    };
    Function {
        launch,
        parameters,
        inner,
        shared: usages().flat_map(|usage| usage.shared.clone()).collect(),
        vectors: usages().map(|usage| usage.vectors).max().unwrap_or(0),
        pieces: placed(arena, pieces),
    }
}

/// The buffers of a group of pieces, by number, and how the pieces use them.
fn pointers(plan: &Plan, elements: &[Element], pieces: &[Piece]) -> Vec<Pointer> {
    let touched: BTreeSet<Id<Buffer>> = pieces
        .iter()
        .flat_map(|piece| piece.usage.buffers())
        .collect();
    let written: BTreeSet<Id<Buffer>> = pieces
        .iter()
        .flat_map(|piece| piece.usage.writes.keys().copied())
        .collect();
    // A value that an optimiser replaces has two buffers in the same memory.
    let same = |a: Id<Buffer>, b: Id<Buffer>| memory(plan, a) == memory(plan, b);
    let access = |id: Id<Buffer>| {
        if written.contains(&id) {
            PointerAccess::Written
        } else if written.iter().any(|other| same(id, *other)) {
            PointerAccess::Aliased
        } else {
            PointerAccess::ReadOnly
        }
    };
    let pointer = |buffer: Id<Buffer>| Pointer {
        buffer,
        element: elements[buffer.index()],
        access: access(buffer),
    };
    touched.into_iter().map(pointer).collect()
}

/// The first block of each piece.
fn placed<'p>(arena: &Arena, pieces: Vec<Piece<'p>>) -> Vec<PlacedPiece<'p>> {
    let mut next = 0;
    let place = |piece: Piece<'p>| {
        let first = next;
        next += piece.grid.blocks();
        let scratch = piece.usage.scratch.as_ref();
        let scratch =
            scratch.map(|scratch| arena.offsets[&Memory::Scratch(scratch.contraction.clone())]);
        PlacedPiece {
            piece,
            first,
            scratch,
        }
    };
    pieces.into_iter().map(place).collect()
}

/// The number of bytes that a group of pieces moves.
fn moved(plan: &Plan, elements: &[Element], pieces: &[Piece]) -> usize {
    let mut bytes: BTreeMap<(Memory, bool), usize> = BTreeMap::new();
    for piece in pieces {
        let usage = &piece.usage;
        let reads = usage.reads.iter().map(|pair| (pair, false));
        let writes = usage.writes.iter().map(|pair| (pair, true));
        for ((buffer, &count), written) in reads.chain(writes) {
            let most = bytes.entry((memory(plan, *buffer), written)).or_default();
            *most = (count * elements[buffer.index()].size()).max(*most);
        }
        if let Some(scratch) = &usage.scratch {
            let memory = Memory::Scratch(scratch.contraction.clone());
            bytes.insert((memory, true), scratch.floats * size_of::<f32>());
        }
    }
    bytes.values().sum()
}
