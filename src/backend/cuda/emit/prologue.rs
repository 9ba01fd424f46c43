//! What is done to an operand as a contraction loads it: a batch norm and its activation, a
//! gradient's factors.
//!
//! A contraction need not wait for a loop that makes an operand of what is in memory: it makes each
//! element when it takes it. Vectors over k that the loop needs, such as a batch norm's scales, are
//! made again by each block, once, in shared memory.

use super::{
    Body, THREADS,
    group::memory,
    heads::{Heads, is_replaced},
    loops::{instructions, names, needed, unravel},
};
use crate::{
    id::Id,
    plan::{Access, Buffer, Instruction, Kernel, Loop, Plan, Storage, elements},
};

/// Arrays as large as the operand that its elements are made of, at most: each is read again for
/// each tile beside it.
const MOST_WIDE: usize = 2;
/// Instructions for an element, at most.
const MOST_INSTRUCTIONS: usize = 32;
/// Floats of shared memory for vectors over k; a tile takes up to 40 KiB of 48.
pub(super) const MOST_SHARED: usize = 2000;

/// An operand as a contraction sees it: floats between neighbours across and along k, and how many
/// there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    pub buffer: Id<Buffer>,
    pub across: usize,
    pub along: usize,
    pub k: usize,
}

pub(super) struct Prologue<'p> {
    /// The loop, its axes that make places, and the store of the operand.
    nest: Loop,
    rows: usize,
    sink: usize,
    heads: Option<Heads<'p>>,
}

impl<'p> Prologue<'p> {
    /// None if the operand has to be in memory.
    pub fn of(plan: &'p Plan, operand: Operand) -> Option<Self> {
        if !matches!(plan.buffer(operand.buffer).storage, Storage::Arena(_)) || operand.along != 1 {
            return None;
        }
        let made = |nest: &Loop| -> Option<usize> {
            let is_store = |instruction: &Instruction| matches!(instruction, Instruction::Store(_, access) if access.buffer == operand.buffer);
            nest.instructions.iter().position(is_store)
        };
        let makers = |kernel: &'p Kernel| kernel.prologue.iter().map(move |nest| (kernel, nest));
        let mut makers = plan
            .kernels
            .iter()
            .flat_map(makers)
            .filter_map(|(kernel, nest)| Some((kernel, nest, made(nest)?)));
        let (kernel, nest, sink) = makers.next().filter(|_| makers.next().is_none())?;
        // k is the last axis alone, so that vectors over it are vectors over k.
        let rows = nest.axes.len().checked_sub(1)?;
        let dense: Vec<usize> = (0..nest.sizes.len())
            .map(|axis| nest.sizes[axis + 1..].iter().product())
            .collect();
        let Instruction::Store(_, access) = &nest.instructions[sink] else {
            return None;
        };
        if nest.sizes[rows] != operand.k || operand.across != operand.k || access.strides != dense {
            return None;
        }
        let needed = needed(nest, &[sink]);
        let mut wide = 0;
        let mut count = 0;
        for (instruction, _) in nest
            .instructions
            .iter()
            .zip(&needed)
            .filter(|(_, needed)| **needed)
        {
            count += 1;
            match instruction {
                Instruction::Noise { .. } | Instruction::Reduce { .. } => return None,
                Instruction::Load(access) => {
                    if access.partial > 0 || is_replaced(plan, &memory(plan, access.buffer)) {
                        return None;
                    }
                    wide += usize::from(elements(nest, access) == nest.elements());
                }
                _ => {}
            }
        }
        if wide > MOST_WIDE || count > MOST_INSTRUCTIONS {
            return None;
        }
        let (nest, rows, sink) = narrowed(nest, rows, sink, &needed);
        let heads = Heads::of(plan, &kernel.setup, &nest, &|axis| axis == rows);
        let heads = heads.filter(|heads| heads.along(&nest, rows));
        Some(Prologue {
            nest,
            rows,
            sink,
            heads,
        })
    }

    /// The vectors that a block makes, by the loads that they stand for.
    fn vectors(&self) -> Vec<(Access, String)> {
        self.heads
            .as_ref()
            .map_or(Vec::new(), |heads| heads.known(&self.nest))
    }

    /// Writes the operand as the variable of that name.
    pub fn write(&self, body: &mut Body, name: &str) {
        let (k, vectors) = (self.nest.sizes[self.rows], self.vectors());
        let mut known: Vec<(Access, String)> = Vec::new();
        if let Some(heads) = self.heads.as_ref().filter(|_| !vectors.is_empty()) {
            let mut own = names(self.nest.sizes.len());
            own[self.rows] = "i".to_string();
            body.line(
                1,
                &format!("for (Index i = threadIdx.x; i < {k}u; i += {THREADS}u) {{"),
            );
            heads.write(body, 2, &self.nest, &own);
            for (access, variable) in &vectors {
                body.line(2, &format!("heads[{}u + i] = {variable};", body.heads));
                known.push((access.clone(), format!("heads[{}u + k]", body.heads)));
                body.heads += k;
            }
            body.line(1, "}");
        }
        body.line(
            1,
            &format!("auto {name} = computed([&](Index place, Index k) {{"),
        );
        let mut own = names(self.nest.sizes.len());
        own[self.rows] = "k".to_string();
        unravel(
            body,
            2,
            "place",
            &own[..self.rows],
            &self.nest.sizes[..self.rows],
            &|_| true,
        );
        instructions(
            body,
            2,
            &self.nest,
            &[self.sink],
            &own,
            &known,
            &mut |body, _, sink| {
                if let Instruction::Store(value, _) = sink {
                    body.line(2, &format!("return r{value};"));
                }
            },
        );
        body.line(1, "});");
    }

    /// Floats of shared memory that it takes.
    pub fn shared(&self) -> usize {
        self.vectors().len() * self.nest.sizes[self.rows]
    }
}

/// The loop with what its sink needs alone, and its rows' axes as one where every access walks them
/// so.
fn narrowed(nest: &Loop, rows: usize, sink: usize, needed: &[bool]) -> (Loop, usize, usize) {
    let own = |instruction: &Instruction| match instruction {
        Instruction::Load(access) | Instruction::Store(_, access) => (1..rows).all(|axis| {
            let size = nest.sizes[axis];
            access.strides[axis - 1] == access.strides[axis] * size
                && access
                    .spans
                    .iter()
                    .all(|span| span.strides[axis - 1] == span.strides[axis] * size as isize)
        }),
        Instruction::Position(axis) | Instruction::OneHot(_, axis) => *axis >= rows,
        _ => true,
    };
    let mut nest = nest.clone();
    for (number, instruction) in nest.instructions.iter_mut().enumerate() {
        if !needed[number] {
            *instruction = Instruction::Constant(0.0);
        }
    }
    if rows < 2 || !nest.instructions.iter().all(own) {
        return (nest, rows, sink);
    }
    let gone = rows - 1;
    nest.sizes[gone] = nest.sizes[..rows].iter().product();
    nest.sizes.drain(..gone);
    nest.axes.drain(..gone);
    for instruction in &mut nest.instructions {
        match instruction {
            Instruction::Load(access) | Instruction::Store(_, access) => {
                access.strides.drain(..gone);
                access
                    .spans
                    .iter_mut()
                    .for_each(|span| drop(span.strides.drain(..gone)));
            }
            Instruction::Position(axis) | Instruction::OneHot(_, axis) => *axis -= gone,
            _ => {}
        }
    }
    (nest, 1, sink)
}
