//! Formatting the text of a model.

use super::{files::check_output, model::read_text};
use crate::{
    diagnostic::Diagnostics,
    error::{Error, ErrorKind, Result},
    files::{self, write_whole},
    syntax,
};
use std::path::Path;

/// The syntax tree of a model file as text; `None` if the file does not parse. The model need not
/// be valid otherwise.
///
/// # Errors
/// If the file cannot be read.
pub fn ast(file: &Path) -> Result<Option<String>> {
    let tree = syntax::parse(&read_text(file)?);
    Ok(tree.ok().map(|tree| syntax::print(&tree)))
}

/// A model's text in the standard layout. Messages use `name` as the file's name.
///
/// # Errors
/// If the text does not parse.
pub fn format_text(name: &str, text: &str) -> Result<String> {
    let tree = syntax::parse(text).map_err(|mistakes| {
        Error::model(Diagnostics::new(name, text, mistakes)).context(format!(
            "{name}: a file with syntax errors cannot be formatted"
        ))
    })?;
    let formatted = syntax::format(text);
    if formatted.len() > syntax::MOST_TEXT {
        let message = format!(
            "{name}: the formatted text would have {} bytes, more than {}",
            formatted.len(),
            syntax::MOST_TEXT
        );
        return Err(Error::of_kind(ErrorKind::Model, message)
            .help("the file is unchanged; shorten the model, for example with `net`"));
    }
    let reads_as = |text: &str| syntax::parse(text).map(|tree| syntax::print(&tree));
    if reads_as(&formatted) != Ok(syntax::print(&tree)) {
        let message = format!("{name}: formatting would change the model; the file is unchanged");
        return Err(Error::of_kind(ErrorKind::Other, message)
            .help("this is a bug in dgc: please report it with the file"));
    }
    Ok(formatted)
}

/// Whether a model file differs from the standard layout. If `write`, the file is formatted.
///
/// # Errors
/// If the file cannot be read or written, does not parse, or belongs to a run or a compiled folder.
pub fn format_file(file: &Path, write: bool) -> Result<bool> {
    let formatted = format_text(&file.display().to_string(), &read_text(file)?)?;
    if files::read(file).is_ok_and(|bytes| bytes == formatted.as_bytes()) {
        return Ok(false);
    }
    if write {
        check_output(file, &[])?;
        write_whole(file, formatted.as_bytes())?;
    }
    Ok(true)
}
