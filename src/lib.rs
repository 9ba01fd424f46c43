//! dgc, a compiler for deep generative models.
//!
//! A module imports only modules above it in this list.

pub mod id;
pub mod diagnostic;
pub mod tensor;
pub mod distribution;
pub mod layer;
pub mod optimizer;
pub mod syntax;
pub mod model;
pub mod bound;
pub mod lower;
pub mod gradient;
pub mod simplify;
pub mod plan;
pub mod backend;
pub mod driver;
pub mod run;
pub mod cli;
