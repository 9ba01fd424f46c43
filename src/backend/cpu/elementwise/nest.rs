//! A loop nest of a plan, made ready: axes that lie side by side walked as one, registers assigned.

use super::{
    super::{Address, Part},
    tape::{Scratch, Tape},
    walk::{Walk, leveled},
};
use crate::{
    backend::NoiseKey,
    plan::{self, Instruction, Tile},
    tensor::ReduceKind,
};

/// A loop nest over `sizes`, the last of them in chunks on the tape.
pub struct Nest {
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

impl Nest {
    pub fn new(nest: &plan::Loop, tile: Option<Tile>, addresses: &[Address]) -> Self {
        let nest = &leveled(nest);
        let walk = Walk::new(nest);
        let groups = &walk.groups;
        let mut sizes: Vec<usize> = groups
            .iter()
            .map(|group| nest.sizes[group.clone()].iter().product())
            .collect();
        if sizes.is_empty() {
            sizes.push(1);
        }
        let tiled = nest.tiled && tile.is_some();
        let per_index = if tiled {
            nest.sizes[groups[0].start + 1..groups[0].end]
                .iter()
                .product()
        } else {
            0
        };
        let tape = Tape::new(nest, addresses, &walk);
        let resets = nest
            .instructions
            .iter()
            .filter_map(|instruction| match instruction {
                Instruction::Reduce { kind, access, .. } => {
                    let extent = |axes: std::ops::Range<usize>| -> usize {
                        axes.filter(|&axis| access.strides[axis] > 0)
                            .map(|axis| nest.sizes[axis])
                            .product()
                    };
                    let rows = tiled && access.strides[0] > 0;
                    Some(Reset {
                        address: addresses[access.buffer.index()],
                        value: if *kind == ReduceKind::Max {
                            f32::NEG_INFINITY
                        } else {
                            0.0
                        },
                        per_index: if rows { extent(1..nest.sizes.len()) } else { 0 },
                        len: extent(0..nest.sizes.len()),
                        partial: access.partial,
                    })
                }
                _ => None,
            });
        let resets = resets.collect();
        Nest {
            sizes,
            per_index,
            tape,
            resets,
        }
    }

    /// How many registers, memory operands and windows it needs.
    pub fn needs(&self) -> (usize, usize, usize) {
        self.tape.needs()
    }

    pub fn run(&self, part: Part, key: NoiseKey, scratch: &mut Scratch) {
        for reset in &self.resets {
            let (start, len) = match reset.per_index {
                0 => (part.number * reset.partial, reset.len),
                per_index => (part.start * per_index, (part.end - part.start) * per_index),
            };
            // SAFETY: the result's elements of this tile lie within its buffer, and no other thread
            // writes them.
            unsafe { std::slice::from_raw_parts_mut(reset.address.0.add(start), len) }
                .fill(reset.value);
        }
        let (first, last) = match self.per_index {
            0 => (0, self.sizes[0]),
            per_index => (part.start * per_index, part.end * per_index),
        };
        let inner = self.sizes.len() - 1;
        if inner == 0 {
            let mut run = self.tape.start(scratch, part.number, key);
            run.chunks(&[], first, last, false);
            return;
        }
        let mut index = [0usize; 16];
        let index = &mut index[..inner];
        index[0] = first;
        let mut run = self.tape.start(scratch, part.number, key);
        let mut after = false;
        while index[0] < last {
            run.chunks(index, 0, self.sizes[inner], after);
            // The next index, the last axis fastest.
            let mut axis = inner - 1;
            index[axis] += 1;
            after = axis == 0 || index[axis] < self.sizes[axis];
            while axis > 0 && index[axis] == self.sizes[axis] {
                index[axis] = 0;
                axis -= 1;
                index[axis] += 1;
            }
        }
    }
}
