//! Files that appear whole or not at all, and what tells whether they are as they were.

use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::Write,
    path::{Component, Path},
};

/// SHA-256 in hexadecimal digits.
pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Whether a name is that of a file in a folder, whatever the folder: no path, no `..`, not empty.
pub fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let plain = matches!(parts.next(), Some(Component::Normal(part)) if part == name);
    plain && parts.next().is_none() && !name.contains(['/', '\\', '\0', ':'])
}

/// Writes to a temporary file beside `path` and renames it, so that a reader sees the old file or
/// the new one.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::file(path, "cannot be written", error)
            .help("the file before it is unchanged; check the disk and the folder")
    };
    // A link is followed, and what is no file, such as /dev/stdout, is written to as it is.
    let followed = fs::canonicalize(path);
    let path = followed.as_deref().unwrap_or(path);
    if path.exists() && !path.is_file() {
        return fs::write(path, bytes)
            .map_err(|error| Error::file(path, "cannot be written", error));
    }
    let folder = folder_of(path)?;
    let mut file = temporary(folder).map_err(failed)?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// The folder of a file that is to be written: it must be there.
pub fn folder_of(path: &Path) -> Result<&Path> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if folder.is_dir() {
        return Ok(folder);
    }
    let message = format!(
        "{}: there is no folder {}",
        path.display(),
        folder.display()
    );
    Err(Error::new(message).help("make it first, or name another file"))
}

/// A temporary file that whoever may read the folder may read, once it has its name.
fn temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}
