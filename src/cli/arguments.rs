//! Arguments that several commands share.

use super::terminal::show;
use crate::{
    Compiled, Error, Model, Precision, Result, check_output, files::folder_of, is_standard,
};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

/// A model file and the changes to it.
#[derive(clap::Args)]
pub struct ModelFile {
    /// The model file, such as models/adgm.dgm; `-` is standard input
    pub file: PathBuf,
    #[command(flatten)]
    pub changes: Changes,
}

impl ModelFile {
    /// Checks the model and prints its warnings. Its mistakes are the error.
    pub fn check(&self) -> Result<Model> {
        self.changes.model(&self.file)
    }
}

/// Changes to the sizes and settings of a model.
#[derive(clap::Args)]
pub struct Changes {
    /// Change a size or setting, such as hidden=200, samples=5 or epochs=20; repeat the option to
    /// change several
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = set)]
    pub sets: Vec<(String, String)>,
}

impl Changes {
    /// Reads a model file, applies these changes and prints the warnings.
    pub fn model(&self, file: &Path) -> Result<Model> {
        let (model, warnings) = Model::open_with(file, &self.sets)?;
        show(&warnings);
        Ok(model)
    }

    /// As [`Changes::model`], with sizes that the file leaves to the data set.
    pub fn model_for(&self, file: &Path, data: &str) -> Result<Model> {
        let (model, warnings) = Model::open_for(file, data, &self.sets)?;
        show(&warnings);
        Ok(model)
    }

    /// Reads a compiled folder and applies these changes; `None` if `path` is not a compiled
    /// folder.
    pub fn compiled(&self, path: &Path) -> Result<Option<Compiled>> {
        if !Compiled::is_in(path) {
            return Ok(None);
        }
        let compiled = Compiled::open(path)?.set_all(&self.sets)?;
        show(&compiled.model.warnings());
        Ok(Some(compiled))
    }
}

/// Reads `NAME=VALUE`.
pub fn set(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("expected NAME=VALUE, found `{text}`"))?;
    Ok((name.trim().to_string(), value.trim().to_string()))
}

/// Checks a file to write: its name ends in one of these endings, so that a format is never written
/// under the name of another; its folder exists; and it is not one of the inputs or a file of a run
/// or a compiled folder. `-` is standard output. Special files such as /dev/stdout may have any
/// name.
///
/// # Errors
/// If the name has another ending or none, or the file may not be replaced.
pub fn check_file(path: &Path, endings: &[&str], inputs: &[&Path]) -> Result<()> {
    let is_special = path.exists() && !path.is_file() && !path.is_dir();
    if is_standard(path) || is_special {
        return Ok(());
    }
    let found = path.extension().and_then(|extension| extension.to_str());
    if !found.is_some_and(|found| endings.contains(&found)) {
        return Err(other_ending(path, endings));
    }
    folder_of(path)?;
    check_output(path, inputs)
}

fn other_ending(path: &Path, endings: &[&str]) -> Error {
    let listed: Vec<String> = endings.iter().map(|ending| format!(".{ending}")).collect();
    let listed = match listed.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        all => all.concat(),
    };
    let shown = path.display();
    let example = path.with_extension(endings[0]);
    Error::usage(format!("{shown}: expected a name that ends in {listed}"))
        .help(format!("for example: {}", example.display()))
}

/// Checks that the path of a folder to write is not `-`.
///
/// # Errors
/// If it is.
pub fn check_folder(path: &Path, what: &str) -> Result<()> {
    if is_standard(path) {
        let message = format!("-: {what} is a folder, and cannot be standard output");
        return Err(Error::usage(message).help("name a folder; `./-` is the folder with that name"));
    }
    Ok(())
}

/// Reads a whole number from 0.
pub fn whole<T: FromStr>(text: &str) -> std::result::Result<T, String> {
    text.parse()
        .map_err(|_| format!("expected a whole number from 0, found `{text}`"))
}

/// Reads a count of at least 1.
pub fn at_least_one(text: &str) -> std::result::Result<usize, String> {
    let count = text
        .parse::<usize>()
        .map_err(|_| format!("expected a whole number from 1, found `{text}`"))?;
    if count == 0 {
        Err("expected at least 1, found 0".to_string())
    } else {
        Ok(count)
    }
}

/// Reads a count from 1 to `most`.
pub fn count_up_to(text: &str, most: usize) -> std::result::Result<usize, String> {
    let count = text.parse::<usize>().ok();
    let count = count.filter(|count| (1..=most).contains(count));
    count.ok_or_else(|| format!("expected a whole number from 1 to {most}, found `{text}`"))
}

/// Reads a precision by its name.
pub fn precision(text: &str) -> std::result::Result<Precision, String> {
    let mut all = Precision::ALL.into_iter();
    all.find(|precision| precision.to_string() == text)
        .ok_or_else(|| {
            let names = Precision::ALL.map(|precision| precision.to_string());
            format!("expected one of {}, found `{text}`", names.join(", "))
        })
}
