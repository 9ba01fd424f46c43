//! Copies into an array through windows, which place the parts of a transposed convolution.
//!
//! Such a loop only moves floats, so its axes may be walked in any order: contiguous floats are
//! copied as a run, and the runs along the longest axis in one loop, whose range inside the windows
//! is computed once.

use super::super::{
    memory::{Address, Element, Place},
    tile::TileRange,
};
use crate::plan::{self, Instruction, WindowStep};
use std::ops::Range;

/// The maximum number of axes around the runs.
const MOST_AXES: usize = 16;

/// A loop that loads an array and stores it in another through windows.
pub(super) struct WindowCopy {
    /// The size of each axis around the runs, in the order of the loop; one at least.
    sizes: Vec<usize>,
    tiled: bool,
    /// The axis whose runs are copied in one loop; not the tiled one, unless it is the only one.
    along: usize,
    /// The contiguous floats that are copied at a time.
    run: usize,
    from: Address,
    /// Floats for each index of the tile axis, if the array is a tile's result in scratch memory.
    local: Option<usize>,
    from_strides: Vec<usize>,
    to: Address,
    to_strides: Vec<usize>,
    windows: Vec<WindowStep>,
}

impl WindowCopy {
    /// The copy that a loop is; `None` if it does anything else.
    pub fn new(nest: &plan::Loop, places: &[Place]) -> Option<Self> {
        let [Instruction::Load(from), Instruction::Store(0, to)] = nest.instructions.as_slice()
        else {
            return None;
        };
        let place = |access: &plan::Access| places[access.buffer.index()];
        let is_plain =
            |access: &plan::Access| access.partial == 0 && place(access).element == Element::F32;
        let windows = &to.spans;
        if !from.spans.is_empty()
            || windows.is_empty()
            || windows.iter().any(|window| window.divisor != 1)
            || ![from, to].into_iter().all(is_plain)
            || place(from).address == place(to).address
        {
            return None;
        }
        let first = usize::from(nest.tiled);
        let (mut end, mut run) = (nest.sizes.len(), 1);
        while end > first {
            let axis = end - 1;
            let joins = from.strides[axis] == run
                && to.strides[axis] == run
                && windows.iter().all(|window| window.strides[axis] == 0);
            if nest.sizes[axis] > 1 && !joins {
                break;
            }
            run *= nest.sizes[axis];
            end = axis;
        }
        let along = (first..end).max_by_key(|&axis| nest.sizes[axis]);
        let windows = windows.iter().map(|window| WindowStep {
            strides: kept(&window.strides, end),
            ..window.clone()
        });
        (end <= MOST_AXES).then(|| WindowCopy {
            sizes: match end {
                0 => vec![1],
                _ => nest.sizes[..end].to_vec(),
            },
            tiled: nest.tiled,
            along: along.unwrap_or(0),
            run,
            from: place(from).address,
            local: None,
            from_strides: kept(&from.strides, end),
            to: place(to).address,
            to_strides: kept(&to.strides, end),
            windows: windows.collect(),
        })
    }

    /// As [`Nest::read_locally`](super::Nest::read_locally).
    pub fn read_locally(&mut self, address: Address, per_index: usize) {
        if self.from == address {
            self.local = Some(per_index);
        }
    }

    /// Copies what belongs to a tile. `results` is where the tile's results begin in scratch memory.
    ///
    /// # Safety
    /// As [`Nest::run`](super::Nest::run).
    pub unsafe fn run(&self, tile: TileRange, results: Address) {
        let whole = match self.tiled {
            true => tile.start..tile.end,
            false => 0..self.sizes[0],
        };
        let from = match self.local {
            // The scratch memory begins with the tile's first element.
            Some(per_index) => results.shifted(0, tile.start * per_index),
            None => self.from,
        };
        let range = |axis: usize| match axis {
            0 => whole.clone(),
            _ => 0..self.sizes[axis],
        };
        if whole.is_empty() {
            return;
        }
        let mut index = [0usize; MOST_AXES];
        index[0] = whole.start;
        index[self.along] = 0;
        loop {
            // SAFETY: as the caller's; the index is one of the tile's, and 0 along the runs' axis.
            unsafe { self.copy(&index[..self.sizes.len()], range(self.along), from) };
            // The next index, the last axis fastest.
            let mut axes = (0..self.sizes.len())
                .rev()
                .filter(|&axis| axis != self.along);
            loop {
                let Some(axis) = axes.next() else {
                    return;
                };
                index[axis] += 1;
                if index[axis] < range(axis).end {
                    break;
                }
                index[axis] = range(axis).start;
            }
        }
    }

    /// Copies the runs in a range along their axis, at an index that is 0 there.
    ///
    /// # Safety
    /// As [`WindowCopy::run`]; the array to copy begins at `from`.
    unsafe fn copy(&self, index: &[usize], mut range: Range<usize>, from: Address) {
        let offset = |strides: &[usize]| -> usize {
            let terms = index.iter().zip(strides);
            terms.map(|(index, stride)| index * stride).sum()
        };
        let first = from.at(offset(&self.from_strides));
        let mut to = offset(&self.to_strides) as isize;
        let mut to_stride = self.to_strides[self.along] as isize;
        for window in &self.windows {
            let terms = index.iter().zip(&window.strides);
            let terms = terms.map(|(&index, stride)| index as isize * stride);
            let place = window.offset + terms.sum::<isize>();
            let stride = window.strides[self.along];
            range = window.inside(range, place, stride);
            to += place * window.step as isize;
            to_stride += stride * window.step as isize;
        }
        let from_stride = self.from_strides[self.along];
        let source = |at: usize| first.wrapping_add(at * from_stride).cast_const();
        let target = |at: usize| {
            let start = self.to.pointer();
            start.wrapping_offset(to + at as isize * to_stride)
        };
        // SAFETY: the plan verifier checks that the elements of a loop lie in their buffers, at every
        // place inside the windows, and that buffers that are used together are apart; no other thread
        // uses this tile's parts of them.
        unsafe {
            match self.run {
                1 => range.for_each(|at| *target(at) = *source(at)),
                // Whole vectors, which the compiler sees.
                run if run % 16 == 0 => range.for_each(|at| {
                    for start in (0..run).step_by(16) {
                        let from = source(at).wrapping_add(start);
                        let to = target(at).wrapping_add(start);
                        std::ptr::copy_nonoverlapping(from, to, 16);
                    }
                }),
                run => range.for_each(|at| {
                    std::ptr::copy_nonoverlapping(source(at), target(at), run);
                }),
            }
        }
    }
}

/// The strides of the first axes; one at least.
fn kept<T: Copy + Default>(strides: &[T], count: usize) -> Vec<T> {
    match count {
        0 => vec![T::default()],
        _ => strides[..count].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::cpu::memory::Floats, id::Id, plan::Access};

    /// A loop of a transposed convolution of 3 rows: 4 × 5 places with 2 × 2 phases and some channels
    /// each, moved by a padding into an image.
    fn nest(channels: usize, (height, width): (usize, usize)) -> plan::Loop {
        let sizes = vec![3, 4, 5, 2, 2, channels];
        let mut strides = vec![1; sizes.len()];
        for axis in (0..sizes.len() - 1).rev() {
            strides[axis] = strides[axis + 1] * sizes[axis + 1];
        }
        let access = |buffer: usize, strides: Vec<usize>, spans: Vec<WindowStep>| Access {
            buffer: Id::new(buffer),
            strides,
            partial: 0,
            spans,
        };
        let window = |strides: [isize; 6], size: usize, step: usize| WindowStep {
            strides: strides.to_vec(),
            offset: -1,
            divisor: 1,
            size,
            step,
        };
        let windows = vec![
            window([0, 2, 0, 1, 0, 0], height, width * channels),
            window([0, 0, 2, 0, 1, 0], width, channels),
        ];
        let image = height * width * channels;
        plan::Loop {
            axes: (0..6).map(Id::new).collect(),
            sizes,
            tiled: true,
            instructions: vec![
                Instruction::Load(access(0, strides, Vec::new())),
                Instruction::Store(0, access(1, vec![image, 0, 0, 0, 0, 1], windows)),
            ],
        }
    }

    #[test]
    fn a_copy_puts_every_float_in_its_place() {
        // Images with a margin that is cut off, with one that nothing is written to, and thin ones.
        for (height, width) in [(6, 8), (8, 10), (3, 9), (1, 1), (7, 30)] {
            for channels in [1, 3, 16, 32] {
                let nest = nest(channels, (height, width));
                let count = nest.sizes.iter().product::<usize>();
                let image = height * width * channels;
                let mut floats = Floats::new(count + 3 * image).expect("memory");
                let (from, to) = floats.slice_mut().split_at_mut(count);
                from.iter_mut()
                    .enumerate()
                    .for_each(|(at, from)| *from = at as f32);
                to.fill(-1.0);
                let mut wanted = to.to_vec();
                for (at, &value) in from.iter().enumerate() {
                    let channel = at % channels;
                    let at = at / channels;
                    let (pw, ph, w, h, row) =
                        (at % 2, at / 2 % 2, at / 4 % 5, at / 20 % 4, at / 80);
                    let (y, x) = (2 * h + ph, 2 * w + pw);
                    // The second of three tiles of one row.
                    if row == 1 && (1..=height).contains(&y) && (1..=width).contains(&x) {
                        let pixel = (y - 1) * width + x - 1;
                        wanted[row * image + pixel * channels + channel] = value;
                    }
                }
                let place = |offset: usize| Place {
                    // SAFETY: the array has that many floats.
                    address: unsafe { floats.address().add(offset) },
                    element: Element::F32,
                };
                let copy = WindowCopy::new(&nest, &[0, count].map(place)).expect("it is a copy");
                assert_eq!(copy.run, channels);
                let tile = TileRange {
                    number: 1,
                    start: 1,
                    end: 2,
                };
                // SAFETY: the array has the floats of both buffers.
                unsafe { copy.run(tile, floats.address()) };
                assert_eq!(
                    floats.slice()[count..],
                    wanted,
                    "{height} × {width} × {channels}"
                );
            }
        }
    }

    #[test]
    fn other_loops_are_no_copies() {
        let floats = Floats::new(2).expect("memory");
        let place = |offset: usize| Place {
            // SAFETY: the array has two floats.
            address: unsafe { floats.address().add(offset) },
            element: Element::F32,
        };
        let places = [0, 1].map(place);
        assert!(WindowCopy::new(&nest(16, (6, 8)), &places).is_some());
        assert!(WindowCopy::new(&nest(16, (6, 8)), &[place(0); 2]).is_none());
        let mut computes = nest(16, (6, 8));
        computes.instructions.insert(0, Instruction::Constant(1.0));
        assert!(WindowCopy::new(&computes, &places).is_none());
        let mut halves = nest(16, (6, 8));
        if let Instruction::Store(_, access) = &mut halves.instructions[1] {
            access.spans[0].divisor = 2;
        }
        assert!(WindowCopy::new(&halves, &places).is_none());
    }
}
