//! Elementwise loops, reductions and noise.
//!
//! A loop nest of a plan becomes a [`Nest`]: axes that lie in memory without gaps are walked as one
//! ([`walk`]), and the innermost loop's body becomes a tape of steps ([`writer`], [`tape`]) that
//! runs on chunks of elements ([`run`]), each step a function of [`vector`].
//!
//! **Threads.** A tiled loop runs for one tile at a time, on one thread. An element of a result
//! belongs to one tile, and is computed by the same steps whichever thread runs them; a reduction
//! over the tile axis has an array for each tile, which a later kernel adds in order. Chunks begin
//! at the same elements of a tile every time. So results do not depend on the number of threads.

mod functions;
mod noise;
pub(super) mod vector;
mod walk;
mod tape;
mod writer;
mod run;
mod nest;
#[cfg(test)]
mod tests;

pub(super) use nest::Nest;
pub(super) use tape::Scratch;
