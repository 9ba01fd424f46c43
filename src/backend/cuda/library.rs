//! Finding NVIDIA's libraries. cudarc loads them by name and panics if one is missing, so this
//! module opens them first.

use crate::error::{Error, Result};
use libloading::Library;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The names under which cudarc loads the runtime compiler.
const NVRTC: &[&str] = &[
    "libnvrtc.so",
    "libnvrtc.so.13",
    "libnvrtc.so.12",
    "libnvrtc.so.11",
];
/// The names of the driver's library.
const DRIVER: &[&str] = &["libcuda.so", "libcuda.so.1"];

/// Opens a library until the process exits, so that cudarc finds it by name.
fn keep(name: impl Into<OsString>) -> std::result::Result<(), libloading::Error> {
    // SAFETY: loading NVIDIA's libraries changes nothing that this program relies on. A library that
    // the user names instead is trusted like the program itself.
    unsafe { Library::new(name.into()) }.map(std::mem::forget)
}

/// Opens the first of these libraries that can be opened.
fn first(names: &[&str]) -> Option<String> {
    names
        .iter()
        .find(|name| keep(**name).is_ok())
        .map(|name| name.to_string())
}

/// Opens the runtime compiler and returns its place. It is searched at `path`, a file or a folder;
/// or without `path` in `CUDA_HOME` and the loader's search path.
///
/// # Errors
/// If the library is in none of these places.
pub fn find_nvrtc(path: Option<&Path>) -> Result<String> {
    if let Some(path) = path {
        let library = if path.is_dir() {
            in_folder(path)
        } else {
            Some(path.to_path_buf())
        };
        let library = library.ok_or_else(|| {
            let folder = path.display();
            Error::device(format!(
                "{folder}: expected libnvrtc.so in the folder, found none"
            ))
            .help(HELP)
        })?;
        keep(&library).map_err(|error| {
            Error::device(format!(
                "{}: the runtime compiler cannot be opened: {error}",
                library.display()
            ))
            .help(HELP)
        })?;
        return Ok(library.display().to_string());
    }
    let home = ["CUDA_HOME", "CUDA_PATH"]
        .iter()
        .filter_map(std::env::var_os)
        .map(PathBuf::from);
    let places = home.flat_map(|home| [home.join("lib64"), home.join("lib")]);
    for place in places.filter_map(|folder| in_folder(&folder)) {
        if keep(&place).is_ok() {
            return Ok(place.display().to_string());
        }
    }
    first(NVRTC).ok_or_else(|| {
        Error::device("NVIDIA's runtime compiler, libnvrtc.so, was not found").help(HELP)
    })
}

const HELP: &str = "install CUDA, or run `pip install nvidia-cuda-nvrtc` and pass its folder, \
    .../nvidia/cu13/lib, with the option `nvrtc`";

fn in_folder(folder: &Path) -> Option<PathBuf> {
    NVRTC
        .iter()
        .rev()
        .map(|name| folder.join(name))
        .find(|path| path.exists())
}

/// Opens the driver's library in the loader's search path, and returns its name.
///
/// # Errors
/// If the loader does not find the library.
pub fn find_driver() -> Result<String> {
    let help = "install NVIDIA's driver, or choose the CPU with `Device::cpu`";
    first(DRIVER)
        .ok_or_else(|| Error::device("NVIDIA's driver, libcuda.so, was not found").help(help))
}
