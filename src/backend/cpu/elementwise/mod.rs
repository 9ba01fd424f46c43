//! Elementwise loops, reductions and noise.
//!
//! A loop nest of a plan becomes a [`Nest`]: axes that lie in memory without gaps are walked as one
//! ([`walk`]), and the innermost loop's body becomes a tape of steps ([`writer`], [`tape`]) that
//! runs on chunks of elements ([`run`]), each step a function of [`vector`].
//!
//! **Native code.** With AVX-512 or AVX2, neighbouring steps become a function in native code when the plan
//! is loaded ([`lower`], [`native`]): its results stay in registers from step to step, and have the
//! same bits as those of the steps. [`functions`] are written once for both, in terms of [`number`].
//! What has no native code (noise, windows, functions of double precision) remains a step. Loops that
//! only place an array in another through windows are copies ([`window_copy`]).
//!
//! **Threads.** A tiled loop runs for one tile at a time, on one thread. An element of a result
//! belongs to one tile, and is computed by the same steps whichever thread runs them; a reduction
//! over the tile axis has an array for each tile, which a later kernel adds in order. Chunks begin
//! at the same elements of a tile every time. So results do not depend on the number of threads.

mod number;
mod functions;
mod noise;
pub(super) mod vector;
mod native;
mod walk;
mod tape;
mod writer;
mod lower;
mod run;
mod window_copy;
mod nest;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod random_loops;

pub(super) use nest::Nest;
pub(super) use tape::Scratch;
