//! The tensor IR: a flat, append-only arena of operations on values with named axes.
//!
//! A node's operands precede it. No two nodes are equal, so a common subexpression is computed once.

mod axes;
pub mod special;
pub(crate) mod densities;
pub(crate) mod student_t;
pub(crate) mod von_mises;
pub mod philox;
mod scalar;
mod window;
mod graph;
mod table;
mod build;
mod places;
pub mod eval;
mod print;
mod verify;

pub use axes::{Axes, Axis, AxisKind};
pub use graph::{
    Graph, Node, NodeData, NoiseKind, Op, Output, OutputKind, Parameter, ReduceKind, Start,
};
pub use print::print;
pub use scalar::Scalar;
pub use table::{Gradient, Row, table as scalar_table};
pub use verify::verify;
pub use window::Window;
