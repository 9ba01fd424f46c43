//! Elementwise loops, reductions and noise.

pub mod functions;
pub mod noise;
pub mod vector;
mod walk;
mod tape;
mod run;
mod nest;
#[cfg(test)]
mod tests;

pub(super) use nest::Nest;
pub(super) use tape::Scratch;
