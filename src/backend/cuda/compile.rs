//! CUDA C++ to machine code, by NVRTC.

use crate::error::{Error, Result};
use cudarc::nvrtc::{result, sys};
use std::ffi::{CStr, CString};

/// What NVRTC made of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Machine code, or PTX for an architecture that is named `compute_…`.
    pub code: Vec<u8>,
    /// What the compiler and the assembler said.
    pub log: String,
}

/// The earliest architecture that has what the kernels use: asynchronous copies, and bf16.
pub const EARLIEST: u32 = 80;

/// How much a compiler does for its code to be fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// All that it can, by all cores where the library knows how.
    Full,
    /// As little as it can: for seeing that a source compiles.
    Least,
}

/// What the compiler is asked for.
pub(super) fn options(arch: &str, effort: Effort) -> Result<Vec<String>> {
    let mut options = vec![format!("--gpu-architecture={arch}")];
    options.extend(["--std=c++17", "--ptxas-options=-v"].map(String::from));
    // Versions before 13 may not know these.
    if version()? >= (13, 0) {
        options.push(
            if effort == Effort::Full {
                "--split-compile=0"
            } else {
                "--Ofast-compile=max"
            }
            .to_string(),
        );
    }
    Ok(options)
}

/// Compiles a source for an architecture such as `sm_90`. The library must have been found.
pub fn compile(source: &str, name: &str, arch: &str, effort: Effort) -> Result<Image> {
    let failed =
        |what: &str, error: result::NvrtcError| Error::new(format!("NVRTC {what}: {error}"));
    let text =
        CString::new(source).map_err(|_| Error::new("a kernel's source holds a zero byte"))?;
    let file = CString::new(format!("{name}.cu"))
        .map_err(|_| Error::new("a model's name holds a zero byte"))?;
    let program = Program(
        result::create_program(&text, Some(&file))
            .map_err(|error| failed("cannot begin", error))?,
    );
    let options = options(arch, effort)?;
    // SAFETY: the program lives until the end of this function, and the sizes are as NVRTC gave
    // them.
    unsafe {
        let done = result::compile_program(program.0, &options);
        let log =
            result::get_program_log(program.0).map_err(|error| failed("has no log", error))?;
        let log = CStr::from_ptr(log.as_ptr()).to_string_lossy().into_owned();
        done.map_err(|error| {
            let first: Vec<&str> = log.lines().take(12).collect();
            Error::new(format!(
                "NVRTC cannot compile {name} for {arch}: {error}\n{}",
                first.join("\n")
            ))
            .help("a mistake of dgc's if the architecture is one that this NVRTC knows")
        })?;
        let mut len = 0;
        let virtual_code = arch.starts_with("compute_");
        let size = if virtual_code {
            sys::nvrtcGetPTXSize
        } else {
            sys::nvrtcGetCUBINSize
        };
        size(program.0, &raw mut len)
            .result()
            .map_err(|error| failed("has no code", error))?;
        let mut code = vec![0u8; len];
        let get = if virtual_code {
            sys::nvrtcGetPTX
        } else {
            sys::nvrtcGetCUBIN
        };
        get(program.0, code.as_mut_ptr().cast())
            .result()
            .map_err(|error| failed("has no code", error))?;
        Ok(Image { code, log })
    }
}

struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program was created, and is destroyed once.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

/// The version of the library.
pub fn version() -> Result<(i32, i32)> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: two integers to be written.
    let done = unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) }.result();
    done.map_err(|error| Error::new(format!("NVRTC has no version: {error}")))?;
    Ok((major, minor))
}
