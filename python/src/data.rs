//! Arrays of NumPy as the library's data.

use crate::{error::OrRaise, model::Model, run::Run};
use dgc::{ColumnValues, DataArray, DataFiles, ElementType, Frame, Memory, MemoryArray};
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::{exceptions::PyTypeError, prelude::*};

/// The bytes of a NumPy array, which stays alive as long as they are used.
struct PythonMemory {
    start: *const u8,
    len: usize,
    _owner: Py<PyArray1<u8>>,
}

// SAFETY: the memory belongs to `_owner`, which any thread may hold; `start` is only read.
unsafe impl Send for PythonMemory {}
// SAFETY: as above. Threads copy the bytes out and do not write them.
unsafe impl Sync for PythonMemory {}

impl Memory for PythonMemory {
    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, at: usize, out: &mut [u8]) {
        let end = at.checked_add(out.len());
        assert!(
            end.is_some_and(|end| end <= self.len),
            "a range is within its array"
        );
        // SAFETY: the range lies within the array, which `_owner` keeps alive and which NumPy does not
        // resize while it is referred to; `out` is memory of Rust, so the two do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(self.start.add(at), out.as_mut_ptr(), out.len()) }
    }
}

/// The numbers of an array: the letter and the bytes of their type, and the array's bytes.
type Flat<'py> = (char, usize, Bound<'py, PyArray1<u8>>);

fn memory((letter, size, bytes): Flat<'_>) -> PyResult<MemoryArray> {
    let element = ElementType::new(letter, size, cfg!(target_endian = "big"));
    let element = element.ok_or_else(|| {
        PyTypeError::new_err(format!(
            "arrays of the type {letter}{size} are not supported"
        ))
    })?;
    if !bytes.is_c_contiguous() {
        return Err(PyTypeError::new_err("expected contiguous bytes"));
    }
    let owned = PythonMemory {
        start: bytes.data(),
        len: bytes.len(),
        _owner: bytes.unbind(),
    };
    Ok(MemoryArray::new(element, owned))
}

/// Data in memory before a model reads them.
#[pyclass(frozen, module = "dgc._dgc")]
pub struct Data {
    pub contents: Contents,
}

/// Arrays that are named after the variables of a model, or a table.
pub enum Contents {
    Arrays(Vec<DataArray>),
    Frame(Frame),
}

/// Texts: of each row the place in a list of texts, −1 where there is none.
type Texts<'py> = (PyReadonlyArray1<'py, i64>, Vec<String>);

/// A column of a table: its name, and numbers or texts.
type Column<'py> = (
    String,
    Option<PyReadonlyArray1<'py, f64>>,
    Option<Texts<'py>>,
);

#[pymethods]
impl Data {
    /// Dense arrays: name, shape and numbers; sparse matrices: name, numbers of rows and columns, and the
    /// numbers, columns and starts of its entries; and the classes of rows as texts.
    #[staticmethod]
    fn arrays(
        py: Python<'_>,
        dense: Vec<(String, Vec<usize>, Flat<'_>)>,
        sparse: Vec<(String, [usize; 2], Flat<'_>, Flat<'_>, Flat<'_>)>,
        texts: Vec<(String, Texts<'_>)>,
    ) -> PyResult<Self> {
        let mut arrays = Vec::new();
        for (name, shape, numbers) in dense {
            arrays.push(DataArray::in_memory(name, shape, memory(numbers)?).or_raise(py)?);
        }
        for (name, shape, numbers, columns, starts) in sparse {
            let [numbers, columns, starts] = [memory(numbers)?, memory(columns)?, memory(starts)?];
            let array = DataArray::sparse(name, shape, numbers, columns, starts);
            arrays.push(array.or_raise(py)?);
        }
        for (name, texts) in texts {
            let values = values(texts)?;
            arrays.push(DataArray::new(name, [values.len()], values));
        }
        Ok(Data {
            contents: Contents::Arrays(arrays),
        })
    }

    /// A table.
    #[staticmethod]
    fn table(py: Python<'_>, columns: Vec<Column<'_>>) -> PyResult<Self> {
        let mut named = Vec::new();
        for (name, numbers, texts) in columns {
            let values = match (numbers, texts) {
                (Some(numbers), _) => ColumnValues::Numbers(numbers.as_array().to_vec()),
                (None, Some(texts)) => values(texts)?,
                (None, None) => return Err(PyTypeError::new_err("a column has values")),
            };
            named.push((name, values));
        }
        Ok(Data {
            contents: Contents::Frame(Frame::new(named).or_raise(py)?),
        })
    }
}

fn values((codes, texts): Texts<'_>) -> PyResult<ColumnValues> {
    let place = |&code: &i64| match usize::try_from(code) {
        Ok(place) if place < texts.len() => Ok(Some(place as u32)),
        Ok(_) => Err(PyTypeError::new_err("a code is out of range")),
        Err(_) => Ok(None),
    };
    let codes: PyResult<Vec<Option<u32>>> = codes.as_array().iter().map(place).collect();
    Ok(ColumnValues::Texts(codes?, texts))
}

/// A data set for a model.
#[pyclass(frozen, module = "dgc._dgc")]
pub struct Dataset {
    pub dataset: dgc::Dataset,
}

#[pymethods]
impl Dataset {
    /// A data set in memory; for a run, with the columns and classes that it knows.
    #[new]
    fn new(py: Python<'_>, model: &Model, data: &Data, run: Option<&Run>) -> PyResult<Self> {
        let dataset = py.detach(|| match (&data.contents, run) {
            (Contents::Arrays(arrays), None) => {
                dgc::Dataset::from_arrays(&model.model, arrays.clone())
            }
            (Contents::Arrays(arrays), Some(run)) => run.run.read_arrays(arrays.clone()),
            (Contents::Frame(frame), None) => dgc::Dataset::from_frame(&model.model, frame),
            (Contents::Frame(frame), Some(run)) => run.run.read_frame(frame),
        });
        let dataset = dataset.or_raise(py)?;
        Ok(Dataset { dataset })
    }

    /// Reads a data set from a file or folder, or `mnist`; the validation and test rows may have files
    /// of their own.
    #[staticmethod]
    fn open(py: Python<'_>, model: &Model, files: Files) -> PyResult<Self> {
        let dataset = py.detach(|| dgc::Dataset::open_files(&files.into(), &model.model));
        let dataset = dataset.or_raise(py)?;
        Ok(Dataset { dataset })
    }

    /// The names of arrays that the model does not use.
    #[getter]
    fn others(&self) -> Vec<String> {
        self.dataset.others().to_vec()
    }
}

/// The files of the training, validation and test rows.
#[derive(Clone, Debug, pyo3::FromPyObject)]
pub struct Files(Option<String>, Option<String>, Option<String>);

impl From<Files> for DataFiles {
    fn from(Files(data, validation, test): Files) -> Self {
        DataFiles {
            data,
            validation,
            test,
        }
    }
}
