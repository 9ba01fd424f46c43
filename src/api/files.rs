//! What no file that an operation writes may replace.

use crate::{
    error::{Error, Result},
    run::{compiled::is_compiled_file, folder::is_run_file},
};
use std::path::{Path, PathBuf};

/// Checks that an output replaces none of the inputs of an operation, and no file of a run or of a
/// compiled folder. Links are followed.
///
/// # Errors
/// If it would.
pub fn check_output(output: &Path, inputs: &[&Path]) -> Result<()> {
    let Some(place) = followed(output) else {
        return Ok(());
    };
    let shown = output.display();
    if let Some(input) = inputs
        .iter()
        .find(|input| followed(input).is_some_and(|input| input == place))
    {
        let message = format!(
            "{shown}: the output would replace {}, which is read",
            input.display()
        );
        return Err(Error::usage(message).help("name another file"));
    }
    let owner = if is_run_file(&place) {
        "a run"
    } else if is_compiled_file(&place) {
        "a compiled folder"
    } else {
        return Ok(());
    };
    let message = format!("{shown}: the output would replace a file of {owner}");
    Err(Error::usage(message).help("name a file outside of the folder"))
}

/// The place of a file, which need not exist, in a folder that does.
fn followed(file: &Path) -> Option<PathBuf> {
    if let Ok(path) = file.canonicalize() {
        return Some(path);
    }
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
    Some(folder.join(file.file_name()?))
}
