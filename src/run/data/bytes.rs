//! The bytes of an array: in memory, maybe of another owner, or in a file that stays open and is read
//! where it is needed.
//!
//! Files are read with positioned reads and never mapped, so a file that another program changes or
//! cuts short gives other numbers or an error, and nothing worse. Whoever takes positions from a file
//! checks them each time that it reads them.

use super::memory::Memory;
use crate::error::{Error, Result};
#[cfg(feature = "npz")]
use crate::files::{expands_too_far, most_expanded};
#[cfg(feature = "npz")]
use std::io::Read;
use std::{
    fmt,
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};
use tempfile::{SpooledData, SpooledTempFile};

/// Arrays of at most this many bytes are kept in memory; larger ones stay in files.
pub const MOST_IN_MEMORY: usize = 64 << 20;

/// Bytes in memory, or a range of a file.
#[derive(Clone)]
pub enum Bytes {
    /// In memory, from this place on.
    Memory(Arc<Vec<u8>>, usize),
    /// In memory of another owner, from this place on.
    Shared(Arc<dyn Memory>, usize),
    /// In a file.
    File(FileRange),
}

/// A range of an open file.
#[derive(Clone, Debug)]
pub struct FileRange {
    file: Arc<File>,
    /// The file's path, for messages.
    path: Arc<Path>,
    start: u64,
    len: usize,
}

impl FileRange {
    /// The `len` bytes of a file from `start` on.
    pub fn new(file: &Arc<File>, path: &Arc<Path>, start: u64, len: usize) -> Self {
        FileRange {
            file: Arc::clone(file),
            path: Arc::clone(path),
            start,
            len,
        }
    }

    /// Reads `out.len()` bytes of the range from `at` on.
    fn read(&self, at: usize, out: &mut [u8]) -> Result<()> {
        let end = at.checked_add(out.len());
        let done = match end.is_some_and(|end| end <= self.len) {
            true => read_at(&self.file, self.start + at as u64, out),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        };
        done.map_err(|error| {
            let error = Error::file(&self.path, "cannot be read", error);
            error.help("the file may have been changed since it was opened")
        })
    }
}

impl Bytes {
    /// The bytes of a range of a file: in memory if it is small.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of_file(range: FileRange) -> Result<Self> {
        if range.len > MOST_IN_MEMORY {
            return Ok(Bytes::File(range));
        }
        Bytes::File(range).into_memory()
    }

    /// All bytes, in memory.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn into_memory(self) -> Result<Self> {
        let Bytes::File(range) = &self else {
            return Ok(self);
        };
        let mut bytes = vec![0; range.len];
        range.read(0, &mut bytes)?;
        Ok(Bytes::from(bytes))
    }

    /// The bytes from `count` on; none if there are fewer.
    pub fn skip(self, count: usize) -> Self {
        let count = count.min(self.len());
        match self {
            Bytes::Memory(bytes, start) => Bytes::Memory(bytes, start + count),
            Bytes::Shared(memory, start) => Bytes::Shared(memory, start + count),
            Bytes::File(range) => Bytes::File(FileRange {
                start: range.start + count as u64,
                len: range.len - count,
                ..range
            }),
        }
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        match self {
            Bytes::Memory(bytes, start) => bytes.len() - start,
            Bytes::Shared(memory, start) => memory.len() - start,
            Bytes::File(range) => range.len,
        }
    }

    /// Whether the bytes are in memory.
    pub fn is_in_memory(&self) -> bool {
        !matches!(self, Bytes::File(_))
    }

    /// `len` bytes from `at` on. `scratch` holds them if they come from a file or another owner.
    ///
    /// # Errors
    /// If the file cannot be read, or the range is not within the bytes.
    pub fn get<'a>(&'a self, at: usize, len: usize, scratch: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        match self {
            Bytes::Memory(bytes, start) => {
                let end = at.checked_add(len);
                let found = end.and_then(|end| bytes[*start..].get(at..end));
                found.ok_or_else(|| Error::data("a range is not within its array"))
            }
            Bytes::Shared(memory, start) => {
                let end = at.checked_add(len);
                if end.is_none_or(|end| end > memory.len() - start) {
                    return Err(Error::data("a range is not within its array"));
                }
                scratch.resize(len, 0);
                memory.read(start + at, scratch);
                Ok(scratch)
            }
            Bytes::File(range) => {
                scratch.resize(len, 0);
                range.read(at, scratch)?;
                Ok(scratch)
            }
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::Memory(Arc::new(bytes), 0)
    }
}

#[cfg(unix)]
fn read_at(file: &File, at: u64, out: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut at: u64, mut out: &mut [u8]) -> io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                out = &mut out[count..];
                at += count as u64;
            }
        }
    }
    Ok(())
}

/// The error of a file whose contents cannot be decompressed.
pub fn cannot_decompress(path: &Path, error: io::Error) -> Error {
    let is_full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    );
    let error = Error::file(path, "cannot be decompressed", error);
    match is_full {
        true => error.help(
            "free disk space in the folder for temporary files, or set `TMPDIR` to another folder",
        ),
        false => error.help("the file may be truncated or have another format"),
    }
}

/// Collects bytes as they are decompressed: in memory, and beyond [`MOST_IN_MEMORY`] in a file without a
/// name in the folder for temporary files, which the operating system removes when it is closed.
pub struct Spool {
    spool: SpooledTempFile,
    len: usize,
}

impl Spool {
    /// Without bytes.
    pub fn new() -> Self {
        Spool {
            spool: SpooledTempFile::new(MOST_IN_MEMORY),
            len: 0,
        }
    }

    /// Copies all bytes of a compressed reader, which is part of a file of `size` bytes.
    ///
    /// # Errors
    /// As [`read_expanded`](crate::files::read_expanded), and if the temporary file cannot be written.
    #[cfg(feature = "npz")]
    pub fn expand(&mut self, reader: impl Read, size: u64) -> io::Result<()> {
        let most = most_expanded(size);
        let count = io::copy(&mut reader.take(most.saturating_add(1)), &mut self.spool)?;
        if count > most {
            return Err(expands_too_far(size));
        }
        self.len += count as usize;
        Ok(())
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// If the temporary file cannot be written.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.spool.write_all(bytes)?;
        self.len += bytes.len();
        Ok(())
    }

    /// The bytes. `path` is the file that they come from, for messages.
    ///
    /// # Errors
    /// If the temporary file cannot be written.
    pub fn finish(self, path: &Arc<Path>) -> io::Result<Bytes> {
        let len = self.len;
        let mut spool = self.spool;
        spool.flush()?;
        spool.seek(SeekFrom::Start(0))?;
        Ok(match spool.into_inner() {
            SpooledData::InMemory(bytes) => Bytes::from(bytes.into_inner()),
            SpooledData::OnDisk(file) => Bytes::File(FileRange::new(&Arc::new(file), path, 0, len)),
        })
    }
}
