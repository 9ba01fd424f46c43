//! From a plan to CUDA C++: one source for all of its kernels, and the launches in order.

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
pub struct Source {
    /// The library and the functions.
    pub text: String,
    /// The launches of a run, in order.
    pub launches: Vec<Launch>,
    /// Floats of working memory. The plan's own places in working memory are not used.
    pub arena: usize,
}

/// The plan's kernels, whose contractions multiply at that precision. The same plan gives the same
/// bytes; launches and working memory do not depend on the precision.
pub fn emit(plan: &Plan, title: &str, precision: Precision) -> Source {
    let plan = &select::retiled(plan);
    let program = select::program(plan);
    let text = write::source(&program, title, precision);
    let arena = program.arena;
    let functions = program.functions.into_iter();
    Source {
        text,
        launches: functions.map(|function| function.launch).collect(),
        arena,
    }
}
