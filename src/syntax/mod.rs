//! Text to syntax tree, and back.

pub mod ast;
mod format;
mod parse;
mod print;

pub use format::format;
pub use parse::{Parsed, parse, parse_what_can_be};
pub use print::print;

/// A file's text as the language reads it: lines end in `\n`, whatever the system that wrote it,
/// and no byte-order mark begins it.
pub fn plain(text: &str) -> String {
    text.strip_prefix('\u{feff}')
        .unwrap_or(text)
        .replace("\r\n", "\n")
        .replace('\r', "\n")
}
