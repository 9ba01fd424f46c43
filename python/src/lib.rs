//! The extension module `dgc._dgc`: the library as Python classes that the package `dgc` wraps.
//!
//! Data arrive as flat NumPy arrays and stay where they lie. Results leave as flat NumPy arrays and
//! JSON texts; the package gives them shapes. Python's lock is released while dgc computes.

mod data;
mod device;
mod error;
mod model;
mod run;
mod train;

use pyo3::prelude::*;
use std::{
    ffi::OsString,
    io::{self, Write},
};

#[pymodule]
fn _dgc(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("Error", module.py().get_type::<error::Error>())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<data::Data>()?;
    module.add_class::<data::Dataset>()?;
    module.add_class::<model::Model>()?;
    module.add_class::<run::Run>()?;
    module.add_function(wrap_pyfunction!(train::train, module)?)?;
    module.add_function(wrap_pyfunction!(train::resume, module)?)?;
    module.add_function(wrap_pyfunction!(device::cpu_threads, module)?)?;
    module.add_function(wrap_pyfunction!(model::averaged, module)?)?;
    module.add_function(wrap_pyfunction!(model::draft, module)?)?;
    module.add_function(wrap_pyfunction!(model::declared, module)?)?;
    module.add_function(wrap_pyfunction!(model::read_model, module)?)?;
    module.add_function(wrap_pyfunction!(main, module)?)
}

/// Runs the program `dgc` with these arguments, the first of which is the program's name. Returns its
/// exit code.
#[pyfunction]
fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| {
        let code = dgc::cli::main_with(arguments);
        // Python does not know of what Rust has not written yet.
        let _ = io::stdout().flush();
        code
    })
}
