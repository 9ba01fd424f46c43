//! The npz format of NumPy: a zip archive of npy files.
//!
//! Large arrays that are not compressed stay in the file; what was compressed is decompressed once.

use super::{
    bytes::{Bytes, FileRange, MOST_IN_MEMORY, Spool, cannot_decompress},
    dense::DenseArray,
    npy,
};
use crate::{
    error::{Error, Result},
    files::open,
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader},
    path::Path,
    sync::Arc,
};
use zip::{CompressionMethod, ZipArchive};

/// An open npz file.
pub struct Npz {
    archive: ZipArchive<BufReader<File>>,
    file: Arc<File>,
    path: Arc<Path>,
    size: u64,
    /// The index of each array by name.
    names: BTreeMap<String, usize>,
}

impl Npz {
    /// Opens a file and lists its arrays.
    ///
    /// # Errors
    /// If the file cannot be read, or has two arrays of the same name.
    pub fn open(path: &Path) -> Result<Self> {
        let unreadable = |error| Error::file(path, "cannot be read", error);
        let file = open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let reader = BufReader::new(file.try_clone().map_err(unreadable)?);
        let mut archive = ZipArchive::new(reader).map_err(|error| broken(path, error))?;
        let mut names = BTreeMap::new();
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index);
            let entry = entry.map_err(|error| broken(path, error))?;
            let name = entry.name().trim_end_matches(".npy").to_string();
            if names.insert(name.clone(), index).is_some() {
                return Err(broken(path, format!("there are two arrays `{name}`")));
            }
        }
        Ok(Npz {
            archive,
            file: Arc::new(file),
            path: path.into(),
            size,
            names,
        })
    }

    /// The names of the arrays.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Whether there is an array of that name.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// The array of a name in [`Npz::names`].
    ///
    /// # Errors
    /// If the file cannot be read, the array's type is not numeric, or it has another size than its
    /// header says.
    pub fn array(&mut self, name: &str) -> Result<DenseArray> {
        let bytes = self.bytes(name)?;
        npy::array(bytes).map_err(|what| {
            let message = format!("{}: array `{name}`: {what}", self.path.display());
            Error::data(message).help("save the array again with `np.savez`")
        })
    }

    /// The text of an array with a single text; `None` if the array is missing or another one.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.has(name) {
            true => Ok(npy::text(self.bytes(name)?)),
            false => Ok(None),
        }
    }

    /// The npy file of an array.
    fn bytes(&mut self, name: &str) -> Result<Bytes> {
        let path = Arc::clone(&self.path);
        let broken_here = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                cannot_decompress(&path, error)
            }
            _ => broken(&path, error),
        };
        let Some(&index) = self.names.get(name) else {
            return Err(broken(&path, format!("there is no array `{name}`")));
        };
        let entry = self.archive.by_index(index);
        let mut entry = entry.map_err(|error| broken(&path, error))?;
        let (start, len) = (entry.data_start(), entry.compressed_size());
        if entry.compression() == CompressionMethod::Stored && len > MOST_IN_MEMORY as u64 {
            // Compares the checksum.
            let count = io::copy(&mut entry, &mut io::sink()).map_err(broken_here)?;
            let fits = start.checked_add(len).is_some_and(|end| end <= self.size);
            let len = usize::try_from(len).ok().filter(|_| fits && count == len);
            let len = len.ok_or_else(|| broken(&path, "it is incomplete".to_string()))?;
            return Bytes::of_file(FileRange::new(&self.file, &path, start, len));
        }
        // Entries may share bytes of the file, so each is compared with the file.
        let mut spool = Spool::new();
        spool.expand(entry, self.size).map_err(broken_here)?;
        spool.finish(&path).map_err(broken_here)
    }
}

fn broken(path: &Path, error: impl ToString) -> Error {
    Error::file(path, "not a valid npz file", error.to_string())
        .help("the file may be truncated or have another format")
}
