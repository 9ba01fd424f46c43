//! Errors of the library as the exception `dgc.Error`.

use pyo3::{create_exception, exceptions::PyValueError, prelude::*};

create_exception!(
    dgc,
    Error,
    PyValueError,
    "An error of dgc. Its text is that of the terminal: what happened, where, and a way out.\n\n\
     Attributes\n----------\n\
     kind : str\n    \
     ``model``, ``data``, ``io``, ``usage``, ``device``, ``out of memory``, ``diverged``,\n    \
     ``interrupted``, ``unsupported`` or ``other``.\n\
     message : str\n    The message alone.\n\
     help : str or None\n    The way out."
);

/// The exception of an error.
pub fn raised(py: Python<'_>, error: &dgc::Error) -> PyErr {
    let kind = match error.kind() {
        dgc::ErrorKind::Model => "model",
        dgc::ErrorKind::Data => "data",
        dgc::ErrorKind::Io => "io",
        dgc::ErrorKind::Usage => "usage",
        dgc::ErrorKind::Device => "device",
        dgc::ErrorKind::OutOfMemory => "out of memory",
        dgc::ErrorKind::Diverged => "diverged",
        dgc::ErrorKind::Interrupted => "interrupted",
        dgc::ErrorKind::Unsupported => "unsupported",
        _ => "other",
    };
    let exception = Error::new_err(error.to_string());
    let value = exception.value(py);
    let set = value
        .setattr("kind", kind)
        .and_then(|()| value.setattr("message", error.message()))
        .and_then(|()| value.setattr("help", error.suggestion()));
    match set {
        Ok(()) => exception,
        Err(failed) => failed,
    }
}

/// Passes an error of the library on to Python.
pub trait OrRaise<T> {
    /// The value, or the exception of the error.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for dgc::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| raised(py, &error))
    }
}
