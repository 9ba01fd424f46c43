//! The verifier: the only way to a [`VerifiedPlan`], which is what back ends take.
//!
//! It runs for every plan, those that the planner built and those that were read from files, in every
//! build. It never panics, and all its arithmetic is checked. `unsafe` code may rely on the following
//! invariants and on nothing else.
//!
//! 1. **Numbers are in range.** Ids of axes, buffers, parameters and instructions name something that
//!    exists. No axis, loop, matrix or product has a size of 0. Sizes, extents and work stay below
//!    [`MOST_ELEMENTS`] and [`MOST_WORK`], and window sums fit 32 bits, so products and sums of them
//!    do not wrap.
//! 2. **A buffer has the length of its axes**, and one in working memory lies within
//!    [`Plan::arena`], which ends where the last of them ends.
//! 3. **Memory has one writer.** At most one instruction or contraction of the plan writes a buffer.
//!    An input has no writer; an output, a gradient and working memory have one.
//! 4. **Two buffers share memory only as an old value and its replacement**: a parameter and its
//!    next value, or an input and an output of the same name. They have the same axes. Buffers in
//!    working memory overlap only if no kernel lies in the lifetimes of both.
//! 5. **Loops.** A loop has at most [`MOST_AXES`] distinct axes with their sizes. Loops of a kernel's
//!    setup are not tiled; the others run along the tile axis first. Operands are values of earlier
//!    instructions, as many as the operation takes.
//! 6. **Every access is in bounds**, for all indices, tiles and places that windows name.
//! 7. **A tile has at least one index**: `count` tiles of `size` cover the axis, the last one may be
//!    shorter.
//! 8. **A write covers its buffer**, each element once: by its loop, or by its tile where each tile
//!    has a partial result. The first axis of a buffer of partial results counts the tiles. A
//!    reduction's result is dense, and walked in steps of 0 or 1 by the innermost axis.
//! 9. **Tiles write disjoint elements**, blocks of the tile axis or partial results.
//! 10. **What is read was written before**, in an earlier kernel or loop. Within the tiles of a kernel
//!     a tile reads only the block that it wrote itself.
//! 11. **What is replaced was read before**: earlier, or by the same loop at the same element. A
//!     contraction's result shares no memory with its operands, and nothing in its kernel replaces
//!     them.
//! 12. **Contractions.** Rows run along the tile axis. Matrices lie within their buffers, and windows
//!     have the matrix's rows and columns. Right operands, and both operands of a sum along
//!     positions, are complete before the tiles begin. Either all products of a contraction are sums
//!     along positions, read through windows on the same side, or none is.
//! 13. **Noise** numbers the elements of its loop without gaps.
//! 14. **Text is harmless in a source**: kernels have distinct identifiers as names; other names have
//!     no control characters and no backslash at the end.

mod accesses;
mod contractions;
mod hazards;
mod loops;
mod storage;

use super::{Instruction, Kernel, Plan, Tile};
use crate::id::Id;
use hazards::Hazards;
use std::{collections::BTreeSet, fmt, ops::Deref};

/// Elements of a buffer, a loop, a matrix or all of working memory, at most.
pub const MOST_ELEMENTS: usize = 1 << 40;
/// Elementary operations of a kernel, at most.
pub const MOST_WORK: usize = 1 << 56;
/// Axes of a loop or of a matrix that is read through windows, at most.
pub const MOST_AXES: usize = 16;
/// Windows of an access, at most.
pub const MOST_WINDOWS: usize = 8;
/// Instructions of a loop, at most.
const MOST_INSTRUCTIONS: usize = 1 << 14;

/// A plan that the verifier accepted. It serializes as its plan, and cannot be deserialized: a plan
/// that was read must be verified.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct VerifiedPlan(Plan);

impl VerifiedPlan {
    /// Verifies a plan.
    ///
    /// # Errors
    /// The first invariant that the plan breaks.
    pub fn new(plan: Plan) -> Result<Self, PlanError> {
        verify(&plan)?;
        Ok(VerifiedPlan(plan))
    }

    /// The plan, which can be changed and then has to be verified again.
    pub fn into_plan(self) -> Plan {
        self.0
    }
}

impl Deref for VerifiedPlan {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.0
    }
}

/// An invariant that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// The kernel that breaks it, if it is one.
    pub kernel: Option<String>,
    /// The buffer, axis or parameter concerned, if it is one.
    pub subject: Option<String>,
    pub expected: String,
    pub found: String,
}

impl PlanError {
    fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        PlanError {
            kernel: None,
            subject: None,
            expected: expected.into(),
            found: found.into(),
        }
    }

    fn about(mut self, subject: &str) -> Self {
        self.subject.get_or_insert_with(|| subject.to_string());
        self
    }

    fn within(mut self, kernel: &str) -> Self {
        self.kernel.get_or_insert_with(|| kernel.to_string());
        self
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kernel) = &self.kernel {
            write!(f, "kernel `{}`: ", kernel.escape_debug())?;
        }
        if let Some(subject) = &self.subject {
            write!(f, "`{}`: ", subject.escape_debug())?;
        }
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

impl std::error::Error for PlanError {}

type Check<T = ()> = Result<T, PlanError>;

/// An error unless the condition holds.
fn ensure(holds: bool, expected: &str, found: impl FnOnce() -> String) -> Check {
    match holds {
        true => Ok(()),
        false => Err(PlanError::new(expected, found())),
    }
}

/// The product of some sizes, none of them 0, at most `most`.
fn product(sizes: impl IntoIterator<Item = usize>, most: usize) -> Check<usize> {
    let mut product = 1usize;
    for size in sizes {
        ensure(size > 0, "a size above 0", || "0".to_string())?;
        product = product
            .checked_mul(size)
            .filter(|product| *product <= most)
            .ok_or_else(|| PlanError::new(format!("at most {most} elements"), "more"))?;
    }
    Ok(product)
}

/// The sum of some extents, at most [`MOST_ELEMENTS`].
fn sum(extents: impl IntoIterator<Item = Option<usize>>) -> Check<usize> {
    let mut sum = Some(0usize);
    for extent in extents {
        sum = sum
            .zip(extent)
            .and_then(|(sum, extent)| sum.checked_add(extent))
            .filter(|sum| *sum <= MOST_ELEMENTS);
    }
    sum.ok_or_else(|| PlanError::new(format!("at most {MOST_ELEMENTS} elements"), "more"))
}

/// How far a stride leads along an axis.
fn reach(size: usize, stride: usize) -> Option<usize> {
    size.checked_sub(1)?.checked_mul(stride)
}

/// The entry with that id.
fn entry<'p, T>(entries: &'p [T], id: Id<T>, what: &str) -> Check<&'p T> {
    entries.get(id.index()).ok_or_else(|| {
        let expected = format!("one of {} {what}", entries.len());
        PlanError::new(expected, format!("number {}", id.index()))
    })
}

fn verify(plan: &Plan) -> Check {
    storage::axes(plan)?;
    storage::parameters(plan)?;
    storage::buffers(plan)?;
    names(plan)?;
    let mut hazards = Hazards::new(plan)?;
    for (number, kernel) in plan.kernels.iter().enumerate() {
        hazards
            .begin(number, kernel.tile)
            .and_then(|()| verify_kernel(plan, kernel, &mut hazards))
            .map_err(|error| error.within(&kernel.name))?;
    }
    hazards.finish()?;
    // Lifetimes look at buffers by index, which is in range from here on.
    storage::arena(plan)
}

/// Kernels are functions of a source, and other names stand in its comments.
fn names(plan: &Plan) -> Check {
    let mut seen = BTreeSet::new();
    for Kernel { name, origins, .. } in &plan.kernels {
        let letters = |c: char| c.is_alphanumeric() || c == '_';
        let starts = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
        ensure(
            starts && name.chars().all(letters),
            "an identifier as a kernel's name",
            || format!("{name:?}"),
        )?;
        ensure(seen.insert(name), "distinct names of kernels", || {
            format!("{name:?} twice")
        })?;
        origins.iter().try_for_each(|origin| comment(origin))?;
    }
    let axes = plan.axes.iter().map(|axis| &axis.name);
    let buffers = plan.buffers.iter().map(|buffer| &buffer.name);
    axes.chain(buffers).try_for_each(|name| comment(name))
}

fn comment(text: &str) -> Check {
    let harmless = !text.contains(char::is_control) && !text.ends_with('\\');
    ensure(harmless, "text that can stand in a comment", || {
        format!("{text:?}")
    })
}

fn verify_kernel(plan: &Plan, kernel: &Kernel, hazards: &mut Hazards) -> Check {
    for (number, nest) in kernel.setup.iter().enumerate() {
        loops::verify(plan, nest, None, hazards::setup(number), hazards)?;
    }
    let Some(tile) = kernel.tile else {
        let empty = kernel.prologue.is_empty()
            && kernel.contraction.is_none()
            && kernel.epilogue.is_empty();
        return ensure(empty, "a tile for what is not setup", || "none".to_string());
    };
    verify_tile(plan, tile)?;
    for (number, nest) in kernel.prologue.iter().enumerate() {
        loops::verify(plan, nest, Some(tile), hazards::prologue(number), hazards)?;
    }
    if let Some(contraction) = &kernel.contraction {
        contractions::verify(plan, contraction, tile, hazards)?;
    }
    for (number, nest) in kernel.epilogue.iter().enumerate() {
        loops::verify(plan, nest, Some(tile), hazards::epilogue(number), hazards)?;
    }
    Ok(())
}

fn verify_tile(plan: &Plan, tile: Tile) -> Check {
    let axis = entry(&plan.axes, tile.axis, "axes")?;
    ensure(
        tile.length == axis.size,
        "a tile axis of its own length",
        || format!("{} of {}", tile.length, axis.size),
    )?;
    let covers = tile.size > 0 && tile.count == tile.length.div_ceil(tile.size);
    ensure(covers, "tiles that cover their axis", || {
        format!("{} of {} for {}", tile.count, tile.size, tile.length)
    })
}

/// The values that an instruction reads.
fn operands(instruction: &Instruction) -> &[usize] {
    match instruction {
        Instruction::Scalar(_, operands) => operands,
        Instruction::OneHot(value, _)
        | Instruction::Store(value, _)
        | Instruction::Reduce { value, .. } => std::slice::from_ref(value),
        _ => &[],
    }
}
