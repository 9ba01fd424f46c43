//! The shape of the source: files import in one direction, and public types have names of their
//! own.

mod tokens;
mod imports;

use crate::common;

use imports::Crate;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Imports against the order of `mod` lines that are still there. This list may only shrink.
const ARROWS_UP: &[&str] = &[];

/// Circles between a folder's own file and a file in it that are still there. This list may only
/// shrink.
const CIRCLES: &[&str] = &[];

/// Names that several public types still share. This list may only shrink.
const SHARED_NAMES: &[&str] = &[];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every file of `src` with its text.
fn all() -> Vec<(String, String)> {
    let mut found = Vec::new();
    sources(&common::root().join("src"), &mut found);
    found.sort();
    let read = |path: &PathBuf| {
        let name = path
            .strip_prefix(common::root())
            .expect("a file of the repository");
        let text = std::fs::read_to_string(path).expect("a source can be read");
        (name.display().to_string(), text)
    };
    found.iter().map(read).collect()
}

/// That what was found is what the list has: nothing new, and nothing that is gone.
fn assert_only(what: &str, found: &BTreeSet<String>, allowed: &[&str]) {
    let new: Vec<&String> = found
        .iter()
        .filter(|entry| !allowed.contains(&entry.as_str()))
        .collect();
    assert!(new.is_empty(), "{} {what}: {new:#?}", new.len());
    let gone: Vec<&&str> = allowed
        .iter()
        .filter(|entry| !found.contains(**entry))
        .collect();
    assert!(
        gone.is_empty(),
        "no longer there, to be struck off the list of {what}: {gone:#?}"
    );
}

/// The order of `mod` lines, in `lib.rs` and in every folder, says what is up: a file imports only
/// what stands above it.
#[test]
fn files_import_only_what_stands_above_them() {
    let files = Crate::read(&common::root().join("src"));
    assert_only(
        "imports of what stands below",
        &files.arrows_up(),
        ARROWS_UP,
    );
}

/// A folder's own file may hold what the files in it share, or call them; not both.
#[test]
fn folders_and_their_files_form_no_circles() {
    let files = Crate::read(&common::root().join("src"));
    assert_only("circles", &files.circles(), CIRCLES);
}

#[test]
fn public_types_have_names_of_their_own() {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (_, text) in all() {
        let tokens = tokens::tokens(&text);
        for window in tokens.windows(3) {
            let is_type = ["struct", "enum", "trait", "type"].contains(&window[1].as_str());
            if window[0] == "pub" && is_type {
                *places.entry(window[2].clone()).or_default() += 1;
            }
        }
    }
    let shared = places
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(name, _)| name)
        .collect();
    assert_only(
        "names that several public types share",
        &shared,
        SHARED_NAMES,
    );
}

#[test]
fn sources_do_not_give_up() {
    for (file, text) in all() {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            for word in [".unwrap()", "todo!", "unimplemented!"] {
                assert!(!code.contains(word), "{file}:{}: {word}", number + 1);
            }
        }
    }
}
