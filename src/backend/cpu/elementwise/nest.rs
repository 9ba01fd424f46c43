//! A loaded loop nest: its axes are joined, and its body is a tape.

use super::{
    super::{
        isa::Isa,
        memory::{Address, Place},
        tile::TileRange,
    },
    lower,
    run::Run,
    tape::{Needs, Scratch, Tape},
    walk::{Walk, hoisted, interchanged, leveled},
    window_copy::WindowCopy,
    writer,
};
use crate::{
    backend::NoiseKey,
    error::{Error, Result},
    plan::{Access, Instruction, Loop, Tile},
    tensor::ReduceKind,
};

/// The maximum number of loops around the innermost loop.
const MOST_OUTER: usize = 16;

/// A loop nest over `sizes`. The tape runs the innermost loop in chunks.
pub struct Nest {
    /// Sizes after joining, outermost first; at least one.
    sizes: Vec<usize>,
    /// Steps of `sizes[0]` per index of the tile axis; 0 if the loop is not tiled.
    per_index: usize,
    tape: Tape,
    resets: Vec<Reset>,
    /// What runs instead of the tape, if the loop only copies through windows.
    copy: Option<WindowCopy>,
}

/// The initial values of a reduction's results.
struct Reset {
    address: Address,
    value: f32,
    /// Floats per index of the tile axis, or 0 if all tiles write the same `len` floats.
    per_index: usize,
    len: usize,
    /// Floats from one tile's results to the next tile's.
    partial: usize,
}

impl Reset {
    /// The initial values of a reduction, whose results must be contiguous.
    fn new(
        kind: ReduceKind,
        access: &Access,
        nest: &Loop,
        tiled: bool,
        places: &[Place],
    ) -> Result<Self> {
        let len = dense_len(&nest.sizes, &access.strides).ok_or_else(|| {
            Error::new(
                "the CPU back end reduces only into contiguous arrays, in the order of the axes",
            )
        })?;
        let by_row = tiled && access.strides[0] > 0;
        let value = match kind {
            ReduceKind::Max => f32::NEG_INFINITY,
            _ => 0.0,
        };
        Ok(Reset {
            address: places[access.buffer.index()].address,
            value,
            per_index: if by_row { len / nest.sizes[0] } else { 0 },
            len,
            partial: access.partial,
        })
    }

    /// Sets the initial values of a tile's results.
    ///
    /// # Safety
    /// As [`Nest::run`].
    unsafe fn run(&self, tile: TileRange) {
        let (start, len) = match self.per_index {
            0 => (tile.number * self.partial, self.len),
            per_index => (tile.start * per_index, tile.len() * per_index),
        };
        // SAFETY: the results are an array without gaps, whose last float lies in the buffer, as the
        // plan verifier checks. No other thread uses this tile's results.
        unsafe { std::slice::from_raw_parts_mut(self.address.at(start), len) }.fill(self.value);
    }
}

/// The length of an array with these strides, 0 along the reduced axes, if it has no gaps and its
/// axes are in the order of the loop.
fn dense_len(sizes: &[usize], strides: &[usize]) -> Option<usize> {
    let mut len = 1usize;
    for (&size, &stride) in sizes.iter().zip(strides).rev() {
        if stride > 0 && size > 1 {
            if stride != len {
                return None;
            }
            len = len.checked_mul(size)?;
        }
    }
    Some(len)
}

impl Nest {
    /// Loads a loop nest of a kernel with these tiles, in a plan with its buffers at `places`, for
    /// an instruction set.
    ///
    /// # Errors
    /// If the nest has more axes than the CPU back end supports, or reduces into an array with
    /// gaps.
    pub fn new(nest: &Loop, tile: Option<Tile>, places: &[Place], isa: Isa) -> Result<Self> {
        Self::load(nest, tile, places, isa, isa != Isa::Portable)
    }

    /// The same, without native code.
    #[cfg(test)]
    pub fn with_steps(nest: &Loop, tile: Option<Tile>, places: &[Place], isa: Isa) -> Result<Self> {
        Self::load(nest, tile, places, isa, false)
    }

    fn load(
        nest: &Loop,
        tile: Option<Tile>,
        places: &[Place],
        isa: Isa,
        is_native: bool,
    ) -> Result<Self> {
        let tiled = nest.tiled && tile.is_some();
        let copy = WindowCopy::new(nest, places).filter(|_| nest.tiled == tiled);
        let mut nest = hoisted(leveled(nest), places);
        if is_native {
            nest = interchanged(nest, places);
        }
        let nest = &nest;
        let walk = Walk::new(nest, is_native);
        let groups = &walk.groups;
        if groups.len() > MOST_OUTER + 1 {
            return Err(Error::new(format!(
                "the CPU back end runs loops with at most {} axes",
                MOST_OUTER + 1
            )));
        }
        let size = |group: &std::ops::Range<usize>| nest.sizes[group.clone()].iter().product();
        let mut sizes: Vec<usize> = groups.iter().map(size).collect();
        if sizes.is_empty() {
            sizes.push(1);
        }
        let row = sizes[sizes.len() - 1];
        let per_index = if tiled {
            nest.sizes[groups[0].start + 1..groups[0].end]
                .iter()
                .product()
        } else {
            0
        };
        let resets = nest
            .instructions
            .iter()
            .filter_map(|instruction| match instruction {
                Instruction::Reduce { kind, access, .. } => {
                    Some(Reset::new(*kind, access, nest, tiled, places))
                }
                _ => None,
            });
        let mut tape = writer::write(nest, places, &walk, isa)?;
        if is_native {
            tape = lower::lower(tape, row);
        }
        Ok(Nest {
            resets: resets.collect::<Result<_>>()?,
            tape,
            sizes,
            per_index,
            copy,
        })
    }

    /// Reads the array at `address` from a thread's [`Scratch::results`] instead, which hold a tile's
    /// part of it: `per_index` floats for each index of the tile axis.
    pub fn read_locally(&mut self, address: Address, per_index: usize) {
        if let Some(copy) = &mut self.copy {
            copy.read_locally(address, per_index);
        }
        let sources = self.tape.sources.iter_mut();
        sources
            .filter(|source| source.address == address)
            .for_each(|source| source.local = Some(per_index));
    }

    /// Whether it runs native code.
    #[cfg(test)]
    pub fn has_native_code(&self) -> bool {
        let mut steps = self.tape.steps.iter();
        steps.any(|step| matches!(step, super::tape::Step::Native(_)))
    }

    /// The scratch memory that the nest needs.
    pub fn needs(&self) -> Needs {
        self.tape.needs()
    }

    /// Runs the loop for a tile.
    ///
    /// # Safety
    /// The buffers must be where they were when the nest was made, as long as the verified plan
    /// says. No other thread may use what this tile writes, or write what it reads. The scratch
    /// memory must have room for [`Nest::needs`].
    pub unsafe fn run(&self, tile: TileRange, key: NoiseKey, scratch: &mut Scratch) {
        if let Some(copy) = &self.copy {
            // SAFETY: as the caller's.
            return unsafe { copy.run(tile, scratch.results()) };
        }
        for reset in &self.resets {
            // SAFETY: as the caller's.
            unsafe { reset.run(tile) };
        }
        let (first, last) = match self.per_index {
            0 => (0, self.sizes[0]),
            per_index => (tile.start * per_index, tile.end * per_index),
        };
        if first == last {
            return;
        }
        let mut run = Run::new(&self.tape, scratch, tile, key);
        let whole = self.tape.whole();
        let inner = self.sizes.len() - 1;
        let mut index = [0usize; MOST_OUTER];
        let index = &mut index[..inner];
        // Native code walks the last of the outer loops itself.
        let walked = inner - usize::from(inner > 0 && whole.is_some());
        let (range, rows) = match inner {
            0 => (first..last, 1),
            1 => (0..self.sizes[1], last - first),
            _ => (0..self.sizes[inner], self.sizes[inner - 1]),
        };
        if inner > 0 {
            index[0] = first;
        }
        let mut follows = false;
        loop {
            // SAFETY: as the caller's; the index is one of the tile's.
            unsafe {
                match whole {
                    Some(native) => run.rows(native, index, range.clone(), rows),
                    None => run.chunks(index, range.start, range.end, follows),
                }
            }
            // The next index, the last axis fastest.
            let Some(mut axis) = walked.checked_sub(1) else {
                return;
            };
            index[axis] += 1;
            follows = axis == 0 || index[axis] < self.sizes[axis];
            while axis > 0 && index[axis] == self.sizes[axis] {
                index[axis] = 0;
                axis -= 1;
                index[axis] += 1;
            }
            if index[0] == last {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::dense_len;

    #[test]
    fn only_arrays_without_gaps_are_dense() {
        assert_eq!(dense_len(&[2, 3, 4], &[12, 4, 1]), Some(24));
        assert_eq!(dense_len(&[2, 3, 4], &[4, 0, 1]), Some(8));
        assert_eq!(dense_len(&[2, 3, 4], &[0, 0, 0]), Some(1));
        assert_eq!(dense_len(&[2, 1, 4], &[4, 7, 1]), Some(8));
        assert_eq!(dense_len(&[2, 3, 4], &[1, 0, 0]), Some(2));
        assert_eq!(dense_len(&[2, 3, 4], &[13, 4, 1]), None);
        assert_eq!(dense_len(&[3, 4], &[1, 1]), None);
        assert_eq!(dense_len(&[3, 4], &[1, 3]), None);
        assert_eq!(dense_len(&[usize::MAX, 4], &[4, 1]), None);
    }
}
