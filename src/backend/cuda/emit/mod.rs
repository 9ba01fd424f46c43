//! From a plan to CUDA C++: one source for all of its kernels, and the launches in order.
//!
//! Two steps, with a specification between them:
//!
//! 1. `select` decides. It splits kernels into pieces of work. In a piece for a loop nest, each
//!    thread computes elements or sums; in a piece for a contraction, each block computes a tile.
//!    Pieces that need not wait for each other share a launch. The result is a `spec::Program`.
//! 2. `write` prints the program as text. It decides nothing.
//!
//! `spec` has the types of the specification, without text, and `usage` counts the memory that a
//! piece touches. `select` imports both; `write` imports `spec`.
//!
//! # One kernel, from plan to text
//!
//! The network `x -> dense(4) > relu` over 3 rows of 6 pixels is one kernel of the plan, which
//! `dgc compile MODEL --emit plan` prints as
//!
//! ```text
//! k0_contract_q_z_dense1
//!   before [all.row:3, x:6] r0 = noise Uniform; r1 = all.x; r2 = greater(r1, r0); t2 = r2
//!   t5[3, 4] = t2 · q.z.dense1.weight.x over 6
//!   after [all.row:3, q.z.dense1:4] r0 = q.z.dense1.bias; r1 = t5; r2 = add(r0, r1); r3 = relu(r2); t7 = r3
//! ```
//!
//! The prologue (`before`) replaces each pixel of `x` by 0 or 1, at random: `t2`. It is a piece of
//! work before the contraction.
//!
//! - `select::tiles` chooses the tile. The result has 3 rows and 4 columns, so one tile of 64 by 16
//!   covers it; k = 6 is too short to be split among blocks: `Way::Whole(64 × 16)`.
//! - `select::operand` checks whether the blocks can compute an operand while they load it, instead
//!   of reading it from memory. Noise is drawn only once, so `t2` is read from memory:
//!   `Operand::Memory`.
//! - `select::epilogue` finds that the loop reads each element of `t5` on its own. It becomes
//!   `spec::Fused`, with one store and no sums. Nothing else reads `t5`, so `Finish::stored` is
//!   false: the sums never leave the block's registers and shared memory.
//! - `select::contraction` makes a `spec::Piece` of one block with the task
//!   `spec::Tiles`, and `usage` counts what it touches: it reads `t2`, the weight and the bias,
//!   and writes `t7`.
//! - `select::launches` assigns pieces to levels. A piece has level 0 if it waits for no other
//!   piece, and else one level more than the last piece that it waits for; each level is one
//!   launch. The prologue has level 0. This piece reads its result `t2`, so it has level 1. Its
//!   function is `step1_k0_contract_q_z_dense1`; `t2` and `t7` get places in working memory.
//! - `write::contraction` and `write::epilogue` print it:
//!
//! ```text
//! using Tile = F32<64, 16>;
//! …
//! accumulate<Tile, true, true>(
//!     sums, stage, in_memory(b1, 6u, 1u), in_memory(b3, 6u, 1u), 3u, 4u, 0, 6u, m0, n0);
//! …
//!         float sum = stage.out[down][threadIdx.x % Tile::N];
//!         Index i0 = row;
//!         Index i1 = own;
//!         float r0 = b2[i1];
//!         float r1 = sum;
//!         float r2 = (r0 + r1);
//!         float r3 = fmaxf(r2, 0.0f);
//!         if (there) b5[i0 * 4u + i1] = r3;
//! ```
//!
//! `accumulate` and the tiles are device code that every source begins with: `kernels/*.cuh`.

mod target;
mod nest;
mod spec;
mod usage;
mod select;
mod write;

use crate::{backend::Precision, plan::Plan};

pub use spec::{Launch, THREADS};
pub use write::BEGIN;

/// The function of `gather.cuh`, which no launch of a program names.
pub const GATHER: &str = "gather_rows";

/// A plan as CUDA C++.
#[derive(Clone, Debug, PartialEq)]
pub struct CudaSource {
    /// The library and the functions.
    pub text: String,
    /// The launches of a run, in order.
    pub launches: Vec<Launch>,
    /// Floats of working memory. The plan's own places in working memory are not used.
    pub arena: usize,
}

/// The plan's kernels, whose contractions multiply at that precision. The same plan and precision
/// give the same bytes. In bf16, arrays that are only multiplied are stored in bf16.
pub fn emit(plan: &Plan, title: &str, precision: Precision) -> CudaSource {
    let plan = &select::retiled(plan);
    let program = select::program(plan, precision);
    let text = write::source(&program, title, precision);
    let functions = program.functions.into_iter();
    CudaSource {
        text,
        launches: functions.map(|function| function.launch).collect(),
        arena: program.arena,
    }
}

#[cfg(test)]
mod tests;
