//! How the axes of a loop are walked: those that lie side by side in memory as one.
//!
//! The innermost ones are also walked as one where some operands lie so, and the others are the
//! same few numbers again and again: a bias of a few channels, at every pixel.

use crate::plan::{self, Access, Instruction, Span};
use std::{collections::BTreeSet, ops::Range};

/// Numbers that are repeated, at most: of more there is enough for the innermost loop.
const MOST_REPEATED: usize = 64;

/// Ranges of a loop's axes, each walked as one; the last is the innermost loop.
pub(super) struct Walk<'a> {
    nest: &'a plan::Loop,
    pub groups: Vec<Range<usize>>,
}

/// The loop with the strides of axes of one position as if these lay side by side with the axis
/// around them: no step is ever taken along such an axis, and so it keeps no others apart.
pub(super) fn leveled(nest: &plan::Loop) -> plan::Loop {
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

impl<'a> Walk<'a> {
    pub fn new(nest: &'a plan::Loop) -> Self {
        let mut walk = Walk {
            nest,
            groups: Vec::new(),
        };
        for axis in 0..nest.sizes.len() {
            let joins = walk.groups.last().is_some_and(|group| {
                let group = group.start..axis + 1;
                !walk.counts(&group)
                    && walk
                        .accesses()
                        .all(|access| walk.dense(access, &(group.end - 2..group.end)))
            });
            match walk.groups.last_mut() {
                Some(group) if joins => group.end = axis + 1,
                _ => walk.groups.push(axis..axis + 1),
            }
        }
        while let Some(group) = walk.wider() {
            walk.groups.pop();
            *walk.groups.last_mut().expect("there are two") = group;
        }
        walk
    }

    /// The innermost two groups as one, if that makes a short innermost loop longer.
    fn wider(&self) -> Option<Range<usize>> {
        let [.., outer, inner] = self.groups.as_slice() else {
            return None;
        };
        let group = outer.start..inner.end;
        let short = self.size(inner) <= MOST_REPEATED || self.period().is_some();
        // A sum to one number is made of parts as long as the innermost loop: those stay as they
        // are.
        if !short || self.counts(&group) || self.folds() {
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

    /// Whether the innermost axis is summed over.
    fn folds(&self) -> bool {
        self.nest
            .instructions
            .iter()
            .any(|instruction| match instruction {
                Instruction::Reduce { access, .. } => access.strides.last() == Some(&0),
                _ => false,
            })
    }

    /// Whether a position along one of the axes is asked for.
    fn counts(&self, group: &Range<usize>) -> bool {
        self.nest
            .instructions
            .iter()
            .any(|instruction| match instruction {
                Instruction::Position(counted) | Instruction::OneHot(_, counted) => {
                    group.contains(counted)
                }
                _ => false,
            })
    }

    /// Whether neighbours along a group's axes have one distance.
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

    /// How many numbers an access repeats along a group's axes; 0 if it goes through them at one
    /// distance, none if it does neither.
    fn repeats(&self, access: &Access, group: &Range<usize>) -> Option<usize> {
        if self.dense(access, group) {
            return Some(0);
        }
        let start = (group.start..group.end)
            .find(|&axis| access.strides[axis] != 0)
            .unwrap_or(group.end);
        let inner = start..group.end;
        let side_by_side = access.strides[group.end - 1] == 1
            && self.dense(access, &inner)
            && access.spans.is_empty();
        let noise = |instruction: &Instruction| matches!(instruction, Instruction::Noise { access: own, .. } | Instruction::Store(_, own) if own == access);
        let repeats = side_by_side && !self.nest.instructions.iter().any(noise);
        repeats.then(|| self.size(&inner))
    }

    /// How many numbers an access repeats in the innermost loop, if it does.
    pub fn repeated(&self, access: &Access) -> Option<usize> {
        self.repeats(access, self.groups.last()?)
            .filter(|&period| period > 0)
    }

    /// The numbers that are repeated in the innermost loop, if any are.
    pub fn period(&self) -> Option<usize> {
        self.accesses().find_map(|access| self.repeated(access))
    }

    /// An access by the axes as they are walked.
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
            Span {
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

    /// The group that an axis is in.
    pub fn group_of(&self, axis: usize) -> usize {
        self.groups
            .iter()
            .position(|group| group.contains(&axis))
            .expect("an axis of the loop")
    }
}
