//! The heads of a kernel, made again by those who read them.
//!
//! A head is a vector over features, made of a few partial sums and parameters: a mean, the scale
//! of a batch norm. A launch that makes it has to be waited for, which takes longer than a thread
//! takes to make the one number that it needs.

use super::{
    Body,
    group::{Memory, memory},
    loops::{instructions, operation, unravel},
};
use crate::{
    id::Id,
    plan::{Access, Buffer, Instruction, Kernel, Loop, Plan},
};
use std::collections::BTreeSet;

/// Terms of a sum that a reader may add again, at most.
const MOST_TERMS: usize = 32;
/// Instructions of a head that a reader may repeat, at most.
const MOST_INSTRUCTIONS: usize = 24;

/// The heads that a loop nest reads, in order.
pub(super) struct Heads<'n> {
    nests: Vec<&'n Loop>,
    /// What they make for others, as it is read.
    wanted: BTreeSet<Id<Buffer>>,
}

fn variable(buffer: Id<Buffer>) -> String {
    format!("h{}", buffer.index())
}

pub(super) fn loads(nest: &Loop) -> impl Iterator<Item = &Access> {
    nest.instructions
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::Load(access) => Some(access),
            _ => None,
        })
}

fn results(nest: &Loop) -> impl Iterator<Item = &Access> {
    nest.instructions
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::Store(_, access) | Instruction::Reduce { access, .. } => Some(access),
            _ => None,
        })
}

/// Whether a loop writes where it reads.
pub(super) fn replaces(plan: &Plan, nest: &Loop) -> bool {
    let read: BTreeSet<Memory> = loads(nest)
        .map(|access| memory(plan, access.buffer))
        .collect();
    results(nest).any(|access| read.contains(&memory(plan, access.buffer)))
}

/// Whether an access of one nest is to the element that an access of another makes: the same stride
/// along each axis.
fn same(nest: &Loop, access: &Access, maker: &Loop, made: &Access) -> bool {
    let strides = |nest: &Loop, access: &Access| -> BTreeSet<(usize, usize)> {
        let axes = nest.axes.iter().zip(&nest.sizes).zip(&access.strides);
        axes.filter(|((_, size), stride)| **size > 1 && **stride > 0)
            .map(|((axis, _), &s)| (axis.index(), s))
            .collect()
    };
    access.spans.is_empty()
        && access.partial == 0
        && made.partial == 0
        && strides(nest, access) == strides(maker, made)
}

/// Whether a plan writes what it is given: what is made of it again later would be another.
pub(super) fn is_replaced(plan: &Plan, wanted: &Memory) -> bool {
    matches!(wanted, Memory::Parameter(_) | Memory::Gradient(_))
        && plan
            .kernels
            .iter()
            .flat_map(Kernel::loops)
            .flat_map(results)
            .any(|access| memory(plan, access.buffer) == *wanted)
}

impl<'n> Heads<'n> {
    /// Those that can be made again where the indices of the `kept` axes are known; none if some
    /// cannot, or none is read.
    pub fn of(
        plan: &'n Plan,
        heads: &'n [Loop],
        nest: &Loop,
        kept: &dyn Fn(usize) -> bool,
    ) -> Option<Self> {
        if heads.is_empty() {
            return None;
        }
        let mut found = Heads {
            nests: Vec::new(),
            wanted: BTreeSet::new(),
        };
        let mut readers: Vec<&Loop> = vec![nest];
        // What is not summed in another kernel's head, such as a bias times the rows of two cases,
        // is made again for these heads.
        let others = plan
            .kernels
            .iter()
            .flat_map(|kernel| &kernel.setup)
            .filter(|other| {
                let own = heads.iter().any(|head| std::ptr::eq(head, *other));
                !own && !other
                    .instructions
                    .iter()
                    .any(|instruction| matches!(instruction, Instruction::Reduce { .. }))
            });
        let others: Vec<&Loop> = others.collect();
        for (number, head) in heads
            .iter()
            .rev()
            .chain(others.into_iter().rev())
            .enumerate()
        {
            if number == heads.len() {
                // The nest itself reads these from memory.
                readers.remove(0);
                if readers.is_empty() {
                    break;
                }
            }
            let mut read = false;
            for made in results(head) {
                let own = readers
                    .iter()
                    .flat_map(|reader| loads(reader).map(move |access| (*reader, access)));
                let own: Vec<(&Loop, &Access)> = own
                    .filter(|(_, access)| access.buffer == made.buffer)
                    .collect();
                if !own
                    .iter()
                    .all(|(reader, access)| same(reader, access, head, made))
                {
                    return None;
                }
                if !own.is_empty() {
                    found.wanted.insert(made.buffer);
                    read = true;
                }
            }
            if read {
                found.nests.insert(0, head);
                readers.push(head);
            }
        }
        let known: BTreeSet<usize> = (0..nest.axes.len())
            .filter(|&axis| kept(axis))
            .map(|axis| nest.axes[axis].index())
            .collect();
        let replaced: BTreeSet<_> = results(nest)
            .map(|access| memory(plan, access.buffer))
            .collect();
        let can = |head: &&Loop| {
            let short = head.instructions.len() <= MOST_INSTRUCTIONS && !head.tiled;
            let plain = head
                .instructions
                .iter()
                .all(|instruction| !matches!(instruction, Instruction::Noise { .. }));
            let stands = loads(head).all(|access| {
                let memory = memory(plan, access.buffer);
                access.partial == 0 && !replaced.contains(&memory) && !is_replaced(plan, &memory)
            });
            short
                && plain
                && stands
                && Shape::of(head, &found.wanted).is_some_and(|shape| {
                    shape.terms <= MOST_TERMS
                        && shape
                            .kept
                            .iter()
                            .all(|&axis| known.contains(&head.axes[axis].index()))
                })
        };
        (!found.nests.is_empty() && found.nests.iter().all(can)).then_some(found)
    }

    /// Whether a head adds up partial sums.
    pub fn sum(&self) -> bool {
        self.nests
            .iter()
            .any(|head| Shape::of(head, &self.wanted).is_some_and(|shape| shape.terms > 1))
    }

    /// Whether all of them are vectors over that axis.
    pub fn along(&self, nest: &Loop, axis: usize) -> bool {
        let of =
            |head: &&Loop| Shape::of(head, &self.wanted).map_or(Vec::new(), |shape| shape.kept);
        self.nests.iter().all(|head| {
            of(head)
                .iter()
                .all(|&own| head.axes[own] == nest.axes[axis])
        })
    }

    /// The loads of a reader that they make needless.
    pub fn known(&self, nest: &Loop) -> Vec<(Access, String)> {
        let known = loads(nest).filter(|access| self.wanted.contains(&access.buffer));
        known
            .map(|access| (access.clone(), variable(access.buffer)))
            .collect()
    }

    /// Writes the statements that make them, for a reader whose indices have these names.
    pub fn write(&self, body: &mut Body, depth: usize, nest: &Loop, names: &[String]) {
        for head in &self.nests {
            let shape = Shape::of(head, &self.wanted).expect("it was looked at before");
            let made: Vec<Id<Buffer>> = shape
                .sinks
                .iter()
                .map(|&sink| result(head, sink).buffer)
                .collect();
            let variables: Vec<String> = made.iter().map(|buffer| variable(*buffer)).collect();
            body.line(depth, &format!("float {};", variables.join(", ")));
            body.line(depth, "{");
            let own: Vec<String> = (0..head.axes.len())
                .map(|axis| {
                    let reader = nest.axes.iter().position(|known| *known == head.axes[axis]);
                    match reader.filter(|_| shape.kept.contains(&axis)) {
                        Some(position) => names[position].clone(),
                        None => format!("t{axis}"),
                    }
                })
                .collect();
            let mut inner = depth + 1;
            for &sink in &shape.sinks {
                if let Instruction::Reduce { kind, access, .. } = &head.instructions[sink] {
                    body.line(
                        inner,
                        &format!(
                            "{} = {}::start();",
                            variable(access.buffer),
                            operation(*kind)
                        ),
                    );
                }
            }
            let walked = |axis: usize| !shape.kept.contains(&axis);
            let sums = shape.terms > 1;
            if sums {
                body.line(
                    inner,
                    &format!("for (Index t = 0; t < {}u; ++t) {{", shape.terms),
                );
                inner += 1;
            }
            unravel(
                body,
                inner,
                if sums { "t" } else { "0" },
                &own,
                &head.sizes,
                &walked,
            );
            instructions(
                body,
                inner,
                head,
                &shape.sinks,
                &own,
                &self.known(head),
                &mut |body, _, sink| match sink {
                    Instruction::Reduce {
                        kind,
                        value,
                        access,
                    } => {
                        let variable = variable(access.buffer);
                        body.line(
                            inner,
                            &format!(
                                "{variable} = {}::join({variable}, r{value});",
                                operation(*kind)
                            ),
                        );
                    }
                    Instruction::Store(value, access) => {
                        body.line(inner, &format!("{} = r{value};", variable(access.buffer)));
                    }
                    _ => {}
                },
            );
            if sums {
                body.line(depth + 1, "}");
            }
            body.line(depth, "}");
        }
    }
}

fn result(nest: &Loop, sink: usize) -> &Access {
    match &nest.instructions[sink] {
        Instruction::Store(_, access) | Instruction::Reduce { access, .. } => access,
        _ => unreachable!("a sink stores or reduces"),
    }
}

/// How a head is made: its sinks that are wanted, the axes that their results have, and the terms
/// of each.
struct Shape {
    sinks: Vec<usize>,
    kept: Vec<usize>,
    terms: usize,
}

impl Shape {
    /// None if its results have different axes.
    fn of(head: &Loop, wanted: &BTreeSet<Id<Buffer>>) -> Option<Self> {
        let sinks =
            (0..head.instructions.len()).filter(|&number| match &head.instructions[number] {
                Instruction::Store(_, access) | Instruction::Reduce { access, .. } => {
                    wanted.contains(&access.buffer)
                }
                _ => false,
            });
        let sinks: Vec<usize> = sinks.collect();
        let kept = |sink: &usize| -> Vec<usize> {
            let access = result(head, *sink);
            let axes = 0..head.axes.len();
            let reduces = matches!(head.instructions[*sink], Instruction::Reduce { .. });
            axes.filter(|&axis| head.sizes[axis] > 1 && (!reduces || access.strides[axis] > 0))
                .collect()
        };
        let first = kept(sinks.first()?);
        if !sinks.iter().all(|sink| kept(sink) == first) {
            return None;
        }
        let terms = (0..head.axes.len())
            .filter(|axis| !first.contains(axis))
            .map(|axis| head.sizes[axis])
            .product();
        Some(Shape {
            sinks,
            kept: first,
            terms,
        })
    }
}
