//! What is printed: results on standard output; notes, warnings and errors on standard error.

use crate::{Diagnostics, Error, Result};
use serde_json::Value;
use std::{
    fmt,
    io::{ErrorKind, IsTerminal, Write},
};

/// Prints to standard output; a closed pipe, as of `| head`, ends the program quietly.
pub fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Error::file(
            "standard output".as_ref(),
            "cannot be written",
            error,
        )),
        Ok(()) => Ok(()),
    }
}

/// Prints a value as JSON.
pub fn print_json(value: &Value) -> Result<()> {
    print(&format!("{value:#}\n"))
}

/// Prints what is worth knowing and no mistake.
pub fn note(message: impl fmt::Display) {
    eprintln!("note: {message}");
}

/// Prints diagnostics with their places in the text.
pub fn show(diagnostics: &Diagnostics) {
    eprint!("{}", diagnostics.render(std::io::stderr().is_terminal()));
}

/// Prints an error: the mistakes of a model first, then what they are of, and a way out. What the
/// library calls an option is an argument here.
pub fn show_error(error: &Error) {
    if let Some(diagnostics) = error.diagnostics() {
        show(diagnostics);
    }
    let dashes = if error.is_about_option() { "--" } else { "" };
    eprintln!("error: {dashes}{}", error.message());
    if let Some(help) = error.suggestion() {
        eprintln!("  help: {help}");
    }
}
