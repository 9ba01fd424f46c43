//! A loop nest of a plan, made ready: axes that lie side by side walked as one, registers assigned.

use super::{
    Address, Part,
    tape::{Scratch, Tape},
};
use crate::{
    backend::NoiseKey,
    plan::{self, Access, Instruction, Tile},
    tensor::ReduceKind,
};

/// A loop nest over `sizes`, the last of them in chunks on the tape.
pub(super) struct Nest {
    /// Sizes after joining, outermost first; at least one.
    sizes: Vec<usize>,
    /// How many steps of `sizes[0]` one index of the tile axis is; 0 if the loop is not tiled.
    per_index: usize,
    tape: Tape,
    resets: Vec<Reset>,
}

/// What a reduction's result is set to before the first arrival.
struct Reset {
    address: Address,
    value: f32,
    /// Floats for each index of the tile axis, or 0 if all tiles write the same `len` floats.
    per_index: usize,
    len: usize,
    partial: usize,
}

/// The loop axes that are walked as one: ranges of the original axes.
fn join(nest: &plan::Loop) -> Vec<std::ops::Range<usize>> {
    let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
    for axis in 0..nest.sizes.len() {
        let joins = groups.last().is_some_and(|group| {
            let outer = group.end - 1;
            nest.instructions.iter().all(|instruction| match instruction {
                Instruction::Position(counted) | Instruction::OneHot(_, counted) => {
                    *counted != axis && !group.contains(counted)
                }
                instruction => access(instruction)
                    .is_none_or(|access| access.strides[outer] == access.strides[axis] * nest.sizes[axis]),
            })
        });
        match groups.last_mut() {
            Some(group) if joins => group.end = axis + 1,
            _ => groups.push(axis..axis + 1),
        }
    }
    groups
}

fn access(instruction: &Instruction) -> Option<&Access> {
    match instruction {
        Instruction::Load(access)
        | Instruction::Store(_, access)
        | Instruction::Reduce { access, .. }
        | Instruction::Noise { access, .. } => Some(access),
        _ => None,
    }
}

impl Nest {
    pub fn new(nest: &plan::Loop, tile: Option<Tile>, addresses: &[Address]) -> Self {
        let groups = join(nest);
        let mut sizes: Vec<usize> = groups.iter().map(|group| nest.sizes[group.clone()].iter().product()).collect();
        if sizes.is_empty() {
            sizes.push(1);
        }
        let tiled = nest.tiled && tile.is_some();
        let per_index = if tiled { nest.sizes[groups[0].start + 1..groups[0].end].iter().product() } else { 0 };
        // The stride of a joined group is that of its last axis.
        let strides = |access: &Access| -> Vec<usize> {
            let strides: Vec<usize> = groups.iter().map(|group| access.strides[group.end - 1]).collect();
            if strides.is_empty() { vec![0] } else { strides }
        };
        let group_of =
            |axis: usize| groups.iter().position(|group| group.contains(&axis)).expect("an axis of the loop");
        let tape = Tape::new(nest, addresses, &strides, &group_of);
        let resets = nest.instructions.iter().filter_map(|instruction| match instruction {
            Instruction::Reduce { kind, access, .. } => {
                let extent = |axes: std::ops::Range<usize>| -> usize {
                    axes.filter(|&axis| access.strides[axis] > 0).map(|axis| nest.sizes[axis]).product()
                };
                let rows = tiled && access.strides[0] > 0;
                Some(Reset {
                    address: addresses[access.buffer.index()],
                    value: if *kind == ReduceKind::Max { f32::NEG_INFINITY } else { 0.0 },
                    per_index: if rows { extent(1..nest.sizes.len()) } else { 0 },
                    len: extent(0..nest.sizes.len()),
                    partial: access.partial,
                })
            }
            _ => None,
        });
        let resets = resets.collect();
        Nest { sizes, per_index, tape, resets }
    }

    /// How many registers and memory operands it needs.
    pub fn needs(&self) -> (usize, usize) {
        self.tape.needs()
    }

    pub fn run(&self, part: Part, key: NoiseKey, scratch: &mut Scratch) {
        for reset in &self.resets {
            let (start, len) = match reset.per_index {
                0 => (part.number * reset.partial, reset.len),
                per_index => (part.start * per_index, (part.end - part.start) * per_index),
            };
            // SAFETY: the result's elements of this tile lie within its buffer, and no other thread writes them.
            unsafe { std::slice::from_raw_parts_mut(reset.address.0.add(start), len) }.fill(reset.value);
        }
        let (first, last) = match self.per_index {
            0 => (0, self.sizes[0]),
            per_index => (part.start * per_index, part.end * per_index),
        };
        let inner = self.sizes.len() - 1;
        if inner == 0 {
            let mut run = self.tape.start(scratch, part.number, key);
            run.chunks(&[], first, last);
            return;
        }
        let mut index = [0usize; 8];
        let index = &mut index[..inner];
        index[0] = first;
        let mut run = self.tape.start(scratch, part.number, key);
        while index[0] < last {
            run.chunks(index, 0, self.sizes[inner]);
            // The next index, the last axis fastest.
            let mut axis = inner - 1;
            index[axis] += 1;
            while axis > 0 && index[axis] == self.sizes[axis] {
                index[axis] = 0;
                axis -= 1;
                index[axis] += 1;
            }
        }
    }
}
