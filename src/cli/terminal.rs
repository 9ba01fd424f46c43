//! Printing: results go to standard output; notes, warnings and errors go to standard error.

use crate::{Diagnostics, Error, ErrorKind, Note, Result, files::write_whole, is_standard};
use serde_json::Value;
use std::{
    borrow::Cow,
    fmt,
    io::{self, IsTerminal, Write},
    path::Path,
};

/// Prints to standard output. A closed pipe, as in `dgc list | head`, is not an error.
pub fn print(text: &str) -> Result<()> {
    write_standard(text.as_bytes())
}

fn write_standard(bytes: &[u8]) -> Result<()> {
    printed(io::stdout().write_all(bytes))
}

/// The result of printing to standard output, which is flushed.
pub fn printed(written: io::Result<()>) -> Result<()> {
    match written.and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Error::file(
            "standard output".as_ref(),
            "cannot be written",
            error,
        )),
        Ok(()) => Ok(()),
    }
}

/// Writes a result to a file, or to standard output for `-`.
pub fn write_output(path: &Path, bytes: &[u8]) -> Result<()> {
    if is_standard(path) {
        return write_standard(bytes);
    }
    write_whole(path, bytes)
}

/// Prints a value as JSON.
pub fn print_json(value: &Value) -> Result<()> {
    print(&format!("{value:#}\n"))
}

/// Writes to standard error. If that cannot be written, there is no other place to say so.
fn to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints a note: information that is neither a result nor an error.
pub fn note(message: impl fmt::Display) {
    to_stderr(&format!("note: {}\n", printable(&message.to_string())));
}

/// A text without characters that control the terminal. Messages quote names from files, which can
/// contain any.
fn printable(text: &str) -> Cow<'_, str> {
    let controls = |c: char| c.is_control() && c != '\n';
    if !text.contains(controls) {
        return text.into();
    }
    let escaped = |c: char| match controls(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect::<String>().into()
}

/// Prints notes of the library, in the program's words.
pub fn show_notes(notes: &[Note]) {
    for found in notes {
        note(in_program_names(&found.to_string()));
    }
}

/// Prints diagnostics with their source lines.
pub fn show(diagnostics: &Diagnostics) {
    to_stderr(&diagnostics.render(std::io::stderr().is_terminal()));
}

/// The message of an error in the program's words, with options of the library as arguments:
/// `labels` as `--labels`.
pub fn shown_message(error: &Error) -> String {
    let dashes = if error.is_about_option() { "--" } else { "" };
    format!("{dashes}{}", in_program_names(error.message()))
}

/// What a way out of the library names, and what the program names instead.
const PROGRAM_NAMES: [(&str, &str); 8] = [
    ("`Device::cpu`", "`--device cpu`"),
    ("`Device::gpu`", "`--device cuda`"),
    ("`Dataset::open`", "`--data`"),
    ("`Run::calibrate`", "`dgc calibrate`"),
    ("`Trainer::resume`", "`dgc train RUN --resume`"),
    ("`Run::encode`", "`dgc encode`"),
    ("`Run::predict`", "`dgc predict`"),
    ("the option `", "`--"),
];

/// A way out in the program's words: arguments and commands for options and methods of the library.
pub fn in_program_names(text: &str) -> String {
    PROGRAM_NAMES
        .iter()
        .fold(text.to_string(), |text, (library, program)| {
            text.replace(library, program)
        })
}

/// Prints an error: the diagnostics of a model, then the message and a way out. An interruption is
/// printed as a note. Options of the library are shown as arguments: `labels` as `--labels`.
pub fn show_error(error: &Error) {
    if let Some(diagnostics) = error.diagnostics() {
        show(diagnostics);
    }
    let severity = match error.kind() {
        ErrorKind::Interrupted => "note",
        _ => "error",
    };
    to_stderr(&format!(
        "{severity}: {}\n",
        printable(&shown_message(error))
    ));
    if let Some(help) = error.suggestion() {
        to_stderr(&format!("  help: {}\n", printable(&in_program_names(help))));
    }
}

#[cfg(test)]
mod tests {
    use super::in_program_names;

    #[test]
    fn ways_out_name_arguments_and_commands() {
        for (library, program) in [
            (
                "choose the CPU with `Device::cpu`",
                "choose the CPU with `--device cpu`",
            ),
            (
                "compile the model again with the option `precision bf16`",
                "compile the model again with `--precision bf16`",
            ),
            (
                "resume the run with `Trainer::resume`",
                "resume the run with `dgc train RUN --resume`",
            ),
            ("omit the option", "omit the option"),
        ] {
            assert_eq!(in_program_names(library), program);
        }
    }
}
