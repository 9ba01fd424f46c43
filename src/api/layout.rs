//! Formatting the text of a model.

use super::model::read_text;
use crate::{
    diagnostic::Diagnostics,
    error::{Error, ErrorKind, Result},
    files::write_whole,
    syntax,
};
use std::{fs, path::Path};

/// The syntax tree of a model file as text; `None` if the file does not parse. The model need not
/// be valid otherwise.
///
/// # Errors
/// If the file cannot be read.
pub fn ast(file: &Path) -> Result<Option<String>> {
    let tree = syntax::parse(&read_text(file)?);
    Ok(tree.ok().map(|tree| syntax::print(&tree)))
}

/// Whether a model file differs from the standard layout. If `write`, the file is formatted.
///
/// # Errors
/// If the file cannot be read or written, or does not parse.
pub fn format_file(file: &Path, write: bool) -> Result<bool> {
    let text = read_text(file)?;
    let shown = file.display().to_string();
    let tree = syntax::parse(&text).map_err(|mistakes| {
        Error::model(Diagnostics::new(&shown, &text, mistakes)).context(format!(
            "{shown}: a file with syntax errors cannot be formatted"
        ))
    })?;
    let formatted = syntax::format(&text);
    if fs::read(file).is_ok_and(|bytes| bytes == formatted.as_bytes()) {
        return Ok(false);
    }
    let reads_as = |text: &str| syntax::parse(text).map(|tree| syntax::print(&tree));
    if reads_as(&formatted) != Ok(syntax::print(&tree)) {
        let message = format!("{shown}: formatting would change the model; the file is unchanged");
        return Err(Error::of_kind(ErrorKind::Other, message)
            .help("this is a bug in dgc: please report it with the file"));
    }
    if write {
        write_whole(file, formatted.as_bytes())?;
    }
    Ok(true)
}
