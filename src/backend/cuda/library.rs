//! Finding the libraries that cudarc loads: it panics where one is missing, so they are looked for
//! before it does.

use crate::error::{Error, Result};
use libloading::Library;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Names of the compiler's library, as cudarc knows them.
const NVRTC: &[&str] = &[
    "libnvrtc.so",
    "libnvrtc.so.13",
    "libnvrtc.so.12",
    "libnvrtc.so.11",
];
const DRIVER: &[&str] = &["libcuda.so", "libcuda.so.1"];

/// Opens a library for as long as the program runs, so that its name is known to whoever asks for
/// it later.
fn keep(name: impl Into<OsString>) -> std::result::Result<(), libloading::Error> {
    // SAFETY: NVIDIA's libraries, and what the user names in their place, run no code of
    // consequence when they are loaded.
    unsafe { Library::new(name.into()) }.map(std::mem::forget)
}

fn first(names: &[&str]) -> Option<String> {
    names
        .iter()
        .find(|name| keep(**name).is_ok())
        .map(|name| name.to_string())
}

/// The compiler: at `path`, where the loader finds it, or in `CUDA_HOME`; where it was found.
pub fn find_nvrtc(path: Option<&Path>) -> Result<String> {
    if let Some(path) = path {
        let path = if path.is_dir() {
            in_folder(path)
        } else {
            Some(path.to_path_buf())
        };
        let path =
            path.ok_or_else(|| Error::new("--nvrtc: no libnvrtc.so in that folder").help(HELP))?;
        keep(&path).map_err(|error| {
            Error::new(format!("--nvrtc {}: {error}", path.display())).help(HELP)
        })?;
        return Ok(path.display().to_string());
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
        Error::new("NVIDIA's runtime compiler, libnvrtc.so, was not found").help(HELP)
    })
}

const HELP: &str = "install CUDA, or `pip install nvidia-cuda-nvrtc` and name its folder: --nvrtc .../nvidia/cu13/lib";

fn in_folder(folder: &Path) -> Option<PathBuf> {
    NVRTC
        .iter()
        .rev()
        .map(|name| folder.join(name))
        .find(|path| path.exists())
}

/// The driver, where the loader finds it.
pub fn find_driver() -> Result<String> {
    let help = "it comes with NVIDIA's driver; --device cpu needs none";
    first(DRIVER).ok_or_else(|| Error::new("NVIDIA's driver, libcuda.so, was not found").help(help))
}
