//! What the compiler made, kept for the next time: a compilation takes seconds, and a command needs
//! the same programs again and again.
//!
//! An entry is a file named by a hash of all that its code depends on, and holds a line with a hash
//! of the code, then the code. What cannot be read or written is compiled as if there were no
//! cache.

use super::compile::{self, Effort};
use crate::{
    error::Result,
    files::{hash, write_whole},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Programs that are kept; the oldest go.
const MOST: usize = 200;

/// The folder: what `DGC_CACHE` names, none if that is empty; else the user's own.
pub fn folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    match variable("DGC_CACHE") {
        Some(folder) => Some(folder).filter(|folder| !folder.as_os_str().is_empty()),
        None => {
            let home = || Some(variable("HOME")?.join(".cache"));
            let own = variable("XDG_CACHE_HOME")
                .filter(|folder| folder.is_absolute())
                .or_else(home);
            Some(own?.join("dgc"))
        }
    }
}

/// Machine code of a source for an architecture, from the cache or compiled now. The library must
/// have been found.
pub fn code(source: &str, name: &str, arch: &str) -> Result<Vec<u8>> {
    let (version, options) = (compile::version()?, compile::options(arch, Effort::Full)?);
    let key = format!(
        "{}\0{version:?}\0{options:?}\0{source}",
        env!("CARGO_PKG_VERSION")
    );
    let entry = folder().map(|folder| folder.join(hash(key.as_bytes()) + ".cubin"));
    if let Some(code) = entry.as_deref().and_then(read) {
        return Ok(code);
    }
    let code = compile::compile(source, name, arch, Effort::Full)?.code;
    // A full disk, say, is no reason to stop.
    let _ = entry.map(|entry| write(&entry, &code));
    Ok(code)
}

fn read(entry: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs::read(entry).ok()?;
    let code = bytes.split_off(bytes.iter().position(|byte| *byte == b'\n')? + 1);
    (hash(&code).as_bytes() == bytes.trim_ascii_end()).then_some(code)
}

fn write(entry: &Path, code: &[u8]) -> io::Result<()> {
    let folder = entry.parent().expect("an entry lies in a folder");
    fs::create_dir_all(folder)?;
    let bytes = [hash(code).as_bytes(), b"\n", code].concat();
    write_whole(entry, &bytes).map_err(|error| io::Error::other(error.to_string()))?;
    forget(folder)
}

/// Removes the oldest entries beyond those that are kept.
fn forget(folder: &Path) -> io::Result<()> {
    let is_entry = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "cubin")
    };
    let paths = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(is_entry);
    let age = |path: &PathBuf| {
        fs::metadata(path)
            .and_then(|data| data.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let mut entries: Vec<(SystemTime, PathBuf)> = paths.map(|path| (age(&path), path)).collect();
    entries.sort();
    let gone = entries.len().saturating_sub(MOST);
    entries
        .iter()
        .take(gone)
        .try_for_each(|(_, path)| fs::remove_file(path))
}
