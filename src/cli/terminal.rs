//! Printing: results go to standard output; notes, warnings and errors go to standard error.

use crate::{Diagnostics, Error, ErrorKind, Result};
use serde_json::Value;
use std::{
    fmt,
    io::{self, IsTerminal, Write},
};

/// Prints to standard output. A closed pipe, as in `dgc list | head`, is not an error.
pub fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
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

/// Prints a note: information that is neither a result nor an error.
pub fn note(message: impl fmt::Display) {
    eprintln!("note: {message}");
}

/// Prints diagnostics with their source lines.
pub fn show(diagnostics: &Diagnostics) {
    eprint!("{}", diagnostics.render(std::io::stderr().is_terminal()));
}

/// Prints an error: the diagnostics of a model, then the message and a way out. An interruption is
/// printed as a note. Options of the library are shown as arguments: `labels` as `--labels`.
pub fn show_error(error: &Error) {
    if let Some(diagnostics) = error.diagnostics() {
        show(diagnostics);
    }
    let dashes = if error.is_about_option() { "--" } else { "" };
    let severity = match error.kind() {
        ErrorKind::Interrupted => "note",
        _ => "error",
    };
    eprintln!("{severity}: {dashes}{}", error.message());
    if let Some(help) = error.suggestion() {
        eprintln!("  help: {help}");
    }
}
