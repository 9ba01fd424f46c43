//! Decisions: a plan's kernels become pieces of work, and pieces become functions.
//!
//! The pieces of a kernel are, in order: setup loops, prologue loops, the contraction, epilogue
//! loops. Loops are fused where possible: a reader executes setup loops itself, a contraction
//! computes operands while it loads them, and its blocks apply the first epilogue loop to their
//! sums.

mod tiles;
mod rematerialize;
mod operand;
mod epilogue;
mod retile;
mod loops;
mod contraction;
mod launches;

use super::{
    nest::sinks,
    spec::{Element, Grid, Piece, Program, THREADS, Work},
};
use crate::{
    backend::Precision,
    id::Id,
    plan::{Buffer, Instruction, Kernel, Loop, Plan},
};
use epilogue::fused;
use std::collections::BTreeSet;
use tiles::{Way, way};

pub(super) use retile::retiled;

/// The maximum number of buffers that the tasks of a block access.
const MOST_BUFFERS: usize = 48;
/// The maximum number of elements for which a single block is cheaper than another launch.
const SMALL: usize = 4096;
/// From this number of pieces on, only a kernel's first piece lists its origins.
const MANY_PIECES: usize = 8;

/// The functions of a plan, which must have been [`retiled`], at a precision.
pub(super) fn program(plan: &Plan, precision: Precision) -> Program<'_> {
    let mut selector = Selector {
        plan,
        pieces: Vec::new(),
        unstored: contraction::computed_by_readers(plan),
    };
    for kernel in &plan.kernels {
        selector.kernel(kernel);
    }
    launches::program(plan, &elements(plan, precision), selector.pieces)
}

/// The type of each buffer's numbers. In bf16, tiles round their operands, so buffers that only
/// tiles read may be stored rounded.
fn elements(plan: &Plan, precision: Precision) -> Vec<Element> {
    let mut rounded = match precision {
        Precision::Bf16 => plan.multiplied_only(),
        Precision::F32 | Precision::Tf32 => vec![false; plan.buffers.len()],
    };
    let contractions = plan.kernels.iter().flat_map(|kernel| &kernel.contraction);
    for contraction in contractions.filter(|contraction| way(contraction) == Way::Rows) {
        for product in &contraction.products {
            rounded[product.left.buffer.index()] = false;
            rounded[product.right.buffer.index()] = false;
        }
    }
    let element = |rounded| match rounded {
        true => Element::BFloat16,
        false => Element::Float,
    };
    rounded.into_iter().map(element).collect()
}

struct Selector<'p> {
    plan: &'p Plan,
    pieces: Vec<Piece<'p>>,
    /// Buffers that are never loaded, because their readers compute them.
    unstored: BTreeSet<Id<Buffer>>,
}

impl<'p> Selector<'p> {
    fn kernel(&mut self, kernel: &'p Kernel) {
        let begun = self.pieces.len();
        self.add(self.setup(kernel));
        self.add(self.loops(kernel, "before", &kernel.prologue));
        let mut epilogue = kernel.epilogue.as_slice();
        if let Some(contraction) = &kernel.contraction {
            let first = epilogue.first();
            let fused = first.and_then(|nest| fused(self.plan, contraction, nest));
            let rest = fused.as_ref().map(|fused| (fused.nest, fused.rest.clone()));
            let part = contraction::Part {
                plan: self.plan,
                name: &kernel.name,
                contraction,
                fused,
                setup: &kernel.setup,
            };
            self.add(part.pieces());
            if let Some((nest, rest)) = rest {
                let name = format!("{}_sums", kernel.name);
                self.add(loops::Part::new(self.plan, kernel, name, nest, rest).pieces());
                epilogue = &epilogue[1..];
            }
        }
        self.add(self.loops(kernel, "after", epilogue));
        let end = match self.pieces.len() - begun {
            ..=MANY_PIECES => self.pieces.len(),
            _ => begun + 1,
        };
        for piece in &mut self.pieces[begun..end] {
            piece.origins.extend(kernel.origins.iter().cloned());
        }
    }

    /// The pieces of the setup loops.
    fn setup(&self, kernel: &'p Kernel) -> Vec<Piece<'p>> {
        let part = |(number, nest): (usize, &'p Loop)| loops::Part {
            plan: self.plan,
            name: format!("{}_once{}", kernel.name, number + 1),
            nest,
            sinks: self.stored(nest),
            tile: None,
            setup: &[],
        };
        let parts = kernel.setup.iter().enumerate().map(part);
        parts.flat_map(|part| part.pieces()).collect()
    }

    fn loops(&self, kernel: &'p Kernel, place: &str, nests: &'p [Loop]) -> Vec<Piece<'p>> {
        let pieces = |(number, nest): (usize, &'p Loop)| {
            let name = format!("{}_{place}{}", kernel.name, number + 1);
            loops::Part::new(self.plan, kernel, name, nest, self.stored(nest)).pieces()
        };
        nests.iter().enumerate().flat_map(pieces).collect()
    }

    /// The sinks of a loop, except stores to buffers that are never loaded.
    fn stored(&self, nest: &Loop) -> Vec<usize> {
        let mut sinks = sinks(nest);
        sinks.retain(|&sink| match &nest.instructions[sink] {
            Instruction::Store(_, access) => !self.unstored.contains(&access.buffer),
            _ => true,
        });
        sinks
    }

    /// Adds pieces in order. If a piece waits for a single other piece and both are small, a block
    /// executes both in turn, which is faster than another launch.
    fn add(&mut self, pieces: Vec<Piece<'p>>) {
        let begun = self.pieces.len();
        for piece in pieces {
            match self.only_earlier(begun, &piece) {
                Some(earlier) if is_joined(&self.pieces[earlier], &piece) => {
                    join(&mut self.pieces[earlier], piece);
                }
                _ => self.pieces.push(piece),
            }
        }
    }

    /// The piece from number `begun` on that `piece` waits for, if there is exactly one.
    fn only_earlier(&self, begun: usize, piece: &Piece) -> Option<usize> {
        let mut earlier = (begun..self.pieces.len())
            .filter(|&number| launches::waits(self.plan, piece, &self.pieces[number]));
        earlier.next().filter(|_| earlier.next().is_none())
    }
}

/// Whether a single block should execute both pieces.
fn is_joined(first: &Piece, next: &Piece) -> bool {
    let buffers = first.usage.buffers().len() + next.usage.buffers().len();
    match (first.work, next.work) {
        (Work::Elements(a), Work::Elements(b)) => a + b <= SMALL && buffers <= MOST_BUFFERS,
        _ => false,
    }
}

/// Joins two pieces, so that a single block executes them in turn.
fn join<'p>(first: &mut Piece<'p>, next: Piece<'p>) {
    if let (Work::Elements(a), Work::Elements(b)) = (first.work, next.work) {
        first.work = Work::Elements(a + b);
        first.waits = (a + b) / THREADS;
    }
    first.tasks.extend(next.tasks);
    first.usage.extend(next.usage);
    first.grid = Grid::line(1);
}
