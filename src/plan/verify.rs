//! The verifier: the only way to a [`VerifiedPlan`], which is what back ends take.
//!
//! It verifies every plan in every build, whether the planner built it or it was read from a file. It
//! never panics, and all its arithmetic is checked. `unsafe` code may rely on the following invariants
//! and on nothing else.
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
//!    next value. They have the same axes. Buffers in working memory overlap only if no kernel lies
//!    in the lifetimes of both.
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
//! 10. **A buffer is written before it is read**, in an earlier kernel or loop. Within the tiles of a kernel
//!     a tile reads only the block that it wrote itself.
//! 11. **A value is read before it is replaced**: earlier, or by the same loop at the same element. A
//!     contraction's result shares no memory with its operands, and nothing in its kernel replaces
//!     them.
//! 12. **Contractions.** Rows run along the tile axis. Matrices lie within their buffers, and windows
//!     have the matrix's rows and columns. Right operands, and both operands of a sum along
//!     positions, are complete before the tiles begin. Either all products of a contraction are sums
//!     along positions, read through windows on the same side, or none is.
//! 13. **Noise** numbers the elements of its loop without gaps.
//! 14. **Text is harmless in a source**: kernels have distinct identifiers as names; other names have
//!     no control characters and no backslash at the end.
//! 15. **Work is in proportion to memory.** A loop has at most [`MOST_VISITS`] iterations for each
//!     element of the longest buffer that it touches, or 2^30. A contraction of m rows, n columns and
//!     a sum of length k writes m · n elements and reads k or more for each row or each column
//!     (invariants 8 and 12), so its work is bounded by its buffers without a further limit.

mod check;
mod storage;
mod accesses;
mod hazards;
mod loops;
mod contractions;

use super::{Kernel, Plan, Tile};
use check::{Check, ensure, entry};
use hazards::Hazards;
use std::{collections::BTreeSet, ops::Deref};

pub use check::{MOST_AXES, MOST_ELEMENTS, MOST_VISITS, MOST_WINDOWS, MOST_WORK, PlanError};

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

    /// The plan, which must be verified again after a change.
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

fn verify(plan: &Plan) -> Check {
    storage::axes(plan)?;
    storage::parameters(plan)?;
    storage::buffers(plan)?;
    names(plan)?;
    let mut hazards = Hazards::new(plan)?;
    for (number, kernel) in plan.kernels.iter().enumerate() {
        hazards.begin(number, kernel.tile);
        verify_kernel(plan, kernel, &mut hazards).map_err(|error| error.within(&kernel.name))?;
    }
    hazards.finish()?;
    storage::arena(plan, hazards.lifetimes())
}

/// Names of kernels are identifiers of a source, and other names occur in its comments.
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
    let has_control = match text.is_ascii() {
        true => text.bytes().any(|byte| byte.is_ascii_control()),
        false => text.contains(char::is_control),
    };
    let harmless = !has_control && !text.ends_with('\\');
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
