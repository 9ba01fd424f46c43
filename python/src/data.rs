//! Arrays of NumPy as the library's data.

use crate::{error::OrRaise, model::Model};
use dgc::{DataArray, ElementType, Memory, MemoryArray};
use numpy::{PyArray1, PyArrayMethods, PyUntypedArrayMethods};
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

/// Arrays that are named after the variables of a model.
#[pyclass(frozen, module = "dgc._dgc")]
pub struct Arrays {
    pub arrays: Vec<DataArray>,
}

#[pymethods]
impl Arrays {
    /// Dense arrays: name, shape and numbers; and sparse matrices: name, numbers of rows and columns,
    /// and the numbers, columns and starts of its entries.
    #[new]
    fn new(
        py: Python<'_>,
        dense: Vec<(String, Vec<usize>, Flat<'_>)>,
        sparse: Vec<(String, [usize; 2], Flat<'_>, Flat<'_>, Flat<'_>)>,
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
        Ok(Arrays { arrays })
    }
}

/// A data set for a model.
#[pyclass(frozen, module = "dgc._dgc")]
pub struct Dataset {
    pub dataset: dgc::Dataset,
}

#[pymethods]
impl Dataset {
    #[new]
    fn new(py: Python<'_>, model: &Model, arrays: &Arrays) -> PyResult<Self> {
        let arrays = arrays.arrays.clone();
        let dataset = py.detach(|| dgc::Dataset::from_arrays(&model.model, arrays));
        let dataset = dataset.or_raise(py)?;
        Ok(Dataset { dataset })
    }

    /// Reads a data set from a file or folder, or `mnist`.
    #[staticmethod]
    fn open(py: Python<'_>, model: &Model, source: &str) -> PyResult<Self> {
        let dataset = py.detach(|| dgc::Dataset::open(source, &model.model));
        let dataset = dataset.or_raise(py)?;
        Ok(Dataset { dataset })
    }

    /// The names of arrays that the model does not use.
    #[getter]
    fn others(&self) -> Vec<String> {
        self.dataset.others().to_vec()
    }
}
