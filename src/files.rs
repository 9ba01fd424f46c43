//! Atomic writes, hashes of contents, and checks of file names.

use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::{self, Read, Write},
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

/// Opens a regular file. Others, such as pipes and devices, could be waited for or read forever.
///
/// # Errors
/// If the file does not exist, cannot be read, or is not a regular file.
pub fn open(path: &Path) -> io::Result<fs::File> {
    // Before opening: a pipe without a writer would be waited for.
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() {
        return fs::File::open(path);
    }
    Err(match kind.is_dir() {
        true => io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"),
        false => io::Error::other("it is a pipe or device, not a regular file"),
    })
}

/// The contents of a regular file.
///
/// # Errors
/// As [`open`], and if there is not enough memory.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The most bytes of a file whose contents are a text that dgc writes or a user writes by hand,
/// such as settings.
pub const MOST_TEXT: usize = 4 << 20;

/// The text of a regular file, in UTF-8, of at most [`MOST_TEXT`] bytes.
///
/// # Errors
/// As [`read`], and if the file is longer or is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read_at_most(open(path)?, MOST_TEXT)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// All bytes of a reader.
///
/// # Errors
/// If it has more than `most` bytes, or cannot be read.
pub fn read_at_most(reader: impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        let message = format!("it has more than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// The most bytes that a compressed part of a file of `size` bytes may expand to: 64 MiB or 200 times
/// the file's size. Contents that are far larger than their file are made to exhaust memory.
pub fn most_expanded(size: u64) -> u64 {
    size.saturating_mul(200).max(64 << 20)
}

/// The error of a part of a file of `size` bytes that expands to more than [`most_expanded`].
pub fn expands_too_far(size: u64) -> io::Error {
    let message = format!(
        "it expands to more than 200 times its size of {size} bytes; store it uncompressed"
    );
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

/// The bytes that a compressed reader expands to, which is part of a file of `size` bytes.
///
/// # Errors
/// If the contents have more than [`most_expanded`] bytes, or cannot be read.
pub fn read_expanded(reader: impl Read, size: u64) -> io::Result<Vec<u8>> {
    let most = usize::try_from(most_expanded(size)).unwrap_or(usize::MAX - 1);
    read_at_most(reader, most).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => expands_too_far(size),
        _ => error,
    })
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
