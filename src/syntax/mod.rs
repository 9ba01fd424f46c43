//! Parses, formats and prints model files.

pub mod ast;
mod format;
mod outline;
mod parse;
mod print;

pub use format::format;
pub use outline::{OpenSize, Outline, outline};
pub use parse::{MOST_TEXT, Parsed, parse, parse_with_recovery};
pub use print::print;

/// Normalises a file's text: line ends become `\n`, and a leading byte-order mark is removed.
pub fn plain(text: &str) -> String {
    text.strip_prefix('\u{feff}')
        .unwrap_or(text)
        .replace("\r\n", "\n")
        .replace('\r', "\n")
}
