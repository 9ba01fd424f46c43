//! Compiling CUDA C++ to machine code with NVRTC.

use super::image::{Effort, Image};
use crate::error::{Error, Result};
use cudarc::nvrtc::{result, sys};
use std::ffi::{CStr, CString};

/// The options for NVRTC.
///
/// # Errors
/// If NVRTC does not report its version.
pub(super) fn options(arch: &str, effort: Effort) -> Result<Vec<String>> {
    let mut options = vec![format!("--gpu-architecture={arch}")];
    options.extend(["--std=c++17", "--ptxas-options=-v"].map(String::from));
    // Versions before 13 may not support these options.
    if version()? >= (13, 0) {
        let option = match effort {
            Effort::Full => "--split-compile=0",
            Effort::Least => "--Ofast-compile=max",
        };
        options.push(option.to_string());
    }
    Ok(options)
}

/// Compiles a source for an architecture such as `sm_90`. The runtime compiler must have been
/// found.
///
/// # Errors
/// If the source does not compile, or NVRTC does not support the architecture.
pub fn compile(source: &str, name: &str, arch: &str, effort: Effort) -> Result<Image> {
    let program = Program::new(source, name)?;
    let compiled = program.compile(&options(arch, effort)?);
    let log = program.log()?;
    compiled.map_err(|error| {
        let first: Vec<&str> = log.lines().take(12).collect();
        Error::device(format!(
            "NVRTC cannot compile {name} for {arch}: {error}\n{}",
            first.join("\n")
        ))
        .help("a newer NVRTC may support the architecture; otherwise this is a bug in dgc")
    })?;
    let code = if arch.starts_with("compute_") {
        program.ptx()?
    } else {
        program.machine_code()?
    };
    Ok(Image { code, log })
}

fn failed(what: &str, error: result::NvrtcError) -> Error {
    Error::device(format!("NVRTC {what}: {error}"))
}

/// An NVRTC program.
struct Program(sys::nvrtcProgram);

impl Program {
    fn new(source: &str, name: &str) -> Result<Self> {
        let text = CString::new(source)
            .map_err(|_| Error::device("a kernel's source contains a zero byte"))?;
        let file = CString::new(format!("{name}.cu"))
            .map_err(|_| Error::device("a model's name contains a zero byte"))?;
        let program = result::create_program(&text, Some(&file));
        Ok(Program(
            program.map_err(|error| failed("cannot begin", error))?,
        ))
    }

    fn compile(&self, options: &[String]) -> std::result::Result<(), result::NvrtcError> {
        // SAFETY: the program lives as long as `self`.
        unsafe { result::compile_program(self.0, options) }
    }

    fn log(&self) -> Result<String> {
        // SAFETY: the program lives as long as `self`.
        let log = unsafe { result::get_program_log(self.0) };
        let log = log.map_err(|error| failed("cannot return its log", error))?;
        let bytes: Vec<u8> = log.iter().map(|&byte| byte as u8).collect();
        let log = CStr::from_bytes_until_nul(&bytes);
        Ok(log.map_or_else(|_| String::new(), |log| log.to_string_lossy().into_owned()))
    }

    fn ptx(&self) -> Result<Vec<u8>> {
        let mut len = 0;
        // SAFETY: the program lives as long as `self`.
        let done = unsafe { sys::nvrtcGetPTXSize(self.0, &raw mut len) };
        done.result()
            .map_err(|error| failed("cannot return its code", error))?;
        let mut code = vec![0u8; len];
        // SAFETY: the code has the length that NVRTC gave.
        let done = unsafe { sys::nvrtcGetPTX(self.0, code.as_mut_ptr().cast()) };
        done.result()
            .map_err(|error| failed("cannot return its code", error))?;
        Ok(code)
    }

    fn machine_code(&self) -> Result<Vec<u8>> {
        let mut len = 0;
        // SAFETY: the program lives as long as `self`.
        let done = unsafe { sys::nvrtcGetCUBINSize(self.0, &raw mut len) };
        done.result()
            .map_err(|error| failed("cannot return its code", error))?;
        let mut code = vec![0u8; len];
        // SAFETY: the code has the length that NVRTC gave.
        let done = unsafe { sys::nvrtcGetCUBIN(self.0, code.as_mut_ptr().cast()) };
        done.result()
            .map_err(|error| failed("cannot return its code", error))?;
        Ok(code)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program was created, and is destroyed once.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

/// The version of NVRTC, which must have been found.
///
/// # Errors
/// If NVRTC does not report its version.
pub fn version() -> Result<(i32, i32)> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: NVRTC writes two integers.
    let done = unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    done.result()
        .map_err(|error| failed("cannot return its version", error))?;
    Ok((major, minor))
}
