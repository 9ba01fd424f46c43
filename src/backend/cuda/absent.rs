//! Replaces the driver and the compiler in builds without the feature `cuda`; every function is an
//! error.

use super::image::GpuInfo;
use crate::{
    backend::{Backend, Precision},
    error::{Error, Result},
};
use std::path::Path;

fn absent() -> Error {
    Error::unsupported("this build of dgc does not support CUDA")
        .help("build dgc with the feature `cuda`")
}

/// Whether there is a GPU: never.
pub fn is_there(_compiler: Option<Option<&Path>>) -> bool {
    false
}

/// The GPUs of the machine.
///
/// # Errors
/// Always: this build does not support CUDA.
pub fn gpus() -> Result<Vec<GpuInfo>> {
    Err(absent())
}

/// Opens the first GPU.
///
/// # Errors
/// Always: this build does not support CUDA.
pub fn open(_nvrtc: Option<&Path>, _precision: Precision) -> Result<Box<dyn Backend>> {
    Err(absent())
}

/// NVIDIA's libraries.
pub mod library {
    use super::{Path, Result, absent};

    /// The compiler's library.
    ///
    /// # Errors
    /// Always: this build does not support CUDA.
    pub fn find_nvrtc(_path: Option<&Path>) -> Result<String> {
        Err(absent())
    }

    /// The driver's library.
    ///
    /// # Errors
    /// Always: this build does not support CUDA.
    pub fn find_driver() -> Result<String> {
        Err(absent())
    }
}

/// The cache of compiled kernels.
pub mod cache {
    use std::path::PathBuf;

    /// The folder: none, since nothing is compiled.
    pub fn folder() -> Option<PathBuf> {
        None
    }
}

/// CUDA C++ to machine code.
pub mod compile {
    use super::{
        super::image::{Effort, Image},
        Result, absent,
    };

    /// Compiles a source for an architecture.
    ///
    /// # Errors
    /// Always: this build does not support CUDA.
    pub fn compile(_source: &str, _name: &str, _arch: &str, _effort: Effort) -> Result<Image> {
        Err(absent())
    }

    /// The compiler's version.
    ///
    /// # Errors
    /// Always: this build does not support CUDA.
    pub fn version() -> Result<(i32, i32)> {
        Err(absent())
    }
}
