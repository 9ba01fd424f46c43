//! Text to syntax tree, and back.

pub mod ast;
mod format;
mod parse;

pub use format::format;
pub use parse::parse;
