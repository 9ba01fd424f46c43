//! Which pieces of work share a launch: all those that wait for the same ones before them.
//!
//! A piece's level is one more than that of the last piece whose result it reads, or whose operands
//! it overwrites. The pieces of a level are one function, each with blocks of its own: a step is as
//! many launches as its longest chain has links. Working memory is placed anew, for levels end
//! otherwise than the plan's kernels do.

use super::{Launch, Piece, THREADS, pointer};
use crate::{
    id::Id,
    plan::{Buffer, Plan, Storage, first_fit},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// Pointers that a function takes, at most.
const MOST_PARAMETERS: usize = 96;

/// Memory that pieces pass on: buffers in the same place are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Memory {
    Buffer(Id<Buffer>),
    Parameter(usize),
    Gradient(usize),
    /// The partial sums of a contraction.
    Scratch(String),
}

pub(super) fn memory(plan: &Plan, id: Id<Buffer>) -> Memory {
    match plan.buffer(id).storage {
        Storage::Parameter(index) => Memory::Parameter(index),
        Storage::Gradient(index) => Memory::Gradient(index),
        _ => Memory::Buffer(id),
    }
}

fn in_arena(plan: &Plan, id: Id<Buffer>) -> bool {
    matches!(plan.buffer(id).storage, Storage::Arena(_))
}

/// What a piece touches, each with whether it writes it.
fn touched(plan: &Plan, piece: &Piece) -> Vec<(Memory, bool)> {
    let body = &piece.body;
    let buffers = body
        .buffers
        .iter()
        .map(|id| (memory(plan, *id), body.written.contains(id)));
    // One function writes partial sums, the other reads them: as two writes they keep their order.
    let scratch = body
        .scratch
        .iter()
        .map(|(name, _)| (Memory::Scratch(name.clone()), true));
    buffers.chain(scratch).collect()
}

/// Whether a piece must wait for an earlier one: it reads what that writes, or writes what that
/// reads or writes.
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

/// Where buffers and partial sums lie in working memory.
struct Arena {
    offsets: BTreeMap<Memory, usize>,
    len: usize,
}

impl Arena {
    fn new(plan: &Plan, pieces: &[Piece], levels: &[usize]) -> Self {
        let mut lives: BTreeMap<Memory, (usize, usize, usize)> = BTreeMap::new();
        for (piece, &level) in pieces.iter().zip(levels) {
            let buffers = piece.body.buffers.iter().filter(|id| in_arena(plan, **id));
            let buffers = buffers.map(|id| (memory(plan, *id), plan.buffer(*id).len));
            let scratch = piece
                .body
                .scratch
                .iter()
                .map(|(name, len)| (Memory::Scratch(name.clone()), *len));
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

/// Writes a function for each level; gives the launches in order, and the floats of working memory.
pub(super) fn write(plan: &Plan, pieces: &[Piece], text: &mut String) -> (Vec<Launch>, usize) {
    let levels = levels(plan, pieces);
    let arena = Arena::new(plan, pieces, &levels);
    let count = levels.iter().max().map_or(0, |last| last + 1);
    let mut launches = Vec::new();
    for level in 0..count {
        let own = pieces
            .iter()
            .zip(&levels)
            .filter(|(_, own)| **own == level)
            .map(|(piece, _)| piece);
        let groups = split(plan, own.collect());
        let parts = groups.len();
        for (number, group) in groups.into_iter().enumerate() {
            let part = if parts == 1 {
                String::new()
            } else {
                format!("_{}", number + 1)
            };
            launches.push(function(
                plan,
                &arena,
                &format!("step{level}{part}"),
                &group,
                text,
            ));
        }
    }
    (launches, arena.len)
}

/// Groups that take no more pointers than they may.
fn split<'p>(plan: &Plan, pieces: Vec<&'p Piece>) -> Vec<Vec<&'p Piece>> {
    let mut groups: Vec<Vec<&Piece>> = vec![Vec::new()];
    let mut pointers = BTreeSet::new();
    for piece in pieces {
        let own: BTreeSet<Id<Buffer>> = piece
            .body
            .buffers
            .iter()
            .copied()
            .filter(|id| !in_arena(plan, *id))
            .collect();
        if pointers.union(&own).count() > MOST_PARAMETERS {
            groups.push(Vec::new());
            pointers.clear();
        }
        pointers.extend(own);
        groups.last_mut().expect("there is a group").push(piece);
    }
    groups
}

/// One function for some pieces, called after the one with most to do.
fn function(
    plan: &Plan,
    arena: &Arena,
    prefix: &str,
    group: &[&Piece],
    text: &mut String,
) -> Launch {
    let largest = group
        .iter()
        .rev()
        .max_by_key(|piece| piece.work)
        .expect("a group has pieces");
    let name = format!("{prefix}_{}", largest.name);
    let touched: BTreeSet<Id<Buffer>> = group
        .iter()
        .flat_map(|piece| piece.body.buffers.iter().copied())
        .collect();
    let written: BTreeSet<Id<Buffer>> = group
        .iter()
        .flat_map(|piece| piece.body.written.iter().copied())
        .collect();
    let (inner, buffers): (Vec<Id<Buffer>>, Vec<Id<Buffer>>) =
        touched.into_iter().partition(|id| in_arena(plan, *id));
    let noise = group.iter().any(|piece| piece.body.noise);
    let shared: BTreeSet<&str> = group
        .iter()
        .flat_map(|piece| piece.body.shared.iter().map(String::as_str))
        .collect();
    let uses_arena = !inner.is_empty() || group.iter().any(|piece| piece.body.scratch.is_some());
    // What an optimiser replaces has two buffers of one name.
    let same = |one: Id<Buffer>, other: Id<Buffer>| {
        memory(plan, one) == memory(plan, other)
            || !in_arena(plan, one) && plan.buffer(one).name == plan.buffer(other).name
    };
    let is_read = |id: &Id<Buffer>| !written.iter().any(|other| same(*id, *other));
    let constant = |id: &Id<Buffer>| {
        if written.contains(id) {
            "float*"
        } else {
            "const float*"
        }
    };
    let parameter =
        |id: &Id<Buffer>| format!("{}{}", if is_read(id) { "p" } else { "b" }, id.index());
    let parameters = buffers
        .iter()
        .map(|id| format!("{} {}", constant(id), parameter(id)));
    let parameters = uses_arena
        .then(|| "float* arena".to_string())
        .into_iter()
        .chain(parameters);
    let parameters: Vec<String> = parameters
        .chain(noise.then(|| "const Key* key".to_string()))
        .collect();
    for id in &buffers {
        let _ = writeln!(text, "//   {} = {}", parameter(id), plan.buffer(*id).name);
    }
    // Two blocks at once, where shared memory lets them: without a number the assembler spills for
    // the sake of more.
    let _ = writeln!(
        text,
        "extern \"C\" __global__ void __launch_bounds__({THREADS}, 2)\n{name}({}) {{",
        parameters.join(", ")
    );
    for id in buffers.iter().filter(|id| is_read(id)) {
        let _ = writeln!(
            text,
            "    const Read {} = {{{}}};",
            pointer(*id),
            parameter(id)
        );
    }
    for id in &inner {
        let offset = arena.offsets[&memory(plan, *id)];
        let _ = match is_read(id) {
            true => writeln!(
                text,
                "    const Read {} = {{arena + {offset}u}};",
                pointer(*id)
            ),
            false => writeln!(
                text,
                "    {} const {} = arena + {offset}u;",
                constant(id),
                pointer(*id)
            ),
        };
    }
    if !shared.is_empty() {
        let members: String = shared.iter().map(|member| format!("{member}; ")).collect();
        let _ = writeln!(text, "    __shared__ union {{ {members}}} shared;");
    }
    let heads = group
        .iter()
        .map(|piece| piece.body.heads)
        .max()
        .unwrap_or(0);
    if heads > 0 {
        let _ = writeln!(text, "    __shared__ float heads[{heads}];");
    }
    // Blocks begin in this order: with short ones last, no multiprocessor is long alone with its
    // last.
    let mut group = group.to_vec();
    group.sort_by_key(|piece| std::cmp::Reverse(piece.waits));
    let mut first = 0;
    for piece in &group {
        let (x, y) = (piece.blocks.0.max(1), piece.blocks.1.max(1));
        let last = first + x * y;
        let _ = writeln!(
            text,
            "    // {}: {}",
            piece.name,
            piece.comment.replace('\n', "\n    // ")
        );
        let from = if first == 0 {
            String::new()
        } else {
            format!("blockIdx.x >= {first}u && ")
        };
        let _ = writeln!(text, "    if ({from}blockIdx.x < {last}u) {{");
        let at = if first == 0 {
            "blockIdx.x".to_string()
        } else {
            format!("(blockIdx.x - {first}u)")
        };
        let _ = writeln!(
            text,
            "    Block block = {{{at} % {x}u, {at} / {x}u, {x}u}};"
        );
        if let Some((name, _)) = &piece.body.scratch {
            let offset = arena.offsets[&Memory::Scratch(name.clone())];
            let _ = writeln!(text, "    float* const scratch = arena + {offset}u;");
        }
        let _ = writeln!(text, "{}    }}", piece.body.text);
        first = last;
    }
    text.push_str("}\n\n");
    let mut floats: BTreeMap<(Memory, bool), usize> = BTreeMap::new();
    for piece in &group {
        for (&(buffer, written), &own) in &piece.body.floats {
            let most = floats.entry((memory(plan, buffer), written)).or_default();
            *most = own.min(plan.buffer(buffer).len).max(*most);
        }
        if let Some((name, len)) = &piece.body.scratch {
            floats.insert((Memory::Scratch(name.clone()), true), *len);
        }
    }
    let moved = size_of::<f32>() * floats.values().sum::<usize>();
    Launch {
        function: name,
        blocks: first,
        arena: uses_arena,
        buffers,
        noise,
        moved,
    }
}
