//! The CUDA back end of a build without the feature `cuda`: sources are emitted as ever, and no
//! device, driver or compiler is there.

pub mod assembly;
pub mod emit;

use super::{Array, Backend, Build, NoiseKey, Place, Precision, Program};
use crate::{
    error::{Error, Result},
    id::Id,
};
use std::{borrow::Cow, path::Path};

/// A program compiled ahead of time: its launches, and machine code for some architectures.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Of its contractions.
    pub precision: Precision,
    /// In the order in which they run.
    pub launches: Vec<emit::Launch>,
    /// Floats of working memory.
    pub arena: usize,
    /// By architecture.
    pub images: Vec<(String, Vec<u8>)>,
}

/// A GPU: name, architecture, bytes of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// As the driver names it.
    pub name: String,
    /// Such as `sm_90`.
    pub arch: String,
    /// Bytes.
    pub memory: usize,
}

/// A device that no build without the feature can make.
#[derive(Debug)]
pub enum Cuda {}

fn absent() -> Error {
    Error::unsupported("this build of dgc has no CUDA").help("build it with the feature `cuda`")
}

/// Whether there is a GPU: never.
pub fn is_there(_compiler: Option<Option<&Path>>) -> bool {
    false
}

/// The GPUs of the machine.
///
/// # Errors
/// Always: this build has no CUDA.
pub fn gpus() -> Result<Vec<Gpu>> {
    Err(absent())
}

impl Cuda {
    /// Opens a GPU.
    ///
    /// # Errors
    /// Always: this build has no CUDA.
    pub fn new(_nvrtc: Option<&Path>, _precision: Precision) -> Result<Self> {
        Err(absent())
    }
}

impl Backend for Cuda {
    fn describe(&self) -> String {
        match *self {}
    }

    fn allocate(&mut self, _len: usize) -> Result<Id<Array>> {
        match *self {}
    }

    fn fill(
        &mut self,
        _array: Id<Array>,
        _offset: usize,
        _len: usize,
        _write: &mut dyn FnMut(&mut [f32]),
    ) -> Result<()> {
        match *self {}
    }

    fn read(&self, _array: Id<Array>, _offset: usize, _len: usize) -> Result<Cow<'_, [f32]>> {
        match *self {}
    }

    fn enqueue_readback(&mut self, _array: Id<Array>, _len: usize) -> Result<()> {
        match *self {}
    }

    fn poll_readback(&mut self, _wait: bool, _take: &mut dyn FnMut(&[f32])) -> Result<bool> {
        match *self {}
    }

    fn load(&mut self, _build: &Build, _places: &[Option<Place>]) -> Result<Id<Program>> {
        match *self {}
    }

    fn run(&mut self, _program: Id<Program>, _key: NoiseKey) -> Result<()> {
        match *self {}
    }
}

/// Finding NVIDIA's libraries.
pub mod library {
    use super::{Path, Result, absent};

    /// The compiler's library.
    ///
    /// # Errors
    /// Always: this build has no CUDA.
    pub fn find_nvrtc(_path: Option<&Path>) -> Result<String> {
        Err(absent())
    }

    /// The driver's library.
    ///
    /// # Errors
    /// Always: this build has no CUDA.
    pub fn find_driver() -> Result<String> {
        Err(absent())
    }
}

/// Compiled kernels that are kept for the next time.
pub mod cache {
    use std::path::PathBuf;

    /// The folder: none, since nothing is compiled.
    pub fn folder() -> Option<PathBuf> {
        None
    }
}

/// CUDA C++ to machine code.
pub mod compile {
    use super::{Result, absent};

    /// What the compiler made of a source.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Image {
        /// Machine code, or PTX.
        pub code: Vec<u8>,
        /// What the compiler and the assembler said.
        pub log: String,
    }

    /// The earliest architecture that kernels run on.
    pub const EARLIEST: u32 = 80;

    /// How much the compiler optimises.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Effort {
        /// As much as it can.
        Full,
        /// As little as it can.
        Least,
    }

    /// Compiles a source for an architecture.
    ///
    /// # Errors
    /// Always: this build has no CUDA.
    pub fn compile(_source: &str, _name: &str, _arch: &str, _effort: Effort) -> Result<Image> {
        Err(absent())
    }

    /// The compiler's version.
    ///
    /// # Errors
    /// Always: this build has no CUDA.
    pub fn version() -> Result<(i32, i32)> {
        Err(absent())
    }
}
