//! What code is compiled for, and what comes of it; known in builds without CUDA, too.

/// What a GPU is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuInfo {
    /// Its maker's name for it.
    pub name: String,
    /// Its architecture, such as `sm_90`.
    pub arch: String,
    /// Bytes of memory.
    pub memory: usize,
}

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
    /// All that it can, on all cores where the library knows how.
    Full,
    /// As little as it can, to see whether a source compiles.
    Least,
}
