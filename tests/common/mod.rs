//! What several tests need.
#![allow(dead_code, reason = "each test uses some of it")]

use dgc::{
    driver,
    model::Checked,
    run::{arrays, bound::Arrays},
};
use std::path::{Path, PathBuf};

/// The repository's folder.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A folder beside the repository with material for tests alone; says so loudly where it is absent.
pub fn shared(name: &str) -> Option<PathBuf> {
    let folder = root().parent().expect("the repository has a parent").join("shared").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {} is not there", folder.display());
    None
}

/// The files of `models/`, by name.
pub fn models() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("models"))
        .expect("there are models")
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "dgm"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "there are models");
    files
}

/// A checked model from a file, with some sizes set.
pub fn load(file: &Path, sets: &[(&str, &str)]) -> Checked {
    let text = std::fs::read_to_string(file).expect("the model can be read");
    let name = file.file_name().expect("a file has a name").to_string_lossy().into_owned();
    check(&name, &text, sets)
}

/// A checked model from text.
pub fn check(name: &str, text: &str, sets: &[(&str, &str)]) -> Checked {
    let sets: Vec<(String, String)> = sets.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    match driver::check(name, text, &sets) {
        Ok((model, _)) => model,
        Err(mistakes) => panic!("{}", dgc::diagnostic::render(&mistakes, name, text, false)),
    }
}

pub fn read(path: &Path) -> Arrays {
    let (arrays, _) = arrays::read(path).expect("the arrays can be read");
    arrays.into_iter().map(|array| (array.name.clone(), array)).collect()
}

/// The largest difference, in proportion to the largest number of the second list.
pub fn distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "as many numbers");
    let scale = expected.iter().fold(0.0f64, |most, x| most.max(x.abs())).max(1e-30);
    found.iter().zip(expected).fold(0.0f64, |most, (a, b)| most.max((a - b).abs())) / scale
}
