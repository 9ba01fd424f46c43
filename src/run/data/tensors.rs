//! Arrays of safetensors files. The header has the place of each array, and large arrays stay in the file.

use super::{
    bytes::{Bytes, FileRange},
    dense::DenseArray,
    element::ElementType,
    stored::Stored,
    tables::{DataArray, count_of_classes, is_wanted, variable_of},
};
use crate::{
    error::{Error, Result},
    files,
    model::Model,
    syntax::Outline,
};
use safetensors::{Dtype, tensor::Metadata};
use std::{fs::File, io::Read, path::Path, sync::Arc};

/// The most bytes of a header, as in the format's own library.
const MOST_HEADER: u64 = 100_000_000;

/// An open file.
struct Tensors {
    file: Arc<File>,
    path: Arc<Path>,
    metadata: Metadata,
    /// The place of the first array.
    start: u64,
}

/// Reads the arrays that the model uses. Others have a name alone.
///
/// # Errors
/// If the file cannot be read, or an array's type is not numeric.
pub fn arrays(path: &Path, model: &Model) -> Result<Vec<DataArray>> {
    let file = Tensors::open(path)?;
    let arrays = file.names().into_iter().map(|name| {
        Ok(match is_wanted(model, &name) {
            true => DataArray::stored(&name, Stored::Dense(file.array(&name)?)),
            false => DataArray::unread(&name),
        })
    });
    arrays.collect()
}

/// The number of features of a variable, or of its classes; `None` if the file does not have it.
///
/// # Errors
/// If the file cannot be read.
pub fn size_of(path: &Path, variable: &Outline) -> Result<Option<usize>> {
    let file = Tensors::open(path)?;
    let mut names = file.names();
    names.retain(|name| variable_of(name) == variable.name);
    if !variable.is_class {
        let info = names.first().and_then(|name| file.metadata.info(name));
        return Ok(info.map(|info| info.shape.iter().skip(1).product()));
    }
    let mut classes = Vec::new();
    for name in names {
        classes.extend(file.array(&name)?.doubles()?);
    }
    Ok(count_of_classes(classes.into_iter()))
}

impl Tensors {
    /// Opens a file and reads its header.
    fn open(path: &Path) -> Result<Self> {
        let unreadable = |error| Error::file(path, "cannot be read", error);
        let broken = |what: String| {
            Error::file(path, "not a valid safetensors file", what)
                .help("the file may be truncated or have another format")
        };
        let mut file = files::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let mut len = [0; 8];
        if size < 8 {
            return Err(broken(format!("it has {size} bytes, fewer than a header")));
        }
        file.read_exact(&mut len).map_err(unreadable)?;
        let len = u64::from_le_bytes(len);
        if len > MOST_HEADER || len > size - 8 {
            return Err(broken(format!("its header has {len} bytes, too many")));
        }
        let mut header = vec![0; len as usize];
        file.read_exact(&mut header).map_err(unreadable)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| broken(error.to_string()))?;
        let tensors = metadata.tensors();
        let end = tensors
            .values()
            .map(|info| info.data_offsets.1 as u64)
            .max();
        let (found, wanted) = (size - 8 - len, end.unwrap_or(0));
        if found != wanted {
            return Err(broken(format!(
                "its arrays have {found} bytes, not {wanted}"
            )));
        }
        drop(tensors);
        Ok(Tensors {
            file: Arc::new(file),
            path: path.into(),
            metadata,
            start: 8 + len,
        })
    }

    /// The names of the arrays, sorted.
    fn names(&self) -> Vec<String> {
        let mut names = self.metadata.offset_keys();
        names.sort();
        names
    }

    /// The array of a name in [`Tensors::names`].
    fn array(&self, name: &str) -> Result<DenseArray> {
        let info = self.metadata.info(name).expect("a name of the file");
        let wrong = |what: String| {
            let message = format!("{}: array `{name}`: {what}", self.path.display());
            Error::data(message).help("store it as a float or integer array")
        };
        let element = element(info.dtype)
            .ok_or_else(|| wrong(format!("its type {:?} is not supported", info.dtype)))?;
        let (from, to) = info.data_offsets;
        let range = FileRange::new(&self.file, &self.path, self.start + from as u64, to - from);
        let array = DenseArray::new(Bytes::of_file(range)?, element, info.shape.clone());
        let array = array.expect("the header's sizes fit its types");
        if !element.is_integer() {
            array.each_part(&mut |_, bytes| match element.fits(bytes) {
                true => Ok(()),
                false => Err(wrong("a truth value is neither 0 nor 1".to_string())),
            })?;
        }
        Ok(array)
    }
}

/// The numeric type of a name of the format; `None` if it is another type.
fn element(kind: Dtype) -> Option<ElementType> {
    let (letter, size) = match kind {
        Dtype::F64 => ('f', 8),
        Dtype::F32 => ('f', 4),
        Dtype::F16 => ('f', 2),
        Dtype::BF16 => return Some(ElementType::BF16),
        Dtype::I64 => ('i', 8),
        Dtype::I32 => ('i', 4),
        Dtype::I16 => ('i', 2),
        Dtype::I8 => ('i', 1),
        Dtype::U64 => ('u', 8),
        Dtype::U32 => ('u', 4),
        Dtype::U16 => ('u', 2),
        Dtype::U8 => ('u', 1),
        Dtype::BOOL => ('b', 1),
        _ => return None,
    };
    ElementType::new(letter, size, false)
}
