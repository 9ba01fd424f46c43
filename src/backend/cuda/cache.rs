//! A cache of machine code. Compilation takes seconds, and successive commands compile the same
//! programs.
//!
//! An entry is a file named by a hash of everything that its code depends on. It contains a line
//! with a hash of the code, then the code. If an entry cannot be read or written, the source is
//! compiled without the cache.

use super::{compile, image::Effort};
use crate::{
    error::Result,
    files::{hash, write_whole},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The maximum number of entries; the oldest entries beyond it are removed.
const MOST: usize = 200;

/// The cache's folder: the value of `DGC_CACHE`, or `dgc` in the user's cache folder; `None` if
/// `DGC_CACHE` is empty.
pub fn folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    match variable("DGC_CACHE") {
        Some(folder) => Some(folder).filter(|folder| !folder.as_os_str().is_empty()),
        None => {
            let home = || Some(variable("HOME")?.join(".cache"));
            let caches = variable("XDG_CACHE_HOME")
                .filter(|folder| folder.is_absolute())
                .or_else(home);
            Some(caches?.join("dgc"))
        }
    }
}

/// Machine code of a source for an architecture, from the cache or newly compiled. The runtime
/// compiler must have been found.
pub(super) fn code(source: &str, name: &str, arch: &str) -> Result<Vec<u8>> {
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
    // The code is valid even if the write fails, for example on a full disk.
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
    remove_oldest(folder)
}

/// Removes the oldest entries beyond the maximum number.
fn remove_oldest(folder: &Path) -> io::Result<()> {
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
    let surplus = entries.len().saturating_sub(MOST);
    entries
        .iter()
        .take(surplus)
        .try_for_each(|(_, path)| fs::remove_file(path))
}
