//! Text to syntax tree, and back.

pub mod ast;
mod format;
mod parse;
mod print;

pub use format::format;
pub use parse::parse;
pub use print::print;
