//! GPUs and compiled images, as data. Builds without CUDA have these types too.

/// The properties of a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuInfo {
    /// The GPU's name.
    pub name: String,
    /// The architecture, such as `sm_90`.
    pub arch: String,
    /// Memory in bytes.
    pub memory: usize,
}

/// The result of compiling a source with NVRTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Machine code, or PTX for an architecture named `compute_…`.
    pub code: Vec<u8>,
    /// The log of the compiler and the assembler.
    pub log: String,
}

/// The earliest supported architecture: kernels use asynchronous copies and bf16.
pub const EARLIEST: u32 = 80;

/// The optimisation level of the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Full optimisation, in parallel where NVRTC supports it.
    Full,
    /// No optimisation, to check that a source compiles.
    Least,
}
