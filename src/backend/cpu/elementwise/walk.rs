//! Joining the axes of a loop: adjacent axes that are contiguous in memory become one.
//!
//! The innermost axes are also joined if some operands are contiguous and the others repeat a few
//! numbers, such as a bias of a few channels at every pixel. They stay apart where native code runs the
//! whole body row by row, and so can reduce into a few numbers, such as sums by channel.
//!
//! Before that, axes may be interchanged: native code walks the last two of the joined axes, and
//! the two places of a pooling window with 16 channels would keep it busy for 32 numbers only.

use super::{
    super::memory::{Address, Place},
    native,
};
use crate::plan::{self, Access, Instruction, WindowStep};
use std::{collections::BTreeSet, ops::Range};

/// Rows of a multiple of this length are walked well by native code.
const ROW: usize = 16;

/// The maximum number of repeated numbers; more numbers already make a long innermost loop.
const MOST_REPEATED: usize = 64;

/// Ranges of a loop's axes, each joined to one; the last is the innermost loop.
pub struct Walk<'a> {
    nest: &'a plan::Loop,
    /// Whether there may be native code.
    is_native: bool,
    pub groups: Vec<Range<usize>>,
}

/// The loop, with the strides of axes of size 1 set to those of the enclosing axis. Such an axis
/// has no steps, so its stride is arbitrary and need not prevent joining.
pub fn leveled(nest: &plan::Loop) -> plan::Loop {
    let mut leveled = nest.clone();
    for axis in (1..nest.sizes.len()).filter(|&axis| nest.sizes[axis] == 1) {
        for instruction in &mut leveled.instructions {
            if let Instruction::Load(access)
            | Instruction::Store(_, access)
            | Instruction::Reduce { access, .. }
            | Instruction::Noise { access, .. } = instruction
            {
                access.strides[axis] = access.strides[axis - 1];
                access
                    .spans
                    .iter_mut()
                    .for_each(|span| span.strides[axis] = span.strides[axis - 1]);
            }
        }
    }
    leveled
}

/// The loop, with what needs nothing that it computes or writes at the start: loads, noise and
/// positions. Then the steps that have no native code do not split the others.
pub fn hoisted(nest: plan::Loop, places: &[Place]) -> plan::Loop {
    let address = |access: &Access| places[access.buffer.index()].address;
    let written: BTreeSet<Address> = nest
        .instructions
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::Store(_, access) | Instruction::Reduce { access, .. } => {
                Some(address(access))
            }
            _ => None,
        })
        .collect();
    let mut is_first = Vec::new();
    for instruction in &nest.instructions {
        is_first.push(match instruction {
            Instruction::Constant(_) | Instruction::Noise { .. } | Instruction::Position(_) => true,
            Instruction::Load(access) => !written.contains(&address(access)),
            Instruction::OneHot(value, _) => is_first[*value],
            _ => false,
        });
    }
    let mut order: Vec<usize> = (0..nest.instructions.len()).collect();
    order.sort_by_key(|&number| !is_first[number]);
    let mut places = vec![0; order.len()];
    for (place, &number) in order.iter().enumerate() {
        places[number] = place;
    }
    let instructions = order.iter().map(|&number| {
        let mut instruction = nest.instructions[number].clone();
        match &mut instruction {
            Instruction::Scalar(_, operands) => {
                operands
                    .iter_mut()
                    .for_each(|operand| *operand = places[*operand]);
            }
            Instruction::OneHot(value, _)
            | Instruction::Store(value, _)
            | Instruction::Reduce { value, .. } => *value = places[*value],
            _ => {}
        }
        instruction
    });
    let instructions = instructions.collect();
    plan::Loop {
        instructions,
        ..nest
    }
}

/// The number of elements from which entering native code costs little beside running it.
const LONG_RUN: usize = 512;

/// The loop, with one axis moved next to the innermost if native code then walks at least twice as
/// many elements at a time. The first axis, along which tiles lie, stays the first.
///
/// No bit of a result depends on it: an element of a reduction's result gets its terms in the same
/// order.
pub fn interchanged(nest: plan::Loop, places: &[Place]) -> plan::Loop {
    let last = nest.sizes.len().saturating_sub(1);
    let mut least = 2 * Walk::new(&nest, true).run_len();
    if last < 2 || least > LONG_RUN || !may_interchange(&nest, places) {
        return nest;
    }
    let mut best = None;
    for axis in (1..last).filter(|&axis| may_move_inwards(&nest, axis)) {
        let mut order: Vec<usize> = (0..last).filter(|&other| other != axis).collect();
        order.extend([axis, last]);
        let moved = reordered(&nest, &order);
        let len = Walk::new(&moved, true).run_len();
        if len >= least {
            least = len + 1;
            best = Some(moved);
        }
    }
    best.unwrap_or(nest)
}

/// Whether no instruction reads what another writes, except at the same element, and none reduces
/// along the innermost axis, whose joined length decides the rounding.
fn may_interchange(nest: &plan::Loop, places: &[Place]) -> bool {
    let address = |access: &Access| places[access.buffer.index()].address;
    nest.instructions.iter().all(|instruction| {
        let (written, is_reduced) = match instruction {
            Instruction::Store(_, access) => (access, false),
            Instruction::Reduce { access, .. } => (access, true),
            Instruction::Load(access) => return access.spans.is_empty(),
            _ => return true,
        };
        let others = nest
            .memory_accesses()
            .filter(|other| address(other) == address(written));
        let is_apart = match is_reduced {
            true => others.count() == 1 && written.strides.last() != Some(&0),
            false => others.into_iter().all(|other| other == written),
        };
        is_apart && written.spans.is_empty()
    })
}

/// Whether reductions keep their order of terms, and of results, if an axis is moved to the place
/// before the innermost.
fn may_move_inwards(nest: &plan::Loop, axis: usize) -> bool {
    nest.instructions
        .iter()
        .all(|instruction| match instruction {
            Instruction::Reduce { access, .. } => {
                let jumped = &access.strides[axis + 1..nest.sizes.len() - 1];
                access.strides[axis] > 0 && jumped.iter().all(|&stride| stride == 0)
            }
            _ => true,
        })
}

/// The loop with its axes in another order.
fn reordered(nest: &plan::Loop, order: &[usize]) -> plan::Loop {
    let mut reordered = nest.clone();
    reordered.sizes = order.iter().map(|&axis| nest.sizes[axis]).collect();
    reordered.axes = order.iter().map(|&axis| nest.axes[axis]).collect();
    for instruction in &mut reordered.instructions {
        match instruction {
            Instruction::Position(axis) | Instruction::OneHot(_, axis) => {
                let place = order.iter().position(|other| other == axis);
                *axis = place.expect("the order has every axis");
            }
            Instruction::Load(access)
            | Instruction::Store(_, access)
            | Instruction::Reduce { access, .. }
            | Instruction::Noise { access, .. } => {
                access.strides = order.iter().map(|&axis| access.strides[axis]).collect();
            }
            _ => {}
        }
    }
    reordered
}

impl<'a> Walk<'a> {
    pub fn new(nest: &'a plan::Loop, is_native: bool) -> Self {
        let mut walk = Walk {
            nest,
            is_native,
            groups: Vec::new(),
        };
        for axis in 0..nest.sizes.len() {
            let joins = walk.groups.last().is_some_and(|group| {
                let group = group.start..axis + 1;
                !walk.uses_position(&group)
                    && walk
                        .accesses()
                        .all(|access| walk.dense(access, &(group.end - 2..group.end)))
            });
            match walk.groups.last_mut() {
                Some(group) if joins => group.end = axis + 1,
                _ => walk.groups.push(axis..axis + 1),
            }
        }
        while let Some(group) = walk.widened() {
            walk.groups.pop();
            *walk.groups.last_mut().expect("there are two") = group;
        }
        walk
    }

    /// Joins the innermost two groups if that lengthens a short innermost loop.
    fn widened(&self) -> Option<Range<usize>> {
        let [.., outer, inner] = self.groups.as_slice() else {
            return None;
        };
        let group = outer.start..inner.end;
        let short = self.size(inner) <= MOST_REPEATED || self.period().is_some();
        // A reduction to one number adds one partial result for each innermost loop: its length
        // decides the rounding, so it stays as it is.
        if !short || self.uses_position(&group) || self.reduces_innermost() {
            return None;
        }
        if self.size(inner).is_multiple_of(ROW) && self.reduces_by_rows(&group) {
            return None;
        }
        let periods: Option<BTreeSet<usize>> = self
            .accesses()
            .map(|access| self.repeats(access, &group))
            .collect();
        let mut periods = periods?.into_iter().filter(|&period| period > 0);
        let fits =
            periods.next().is_none_or(|period| period <= MOST_REPEATED) && periods.next().is_none();
        fits.then_some(group)
    }

    /// Whether native code can run the whole body row by row, with a reduction into the same numbers
    /// in each row. In a joined loop, such a reduction has no native code.
    fn reduces_by_rows(&self, group: &Range<usize>) -> bool {
        let has_code = |instruction: &Instruction| match instruction {
            Instruction::Constant(_) => true,
            Instruction::Scalar(scalar, _) => native::has_code(*scalar),
            Instruction::Load(access) => access.spans.is_empty(),
            Instruction::Store(_, access) | Instruction::Reduce { access, .. } => {
                access.spans.is_empty() && access.strides.last() == Some(&1)
            }
            _ => false,
        };
        let mut reductions =
            self.nest
                .instructions
                .iter()
                .filter_map(|instruction| match instruction {
                    Instruction::Reduce { access, .. } => Some(access),
                    _ => None,
                });
        self.is_native
            && self.nest.instructions.iter().all(has_code)
            && reductions.any(|access| self.repeats(access, group).is_some_and(|len| len > 0))
    }

    /// The number of elements along the last two of the joined axes, which native code walks.
    fn run_len(&self) -> usize {
        let last_two = self.groups.iter().rev().take(2);
        last_two.map(|group| self.size(group)).product()
    }

    fn size(&self, group: &Range<usize>) -> usize {
        self.nest.sizes[group.clone()].iter().product()
    }

    fn accesses(&self) -> impl Iterator<Item = &'a Access> {
        self.nest
            .instructions
            .iter()
            .filter_map(|instruction| match instruction {
                Instruction::Load(access)
                | Instruction::Store(_, access)
                | Instruction::Reduce { access, .. }
                | Instruction::Noise { access, .. } => Some(access),
                _ => None,
            })
    }

    /// Whether the innermost axis is reduced.
    fn reduces_innermost(&self) -> bool {
        self.nest
            .instructions
            .iter()
            .any(|instruction| match instruction {
                Instruction::Reduce { access, .. } => access.strides.last() == Some(&0),
                _ => false,
            })
    }

    /// Whether an instruction uses the position along one of the axes.
    fn uses_position(&self, group: &Range<usize>) -> bool {
        self.nest
            .instructions
            .iter()
            .any(|instruction| match instruction {
                Instruction::Position(axis) | Instruction::OneHot(_, axis) => group.contains(axis),
                _ => false,
            })
    }

    /// Whether an access has a constant stride along a group's axes.
    fn dense(&self, access: &Access, group: &Range<usize>) -> bool {
        (group.start + 1..group.end).all(|axis| {
            let size = self.nest.sizes[axis];
            access.strides[axis - 1] == access.strides[axis] * size
                && access
                    .spans
                    .iter()
                    .all(|span| span.strides[axis - 1] == span.strides[axis] * size as isize)
        })
    }

    /// The number of values that an access repeats along a group's axes; 0 for a constant stride,
    /// `None` if neither holds.
    fn repeats(&self, access: &Access, group: &Range<usize>) -> Option<usize> {
        if self.dense(access, group) {
            return Some(0);
        }
        let start = (group.start..group.end)
            .find(|&axis| access.strides[axis] != 0)
            .unwrap_or(group.end);
        let inner = start..group.end;
        let contiguous = access.strides[group.end - 1] == 1
            && self.dense(access, &inner)
            && access.spans.is_empty();
        let cannot_repeat = |instruction: &Instruction| match instruction {
            Instruction::Noise { access: other, .. } | Instruction::Store(_, other) => {
                other == access
            }
            _ => false,
        };
        let repeats = contiguous && !self.nest.instructions.iter().any(cannot_repeat);
        repeats.then(|| self.size(&inner))
    }

    /// The number of values that an access repeats in the innermost loop, if it repeats.
    pub fn repeated(&self, access: &Access) -> Option<usize> {
        self.repeats(access, self.groups.last()?)
            .filter(|&period| period > 0)
    }

    /// The number of values that some access repeats in the innermost loop, if one repeats.
    pub fn period(&self) -> Option<usize> {
        self.accesses().find_map(|access| self.repeated(access))
    }

    /// The access with a stride per group instead of per axis.
    pub fn joined(&self, access: &Access) -> Access {
        let mut joined = access.clone();
        joined.strides = self
            .groups
            .iter()
            .map(|group| access.strides[group.end - 1])
            .collect();
        let spans = access.spans.iter().map(|span| {
            let strides = self
                .groups
                .iter()
                .map(|group| span.strides[group.end - 1])
                .collect();
            WindowStep {
                strides,
                ..span.clone()
            }
        });
        joined.spans = spans.collect();
        if self.groups.is_empty() {
            joined.strides.push(0);
            joined
                .spans
                .iter_mut()
                .for_each(|span| span.strides.push(0));
        }
        joined
    }

    /// The group of an axis.
    pub fn group_of(&self, axis: usize) -> usize {
        self.groups
            .iter()
            .position(|group| group.contains(&axis))
            .expect("an axis of the loop")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::cpu::memory::{Element, Floats},
        id::Id,
        tensor::{ReduceKind, Scalar},
    };

    /// An access whose strides are given by axis.
    fn access(buffer: usize, strides: &[usize]) -> Access {
        Access {
            buffer: Id::new(buffer),
            strides: strides.to_vec(),
            partial: 0,
            spans: Vec::new(),
        }
    }

    /// The order of the axes of a loop over rows, places of windows, and channels.
    fn order(instructions: Vec<Instruction>) -> Vec<usize> {
        let nest = plan::Loop {
            axes: (0..5).map(Id::new).collect(),
            sizes: vec![3, 14, 2, 2, 16],
            tiled: true,
            instructions,
        };
        let floats = Floats::new(2).expect("memory for two floats");
        let place = |buffer| Place {
            // SAFETY: the array has a float for each buffer.
            address: unsafe { floats.address().add(buffer) },
            element: Element::F32,
        };
        let interchanged = interchanged(nest, &[0, 1].map(place));
        interchanged.axes.iter().map(|axis| axis.index()).collect()
    }

    /// The sizes of the joined axes of a loop that sums an operation's values by channel.
    fn joined_sizes(channels: usize, scalar: Scalar, is_native: bool) -> Vec<usize> {
        let nest = plan::Loop {
            axes: (0..3).map(Id::new).collect(),
            sizes: vec![3, 14, channels],
            tiled: true,
            instructions: vec![
                Instruction::Load(access(0, &[14 * channels, channels, 1])),
                Instruction::Scalar(scalar, vec![0]),
                Instruction::Reduce {
                    kind: ReduceKind::Sum,
                    value: 1,
                    access: access(1, &[0, 0, 1]),
                },
            ],
        };
        let walk = Walk::new(&nest, is_native);
        walk.groups.iter().map(|group| walk.size(group)).collect()
    }

    #[test]
    fn channels_stay_apart_where_native_code_sums_by_them() {
        assert_eq!(joined_sizes(16, Scalar::Exp, true), [42, 16]);
        assert_eq!(joined_sizes(32, Scalar::Exp, true), [42, 32]);
        // Without native code, with an operation that has none, or with rows that end within a vector.
        assert_eq!(joined_sizes(16, Scalar::Exp, false), [42 * 16]);
        assert_eq!(joined_sizes(16, Scalar::Cos, true), [42 * 16]);
        assert_eq!(joined_sizes(10, Scalar::Exp, true), [420]);
    }

    #[test]
    fn positions_move_inside_of_short_windows() {
        let image = || access(0, &[1792, 32, 896, 16, 1]);
        let pooled = || access(1, &[224, 16, 0, 0, 1]);
        let max = |access| Instruction::Reduce {
            kind: ReduceKind::Max,
            value: 0,
            access,
        };
        let moved = vec![0, 2, 3, 1, 4];
        let kept = vec![0, 1, 2, 3, 4];
        assert_eq!(
            order(vec![Instruction::Load(image()), max(pooled())]),
            moved
        );
        let unpooled = vec![Instruction::Load(pooled()), Instruction::Store(0, image())];
        assert_eq!(order(unpooled), moved);
        // A sum over the positions keeps its order of terms.
        let by_place = access(1, &[64, 0, 32, 16, 1]);
        assert_eq!(order(vec![Instruction::Load(image()), max(by_place)]), kept);
        // What is written is read at another place.
        let shifted = vec![
            Instruction::Load(access(0, &[1792, 16, 896, 448, 1])),
            Instruction::Store(0, image()),
        ];
        assert_eq!(order(shifted), kept);
    }
}
