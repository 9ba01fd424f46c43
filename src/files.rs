//! Atomic writes, hashes of contents, and checks of file names.

use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::{self, Write},
    path::{Component, Path},
};

/// The SHA-256 hash, in hexadecimal digits.
pub fn hash(bytes: &[u8]) -> String {
    hash_of_parts(&[bytes])
}

/// The SHA-256 hash of parts that follow one another, in hexadecimal digits.
pub fn hash_of_parts(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Whether a name refers to a file directly in a folder: it is not empty, not `..` and not a path.
pub fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let plain = matches!(parts.next(), Some(Component::Normal(part)) if part == name);
    plain && parts.next().is_none() && !name.contains(['/', '\\', '\0', ':'])
}

/// Writes a file atomically: writes a temporary file in the same folder and renames it, so that a
/// reader sees the old contents or the new contents.
///
/// # Errors
/// If the folder does not exist or the file cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error: io::Error| {
        Error::file(path, "cannot be written", error).help(
            "an earlier version of the file is unchanged; \
                 check the disk space and the folder's permissions",
        )
    };
    // Follow links, and write directly to special files such as /dev/stdout.
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

/// The folder in which a file is to be written.
///
/// # Errors
/// If the folder does not exist.
pub fn folder_of(path: &Path) -> Result<&Path> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if folder.is_dir() {
        return Ok(folder);
    }
    let missing = format!("the folder {} does not exist", folder.display());
    let error = io::Error::new(io::ErrorKind::NotFound, missing);
    Err(Error::file(path, "cannot be written", error)
        .help("create the folder, or name another file"))
}

/// A temporary file with the permissions of an ordinary new file.
fn temporary(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}
