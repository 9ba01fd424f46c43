//! HDF5 files: groups, arrays of numbers and of texts, and attributes.
//!
//! What is compressed is decompressed once, since rows in a random order would decompress each chunk many
//! times: [`Spool`] holds it. What is not compressed stays in the file. No part takes much more memory
//! than the file has bytes, whatever sizes it claims.

use super::{
    bytes::{Bytes, FileRange, Spool, cannot_decompress},
    dense::DenseArray,
    element::ElementType,
};
use crate::{
    error::{Error, Result},
    files::{self, expands_too_far, most_expanded},
};
use hdf5_pure::{
    AttrValue, DType, Dataset, Datatype, DatatypeByteOrder, File, FileAccessProperties, Group,
    Layout, MetadataCacheConfig, VlenStringReadOptions,
};
use std::{collections::BTreeSet, fmt::Display, path::Path, sync::Arc};

/// The bytes that are decompressed at once.
const WINDOW: usize = 4 << 20;
/// The most bytes that a row of chunks has for whole chunks to be decompressed at once.
const MOST_WINDOW: usize = 128 << 20;
/// An open file.
pub struct Hdf5File {
    file: File,
    /// The file once more, for numbers that stay in it.
    plain: Arc<std::fs::File>,
    path: Arc<Path>,
    size: u64,
}

impl Hdf5File {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be read or is no HDF5 file.
    pub fn open(path: &Path) -> Result<Self> {
        let unreadable = |error| Error::file(path, "cannot be read", error);
        let plain = files::open(path).map_err(unreadable)?;
        let size = plain.metadata().map_err(unreadable)?.len();
        let access =
            FileAccessProperties::new().with_metadata_cache(MetadataCacheConfig::new(16 << 20));
        let file =
            File::open_streaming_with_options(path, access).map_err(|error| match error {
                hdf5_pure::Error::Io(error) => unreadable(error),
                error => Error::file(path, "not a valid HDF5 file", error.to_string())
                    .help("the file may be truncated or have another format"),
            })?;
        Ok(Hdf5File {
            file,
            plain: Arc::new(plain),
            path: path.into(),
            size,
        })
    }

    /// The file's path, for messages.
    pub fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error about a part of the file.
    pub fn wrong(&self, part: &str, what: impl Display) -> Error {
        Error::data(format!("{}: `{part}`: {what}", self.place()))
            .help("write the file again with AnnData's `write_h5ad`")
    }

    /// Something that cannot be read.
    pub fn broken(&self, part: &str) -> impl Fn(hdf5_pure::Error) -> Error {
        move |error| match error {
            hdf5_pure::Error::Io(error) => Error::file(&self.path, "cannot be read", error),
            error => self.wrong(part, format!("cannot be read: {error}")),
        }
    }

    /// A group; `None` if there is no such group.
    pub fn group(&self, part: &str) -> Option<Group> {
        self.file.group(part).ok()
    }

    /// Whether there is an array of that name.
    pub fn has_dataset(&self, part: &str) -> bool {
        self.file.dataset(part).is_ok()
    }

    /// An array.
    ///
    /// # Errors
    /// If there is no such array, or the file cannot be read.
    pub fn dataset(&self, part: &str) -> Result<Dataset> {
        let dataset = self.file.dataset(part);
        dataset.map_err(|error| match error {
            hdf5_pure::Error::Io(_) => self.broken(part)(error),
            _ => self.wrong(part, "expected an array, found none"),
        })
    }

    /// The names in a group; none if there is no such group.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn names(&self, part: &str) -> Result<BTreeSet<String>> {
        let Some(group) = self.group(part) else {
            return Ok(BTreeSet::new());
        };
        let datasets = group.datasets().map_err(self.broken(part))?;
        let groups = group.groups().map_err(self.broken(part))?;
        Ok(datasets.into_iter().chain(groups).collect())
    }

    /// The texts of an array with one axis.
    ///
    /// # Errors
    /// If the array has another shape or type, or cannot be read.
    pub fn texts(&self, part: &str, dataset: &Dataset) -> Result<Vec<String>> {
        let (shape, _) = self.extent(part, dataset)?;
        if shape.len() != 1 {
            return Err(self.wrong(
                part,
                format!("expected one axis, found the shape {shape:?}"),
            ));
        }
        let most = usize::try_from(most_expanded(self.size)).unwrap_or(usize::MAX);
        let limits = VlenStringReadOptions::new().with_max_payload_bytes(most);
        let texts = match dataset.dtype().map_err(self.broken(part))? {
            DType::VariableLengthString => dataset.read_vlen_strings(limits),
            _ => dataset.read_string(),
        };
        texts.map_err(self.broken(part))
    }

    /// The numbers of an array with one axis.
    ///
    /// # Errors
    /// If the array has another shape or type, or cannot be read.
    pub fn numbers(&self, part: &str) -> Result<Vec<f64>> {
        let dense = self.dense(part)?;
        if dense.shape().len() != 1 {
            let what = format!("expected one axis, found the shape {:?}", dense.shape());
            return Err(self.wrong(part, what));
        }
        dense.doubles()
    }

    /// The shape of an array and the bytes of a row, of which there are not many more than the file has.
    fn extent(&self, part: &str, dataset: &Dataset) -> Result<(Vec<usize>, usize)> {
        let shape = dataset.shape().map_err(self.broken(part))?;
        let size = dataset.element_size().map_err(self.broken(part))?;
        let bytes = |sizes: &[u64]| {
            sizes
                .iter()
                .try_fold(size, |product, &size| product.checked_mul(size))
        };
        let row = bytes(shape.get(1..).unwrap_or(&[]));
        let all = bytes(&shape).filter(|bytes| *bytes <= most_expanded(self.size));
        match (row, all) {
            (Some(row), Some(_)) => {
                let shape = shape.iter().map(|&size| size as usize).collect();
                Ok((shape, row as usize))
            }
            _ => Err(self.wrong(part, expands_too_far(self.size))),
        }
    }

    /// An array of numbers, which keep their type.
    ///
    /// # Errors
    /// If the array has another type, or cannot be read.
    pub fn dense(&self, part: &str) -> Result<DenseArray> {
        let dataset = self.dataset(part)?;
        let (shape, row) = self.extent(part, &dataset)?;
        let Some(element) = element(&dataset).map_err(self.broken(part))? else {
            let kind = dataset.dtype().map_err(self.broken(part))?;
            return Err(self.wrong(part, format!("expected numbers, found the type {kind}")));
        };
        let bytes = self.bytes(part, &dataset, &shape, row)?;
        let count = bytes.len();
        DenseArray::new(bytes, element, shape.clone()).ok_or_else(|| {
            self.wrong(
                part,
                format!("it has {count} bytes, not as many as its shape {shape:?}"),
            )
        })
    }

    /// The bytes of an array: in the file, or decompressed.
    fn bytes(&self, part: &str, dataset: &Dataset, shape: &[usize], row: usize) -> Result<Bytes> {
        let layout = dataset.layout().map_err(self.broken(part))?;
        if let Layout::Contiguous {
            address: Some(address),
            size,
        } = layout
        {
            let fits = address
                .checked_add(size)
                .is_some_and(|end| end <= self.size);
            if !fits {
                return Err(self.wrong(part, "it is beyond the end of the file"));
            }
            let len = size as usize;
            return Bytes::of_file(FileRange::new(&self.plain, &self.path, address, len));
        }
        let rows = shape.first().copied().unwrap_or(1);
        let chunk = match &layout {
            Layout::Chunked { chunk_shape, .. } => chunk_shape.first().copied().unwrap_or(1),
            _ => 1,
        };
        let chunk = usize::try_from(chunk).unwrap_or(usize::MAX).max(1);
        // Whole chunks, so that none is decompressed twice.
        let fitting = (WINDOW / row.max(1)).max(1);
        let step = match chunk.saturating_mul(row) <= MOST_WINDOW {
            true => (fitting / chunk).max(1) * chunk,
            false => fitting,
        };
        let failed = |error| cannot_decompress(&self.path, error);
        let mut spool = Spool::new();
        for first in (0..rows).step_by(step) {
            let window = dataset.read_raw_rows(first as u64, step as u64);
            spool
                .push(&window.map_err(self.broken(part))?)
                .map_err(failed)?;
        }
        spool.finish(&self.path).map_err(failed)
    }
}

/// The numeric type of an array; `None` if it has another type.
fn element(dataset: &Dataset) -> std::result::Result<Option<ElementType>, hdf5_pure::Error> {
    let (letter, size) = match dataset.dtype()? {
        DType::F32 => ('f', 4),
        DType::F64 => ('f', 8),
        DType::I8 => ('i', 1),
        DType::I16 => ('i', 2),
        DType::I32 => ('i', 4),
        DType::I64 => ('i', 8),
        DType::U8 => ('u', 1),
        DType::U16 => ('u', 2),
        DType::U32 => ('u', 4),
        DType::U64 => ('u', 8),
        // Truth values, as h5py writes them.
        DType::Enum(_) if dataset.element_size()? == 1 => ('u', 1),
        _ => return Ok(None),
    };
    let order = match dataset.datatype()? {
        Datatype::FixedPoint { byte_order, .. } | Datatype::FloatingPoint { byte_order, .. } => {
            byte_order
        }
        _ => DatatypeByteOrder::LittleEndian,
    };
    Ok(match order {
        DatatypeByteOrder::LittleEndian => ElementType::new(letter, size, false),
        DatatypeByteOrder::BigEndian => ElementType::new(letter, size, true),
        _ => None,
    })
}

/// The text of an attribute; `None` if it is another value.
pub fn text_of(value: &AttrValue) -> Option<String> {
    match value {
        AttrValue::String(text) | AttrValue::AsciiString(text) => Some(text.clone()),
        AttrValue::VarLenString(text) | AttrValue::VarLenAsciiString(text) => Some(text.clone()),
        AttrValue::StringSized { value, .. } | AttrValue::AsciiStringSized { value, .. } => {
            Some(value.clone())
        }
        _ => None,
    }
}

/// The two sizes of an attribute; `None` if it is another value.
pub fn sizes_of(value: &AttrValue) -> Option<[usize; 2]> {
    let sizes: Vec<i64> = match value {
        AttrValue::I64Array(sizes) => sizes.clone(),
        AttrValue::I32Array(sizes) => sizes.iter().map(|&size| size.into()).collect(),
        AttrValue::U32Array(sizes) => sizes.iter().map(|&size| size.into()).collect(),
        AttrValue::U64Array(sizes) => {
            let sizes = sizes.iter().map(|&size| i64::try_from(size).ok());
            sizes.collect::<Option<_>>()?
        }
        _ => return None,
    };
    match sizes.as_slice() {
        [rows, columns] => Some([
            usize::try_from(*rows).ok()?,
            usize::try_from(*columns).ok()?,
        ]),
        _ => None,
    }
}
